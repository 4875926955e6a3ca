<?php

declare(strict_types=1);

namespace Causeway;

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
    case SubscribeUnidirectional = 'subscribeunidirectional';
    case SubscribeBidirectional = 'subscribebidirectional';
    case StreamPublish = 'streampublish';
    case StreamEnd = 'streamend';

    /** Whether a stream answers the event. */
    public function isStream(): bool
    {
        return $this === self::SubscribeUnidirectional || $this === self::SubscribeBidirectional;
    }

    /** Whether the event is about a stream, whose id is in the header `stream`. */
    public function hasStreamId(): bool
    {
        return $this->isStream() || $this === self::StreamPublish || $this === self::StreamEnd;
    }

    /** @return class-string<Request> what a handler takes */
    public function requestClass(): string
    {
        /** @var class-string<Request> */
        return $this->isStream() ? Event\SubscribeStreamRequest::class : "Causeway\\Event\\{$this->name}Request";
    }

    /** @return class-string<Result> what a handler returns */
    public function resultClass(): string
    {
        /** @var class-string<Result> */
        return match ($this) {
            self::SubscribeUnidirectional, self::SubscribeBidirectional => Result\SubscribeResult::class,
            self::StreamPublish => Result\PublishResult::class,
            default => "Causeway\\Result\\{$this->name}Result",
        };
    }

    /** Centrifugo's message that carries the request. */
    public function requestMessage(): string
    {
        return "{$this->message()}Request";
    }

    /** Centrifugo's message that carries the result. */
    public function resultMessage(): string
    {
        return "{$this->message()}Result";
    }

    /** Whether {@see Error} can be the answer. */
    public function takesError(): bool
    {
        return $this !== self::NotifyCacheEmpty && $this !== self::StreamEnd;
    }

    /** Whether {@see Disconnect} can be the answer. */
    public function takesDisconnect(): bool
    {
        return $this->takesError() && $this !== self::NotifyChannelState && $this !== self::SharedPollRefresh;
    }

    /** The field of the request that patterns of handlers match; null if it has none. */
    public function subject(): ?string
    {
        return match ($this) {
            self::Rpc => 'method',
            self::Connect, self::Refresh, self::NotifyChannelState => null,
            default => 'channel',
        };
    }

    private function message(): string
    {
        return match ($this) {
            self::Rpc => 'RPC',
            self::SubscribeUnidirectional, self::SubscribeBidirectional, self::StreamEnd => 'Subscribe',
            self::StreamPublish => 'Publish',
            default => $this->name,
        };
    }
}
