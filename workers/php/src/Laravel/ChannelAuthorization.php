<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\Error;
use Causeway\Event\SubscribeRequest;
use Causeway\Result\SubscribeResult;
use Illuminate\Auth\AuthManager;
use Illuminate\Contracts\Auth\Authenticatable;
use Illuminate\Contracts\Broadcasting\Factory as Broadcasting;
use Illuminate\Contracts\Config\Repository;
use Illuminate\Http\Request;
use Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException;

/**
 * Handles subscribes by `routes/channels.php`: `Centrifugo::onSubscribe(ChannelAuthorization::class)`.
 *
 * Channels that begin with `private-` or `presence-` are open to users whom their authorization lets in, others to everybody. What the
 * authorization of a presence channel returns is shown in presence. The user is the one whose id `ConnectResult` had.
 */
final class ChannelAuthorization
{
    public function __construct(
        private readonly Broadcasting $broadcasting,
        private readonly AuthManager $auth,
        private readonly Repository $config,
    ) {
    }

    public function handle(SubscribeRequest $request): SubscribeResult|Error
    {
        $isPresence = str_starts_with($request->channel, 'presence-');
        if (!$isPresence && !str_starts_with($request->channel, 'private-')) {
            return new SubscribeResult();
        }
        $http = Request::create('/', 'POST', ['channel_name' => $request->channel]);
        $http->setUserResolver(fn (?string $guard = null): ?Authenticatable => $this->user($request->user, $guard));
        try {
            $result = $this->broadcasting->connection('centrifugo')->auth($http);
        } catch (AccessDeniedHttpException) {
            return new Error(103, 'permission denied');
        }

        return new SubscribeResult(info: $isPresence && $result !== true ? $result : null);
    }

    private function user(string $id, ?string $guard): ?Authenticatable
    {
        if ($id === '') {
            return null;
        }
        $guard ??= $this->config->get('auth.defaults.guard');
        $provider = is_string($guard) ? $this->config->get("auth.guards.$guard.provider") : null;

        return is_string($provider) ? $this->auth->createUserProvider($provider)?->retrieveById($id) : null;
    }
}
