<?php

declare(strict_types=1);

namespace Causeway\Codec;

/**
 * The messages of Centrifugo's proxy: their fields, and how JSON represents each.
 *
 * It says what protobuf's descriptors say, for workers without protobuf; a test compares both.
 *
 * @internal
 */
final class Shapes
{
    /** The type of the client's connection, which most requests have. */
    private const CLIENT = ['client' => 'string', 'transport' => 'string', 'protocol' => 'string', 'encoding' => 'string'];

    private const STRINGS = ['string' => 'string'];

    /**
     * A kind is a scalar or a message by name, a list of one of them, or a map from strings to one. Bytes hold JSON, which is embedded.
     *
     * @var array<string, array<string, string|array<int|string, string>>>
     */
    public const MESSAGES = [
        'BoolValue' => ['value' => 'bool'],
        'ChannelEvent' => ['time_ms' => 'int64', 'channel' => 'string', 'type' => 'string'],
        'ChannelsCapability' => ['channels' => ['string'], 'allow' => ['string'], 'match' => 'string'],
        'ConnectRequest' => self::CLIENT
            + ['data' => 'bytes', 'b64data' => 'string', 'name' => 'string', 'version' => 'string', 'channels' => ['string']],
        'ConnectResult' => [
            'user' => 'string', 'expire_at' => 'int64', 'info' => 'bytes', 'b64info' => 'string', 'data' => 'bytes', 'b64data' => 'string',
            'channels' => ['string'], 'subs' => ['string' => 'SubscribeOptions'], 'meta' => 'bytes', 'caps' => ['ChannelsCapability'],
            'labels' => self::STRINGS,
        ],
        'Disconnect' => ['code' => 'uint32', 'reason' => 'string'],
        'Error' => ['code' => 'uint32', 'message' => 'string', 'temporary' => 'bool'],
        'FilterNode' => [
            'op' => 'string', 'key' => 'string', 'cmp' => 'string', 'val' => 'string', 'vals' => ['string'], 'nodes' => ['FilterNode'],
        ],
        'MapPublishRequest' => self::CLIENT + [
            'user' => 'string', 'channel' => 'string', 'key' => 'string', 'data' => 'bytes', 'b64data' => 'string', 'meta' => 'bytes',
            'labels' => self::STRINGS,
        ],
        'MapPublishResult' => [
            'key' => 'string', 'data' => 'bytes', 'b64data' => 'string', 'tags' => self::STRINGS, 'score' => 'int64', 'key_mode' => 'string',
            'stream_data' => 'bytes', 'b64stream_data' => 'string', 'idempotency_key' => 'string', 'delta' => 'bool', 'version' => 'uint64',
            'version_epoch' => 'string',
        ],
        'MapRemoveRequest' => self::CLIENT
            + ['user' => 'string', 'channel' => 'string', 'key' => 'string', 'meta' => 'bytes', 'labels' => self::STRINGS],
        'MapRemoveResult' => ['key' => 'string', 'tags' => self::STRINGS, 'idempotency_key' => 'string'],
        'NotifyCacheEmptyRequest' => ['channel' => 'string'],
        'NotifyCacheEmptyResult' => ['populated' => 'bool'],
        'NotifyChannelStateRequest' => ['events' => ['ChannelEvent']],
        'NotifyChannelStateResult' => [],
        'Publication' => ['data' => 'bytes', 'tags' => self::STRINGS],
        'PublishRequest' => self::CLIENT + [
            'user' => 'string', 'channel' => 'string', 'data' => 'bytes', 'b64data' => 'string', 'meta' => 'bytes', 'labels' => self::STRINGS,
        ],
        'PublishResult' => [
            'data' => 'bytes', 'b64data' => 'string', 'skip_history' => 'bool', 'tags' => self::STRINGS, 'idempotency_key' => 'string',
            'delta' => 'bool', 'version' => 'uint64', 'version_epoch' => 'string',
        ],
        'RPCRequest' => self::CLIENT + [
            'user' => 'string', 'method' => 'string', 'data' => 'bytes', 'b64data' => 'string', 'meta' => 'bytes', 'labels' => self::STRINGS,
        ],
        'RPCResult' => ['data' => 'bytes', 'b64data' => 'string'],
        'RefreshRequest' => self::CLIENT + ['user' => 'string', 'meta' => 'bytes', 'labels' => self::STRINGS],
        'RefreshResult' => [
            'expired' => 'bool', 'expire_at' => 'int64', 'info' => 'bytes', 'b64info' => 'string', 'meta' => 'bytes',
            'caps' => ['ChannelsCapability'],
        ],
        'SharedPollRefreshItem' => ['key' => 'string', 'version' => 'uint64'],
        'SharedPollRefreshRequest' => ['channel' => 'string', 'items' => ['SharedPollRefreshItem']],
        'SharedPollRefreshResult' => ['items' => ['SharedPollRefreshResultItem'], 'epoch' => 'string'],
        'SharedPollRefreshResultItem' => [
            'key' => 'string', 'data' => 'bytes', 'version' => 'uint64', 'removed' => 'bool', 'prev_data' => 'bytes',
        ],
        'SubRefreshRequest' => self::CLIENT + ['user' => 'string', 'channel' => 'string', 'meta' => 'bytes', 'labels' => self::STRINGS],
        'SubRefreshResult' => ['expired' => 'bool', 'expire_at' => 'int64', 'info' => 'bytes', 'b64info' => 'string'],
        'SubscribeOptionOverride' => [
            'presence' => 'BoolValue', 'join_leave' => 'BoolValue', 'force_recovery' => 'BoolValue', 'force_positioning' => 'BoolValue',
            'force_push_join_leave' => 'BoolValue',
        ],
        'SubscribeOptions' => [
            'expire_at' => 'int64', 'info' => 'bytes', 'b64info' => 'string', 'data' => 'bytes', 'b64data' => 'string',
            'override' => 'SubscribeOptionOverride', 'server_tags_filter' => 'FilterNode', 'cache_recover' => 'bool',
        ],
        'SubscribeRequest' => self::CLIENT + [
            'user' => 'string', 'channel' => 'string', 'token' => 'string', 'meta' => 'bytes', 'data' => 'bytes', 'b64data' => 'string',
            'labels' => self::STRINGS,
        ],
        'SubscribeResult' => [
            'expire_at' => 'int64', 'info' => 'bytes', 'b64info' => 'string', 'data' => 'bytes', 'b64data' => 'string',
            'override' => 'SubscribeOptionOverride', 'allow' => ['string'], 'server_tags_filter' => 'FilterNode',
        ],
    ];

    /** @var array<string, string> names of fields, by the same name in camel case */
    private static array $names = [];

    /** The name of a field in Centrifugo's messages: expire_at for expireAt. */
    public static function name(string $camel): string
    {
        return self::$names[$camel] ??= strtolower((string) preg_replace('~[A-Z]~', '_$0', $camel));
    }

    /**
     * The kind of a field, whose name may be in camel case.
     *
     * @return string|array<int|string, string>
     * @throws \UnexpectedValueException when the message does not have it
     */
    public static function field(string $message, string|int $field): string|array
    {
        return self::MESSAGES[$message][self::name((string) $field)] ?? throw new \UnexpectedValueException("$message has no such field");
    }
}
