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
        foreach ($this->values() as $name => $value) {
            $result->{'set' . ucfirst($name)}($value);
        }
    }

    /** The bytes of the protobuf result of an event. */
    final public function encode(Event $event): string
    {
        $plain = Schema::of($event->resultClass())->write($this->values());
        if ($plain !== null) {
            return $plain;
        }
        $result = $event->result();
        $this->fill($result);

        return $result->serializeToString();
    }

    /** @return array<string, mixed> what is set */
    private function values(): array
    {
        $values = get_object_vars($this);
        foreach ($values as $name => $value) {
            if ($value !== null && in_array($name, self::JSON, true)) {
                $values[$name] = Json::encode($value);
            } elseif ($value === null || $value === [] || $value === '' || $value === 0 || $value === false) {
                // Zero, null and empty mean the same as not set in proto3, but for JSON, where each of them is a value.
                unset($values[$name]);
            }
        }

        return $values;
    }
}
