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
            self::Connect => new Event\ConnectRequest(self::read(new Proxy\ConnectRequest(), $body), $headers),
            self::Refresh => new Event\RefreshRequest(self::read(new Proxy\RefreshRequest(), $body), $headers),
            self::Subscribe => new Event\SubscribeRequest(self::read(new Proxy\SubscribeRequest(), $body), $headers),
            self::Publish => new Event\PublishRequest(self::read(new Proxy\PublishRequest(), $body), $headers),
            self::Rpc => new Event\RpcRequest(self::read(new Proxy\RPCRequest(), $body), $headers),
            self::SubRefresh => new Event\SubRefreshRequest(self::read(new Proxy\SubRefreshRequest(), $body), $headers),
            self::NotifyCacheEmpty => new Event\NotifyCacheEmptyRequest(self::read(new Proxy\NotifyCacheEmptyRequest(), $body), $headers),
            self::NotifyChannelState => new Event\NotifyChannelStateRequest(self::read(new Proxy\NotifyChannelStateRequest(), $body), $headers),
            self::MapPublish => new Event\MapPublishRequest(self::read(new Proxy\MapPublishRequest(), $body), $headers),
            self::MapRemove => new Event\MapRemoveRequest(self::read(new Proxy\MapRemoveRequest(), $body), $headers),
            self::SharedPollRefresh => new Event\SharedPollRefreshRequest(self::read(new Proxy\SharedPollRefreshRequest(), $body), $headers),
        };
    }

    /** An empty response and an empty result to this event. */
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

    /**
     * @template M of Message
     * @param M $message
     * @return M
     */
    private static function read(Message $message, string $body): Message
    {
        $message->mergeFromString($body);

        return $message;
    }
}
