<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Proto\Proxy;
use Google\Protobuf\Internal\Message;

/** The types of events, as a request's context names them. */
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
        return match ($this) {
            self::Connect => new Event\ConnectRequest(self::decode(new Proxy\ConnectRequest(), $body), $headers),
            self::Refresh => new Event\RefreshRequest(self::decode(new Proxy\RefreshRequest(), $body), $headers),
            self::Subscribe => new Event\SubscribeRequest(self::decode(new Proxy\SubscribeRequest(), $body), $headers),
            self::Publish => new Event\PublishRequest(self::decode(new Proxy\PublishRequest(), $body), $headers),
            self::Rpc => new Event\RpcRequest(self::decode(new Proxy\RPCRequest(), $body), $headers),
            self::SubRefresh => new Event\SubRefreshRequest(self::decode(new Proxy\SubRefreshRequest(), $body), $headers),
            self::NotifyCacheEmpty => new Event\NotifyCacheEmptyRequest(self::decode(new Proxy\NotifyCacheEmptyRequest(), $body), $headers),
            self::NotifyChannelState => new Event\NotifyChannelStateRequest(self::decode(new Proxy\NotifyChannelStateRequest(), $body), $headers),
            self::MapPublish => new Event\MapPublishRequest(self::decode(new Proxy\MapPublishRequest(), $body), $headers),
            self::MapRemove => new Event\MapRemoveRequest(self::decode(new Proxy\MapRemoveRequest(), $body), $headers),
            self::SharedPollRefresh => new Event\SharedPollRefreshRequest(self::decode(new Proxy\SharedPollRefreshRequest(), $body), $headers),
        };
    }

    /** An empty response message. */
    public function response(): Message
    {
        return match ($this) {
            self::Connect => new Proxy\ConnectResponse(),
            self::Refresh => new Proxy\RefreshResponse(),
            self::Subscribe => new Proxy\SubscribeResponse(),
            self::Publish => new Proxy\PublishResponse(),
            self::Rpc => new Proxy\RPCResponse(),
            self::SubRefresh => new Proxy\SubRefreshResponse(),
            self::NotifyCacheEmpty => new Proxy\NotifyCacheEmptyResponse(),
            self::NotifyChannelState => new Proxy\NotifyChannelStateResponse(),
            self::MapPublish => new Proxy\MapPublishResponse(),
            self::MapRemove => new Proxy\MapRemoveResponse(),
            self::SharedPollRefresh => new Proxy\SharedPollRefreshResponse(),
        };
    }

    /** An empty result message. */
    public function result(): Message
    {
        return match ($this) {
            self::Connect => new Proxy\ConnectResult(),
            self::Refresh => new Proxy\RefreshResult(),
            self::Subscribe => new Proxy\SubscribeResult(),
            self::Publish => new Proxy\PublishResult(),
            self::Rpc => new Proxy\RPCResult(),
            self::SubRefresh => new Proxy\SubRefreshResult(),
            self::NotifyCacheEmpty => new Proxy\NotifyCacheEmptyResult(),
            self::NotifyChannelState => new Proxy\NotifyChannelStateResult(),
            self::MapPublish => new Proxy\MapPublishResult(),
            self::MapRemove => new Proxy\MapRemoveResult(),
            self::SharedPollRefresh => new Proxy\SharedPollRefreshResult(),
        };
    }

    /** @return class-string<Result> what a handler returns */
    public function resultClass(): string
    {
        /** @var class-string<Result> */
        return "Causeway\\Result\\{$this->name}Result";
    }

    /**
     * @template M of Message
     * @param M $message
     * @return M
     */
    private static function decode(Message $message, string $body): Message
    {
        $message->mergeFromString($body);

        return $message;
    }
}
