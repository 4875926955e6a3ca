<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Rpc\Centrifugo;
use Causeway\Rpc\Client;
use Causeway\Rpc\Informer;
use Causeway\Rpc\Lock;
use Causeway\Rpc\Logger;
use Causeway\Rpc\Metrics;
use Causeway\Rpc\Resetter;
use Causeway\Rpc\RpcException;
use Causeway\Rpc\Status;
use Causeway\Rpc\Streams;
use Google\Protobuf\Internal\Message;

/**
 * Calls Centrifugo and the server itself, through `rpc.listen`.
 *
 * Connects with the first call and keeps the connection. A call reconnects if the server has closed the connection in the meantime;
 * a call that the server may have received is never repeated. After a fork, the child opens its own connection.
 *
 * In a worker that handles many requests at a time, a call lets others run while it waits, and has a connection to itself.
 *
 * All methods, and those of the services, throw an {@see RpcException}.
 */
final class Rpc
{
    /** Where Causeway and RoadRunner listen unless `rpc.listen` says otherwise. */
    public const DEFAULT_ADDRESS = 'tcp://127.0.0.1:6001';

    private static ?self $shared = null;

    /** Centrifugo's server API. */
    public readonly Centrifugo $centrifugo;

    /** The workers of a pool. */
    public readonly Informer $informer;

    /** Replaces workers. */
    public readonly Resetter $resetter;

    /** The application's metrics. */
    public readonly Metrics $metrics;

    /** The server's log. */
    public readonly Logger $logger;

    /** Locks shared by all workers. */
    public readonly Lock $lock;

    /** The health of a pool. */
    public readonly Status $status;

    /** The streams of subscriptions that the server holds. */
    public readonly Streams $stream;

    public readonly string $address;

    private readonly Client $client;

    /**
     * @param string|null $address `tcp://host:port` or `unix://path`, by default what the environment variable `RR_RPC` says
     * @param float $timeout seconds that a call may take
     * @param Client|null $client what makes the calls, for {@see Testing\TestRpc}
     */
    public function __construct(?string $address = null, public readonly float $timeout = 30.0, ?Client $client = null)
    {
        $this->address = $address ?? (getenv('RR_RPC') ?: self::DEFAULT_ADDRESS);
        $this->client = $client ?? new Client($this->address, $timeout);
        $this->centrifugo = new Centrifugo($this->client);
        $this->informer = new Informer($this->client);
        $this->resetter = new Resetter($this->client);
        $this->metrics = new Metrics($this->client);
        $this->logger = new Logger($this->client);
        $this->lock = new Lock($this->client);
        $this->status = new Status($this->client);
        $this->stream = new Streams($this->client);
    }

    /** The process-wide client, with the address in `RR_RPC`. */
    public static function shared(): self
    {
        return self::$shared ??= new self();
    }

    /**
     * Calls a method with JSON.
     *
     * @param mixed $argument any value that JSON can represent
     * @param float|null $timeout seconds, instead of the client's timeout
     * @return mixed the result; objects are arrays
     * @throws \JsonException when JSON cannot represent the argument
     */
    public function call(string $method, mixed $argument = null, ?float $timeout = null): mixed
    {
        return $this->client->call($method, $argument, $timeout);
    }

    /**
     * Calls a method with protobuf messages.
     *
     * @template M of Message
     * @param class-string<M> $result the message to decode the result as
     * @return M
     */
    public function callProto(string $method, Message $argument, string $result, ?float $timeout = null): Message
    {
        return $this->client->callProto($method, $argument, $result, $timeout);
    }

    /**
     * Calls a method with an encoded argument.
     *
     * @param int $codec how the argument is encoded: a flag of {@see Frame}
     * @return string the result, encoded alike
     */
    public function callBytes(string $method, string $argument, int $codec = Frame::RAW, ?float $timeout = null): string
    {
        return $this->client->callBytes($method, $argument, $codec, $timeout);
    }

    /** The server's version. */
    public function version(): string
    {
        $version = $this->call('rpc.Version', true);

        return is_scalar($version) ? (string) $version : '';
    }

    /** The server's configuration, as decoded JSON. */
    public function config(): mixed
    {
        return json_decode($this->callBytes('rpc.Config', 'true'), true, flags: JSON_THROW_ON_ERROR);
    }

    /** Closes the connection; the next call opens another. */
    public function close(): void
    {
        $this->client->close();
    }
}
