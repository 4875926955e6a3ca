<?php

declare(strict_types=1);

namespace Causeway\Testing;

use Causeway\Frame;
use Causeway\Json;
use Causeway\Proto\Api;
use Causeway\Rpc\Client;
use Google\Protobuf\Internal\Message;

/**
 * Keeps calls instead of making them.
 *
 * @internal
 */
final class RecordingClient extends Client
{
    /** @var list<array{string, mixed}> methods and arguments */
    public array $calls = [];

    /** @var array<string, mixed> results or exceptions, by method */
    public array $results = [];

    public function __construct()
    {
        parent::__construct('', 0.0);
    }

    public function callProto(string $method, Message $argument, string $result, ?float $timeout = null): Message
    {
        $fields = json_decode($argument->serializeToJsonString(), true, flags: JSON_THROW_ON_ERROR);
        $this->calls[] = [$method, self::named(is_array($fields) ? $fields : [])];
        $value = $this->result($method);
        if ($value instanceof $result) {
            return $value;
        }
        $fields = $value instanceof Message ? ['result' => $value] : (array) $value;
        $classes = ['result' => preg_replace('~Response$~', 'Result', $result), 'error' => Api\Error::class];
        foreach ($classes as $name => $class) {
            if (is_array($fields[$name] ?? null) && is_string($class) && class_exists($class)) {
                $fields[$name] = new $class($fields[$name]);
            }
        }

        return new $result($fields);
    }

    public function callBytes(string $method, string $argument, int $codec, ?float $timeout = null): string
    {
        $this->calls[] = [$method, $codec === Frame::JSON ? json_decode($argument, true, flags: JSON_THROW_ON_ERROR) : $argument];
        $result = $this->result($method);

        return $codec === Frame::JSON || !is_string($result) ? Json::encode($result) : $result;
    }

    private function result(string $method): mixed
    {
        $result = $this->results[$method] ?? [];

        return $result instanceof \Throwable ? throw $result : $result;
    }

    /**
     * Fields as JSON of protobuf has them, with the names and values that an application has passed.
     *
     * @param array<mixed> $fields
     * @return array<string, mixed>
     */
    private static function named(array $fields): array
    {
        $named = [];
        foreach ($fields as $name => $value) {
            $name = strtolower((string) preg_replace('~[A-Z]~', '_$0', (string) $name));
            if (isset(Json::FIELDS[$name]) && is_string($value)) {
                $bytes = (string) base64_decode($value);
                $value = json_decode($bytes, true);
                $value = json_last_error() === JSON_ERROR_NONE ? $value : $bytes;
            }
            $named[$name] = $value;
        }

        return $named;
    }
}
