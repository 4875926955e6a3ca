<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Async\RevoltLoop;
use Causeway\Codec\JsonCodec;
use Causeway\Codec\ProtoCodec;
use Psr\Container\ContainerInterface;
use Psr\Log\LoggerInterface;

/**
 * An application: the handlers of Centrifugo's events.
 *
 * A handler takes a request and returns a result, null for an empty result, an {@see Error} or a {@see Disconnect}; the last two may
 * be thrown as well. {@see Stop} hands the request to another worker. Any other exception fails the request; the worker logs it and
 * goes on. Every request gets exactly one answer.
 *
 * A handler of a stream may be a generator, which yields a result and then {@see Publication}s.
 *
 * A handler is anything that can be called, the name of a class with a method `handle` or `__invoke`, or a class and a method, as in
 * `[Users::class, 'get']`. Classes come from the container, if there is one. So do objects that a handler takes after the request.
 *
 * A handler of RPCs takes some methods, other handlers take some channels: one by its name, or those that match a pattern such as `users.*`.
 * In patterns, `*` stands for any characters, `?` for one, and a backslash makes the next one literal. The most specific one wins: a name,
 * then the pattern with more literal characters, with fewer `*`, with more `?`, and the one that was registered first. `*` takes the rest.
 *
 * An event without a handler is answered with Centrifugo's error 108, "not available".
 *
 * @phpstan-type Lazy array{class-string|object, string}|class-string
 */
final class App
{
    private readonly Handlers $handlers;

    private ?Interceptors $interceptors = null;

    private readonly Resolver $resolver;

    private readonly bool $debug;

    /** @var array<string, Handler> what answers events without a handler, by event type */
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
     * @param ContainerInterface|null $container makes handlers and interceptors that are classes, and what handlers take besides the request
     * @param LoggerInterface|null $logger logs failures of handlers; by default they are written to standard error, which the server logs
     * @param bool|null $debug whether the log shows the request and the code around a failure; by default what `CAUSEWAY_DEBUG` says
     */
    public function __construct(
        private readonly ?string $codec = null,
        private readonly bool $backtrace = false,
        ?ContainerInterface $container = null,
        private readonly ?LoggerInterface $logger = null,
        ?bool $debug = null,
    ) {
        $this->handlers = new Handlers();
        $this->resolver = new Resolver($container);
        $this->debug = $debug ?? in_array(getenv('CAUSEWAY_DEBUG'), ['1', 'true'], true);
    }

    /** @param (callable(Event\ConnectRequest): (Result\ConnectResult|Error|Disconnect|null))|Lazy $handler */
    public function onConnect(callable|array|string $handler): self
    {
        return $this->on(Event::Connect, $handler);
    }

    /** @param (callable(Event\RefreshRequest): (Result\RefreshResult|Error|Disconnect|null))|Lazy $handler */
    public function onRefresh(callable|array|string $handler): self
    {
        return $this->on(Event::Refresh, $handler);
    }

