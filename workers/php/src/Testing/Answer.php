<?php

declare(strict_types=1);

namespace Causeway\Testing;

use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Failure;
use Causeway\Fields;

/** What Centrifugo gets from a handler: exactly one of a result, an error, a disconnect and a failure. */
final class Answer
{
    /** Data for the client, of the result; null if there are none. */
    public readonly mixed $data;

    /** Whether it is a result. */
    public readonly bool $ok;

    /**
     * @param array<string, mixed>|null $result the fields that are set, with Centrifugo's names
     * @param string|null $failure why the request has failed: clients only see that it has
     */
    private function __construct(
        public readonly ?array $result = null,
        public readonly ?Error $error = null,
        public readonly ?Disconnect $disconnect = null,
        public readonly ?string $failure = null,
    ) {
        $this->ok = $result !== null;
        $this->data = $result['data'] ?? null;
    }

    /** @internal */
    public static function of(mixed $encoded): self
    {
        if ($encoded instanceof \Throwable) {
            return new self(failure: Failure::text($encoded));
        }
        if (!is_string($encoded)) {
            throw new \LogicException('only subscriptions to streams are answered by streams');
        }
        $response = Fields::of(json_decode($encoded, true, flags: JSON_THROW_ON_ERROR));
        $error = $response->fields('error');
        $disconnect = $response->fields('disconnect');

        return match (true) {
            $response->has('error') => new self(error: new Error($error->int('code'), $error->string('message'), $error->bool('temporary'))),
            $response->has('disconnect') => new self(disconnect: new Disconnect($disconnect->int('code'), $disconnect->string('reason'))),
            default => new self(result: self::decoded($response->fields('result')->all())),
        };
    }

    /**
     * Fields with bytes that are not JSON, under their own names.
     *
     * @internal
     * @param array<string, mixed> $fields
     * @return array<string, mixed>
     */
    public static function decoded(array $fields): array
    {
        foreach ($fields as $name => $value) {
            if (str_starts_with($name, 'b64') && is_string($value)) {
                unset($fields[$name]);
                $fields[substr($name, 3)] = base64_decode($value);
            }
        }

        return $fields;
    }
}
