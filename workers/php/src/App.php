<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Async\RevoltLoop;
use Causeway\Codec\JsonCodec;
use Causeway\Codec\ProtoCodec;

/**
 * An application: the handlers of Centrifugo's events.
 *
 * A handler takes a request and returns a result, null for an empty result, an {@see Error} or a {@see Disconnect}; the last two may
 * be thrown as well. {@see Stop} hands the request to another worker. Any other exception fails the request; the worker logs it and
 * goes on. Every request gets exactly one answer.
 *
 * A handler of a stream may be a generator, which yields a result and then {@see Publication}s.
 *
 * An event without a handler is answered with Centrifugo's error 108, "not available".
 */
final class App
{
    /** @var array<string, callable> by event type */
    private array $handlers = [];

    /** @var array<string, callable> by RPC method */
    private array $methods = [];

    /** @var array<string, true> event types whose missing handler was logged */
    private array $missing = [];

    /** The last context and what it contains: unless client headers are forwarded, few contexts differ. */
    private string $context = '';
    private ?Headers $headers = null;

    private ?ProtoCodec $proto = null;
    private ?JsonCodec $json = null;

    /**
     * @param string|null $codec how messages are encoded: `proto` or `json`. By default JSON if the server offers it, unless the extension
     *                           `protobuf` is loaded
     * @param bool $backtrace whether the worker says where in the code a slow request is when the server asks by SIGUSR2, which makes
     *                        `sleep()` and `usleep()` return early and can interrupt `stream_select()`
     */
    public function __construct(private readonly ?string $codec = null, private readonly bool $backtrace = false)
    {
    }

    /** @param (callable(Event\ConnectRequest): (Result\ConnectResult|Error|Disconnect|null)) $handler */
    public function onConnect(callable $handler): self
    {
        return $this->on(Event::Connect, $handler);
    }

    /** @param (callable(Event\RefreshRequest): (Result\RefreshResult|Error|Disconnect|null)) $handler */
    public function onRefresh(callable $handler): self
    {
        return $this->on(Event::Refresh, $handler);
    }

    /** @param (callable(Event\SubscribeRequest): (Result\SubscribeResult|Error|Disconnect|null)) $handler */
    public function onSubscribe(callable $handler): self
    {
        return $this->on(Event::Subscribe, $handler);
    }

    /** @param (callable(Event\PublishRequest): (Result\PublishResult|Error|Disconnect|null)) $handler */
    public function onPublish(callable $handler): self
    {
        return $this->on(Event::Publish, $handler);
    }

    /**
     * Handles calls of one method, or with '*' the calls that no other handler takes.
     *
     * @param (callable(Event\RpcRequest): (Result\RpcResult|Error|Disconnect|null)) $handler
     */
    public function onRpc(string $method, callable $handler): self
    {
        if ($method === '*') {
            return $this->on(Event::Rpc, $handler);
        }
        self::register($this->methods, $method, $handler, "RPC method \"$method\"");

        return $this;
    }

    /** @param (callable(Event\SubRefreshRequest): (Result\SubRefreshResult|Error|Disconnect|null)) $handler */
    public function onSubRefresh(callable $handler): self
    {
        return $this->on(Event::SubRefresh, $handler);
    }

    /** @param (callable(Event\NotifyCacheEmptyRequest): (Result\NotifyCacheEmptyResult|null)) $handler */
    public function onNotifyCacheEmpty(callable $handler): self
    {
        return $this->on(Event::NotifyCacheEmpty, $handler);
    }

    /** @param (callable(Event\NotifyChannelStateRequest): (Result\NotifyChannelStateResult|Error|null)) $handler */
    public function onNotifyChannelState(callable $handler): self
    {
        return $this->on(Event::NotifyChannelState, $handler);
    }

    /** @param (callable(Event\MapPublishRequest): (Result\MapPublishResult|Error|Disconnect|null)) $handler */
    public function onMapPublish(callable $handler): self
    {
        return $this->on(Event::MapPublish, $handler);
    }

    /** @param (callable(Event\MapRemoveRequest): (Result\MapRemoveResult|Error|Disconnect|null)) $handler */
    public function onMapRemove(callable $handler): self
    {
        return $this->on(Event::MapRemove, $handler);
    }

    /** @param (callable(Event\SharedPollRefreshRequest): (Result\SharedPollRefreshResult|Error|null)) $handler */
    public function onSharedPollRefresh(callable $handler): self
    {
        return $this->on(Event::SharedPollRefresh, $handler);
    }

    /**
     * @param (callable(Event\SubscribeStreamRequest): (Result\SubscribeResult|Error|Disconnect|null|\Generator)) $handler a generator yields
     *     a result, and then {@see Publication}s
     */
    public function onSubscribeUnidirectional(callable $handler): self
    {
        return $this->on(Event::SubscribeUnidirectional, $handler);
    }

    /**
     * @param (callable(Event\SubscribeStreamRequest): (Result\SubscribeResult|Error|Disconnect|null|\Generator)) $handler a generator yields
     *     a result, and then {@see Publication}s
     */
    public function onSubscribeBidirectional(callable $handler): self
    {
        return $this->on(Event::SubscribeBidirectional, $handler);
    }

    /** @param (callable(Event\StreamPublishRequest): (Result\PublishResult|Error|Disconnect|null)) $handler */
    public function onStreamPublish(callable $handler): self
    {
        return $this->on(Event::StreamPublish, $handler);
    }

