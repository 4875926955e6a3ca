<?php

declare(strict_types=1);

namespace Causeway;

use Google\Protobuf\Internal\Message;

/** What all results have in common: properties named after the fields of a protobuf message. */
abstract class Result
{
    /** Bytes fields that carry JSON. */
    private const JSON = ['data' => true, 'info' => true, 'meta' => true, 'streamData' => true];

    /**
     * Copies the properties that are set to a protobuf result.
     *
     * @throws \UnexpectedValueException when a value cannot be encoded
     */
    final public function fill(Message $result): void
    {
        foreach ($this as $name => $value) {
            $isJson = isset(self::JSON[$name]);
            // In proto3, zero and empty mean "not set"; in JSON, they are values.
            if ($value === null || (!$isJson && !$value && $value !== '0')) {
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
