<?php

declare(strict_types=1);

namespace Causeway\Codec;

use Causeway\Codec;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Json;
use Causeway\Publication;
use Causeway\Raw;
use Causeway\Result;

/**
 * Messages as JSON, in the shape of Centrifugo's HTTP proxy: https://centrifugal.dev/docs/server/proxy
 *
 * Names are those of the protobuf fields. `data`, `info` and `meta` are JSON; what is not JSON, which {@see Raw} may be, is base64 in
 * `b64data`, `b64info` and `b64meta`.
 *
 * @internal
 */
final class JsonCodec extends Codec
{
    public const NAME = 'json';

    /** Levels of nesting in data that the server takes, 500 in an answer as a whole. */
    private const DEPTH = 490;

    public function decode(string $message, string $body): Record
    {
        return Record::decode($message, $body);
    }

    public function text(object $message, string $field): string
    {
        return $message->fields[$field] ?? '';
    }

    public function values(object $message, string $field): array
    {
        return $message->values($field);
    }

    public function raw(object $message, string $field): string
    {
        return $message->raw($field);
    }

    public function json(object $message, string $field): mixed
    {
        return $message->json($field);
    }

    public function result(Event $event, ?Result $result): string
    {
        return '{"result":' . ($result === null ? '{}' : self::encode($event->resultMessage(), get_object_vars($result))) . '}';
    }

    public function refusal(Event $event, Error|Disconnect $refusal): string
    {
        if ($refusal instanceof Disconnect) {
            return '{"disconnect":' . self::encode('Disconnect', ['code' => $refusal->getCode(), 'reason' => $refusal->reason]) . '}';
        }
        $fields = ['code' => $refusal->getCode(), 'message' => $refusal->getMessage(), 'temporary' => $refusal->temporary];

        return '{"error":' . self::encode('Error', $fields) . '}';
    }

    public function opening(string $response): string
    {
        return "{\"subscribe_response\":$response}";
    }

    public function publication(Publication $publication): string
    {
        return '{"publication":' . self::encode('Publication', get_object_vars($publication)) . '}';
    }

    /**
     * Encodes a message.
     *
     * @param array<string, mixed> $fields by name, in camel case or as in Centrifugo's messages
     */
    private static function encode(string $name, array $fields): string
    {
        $members = '';
        foreach ($fields as $field => $value) {
            if ($value === null) {
                continue;
            }
            try {
                $member = self::member($name, Shapes::name((string) $field), $value);
            } catch (\Throwable $error) {
                throw new \UnexpectedValueException("$field: {$error->getMessage()}", previous: $error);
            }
            if ($member !== '') {
                $members .= $members === '' ? $member : ",$member";
            }
        }

        return "{{$members}}";
    }

    /** A name and its value; nothing if the value is zero or empty, which is not sent. */
    private static function member(string $name, string $field, mixed $value): string
    {
        $kind = Shapes::MESSAGES[$name][$field] ?? throw new \UnexpectedValueException("$name has no such field");
        if ($kind !== 'bytes') {
            $isSet = $value || $value === '0' || (is_string($kind) && isset(Shapes::MESSAGES[$kind]));

            return $isSet ? "\"$field\":" . self::value($kind, $value) : '';
        }
        if (!$value instanceof Raw) {
            return "\"$field\":" . Json::encode($value);
        }
        if ($value->bytes === '') {
            return '';
        }

        // The server takes this prefix where Centrifugo does not have the field as well.
        return self::isJson($value->bytes) ? "\"$field\":$value->bytes" : "\"b64$field\":\"" . base64_encode($value->bytes) . '"';
    }

    private static function isJson(string $text): bool
    {
        if (PHP_VERSION_ID >= 80300) {
            return json_validate($text, self::DEPTH);
        }
        json_decode($text, true, self::DEPTH);

        return json_last_error() === JSON_ERROR_NONE;
    }

    /** @param string|array<int|string, string> $kind */
    private static function value(string|array $kind, mixed $value): string
    {
        if (is_array($kind)) {
            return self::many(reset($kind), is_string(key($kind)), $value);
        }
        if (isset(Shapes::MESSAGES[$kind])) {
            return self::encode($kind, is_array($value) ? $value : self::fields($kind, $value));
        }
        if (!is_scalar($value)) {
            throw new \UnexpectedValueException("expected $kind, found " . get_debug_type($value));
        }

        return match ($kind) {
            'string' => Json::encode((string) $value),
            'bool' => $value ? 'true' : 'false',
            default => self::integer($kind, $value),
        };
    }

    private static function many(string $kind, bool $isMap, mixed $values): string
    {
        if (!is_array($values)) {
            throw new \UnexpectedValueException('expected an array, found ' . get_debug_type($values));
        }
        $encoded = [];
        foreach ($values as $key => $value) {
            $encoded[] = ($isMap ? Json::encode((string) $key) . ':' : '') . self::value($kind, $value);
        }
        $encoded = implode(',', $encoded);

        return $isMap ? "{{$encoded}}" : "[$encoded]";
    }

    private static function integer(string $kind, mixed $value): string
    {
        $integer = filter_var($value, FILTER_VALIDATE_INT);
        $isInRange = match ($kind) {
            'uint32' => $integer >= 0 && $integer <= 0xFFFFFFFF,
            'uint64' => $integer >= 0,
            default => true,
        };
        if ($integer === false || !$isInRange) {
            throw new \UnexpectedValueException("expected $kind, found " . var_export($value, true));
        }

        return (string) $integer;
    }

    /** @return array<string, mixed> the fields of a protobuf message */
    private static function fields(string $kind, mixed $message): array
    {
        if (!is_object($message) || !is_a($message, "Causeway\\Proto\\Proxy\\$kind")) {
            throw new \UnexpectedValueException("expected an array or a $kind, found " . get_debug_type($message));
        }
        $fields = [];
        foreach (Shapes::MESSAGES[$kind] as $field => $of) {
            $value = $message->{'get' . str_replace('_', '', $field)}();
            $fields[$field] = match (true) {
                $of === 'bytes' => new Raw($value),
                is_array($of) => iterator_to_array($value),
                default => $value,
            };
        }

        return $fields;
    }
}
