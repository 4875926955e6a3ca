<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

use Causeway\Worker\Frame;
use Causeway\Worker\Json;
use Google\Protobuf\Internal\Message;

/**
 * A client of `rpc.listen`, over goridge.
 *
 * It connects at the first call and keeps the connection. When the server has closed it in the meantime, a call connects again. A
 * call that the server may have begun is never repeated. After a fork, the child connects anew.
 *
 * A request is a frame with two options, a sequence and the length of the method's name; its payload is the name and the argument,
 * and its flag says how the argument is encoded. The reply has the same sequence, name and codec, or the flag ERROR and a text.
 */
final class Client
{
    /** Where RoadRunner and Causeway listen unless `rpc.listen` says otherwise. */
    public const DEFAULT_ADDRESS = 'tcp://127.0.0.1:6001';

    private static ?self $shared = null;

    public readonly string $address;

    private ?Connection $connection = null;

    /**
     * @param string|null $address `tcp://host:port` or `unix://path`; the variable `RR_RPC` says it by default
     * @param float $timeout how many seconds a call may take
     */
    public function __construct(?string $address = null, public readonly float $timeout = 30.0)
    {
        $this->address = $address ?? (getenv('RR_RPC') ?: self::DEFAULT_ADDRESS);
    }

    /** This process' own client, at the address in `RR_RPC`. */
    public static function shared(): self
    {
        return self::$shared ??= new self();
    }

    /**
     * Calls a method with whatever JSON can hold, and gives what JSON can hold, objects as arrays.
     *
     * @param float|null $timeout seconds, instead of the client's own
     * @throws RpcException
     * @throws \JsonException when JSON cannot hold the argument
     */
    public function call(string $method, mixed $argument = null, ?float $timeout = null): mixed
    {
        $result = $this->callBytes($method, Json::encode($argument), Frame::JSON, $timeout);
        try {
            return json_decode($result, true, flags: JSON_THROW_ON_ERROR);
        } catch (\JsonException $error) {
            throw new ConnectionException("the result of $method is no JSON: {$error->getMessage()}", true, $error);
        }
    }

    /**
     * Calls a method with a protobuf message.
     *
     * @template M of Message
     * @param M $result an empty message, which is filled
     * @return M
     * @throws RpcException
     */
    public function callProto(string $method, Message $argument, Message $result, ?float $timeout = null): Message
    {
        $encoded = $this->callBytes($method, $argument->serializeToString(), Frame::PROTO, $timeout);
        try {
            $result->mergeFromString($encoded);
        } catch (\Exception $error) {
            throw new ConnectionException("the result of $method is no " . $result::class . ": {$error->getMessage()}", true, $error);
        }

        return $result;
    }

    /**
     * Calls a method with an argument that is encoded already.
     *
     * @param int $codec a flag of {@see Frame}
     * @return string the result, in the same codec
     * @throws RpcException
     */
    public function callBytes(string $method, string $argument, int $codec = Frame::RAW, ?float $timeout = null): string
    {
        $deadline = Connection::now() + ($timeout ?? $this->timeout);
        for (;;) {
            $connection = $this->connection?->isFit() ? $this->connection : new Connection($this->address, $deadline);
            // It is put back when it has served; whatever else happens, it is not used again.
            $this->connection = null;
            try {
                $reply = $connection->exchange($method, $argument, $codec, $deadline);
            } catch (ConnectionException $error) {
                $connection->close();
                if ($error->mayHaveRun || $connection->calls === 1 || $error instanceof TimeoutException) {
                    throw $error;
                }
                // The server closed a connection which had served before, and has not seen this call.
                continue;
            }
            $this->connection = $connection;

            return self::result($reply, $codec);
        }
    }

    /** The bridge's version. */
    public function version(): string
    {
        $version = $this->call('rpc.Version', true);

        return is_scalar($version) ? (string) $version : '';
    }

    /** The bridge's configuration, as it was read. */
    public function config(): mixed
    {
        return json_decode($this->callBytes('rpc.Config', 'true'), true, flags: JSON_THROW_ON_ERROR);
    }

    /** Closes the connection; the next call opens another. */
    public function close(): void
    {
        $this->connection = null;
    }

    private static function result(Frame $reply, int $codec): string
    {
        if (($reply->flags & Frame::ERROR) !== 0) {
            throw ServerException::fromText($reply->payload);
        }
        if (($reply->flags & $codec) === 0) {
            throw new ConnectionException(sprintf('the result is encoded as 0x%02x, and not as the argument was', $reply->flags), true);
        }

        return $reply->payload;
    }
}
