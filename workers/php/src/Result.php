<?php

declare(strict_types=1);

namespace Causeway;

use Google\Protobuf\Internal\Message;

/** What all results have in common: properties named after the fields of a protobuf message. */
abstract class Result
{
    /** Bytes fields that carry JSON. */
    private const JSON = ['data', 'info', 'meta', 'streamData'];

    /**
     * Copies the properties that are set to a protobuf result.
     *
     * @throws \UnexpectedValueException when a value cannot be encoded
     */
    final public function fill(Message $result): void
    {
        foreach (get_object_vars($this) as $name => $value) {
            $isJson = in_array($name, self::JSON, true);
            // In proto3, zero and empty mean "not set"; in JSON, they are values.
            if ($value === null || (!$isJson && in_array($value, [[], '', 0, false], true))) {
                continue;
            }
            try {
                $result->{'set' . ucfirst($name)}($isJson ? Json::encode($value) : $value);
            } catch (\Throwable $error) {
                throw new \UnexpectedValueException("$name: {$error->getMessage()}", previous: $error);
            }
        }
    }
}
