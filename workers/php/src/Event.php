<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Causeway\Proto\Proxy;
use Google\Protobuf\Internal\Message;

/** The kinds of events that Centrifugo asks about; the values are the types in a request's context. */
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

    /** The request to this event. */
    public function request(string $body, Headers $headers): Request
    {
        return match ($this) {
            self::Connect => new Event\ConnectRequest(new Encoded(Proxy\ConnectRequest::class, $body), $headers),
            self::Refresh => new Event\RefreshRequest(new Encoded(Proxy\RefreshRequest::class, $body), $headers),
            self::Subscribe => new Event\SubscribeRequest(new Encoded(Proxy\SubscribeRequest::class, $body), $headers),
            self::Publish => new Event\PublishRequest(new Encoded(Proxy\PublishRequest::class, $body), $headers),
            self::Rpc => new Event\RpcRequest(new Encoded(Proxy\RPCRequest::class, $body), $headers),
            self::SubRefresh => new Event\SubRefreshRequest(new Encoded(Proxy\SubRefreshRequest::class, $body), $headers),
            self::NotifyCacheEmpty => new Event\NotifyCacheEmptyRequest(new Encoded(Proxy\NotifyCacheEmptyRequest::class, $body), $headers),
            self::NotifyChannelState => new Event\NotifyChannelStateRequest(new Encoded(Proxy\NotifyChannelStateRequest::class, $body), $headers),
            self::MapPublish => new Event\MapPublishRequest(new Encoded(Proxy\MapPublishRequest::class, $body), $headers),
            self::MapRemove => new Event\MapRemoveRequest(new Encoded(Proxy\MapRemoveRequest::class, $body), $headers),
            self::SharedPollRefresh => new Event\SharedPollRefreshRequest(new Encoded(Proxy\SharedPollRefreshRequest::class, $body), $headers),
        };
    }

    /** An empty response to this event. */
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

    /** An empty result of this event. */
    public function result(): Message
    {
        return new ($this->resultClass())();
    }

    /** @return class-string<Message> */
    public function resultClass(): string
    {
        return match ($this) {
            self::Connect => Proxy\ConnectResult::class,
            self::Refresh => Proxy\RefreshResult::class,
            self::Subscribe => Proxy\SubscribeResult::class,
            self::Publish => Proxy\PublishResult::class,
            self::Rpc => Proxy\RPCResult::class,
            self::SubRefresh => Proxy\SubRefreshResult::class,
            self::NotifyCacheEmpty => Proxy\NotifyCacheEmptyResult::class,
            self::NotifyChannelState => Proxy\NotifyChannelStateResult::class,
            self::MapPublish => Proxy\MapPublishResult::class,
            self::MapRemove => Proxy\MapRemoveResult::class,
            self::SharedPollRefresh => Proxy\SharedPollRefreshResult::class,
        };
    }
}
