<?php

declare(strict_types=1);

namespace Cinema;

use Causeway\Attribute\OnRpc;
use Causeway\Error;
use Causeway\Event\RpcRequest;
use Causeway\Result\RpcResult;
use Causeway\Rpc;
use Causeway\Rpc\RpcException;

/**
 * The methods that pages call. Each answer names the request that it answers, and the worker.
 *
 * @phpstan-import-type Seat from Screening
 */
final class Seats
{
    public function __construct(private readonly Screening $screening, private readonly Rpc $rpc)
    {
    }

    #[OnRpc('plan')]
    public function plan(RpcRequest $request): RpcResult
    {
        // The version is read first: seats may be newer than it says, but not older.
        return self::answer($request, ['version' => $this->screening->version(), 'seats' => $this->screening->seats()]);
    }

    #[OnRpc('seat.hold')]
    public function hold(RpcRequest $request): RpcResult
    {
        return $this->changed($request, $this->screening->hold(self::field($request, 'seat'), $request->user, self::name($request)));
    }

    #[OnRpc('seat.book')]
    public function book(RpcRequest $request): RpcResult
    {
        return $this->changed($request, $this->screening->book(self::field($request, 'seat'), $request->user));
    }

    #[OnRpc('seat.release')]
    public function release(RpcRequest $request): RpcResult
    {
        return $this->changed($request, $this->screening->release(self::field($request, 'seat'), $request->user));
    }

    /** @param Seat $seat */
    private function changed(RpcRequest $request, array $seat): RpcResult
    {
        try {
            $this->rpc->centrifugo->publish(Screening::CHANNEL, $seat);
        } catch (RpcException $error) {
            // The seat has changed nevertheless. Pages notice from the countdown that they have missed something.
            $this->rpc->logger->warning('a change was not published', ['seat' => $seat['seat'], 'reason' => $error->getMessage()]);
        }

        return self::answer($request, ['seat' => $seat]);
    }

    /** @param array<string, mixed> $data */
    private static function answer(RpcRequest $request, array $data): RpcResult
    {
        return new RpcResult(data: ['request' => self::field($request, 'request'), 'worker' => getmypid()] + $data);
    }

    private static function field(RpcRequest $request, string $name): string
    {
        $data = $request->json();
        $value = is_array($data) ? $data[$name] ?? null : null;

        return is_string($value) && strlen($value) <= 64 ? $value : throw new Error(400, "$name is missing");
    }

    /** The name that the token of the connection has. */
    private static function name(RpcRequest $request): string
    {
        $meta = $request->meta();

        return is_array($meta) && is_string($meta['name'] ?? null) ? $meta['name'] : 'somebody';
    }
}
