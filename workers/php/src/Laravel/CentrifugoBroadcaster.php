<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\Rpc;
use Causeway\Rpc\RpcException;
use Illuminate\Broadcasting\Broadcasters\Broadcaster;
use Illuminate\Broadcasting\Broadcasters\UsePusherChannelConventions;
use Illuminate\Broadcasting\BroadcastException;
use Illuminate\Http\Request;
use Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException;

/**
 * Broadcasts events through Causeway: a client gets `{"event": ..., "data": ...}`. Channels have Laravel's names: `private-orders.1`.
 *
 * The client that has caused an event, which `toOthers()` would leave out, is in the tag `socket` of the publication.
 */
final class CentrifugoBroadcaster extends Broadcaster
{
    use UsePusherChannelConventions;

    public function __construct(private readonly Rpc $rpc)
    {
    }

    /**
     * @param array<mixed> $channels
     * @param string $event
     * @param array<string, mixed> $payload
     * @throws BroadcastException
     */
    public function broadcast(array $channels, $event, array $payload = []): void
    {
        if ($channels === []) {
            return;
        }
        $socket = $payload['socket'] ?? null;
        unset($payload['socket']);
        $command = ['channels' => array_values($this->formatChannels($channels)), 'data' => ['event' => $event, 'data' => (object) $payload]];
        if (is_string($socket) && $socket !== '') {
            $command['tags'] = ['socket' => $socket];
        }
        try {
            $response = (array) $this->rpc->call('centrifuge.Broadcast', $command);
        } catch (RpcException $error) {
            throw new BroadcastException("Centrifugo error: {$error->getMessage()}", previous: $error);
        }
        self::check($response, $command['channels']);
    }

    /**
     * Lets the user of a request into a channel, or not.
     *
     * @param Request $request
     * @return mixed true, or what the channel's authorization has returned
     * @throws AccessDeniedHttpException
     */
    public function auth($request): mixed
    {
        $channel = $request->input('channel_name');
        if (!is_string($channel) || $channel === '') {
            throw new AccessDeniedHttpException();
        }
        $name = $this->normalizeChannelName($channel);
        if ($this->isGuardedChannel($channel) && $this->retrieveUser($request, $name) === null) {
            throw new AccessDeniedHttpException();
        }

        return $this->verifyUserCanAccessChannel($request, $name);
    }

    /**
     * @param Request $request
     * @param mixed $result
     */
    public function validAuthenticationResponse($request, $result): mixed
    {
        return $result;
    }

    /**
     * An error in the response as a whole, or of one of the channels.
     *
     * @param array<mixed> $response
     * @param list<mixed> $channels
     */
    private static function check(array $response, array $channels): void
    {
        $errors = ['' => $response['error'] ?? null];
        foreach ((array) ($response['result']['responses'] ?? $response['responses'] ?? []) as $number => $one) {
            $errors[' in ' . ($channels[$number] ?? $number)] = $one['error'] ?? null;
        }
        foreach (array_filter($errors) as $where => $error) {
            throw new BroadcastException("Centrifugo error$where: " . ($error['message'] ?? 'unknown') . ' (' . ($error['code'] ?? 0) . ')');
        }
    }
}
