<?php

declare(strict_types=1);

namespace Causeway\Testing;

use Causeway\App;
use Causeway\Codec\Shapes;
use Causeway\Event;
use Causeway\Json;
use Causeway\Payload;
use Causeway\Raw;
use Causeway\Stop;

/**
 * Calls the handlers of an application without a server, for its tests.
 *
 *     $client = new TestClient($app);
 *     $answer = $client->rpc('sum', [1, 2], user: '42');
 *     self::assertSame(3, $answer->data);
 *
 * Events and answers are encoded and decoded as on their way from and to Centrifugo. Every method takes further fields of the request by name,
 * such as `user`, `client`, `meta` and `labels`, and `headers`, an array. Those of a call add to those of the client.
 */
final class TestClient
{
    private const CLIENT = ['client' => 'test-client', 'transport' => 'websocket', 'protocol' => 'json', 'encoding' => 'json'];

    /**
     * @param bool $raiseExceptions whether exceptions of handlers are thrown; otherwise the answer has them as its failure, as a server has
     * @param array<string, mixed> $fields of all requests, unless a call has other ones
     */
    public function __construct(
        private readonly App $app,
        private readonly bool $raiseExceptions = true,
        private array $fields = [],
    ) {
    }

    /** A client that has these fields as well, such as `user`. */
    public function with(mixed ...$fields): self
    {
        return new self($this->app, $this->raiseExceptions, self::named($fields) + $this->fields);
    }

    /** Connects. The requests that follow have the user and the meta of the result, as from Centrifugo. */
    public function connect(mixed $data = null, mixed ...$fields): Answer
    {
        $answer = $this->send(Event::Connect, ['data' => $data] + self::named($fields));
        if ($answer->result !== null) {
            $this->fields = ['user' => $answer->result['user'] ?? '', 'meta' => $answer->result['meta'] ?? null] + $this->fields;
        }

        return $answer;
    }

    public function refresh(mixed ...$fields): Answer
    {
        return $this->send(Event::Refresh, self::named($fields));
    }

    public function subscribe(string $channel, mixed $data = null, mixed ...$fields): Answer
    {
        return $this->send(Event::Subscribe, ['channel' => $channel, 'data' => $data] + self::named($fields));
    }

    public function publish(string $channel, mixed $data = null, mixed ...$fields): Answer
    {
        return $this->send(Event::Publish, ['channel' => $channel, 'data' => $data] + self::named($fields));
    }

    public function rpc(string $method, mixed $data = null, mixed ...$fields): Answer
    {
        return $this->send(Event::Rpc, ['method' => $method, 'data' => $data] + self::named($fields));
    }

    public function subRefresh(string $channel, mixed ...$fields): Answer
    {
        return $this->send(Event::SubRefresh, ['channel' => $channel] + self::named($fields));
    }

    public function notifyCacheEmpty(string $channel, mixed ...$fields): Answer
    {
        return $this->send(Event::NotifyCacheEmpty, ['channel' => $channel] + self::named($fields));
    }

    /** @param list<array<string, mixed>> $events each with `time_ms`, `channel` and `type` */
    public function notifyChannelState(array $events, mixed ...$fields): Answer
    {
        return $this->send(Event::NotifyChannelState, ['events' => $events] + self::named($fields));
    }

    public function mapPublish(string $channel, string $key, mixed $data = null, mixed ...$fields): Answer
    {
        return $this->send(Event::MapPublish, ['channel' => $channel, 'key' => $key, 'data' => $data] + self::named($fields));
    }

    public function mapRemove(string $channel, string $key, mixed ...$fields): Answer
    {
        return $this->send(Event::MapRemove, ['channel' => $channel, 'key' => $key] + self::named($fields));
    }

    /** @param list<array<string, mixed>> $items each with `key` and `version` */
    public function sharedPollRefresh(string $channel, array $items, mixed ...$fields): Answer
    {
        return $this->send(Event::SharedPollRefresh, ['channel' => $channel, 'items' => $items] + self::named($fields));
    }

