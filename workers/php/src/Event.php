<?php

declare(strict_types=1);

namespace Causeway;

use Google\Protobuf\Internal\Message;

/**
 * The types of events, as a request's context names them.
 *
 * Every case has a request in `Causeway\Event`, a result in `Causeway\Result`, and the messages of both in `Causeway\Proto\Proxy`.
 */
enum Event: string
{
    case Connect = 'connect';
    case Refresh = 'refresh';
    case Subscribe = 'subscribe';
    case Publish = 'publish';
    case Rpc = 'rpc';
    case SubRefresh = 'subrefresh';
    case NotifyCacheEmpty = 'notifycacheempty';
    case NotifyChannelState = 'notifychannelstate';
    case MapPublish = 'mappublish';
    case MapRemove = 'mapremove';
    case SharedPollRefresh = 'sharedpollrefresh';

    /**
     * Decodes a request.
     *
     * @throws \Exception when the body is not such a message
     */
    public function request(string $body, Headers $headers): Request
    {
        $message = $this->message('Request');
        $message->mergeFromString($body);
        /** @var class-string<Request> $class */
        $class = "Causeway\\Event\\{$this->name}Request";

        return new $class($message, $headers);
    }

    /** An empty response message. */
    public function response(): Message
    {
        return $this->message('Response');
    }

    /** An empty result message. */
    public function result(): Message
    {
        return $this->message('Result');
    }

    /** @return class-string<Result> what a handler returns */
    public function resultClass(): string
    {
        /** @var class-string<Result> */
        return "Causeway\\Result\\{$this->name}Result";
    }

    private function message(string $kind): Message
    {
        $name = $this === self::Rpc ? 'RPC' : $this->name;
        /** @var class-string<Message> $class */
        $class = "Causeway\\Proto\\Proxy\\$name$kind";

        return new $class();
    }
}
