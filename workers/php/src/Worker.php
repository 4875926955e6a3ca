<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Causeway\Proto\Proxy;
use Google\Protobuf\Internal\Message;

/**
 * Answers Centrifugo's events with functions of the application.
 *
 * A function gets a request and returns a result (null is an empty one), an {@see Error} or a {@see Disconnect}; the last two may be
 * thrown as well. Any other exception fails the request and is shown on standard error; the worker goes on. So each request has
 * exactly one answer.
 *
 * An event without a function is answered with Centrifugo's error 108, "not available".
 */
final class Worker
{
    /** @var array<string, callable> */
    private array $handlers = [];

    /** @var array<string, callable> */
    private array $methods = [];

    /** The context that came last, and what it says: where no headers of clients are forwarded, few of them differ. */
    private string $context = '';
    private ?Headers $headers = null;

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

    /** @param (callable(Event\SubRefreshRequest): (Result\SubRefreshResult|Error|Disconnect|null)) $handler */
    public function onSubRefresh(callable $handler): self
    {
        return $this->on(Event::SubRefresh, $handler);
    }

    /**
     * Answers the calls of one method, or, with null, all that no other function answers.
     *
     * @param (callable(Event\RpcRequest): (Result\RpcResult|Error|Disconnect|null)) $handler
     */
    public function onRpc(?string $method, callable $handler): self
    {
        if ($method === null) {
            return $this->on(Event::Rpc, $handler);
        }
        $this->methods[$method] = $handler;

        return $this;
    }

    /** Answers any kind of event. */
    public function on(Event $event, callable $handler): self
    {
        $this->handlers[$event->value] = $handler;

        return $this;
    }

    /** Answers events until the supervisor says stop. */
    public function run(?Relay $relay = null): void
    {
        (new Loop($relay ?? Relay::open()))->run($this->answer(...));
    }

    /**
     * The response message to one request.
     *
     * @throws \UnexpectedValueException when the event is unknown, or its answer is none
     */
    public function answer(Payload $payload): string
    {
        if ($this->headers === null || $payload->context !== $this->context) {
            $this->headers = Headers::fromContext($payload->context);
            $this->context = $payload->context;
        }
        $headers = $this->headers;
        $type = $headers->get('type') ?? '';
        $event = Event::tryFrom($type) ?? throw new \UnexpectedValueException("this worker does not know events of type \"$type\"");
        $request = $event->request($payload->body, $headers);
        try {
            $answer = $this->call($event, $request);
        } catch (Error | Disconnect $refusal) {
            $answer = $refusal;
        }

        return $this->respond($event, $answer)->serializeToString();
    }

    private function call(Event $event, Request $request): mixed
    {
        $handler = $request instanceof Event\RpcRequest ? $this->methods[$request->method] ?? null : null;
        $handler ??= $this->handlers[$event->value] ?? null;

        return $handler === null ? Error::notAvailable() : $handler($request);
    }

    private function respond(Event $event, mixed $answer): Message
    {
        $response = $event->response();
        if ($answer instanceof Error) {
            $error = new Proxy\Error(['code' => $answer->getCode(), 'message' => $answer->getMessage(), 'temporary' => $answer->temporary]);

            return self::set($event, $response, 'setError', $error);
        }
        if ($answer instanceof Disconnect) {
            $disconnect = new Proxy\Disconnect(['code' => $answer->getCode(), 'reason' => $answer->reason]);

            return self::set($event, $response, 'setDisconnect', $disconnect);
        }
        if ($answer !== null && !$answer instanceof Result) {
            throw new \UnexpectedValueException('expected a result, an Error, a Disconnect or null, found ' . get_debug_type($answer));
        }
        $result = $event->result();
        $answer?->fill($result);

        return self::set($event, $response, 'setResult', $result);
    }

    private static function set(Event $event, Message $response, string $setter, Message $value): Message
    {
        if (!method_exists($response, $setter)) {
            throw new \UnexpectedValueException("an event of type {$event->value} cannot be answered so: there is no $setter");
        }
        $response->$setter($value);

        return $response;
    }
}