    /** @param (callable(Event\SubscribeRequest): (Result\SubscribeResult|Error|Disconnect|null))|Lazy $handler */
    public function onSubscribe(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::Subscribe, $handler, $channel);
    }

    /** @param (callable(Event\PublishRequest): (Result\PublishResult|Error|Disconnect|null))|Lazy $handler */
    public function onPublish(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::Publish, $handler, $channel);
    }

    /**
     * Handles calls of one method, or of those that match a pattern; with '*' the calls that no other handler takes.
     *
     * @param (callable(Event\RpcRequest): (Result\RpcResult|Error|Disconnect|null))|Lazy $handler
     */
    public function onRpc(string $method, callable|array|string $handler): self
    {
        return $this->on(Event::Rpc, $handler, $method);
    }

    /** @param (callable(Event\SubRefreshRequest): (Result\SubRefreshResult|Error|Disconnect|null))|Lazy $handler */
    public function onSubRefresh(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::SubRefresh, $handler, $channel);
    }

    /** @param (callable(Event\NotifyCacheEmptyRequest): (Result\NotifyCacheEmptyResult|null))|Lazy $handler */
    public function onNotifyCacheEmpty(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::NotifyCacheEmpty, $handler, $channel);
    }

    /** @param (callable(Event\NotifyChannelStateRequest): (Result\NotifyChannelStateResult|Error|null))|Lazy $handler */
    public function onNotifyChannelState(callable|array|string $handler): self
    {
        return $this->on(Event::NotifyChannelState, $handler);
    }

    /** @param (callable(Event\MapPublishRequest): (Result\MapPublishResult|Error|Disconnect|null))|Lazy $handler */
    public function onMapPublish(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::MapPublish, $handler, $channel);
    }

    /** @param (callable(Event\MapRemoveRequest): (Result\MapRemoveResult|Error|Disconnect|null))|Lazy $handler */
    public function onMapRemove(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::MapRemove, $handler, $channel);
    }

    /** @param (callable(Event\SharedPollRefreshRequest): (Result\SharedPollRefreshResult|Error|null))|Lazy $handler */
    public function onSharedPollRefresh(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::SharedPollRefresh, $handler, $channel);
    }

    /**
     * @param (callable(Event\SubscribeStreamRequest): (Result\SubscribeResult|Error|Disconnect|null|\Generator))|Lazy $handler a generator yields
     *     a result, and then {@see Publication}s
     */
    public function onSubscribeUnidirectional(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::SubscribeUnidirectional, $handler, $channel);
    }

    /**
     * @param (callable(Event\SubscribeStreamRequest): (Result\SubscribeResult|Error|Disconnect|null|\Generator))|Lazy $handler a generator yields
     *     a result, and then {@see Publication}s
     */
    public function onSubscribeBidirectional(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::SubscribeBidirectional, $handler, $channel);
    }

    /** @param (callable(Event\StreamPublishRequest): (Result\PublishResult|Error|Disconnect|null))|Lazy $handler */
    public function onStreamPublish(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::StreamPublish, $handler, $channel);
    }

    /** @param (callable(Event\StreamEndRequest): (Result\StreamEndResult|null))|Lazy $handler */
    public function onStreamEnd(callable|array|string $handler, string $channel = '*'): self
    {
        return $this->on(Event::StreamEnd, $handler, $channel);
    }

    /**
     * Handles any type of event.
     *
     * @param callable|array<mixed>|string $handler
     * @param string $pattern the methods or channels that the handler takes
     * @throws \LogicException when the event has such a handler already, or the handler cannot take its requests
     */
    public function on(Event $event, callable|array|string $handler, string $pattern = '*'): self
    {
        $this->handlers->add($event, $pattern, Handler::of($handler, $this->resolver));

        return $this;
    }

    /**
     * Takes handlers that are classes, by name or as objects: with a type of event as their key, those with a method `handle` or `__invoke`;
     * without one, those whose methods have attributes such as {@see Attribute\OnRpc}.
     *
     *     $app->services(['connect' => ConnectService::class, Users::class]);
     *
     * @param iterable<int|string, object|string> $services
     * @throws \LogicException when one of them has no handler, or an event has one already
     */
    public function services(iterable $services): self
    {
        foreach ($services as $type => $service) {
            if (is_string($type)) {
                $this->handlers->add(self::event($type), '*', Handler::ofService($service, null, $this->resolver));
            } else {
                $this->handlers->addAll($service, $this->resolver);
            }
        }

        return $this;
    }

    /**
     * Takes interceptors, by type of event, or `*` for those of all events, which are outermost. The first one is the outermost of its type.
     *
     *     $app->interceptors(['*' => Log::class, 'rpc' => [new Authenticate(), fn (Request $request, callable $next) => $next($request)]]);
     *
     * @param iterable<string, Interceptor|callable|string|list<Interceptor|callable|string>> $interceptors
     * @throws \LogicException when one of them is none
     */
    public function interceptors(iterable $interceptors): self
    {
        $this->interceptors ??= new Interceptors();
        foreach ($interceptors as $type => $some) {
            /** @var array<Interceptor|callable|string> $list */
            $list = is_array($some) && !is_callable($some) ? $some : [$some];
            foreach ($list as $interceptor) {
                $this->interceptors->add($type === '*' ? null : self::event($type), $interceptor, $this->resolver);
            }
        }

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
        Failure::logFatal();
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
        $handler = $this->handlers->find($event, $request) ?? $this->missing[$type] ??= $this->missing($event);
        $chain = $this->interceptors === null ? null : $this->chain($event, $handler);
        $scope = Tracing::enter($headers);
        try {
            $answer = $chain === null ? ($handler->call)($request) : $chain->run($request);
            if ($answer instanceof \Generator && $event->isStream()) {
                $incident = new Incident($event, $request, $this->logger, $this->debug);
                $stream = new Stream($event, $answer, $codec, $chain === null ? $handler->place : $chain->place, $incident);
                $answer = $stream->rejection();
                if ($answer === null) {
                    return $scope === null ? $stream->messages() : Tracing::during($headers, $stream->messages());
                }
            }
        } catch (Error | Disconnect $refusal) {
            $answer = $refusal;
        } catch (Stop $stop) {
            throw $stop;
        } catch (\Throwable $error) {
            throw $this->failed($error, $event, $request);
        } finally {
            $scope?->detach();
        }
        try {
            return $codec->answer($event, $answer);
        } catch (\Throwable $error) {
            $problem = $error instanceof WorkerException ? '' : "cannot encode the answer to $event->value: ";
            $place = $chain === null ? $handler->place : $chain->place;
            throw $this->failed(new WorkerException("$place: $problem{$error->getMessage()}", previous: $error), $event, $request);
        }
    }

    /** The way of a request through interceptors; null if the event has none. */
    private function chain(Event $event, Handler $handler): ?Chain
    {
        $interceptors = $this->interceptors?->of($event) ?? [];

        return $interceptors === [] ? null : new Chain($event, $interceptors, $handler->call, $handler->place);
    }

    /** The exception, of which the log says what it has failed. */
    private function failed(\Throwable $error, Event $event, Request $request): \Throwable
    {
        Failure::during(new Incident($event, $request, $this->logger, $this->debug), $error);

        return $error;
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
            Log::warning("this worker handles one request at a time: $missing");
        }

        return new Worker();
    }

    /** Answers an event without a handler. Where the response has no error, its result is empty instead. */
    private function missing(Event $event): Handler
    {
        $isLogged = false;
        $answer = function (Request $request) use ($event, &$isLogged): ?Error {
            if (!$isLogged) {
                $isLogged = true;
                $isKnown = $event === Event::Rpc || $this->handlers->has($event);
                $name = $isKnown ? Incident::nameOf($event, $request) : $event->value;
                $line = "no handler for $name (logged once)";
                $this->logger === null ? Log::warning($line, ['type' => $event->value]) : $this->logger->warning($line, ['event' => $event->value]);
            }

            return $event->takesError() ? Error::notAvailable() : null;
        };

        return Handler::of($answer, $this->resolver);
    }

    private static function event(string $type): Event
    {
        return Event::tryFrom($type) ?? throw new \LogicException("expected a type of event such as \"connect\", found \"$type\"");
    }
}
