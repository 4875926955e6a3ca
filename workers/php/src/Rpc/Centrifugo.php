<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

use Causeway\Proto\Api;
use Causeway\Worker\Json;
use Google\Protobuf\Internal\Message;

/**
 * Centrifugo's server API, called through the bridge.
 *
 * `$data` and `$info` are whatever JSON can hold, or {@see \Causeway\Worker\Raw}. Where a method takes a `$user`, it means all
 * connections of the user, or the one that `$client` or `$session` names. Results are the messages of Centrifugo's API.
 *
 * An error that Centrifugo answers with is thrown as {@see ApiException}; a Centrifugo that cannot be reached, or does not have the
 * method, as {@see GrpcException}; all else that goes wrong as another {@see RpcException}.
 */
final class Centrifugo
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /**
     * Publishes into a channel.
     *
     * @param array<string, string> $tags attached to the publication
     * @param string $idempotencyKey a publication whose key was used shortly before is not repeated
     */
    public function publish(
        string $channel,
        mixed $data,
        bool $skipHistory = false,
        array $tags = [],
        string $idempotencyKey = '',
        bool $delta = false,
        int $version = 0,
        string $versionEpoch = '',
    ): Api\PublishResult {
        return $this->call('Publish', new Api\PublishRequest([
            'channel' => $channel,
            'data' => Json::encode($data),
            'skip_history' => $skipHistory,
            'tags' => $tags,
            'idempotency_key' => $idempotencyKey,
            'delta' => $delta,
            'version' => $version,
            'version_epoch' => $versionEpoch,
        ]));
    }

    /**
     * Publishes into many channels. The result has a response for each, in their order, with an error perhaps, which is not thrown.
     *
     * @param list<string> $channels
     * @param array<string, string> $tags attached to the publications
     * @param string $idempotencyKey a publication whose key was used shortly before is not repeated
     */
    public function broadcast(
        array $channels,
        mixed $data,
        bool $skipHistory = false,
        array $tags = [],
        string $idempotencyKey = '',
        bool $delta = false,
        int $version = 0,
        string $versionEpoch = '',
    ): Api\BroadcastResult {
        return $this->call('Broadcast', new Api\BroadcastRequest([
            'channels' => $channels,
            'data' => Json::encode($data),
            'skip_history' => $skipHistory,
            'tags' => $tags,
            'idempotency_key' => $idempotencyKey,
            'delta' => $delta,
            'version' => $version,
            'version_epoch' => $versionEpoch,
        ]));
    }

    /**
     * Subscribes connections to a channel.
     *
     * @param int $expireAt in Unix seconds; 0: never
     */
    public function subscribe(
        string $channel,
        string $user = '',
        string $client = '',
        string $session = '',
        bool $allUsers = false,
        ?Api\FilterNode $labelFilter = null,
        mixed $data = null,
        mixed $info = null,
        int $expireAt = 0,
        ?Api\StreamPosition $recoverSince = null,
        ?Api\SubscribeOptionOverride $override = null,
    ): void {
        $this->call('Subscribe', new Api\SubscribeRequest(self::given([
            'channel' => $channel,
            'user' => $user,
            'client' => $client,
            'session' => $session,
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
            'data' => self::optional($data),
            'info' => self::optional($info),
            'expire_at' => $expireAt,
            'recover_since' => $recoverSince,
            'override' => $override,
        ])));
    }

    /** Unsubscribes connections from a channel. */
    public function unsubscribe(
        string $channel,
        string $user = '',
        string $client = '',
        string $session = '',
        bool $allUsers = false,
        ?Api\FilterNode $labelFilter = null,
    ): void {
        $this->call('Unsubscribe', new Api\UnsubscribeRequest(self::given([
            'channel' => $channel,
            'user' => $user,
            'client' => $client,
            'session' => $session,
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ])));
    }

    /**
     * Disconnects connections, with a code and reason of Centrifugo's unless one is given.
     *
     * @param list<string> $whitelist ids of clients that stay
     */
    public function disconnect(
        string $user = '',
        int $code = 0,
        string $reason = '',
        string $client = '',
        string $session = '',
        array $whitelist = [],
        bool $allUsers = false,
        ?Api\FilterNode $labelFilter = null,
    ): void {
        $this->call('Disconnect', new Api\DisconnectRequest(self::given([
            'user' => $user,
            'disconnect' => $code === 0 ? null : new Api\Disconnect(['code' => $code, 'reason' => $reason]),
            'client' => $client,
            'session' => $session,
            'whitelist' => $whitelist,
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ])));
    }

    /**
     * Prolongs connections, or ends them as expired.
     *
     * @param int $expireAt in Unix seconds
     */
    public function refresh(
        string $user = '',
        string $client = '',
        string $session = '',
        bool $expired = false,
        int $expireAt = 0,
        mixed $info = null,
        bool $allUsers = false,
        ?Api\FilterNode $labelFilter = null,
    ): void {
        $this->call('Refresh', new Api\RefreshRequest(self::given([
            'user' => $user,
            'client' => $client,
            'session' => $session,
            'expired' => $expired,
            'expire_at' => $expireAt,
            'info' => self::optional($info),
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ])));
    }

    /** Who is in a channel, by the client's id. */
    public function presence(string $channel): Api\PresenceResult
    {
        return $this->call('Presence', new Api\PresenceRequest(['channel' => $channel]));
    }

    /** How many are in a channel. */
    public function presenceStats(string $channel): Api\PresenceStatsResult
    {
        return $this->call('PresenceStats', new Api\PresenceStatsRequest(['channel' => $channel]));
    }

    /** At most `$limit` publications after `$since`, and the stream's position; with a limit of 0, that alone. */
    public function history(string $channel, int $limit = 0, ?Api\StreamPosition $since = null, bool $reverse = false): Api\HistoryResult
    {
        $fields = ['channel' => $channel, 'limit' => $limit, 'since' => $since, 'reverse' => $reverse];

        return $this->call('History', new Api\HistoryRequest(self::given($fields)));
    }

    /** Forgets the publications of a channel. */
    public function historyRemove(string $channel): void
    {
        $this->call('HistoryRemove', new Api\HistoryRemoveRequest(['channel' => $channel]));
    }

    /** What Centrifugo's nodes say of themselves. */
    public function info(): Api\InfoResult
    {
        return $this->call('Info', new Api\InfoRequest());
    }

    /** The channels that have subscribers, by their names; only those that match, if a pattern is given. */
    public function channels(string $pattern = ''): Api\ChannelsResult
    {
        return $this->call('Channels', new Api\ChannelsRequest(['pattern' => $pattern]));
    }

    /**
     * Carries out many commands in one call.
     *
     * @param list<Api\Command> $commands
     * @return list<Api\Reply> one for each, in their order, with an error perhaps, which is not thrown
     */
    public function batch(array $commands, bool $parallel = false): array
    {
        $response = $this->call('Batch', new Api\BatchRequest(['commands' => $commands, 'parallel' => $parallel]));

        return iterator_to_array($response->getReplies());
    }

    /**
     * Calls any method of the API with its request message, and gives the result of its response.
     *
     * @param Message|null $response an empty response, for methods that `Causeway\Proto\Api` does not have yet
     */
    public function call(string $method, Message $request, ?Message $response = null): Message
    {
        if ($response === null) {
            $class = "Causeway\\Proto\\Api\\{$method}Response";
            if (!class_exists($class)) {
                throw new \InvalidArgumentException("there is no message $class: say what the response is");
            }
            $response = new $class();
        }
        $this->client->callProto("centrifuge.$method", $request, $response);
        if (method_exists($response, 'getError') && ($error = $response->getError()) !== null) {
            throw new ApiException($error->getMessage(), $error->getCode());
        }

        return method_exists($response, 'getResult') ? $response->getResult() ?? self::emptyResult($response) : $response;
    }

    /** What a response without a result means. */
    private static function emptyResult(Message $response): Message
    {
        $class = (string) preg_replace('~Response$~', 'Result', $response::class);

        return new $class();
    }

    private static function optional(mixed $value): ?string
    {
        return $value === null ? null : Json::encode($value);
    }

    /**
     * The fields that are set.
     *
     * @param array<string, mixed> $fields
     * @return array<string, mixed>
     */
    private static function given(array $fields): array
    {
        return array_filter($fields, static fn (mixed $value): bool => $value !== null);
    }
}
