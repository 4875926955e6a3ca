<?php

declare(strict_types=1);

namespace Causeway\Codec;

use Causeway\Codec;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Json;
use Causeway\Proto\Proxy;
use Causeway\Publication;
use Causeway\Result;
use Google\Protobuf\Internal\Message;

/**
 * Messages of `Causeway\Proto\Proxy`.
 *
 * @internal
 */
final class ProtoCodec extends Codec
{
    public const NAME = 'proto';

    private const NAMESPACE = 'Causeway\\Proto\\Proxy\\';

    public function decode(string $message, string $body): Message
    {
        $class = self::NAMESPACE . $message;
        $decoded = new $class();
        $decoded->mergeFromString($body);

        return $decoded;
    }

    public function text(object $message, string $field): string
    {
        $getter = "get$field";

        return method_exists($message, $getter) ? $message->$getter() : '';
    }

    public function values(object $message, string $field): array
    {
        $getter = "get$field";

        return method_exists($message, $getter) ? iterator_to_array($message->$getter()) : [];
    }

    public function raw(object $message, string $field): string
    {
        return $this->text($message, $field);
    }

    public function json(object $message, string $field): mixed
    {
        $text = $this->text($message, $field);

        return $text === '' ? null : json_decode($text, true, flags: JSON_THROW_ON_ERROR);
    }

    public function result(Event $event, ?Result $result): string
    {
        $name = $event->resultMessage();
        $class = self::NAMESPACE . $name;
        $message = new $class();
        if ($result !== null) {
            self::fill($message, $name, get_object_vars($result));
        }

        return self::response($event)->setResult($message)->serializeToString();
    }

    public function refusal(Event $event, Error|Disconnect $refusal): string
    {
        $response = self::response($event);
        if ($refusal instanceof Error) {
            $fields = ['code' => $refusal->getCode(), 'message' => $refusal->getMessage(), 'temporary' => $refusal->temporary];
            $response->setError(new Proxy\Error($fields));
        } else {
            $response->setDisconnect(new Proxy\Disconnect(['code' => $refusal->getCode(), 'reason' => $refusal->reason]));
        }

        return $response->serializeToString();
    }

    public function opening(string $response): string
    {
        $message = new Proxy\SubscribeResponse();
        $message->mergeFromString($response);

        return (new Proxy\StreamSubscribeResponse(['subscribe_response' => $message]))->serializeToString();
    }

    public function publication(Publication $publication): string
    {
        $message = new Proxy\Publication();
        self::fill($message, 'Publication', get_object_vars($publication));

        return (new Proxy\StreamSubscribeResponse(['publication' => $message]))->serializeToString();
    }

    private static function response(Event $event): Message
    {
        $class = self::NAMESPACE . substr($event->resultMessage(), 0, -strlen('Result')) . 'Response';

        return new $class();
    }

    /**
     * Sets the fields of a message.
     *
     * @param array<string, mixed> $fields by name, in camel case or as in Centrifugo's messages
     */
    private static function fill(Message $message, string $name, array $fields): void
    {
        foreach ($fields as $field => $value) {
            $isJson = isset(Json::FIELDS[$field]);
            // In proto3, zero and empty mean "not set"; in JSON, they are values.
            if ($value === null || (!$isJson && !$value && $value !== '0')) {
                continue;
            }
            try {
                $value = match (true) {
                    $isJson => Json::encode($value),
                    is_array($value) => self::nested(Shapes::field($name, $field), $value),
                    default => $value,
                };
                $message->{'set' . str_replace('_', '', (string) $field)}($value);
            } catch (\Throwable $error) {
                throw new \UnexpectedValueException("$field: {$error->getMessage()}", previous: $error);
            }
        }
    }

    /**
     * Turns arrays that stand for messages into messages.
     *
     * @param string|array<int|string, string> $kind
     */
    private static function nested(string|array $kind, mixed $value): mixed
    {
        if (!is_array($value)) {
            return $value;
        }
        if (is_array($kind)) {
            $kind = reset($kind);

            return isset(Shapes::MESSAGES[$kind]) ? array_map(static fn (mixed $one): mixed => self::nested($kind, $one), $value) : $value;
        }
        if (!isset(Shapes::MESSAGES[$kind])) {
            throw new \UnexpectedValueException("expected $kind, found array");
        }
        $class = self::NAMESPACE . $kind;
        $message = new $class();
        self::fill($message, $kind, $value);

        return $message;
    }
}