    public function subscribeUnidirectional(string $channel, mixed $data = null, mixed ...$fields): TestStream
    {
        return $this->open(Event::SubscribeUnidirectional, ['channel' => $channel, 'data' => $data] + self::named($fields));
    }

    public function subscribeBidirectional(string $channel, mixed $data = null, mixed ...$fields): TestStream
    {
        return $this->open(Event::SubscribeBidirectional, ['channel' => $channel, 'data' => $data] + self::named($fields));
    }

    /** @param string $stream the id of the stream */
    public function streamPublish(string $channel, mixed $data = null, string $stream = 'test-stream', mixed ...$fields): Answer
    {
        return $this->send(Event::StreamPublish, ['channel' => $channel, 'data' => $data, 'stream' => $stream] + self::named($fields));
    }

    /** @param string $stream the id of the stream */
    public function streamEnd(string $channel, string $stream = 'test-stream', mixed ...$fields): Answer
    {
        return $this->send(Event::StreamEnd, ['channel' => $channel, 'stream' => $stream] + self::named($fields));
    }

    /** @param array<string, mixed> $fields */
    private function send(Event $event, array $fields): Answer
    {
        return Answer::of($this->call(fn (): string|iterable => $this->app->answer($this->payload($event, $fields))));
    }

    /** @param array<string, mixed> $fields */
    private function open(Event $event, array $fields): TestStream
    {
        $serve = fn (\Closure $messages): string|iterable => $this->app->answer($this->payload($event, $fields, $messages));

        return new TestStream($serve, $this->call(...));
    }

    /**
     * Runs a part of the application; returns what it does, or how it fails.
     *
     * @param \Closure(): mixed $part
     */
    private function call(\Closure $part): mixed
    {
        try {
            return $part();
        } catch (\Throwable $error) {
            // The request would go to another worker.
            return $this->raiseExceptions || $error instanceof Stop ? throw $error : $error;
        }
    }

    /**
     * The request as the server sends it.
     *
     * @param array<string, mixed> $fields
     * @param (\Closure(): \Generator<int, string>)|null $messages what the client publishes to its stream
     */
    private function payload(Event $event, array $fields, ?\Closure $messages = null): Payload
    {
        $headers = [];
        foreach ([$this->fields['headers'] ?? [], $fields['headers'] ?? []] as $more) {
            foreach ((array) $more as $name => $value) {
                $headers[strtolower((string) $name)] = array_values((array) $value);
            }
        }
        $headers['type'] = [$event->value];
        $fields += $this->fields;
        if ($event->hasStreamId()) {
            $headers['stream'] = [$fields['stream'] ?? 'test-stream'];
        }
        unset($fields['headers'], $fields['stream']);
        $shape = Shapes::MESSAGES[$event->requestMessage()];
        $fields += array_intersect_key(self::CLIENT, $shape);
        $members = [];
        foreach ($fields as $name => $value) {
            $field = Shapes::name($name);
            if (!isset($shape[$field])) {
                // A client has fields of its own, which not all its events have.
                if (array_key_exists($name, $this->fields)) {
                    continue;
                }
                throw new \InvalidArgumentException("a request of $event->value has no field \"$name\"");
            }
            if ($value instanceof Raw && !self::isJson($value->bytes)) {
                $members[] = "\"b64$field\":\"" . base64_encode($value->bytes) . '"';
            } elseif ($value !== null) {
                $members[] = "\"$field\":" . Json::encode(is_array($shape[$field]) && !array_is_list((array) $value) ? (object) $value : $value);
            }
        }

        return new Payload(Json::encode($headers), '{' . implode(',', $members) . '}', true, messages: $messages);
    }

    private static function isJson(string $text): bool
    {
        json_decode($text);

        return json_last_error() === JSON_ERROR_NONE;
    }

    /**
     * @param array<int|string, mixed> $fields
     * @return array<string, mixed>
     */
    private static function named(array $fields): array
    {
        foreach (array_keys($fields) as $name) {
            if (!is_string($name)) {
                throw new \InvalidArgumentException('further fields of a request are passed by name, such as user: \'42\'');
            }
        }

        /** @var array<string, mixed> */
        return $fields;
    }
}
