<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\Fields;
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
        $names = array_values(Fields::strings($this->formatChannels($channels)));
        $command = ['channels' => $names, 'data' => ['event' => $event, 'data' => (object) $payload]];
        if (is_string($socket) && $socket !== '') {
            $command['tags'] = ['socket' => $socket];
        }
        try {
            $response = Fields::of($this->rpc->call('centrifuge.Broadcast', $command));
        } catch (RpcException $error) {
            throw new BroadcastException("Centrifugo error: {$error->getMessage()}", previous: $error);
        }
        self::check($response, $names);
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
     * @param list<string> $channels
     */
    private static function check(Fields $response, array $channels): void
    {
        $responses = ['' => $response];
        foreach ($response->fields('result')->list('responses') as $number => $one) {
            $responses[' in ' . ($channels[$number] ?? $number)] = $one;
        }
        foreach ($responses as $where => $one) {
            $error = $one->fields('error');
            if ($one->has('error')) {
                throw new BroadcastException("Centrifugo error$where: {$error->string('message')} ({$error->int('code')})");
            }
        }
    }
}
