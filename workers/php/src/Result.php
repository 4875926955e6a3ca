<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Google\Protobuf\Internal\Message;

/** What all results have: properties that are named after the fields of a protobuf result. */
abstract class Result
{
    /** Fields of bytes in which Centrifugo carries JSON. */
    private const JSON = ['data', 'info', 'meta'];

    /** Copies what is set into a protobuf result. */
    final public function fill(Message $result): void
    {
        foreach (get_object_vars($this) as $name => $value) {
            if ($value === null || $value === [] || $value === '' || $value === 0 || $value === false) {
                // Zero, null and empty mean the same as not set in proto3, but for JSON, where each of them is a value.
                if ($value === null || !in_array($name, self::JSON, true)) {
                    continue;
                }
            }
            if (in_array($name, self::JSON, true)) {
                $value = Json::encode($value);
            }
            $result->{'set' . ucfirst($name)}($value);
        }
    }
}
