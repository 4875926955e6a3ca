<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Json;
use Causeway\Proto\Api;
use Google\Protobuf\Internal\Message;

/**
 * Centrifugo's server API, over the connection that the server has to Centrifugo.
 *
 * `$data` and `$info` are values that JSON can represent, or {@see \Causeway\Raw}. `$user` selects all connections of a user,
 * `$client` or `$session` a single one. Results are messages of `Causeway\Proto\Api`.
 *
 * Methods throw an {@see ApiException} when Centrifugo answers with an error, a {@see GrpcException} when it cannot be reached or does
 * not have the method, and another {@see RpcException} for any other failure.
 */
final class Centrifugo
{
    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Publishes to a channel.
     *
     * @param array<string, string> $tags attached to the publication
     * @param string $idempotencyKey a publication is dropped if its key was used shortly before
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
        return $this->send('Publish', [
            'channel' => $channel,
            'data' => Json::encode($data),
            'skip_history' => $skipHistory,
            'tags' => $tags,
            'idempotency_key' => $idempotencyKey,
            'delta' => $delta,
            'version' => $version,
            'version_epoch' => $versionEpoch,
        ]);
    }

    /**
     * Publishes to many channels. The result has a response per channel, in order; an error in one of them is not thrown.
     *
     * @param list<string> $channels
     * @param array<string, string> $tags attached to the publications
     * @param string $idempotencyKey a publication is dropped if its key was used shortly before
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
        return $this->send('Broadcast', [
            'channels' => $channels,
            'data' => Json::encode($data),
            'skip_history' => $skipHistory,
            'tags' => $tags,
            'idempotency_key' => $idempotencyKey,
            'delta' => $delta,
            'version' => $version,
            'version_epoch' => $versionEpoch,
        ]);
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
        $this->send('Subscribe', [
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
        ]);
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
        $this->send('Unsubscribe', [
            'channel' => $channel,
            'user' => $user,
            'client' => $client,
            'session' => $session,
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ]);
    }

    /**
     * Disconnects connections, by default with Centrifugo's own code and reason.
     *
     * @param list<string> $whitelist ids of clients to keep
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
        $this->send('Disconnect', [
            'user' => $user,
            'disconnect' => $code === 0 ? null : self::message('Disconnect', ['code' => $code, 'reason' => $reason]),
            'client' => $client,
            'session' => $session,
            'whitelist' => $whitelist,
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ]);
    }

    /**
     * Extends connections, or expires them.
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
        $this->send('Refresh', [
            'user' => $user,
            'client' => $client,
            'session' => $session,
            'expired' => $expired,
            'expire_at' => $expireAt,
            'info' => self::optional($info),
            'all_users' => $allUsers,
            'label_filter' => $labelFilter,
        ]);
    }

    /** The clients in a channel, by client id. */
    public function presence(string $channel): Api\PresenceResult
    {
        return $this->send('Presence', ['channel' => $channel]);
    }

    /** The number of clients and users in a channel. */
    public function presenceStats(string $channel): Api\PresenceStatsResult
    {
        return $this->send('PresenceStats', ['channel' => $channel]);
    }

    /** Up to `$limit` publications after `$since`, and the position of the stream; with a limit of 0, only the position. */
    public function history(string $channel, int $limit = 0, ?Api\StreamPosition $since = null, bool $reverse = false): Api\HistoryResult
    {
        $fields = ['channel' => $channel, 'limit' => $limit, 'since' => $since, 'reverse' => $reverse];

        return $this->send('History', $fields);
    }

    /** Removes the publications of a channel. */
    public function historyRemove(string $channel): void
    {
        $this->send('HistoryRemove', ['channel' => $channel]);
    }

    /** Centrifugo's nodes. */
    public function info(): Api\InfoResult
    {
        return $this->send('Info', []);
    }

    /** The channels that have subscribers, by name; with a pattern, only those that match. */
    public function channels(string $pattern = ''): Api\ChannelsResult
    {
        return $this->send('Channels', ['pattern' => $pattern]);
    }

    /**
     * Runs many commands in one call.
     *
     * @param list<Api\Command> $commands
     * @return list<Api\Reply> a reply per command, in order; an error in one of them is not thrown
     */
    public function batch(array $commands, bool $parallel = false): array
    {
        $response = $this->send('Batch', ['commands' => $commands, 'parallel' => $parallel]);

        return iterator_to_array($response->getReplies());
    }

    /**
     * Calls any method of the API and returns the result in its response.
     *
     * @param class-string<Message>|null $response for methods that `Causeway\Proto\Api` does not have
     */
    public function call(string $method, Message $request, ?string $response = null): Message
    {
        $response ??= "Causeway\\Proto\\Api\\{$method}Response";
        if (!class_exists($response)) {
            throw new \InvalidArgumentException("there is no message $response: pass the class of the response");
        }
        $response = $this->client->callProto("centrifuge.$method", $request, $response);
        if (method_exists($response, 'getError') && ($error = $response->getError()) !== null) {
            throw new ApiException($error->getMessage(), $error->getCode());
        }

        return method_exists($response, 'getResult') ? $response->getResult() ?? self::emptyResult($response) : $response;
    }

    /**
     * Calls a method with the fields that are not null.
     *
     * @param array<string, mixed> $fields
     */
    private function send(string $method, array $fields): Message
    {
        return $this->call($method, self::message("{$method}Request", $fields));
    }

    /**
     * A message of `Causeway\Proto\Api` with the fields that are not null.
     *
     * @param array<string, mixed> $fields
     */
    private static function message(string $name, array $fields): Message
    {
        if (!class_exists(Message::class)) {
            throw new \LogicException('google/protobuf is missing: install it, or call(\'centrifuge...\') of Rpc, which takes JSON');
        }
        $class = "Causeway\\Proto\\Api\\$name";

        return new $class(array_filter($fields, static fn (mixed $value): bool => $value !== null));
    }

    /** The result of a response without one. */
    private static function emptyResult(Message $response): Message
    {
        $class = (string) preg_replace('~Response$~', 'Result', $response::class);

        return new $class();
    }

    private static function optional(mixed $value): ?string
    {
        return $value === null ? null : Json::encode($value);
    }
}