    /** @param (callable(Event\StreamEndRequest): (Result\StreamEndResult|null)) $handler */
    public function onStreamEnd(callable $handler): self
    {
        return $this->on(Event::StreamEnd, $handler);
    }

    /**
     * Handles any type of event.
     *
     * @throws \LogicException when the event has a handler already
     */
    public function on(Event $event, callable $handler): self
    {
        self::register($this->handlers, $event->value, $handler, $event->value);

        return $this;
    }

    /**
     * Serves requests until the server stops this worker.
     *
     * With `$concurrency`, up to this many handlers run at a time, each in a fiber: while one of them waits in {@see Async}, in a call of
     * {@see Rpc} or in a library for Revolt, such as amphp, others go on. That needs `revolt/event-loop`, and a server that sends many
     * requests at a time; otherwise the worker logs why, and handles one request at a time.
     *
     * @throws \LogicException when the codec cannot be used here
     */
    public function run(Worker|Async\Worker|null $worker = null, int $concurrency = 1): void
    {
        $codec = Codec::choose($this->codec);
        $worker ??= self::worker($concurrency);
        $offer = $codec instanceof JsonCodec ? ['codec' => JsonCodec::NAME] : [];
        if ($this->backtrace && $worker instanceof Worker) {
            $offer += Backtrace::offer();
        }
        $worker->run($this->answer(...), $offer);
    }

    /**
     * Returns the encoded response to one request, or the encoded messages of a stream.
     *
     * @return string|iterable<string>
     * @throws WorkerException when the event is unknown or its handler returns what cannot be its answer
     */
    public function answer(Payload $payload): string|iterable
    {
        if ($this->headers === null || $payload->context !== $this->context) {
            $this->headers = Headers::fromContext($payload->context);
            $this->context = $payload->context;
        }
        $headers = $this->headers;
        $type = $headers->get('type') ?? '';
        $event = Event::tryFrom($type) ?? throw new WorkerException("unknown event type \"$type\"");
        $codec = $payload->isJson ? $this->json ??= new JsonCodec() : $this->proto ??= new ProtoCodec();
        $class = $event->requestClass();
        $request = new $class($codec->decode($event->requestMessage(), $payload->body), $headers, $codec, $payload);
        $handler = $request instanceof Event\RpcRequest ? $this->methods[$request->method] ?? null : null;
        $handler ??= $this->handlers[$event->value] ?? null;
        if ($handler === null) {
            return $this->withoutHandler($event, $request, $codec);
        }
        $scope = Tracing::enter($headers);
        try {
            $answer = $handler($request);
            if ($answer instanceof \Generator && $event->isStream()) {
                $stream = new Stream($event, $answer, $codec, self::place($handler));
                $answer = $stream->rejection();
                if ($answer === null) {
                    return $scope === null ? $stream->messages() : Tracing::during($headers, $stream->messages());
                }
            }
        } catch (Error | Disconnect $refusal) {
            $answer = $refusal;
        } finally {
            $scope?->detach();
        }
        try {
            return $codec->answer($event, $answer);
        } catch (\Throwable $error) {
            $problem = $error instanceof WorkerException ? '' : "cannot encode the answer to $event->value: ";
            throw new WorkerException(self::place($handler) . ": $problem{$error->getMessage()}", previous: $error);
        }
    }

    /** The worker that can handle so many requests at a time, or one at a time. */
    private static function worker(int $concurrency): Worker|Async\Worker
    {
        $missing = match (true) {
            $concurrency <= 1 => '',
            !Handshake::offers('CAUSEWAY_PROTOCOLS', '2') => 'the server does not offer protocol 2',
            !RevoltLoop::isInstalled() => 'revolt/event-loop is not installed',
            default => null,
        };
        if ($missing === null) {
            return new Async\Worker(Relay::open(), new RevoltLoop(), min($concurrency, 65535));
        }
        if ($missing !== '') {
            fwrite(STDERR, "this worker handles one request at a time: $missing\n");
        }

        return new Worker();
    }

    /** Answers an event without a handler. Where the response has no error, its result is empty instead. */
    private function withoutHandler(Event $event, Request $request, Codec $codec): string
    {
        if (!isset($this->missing[$event->value])) {
            $this->missing[$event->value] = true;
            $method = $request instanceof Event\RpcRequest ? ' method ' . self::quote($request->method) : '';
            fwrite(STDERR, "no handler for $event->value$method (logged once)\n");
        }

        return $event->takesError() ? $codec->refusal($event, Error::notAvailable()) : $codec->result($event, null);
    }

    /** What a client sent, as a short piece of a log line. */
    private static function quote(string $text): string
    {
        return (string) json_encode(substr($text, 0, 100), JSON_INVALID_UTF8_SUBSTITUTE);
    }

    /** @param array<string, callable> $handlers */
    private static function register(array &$handlers, string $key, callable $handler, string $what): void
    {
        if (isset($handlers[$key])) {
            throw new \LogicException("$what has a handler already: " . self::place($handlers[$key]));
        }
        $handlers[$key] = $handler;
    }

    /** Where a handler is defined: file and line. */
    private static function place(callable $handler): string
    {
        $function = new \ReflectionFunction(\Closure::fromCallable($handler));

        return $function->isInternal() ? "{$function->getName()}()" : "{$function->getFileName()}:{$function->getStartLine()}";
    }
}
