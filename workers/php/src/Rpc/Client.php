<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Frame;
use Causeway\Json;
use Google\Protobuf\Internal\Message;

/**
 * goridge RPC, over one connection per call in flight; so over one, unless calls are made in fibers.
 *
 * A request is a frame with two options, a sequence number and the length of the method's name. Its payload is the name and the
 * argument, and its flag is the argument's codec. The reply has the same options, name and codec, or the flag ERROR and a text.
 *
 * @internal
 */
class Client
{
    /** @var list<Connection> connections that no call uses */
    private array $idle = [];

    /** @param float $timeout seconds that a call may take */
    public function __construct(private readonly string $address, public readonly float $timeout)
    {
    }

    /**
     * Calls a method with JSON.
     *
     * @throws RpcException
     * @throws \JsonException when JSON cannot represent the argument
     */
    public function call(string $method, mixed $argument, ?float $timeout = null): mixed
    {
        $result = $this->callBytes($method, Json::encode($argument), Frame::JSON, $timeout);
        try {
            return json_decode($result, true, flags: JSON_THROW_ON_ERROR);
        } catch (\JsonException $error) {
            throw new ConnectionException("the result of $method is not JSON: {$error->getMessage()}", true, $error);
        }
    }

    /**
     * Calls a method with protobuf messages.
     *
     * @template M of Message
     * @param class-string<M> $result
     * @return M
     * @throws RpcException
     */
    public function callProto(string $method, Message $argument, string $result, ?float $timeout = null): Message
    {
        $encoded = $this->callBytes($method, $argument->serializeToString(), Frame::PROTO, $timeout);
        $message = new $result();
        try {
            $message->mergeFromString($encoded);
        } catch (\Exception $error) {
            throw new ConnectionException("the result of $method is not a $result: {$error->getMessage()}", true, $error);
        }

        return $message;
    }

    /**
     * Calls a method with an encoded argument and returns the result, encoded alike.
     *
     * @throws RpcException
     */
    public function callBytes(string $method, string $argument, int $codec, ?float $timeout = null): string
    {
        $deadline = Connection::now() + ($timeout ?? $this->timeout);
        while (true) {
            // It is put back once the call has succeeded; otherwise it is not used again.
            $connection = $this->idle() ?? new Connection($this->address, $deadline);
            try {
                $reply = $connection->exchange($method, $argument, $codec, $deadline);
            } catch (ConnectionException $error) {
                $connection->close();
                if ($error->mayHaveRun || $connection->calls === 1 || $error instanceof TimeoutException) {
                    throw $error;
                }
                // The server closed a connection that had worked before, and has not seen this call.
                continue;
            }
            $this->idle[] = $connection;

            return self::result($reply, $codec);
        }
    }

    public function close(): void
    {
        $this->idle = [];
    }

    /** A connection that can be used. */
    private function idle(): ?Connection
    {
        while (($connection = array_pop($this->idle)) !== null) {
            if ($connection->isUsable()) {
                return $connection;
            }
        }

        return null;
    }

    private static function result(Frame $reply, int $codec): string
    {
        if (($reply->flags & Frame::ERROR) !== 0) {
            throw ServerException::fromText($reply->payload);
        }
        if (($reply->flags & $codec) === 0) {
            throw new ConnectionException(sprintf('the result is encoded as 0x%02x, unlike the argument', $reply->flags), true);
        }

        return $reply->payload;
    }
}
