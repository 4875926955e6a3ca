<?php

/* A small chat; the Python example behaves the same. */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';

use Causeway\App;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event\ConnectRequest;
use Causeway\Event\PublishRequest;
use Causeway\Event\RefreshRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SubRefreshRequest;
use Causeway\Event\SubscribeRequest;
use Causeway\Raw;
use Causeway\Result\ConnectResult;
use Causeway\Result\PublishResult;
use Causeway\Result\RefreshResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SubRefreshResult;
use Causeway\Result\SubscribeResult;
use Causeway\Rpc;

// Connects with the first call, to rpc.listen of .rr.yaml, which is in the environment variable RR_RPC.
$rpc = new Rpc();

(new App())
    ->onConnect(function (ConnectRequest $request): ConnectResult {
        $data = (array) $request->json();
        if (($data['deny'] ?? null) === true) {
            throw new Disconnect(4001, 'denied');
        }
        $user = $data['user'] ?? null;
        $user = is_string($user) ? $user : 'guest';

        return new ConnectResult(user: $user, data: ['hello' => $user], channels: ['news']);
    })
    ->onRefresh(fn (RefreshRequest $request) => new RefreshResult(expireAt: time() + 60))
    ->onSubscribe(function (SubscribeRequest $request): SubscribeResult {
        if (str_starts_with($request->channel, 'private')) {
            throw new Error(403, 'permission denied');
        }

        return new SubscribeResult();
    })
    ->onPublish(function (PublishRequest $request): PublishResult {
        if ($request->channel === 'readonly') {
            throw new Error(403, 'permission denied');
        }

        return new PublishResult(data: new Raw($request->data));
    })
    ->onSubRefresh(fn (SubRefreshRequest $request) => new SubRefreshResult(expireAt: time() + 60))
    ->onRpc('echo', fn (RpcRequest $request) => new RpcResult(data: new Raw($request->data)))
    ->onRpc('sum', function (RpcRequest $request): RpcResult {
        $data = (array) $request->json();
        $numbers = [$data['a'] ?? null, $data['b'] ?? null];
        if (array_filter($numbers, fn ($number) => !is_int($number) && !is_float($number)) !== []) {
            throw new Error(400, 'a and b must be numbers');
        }

        return new RpcResult(data: ['sum' => array_sum($numbers)]);
    })
    ->onRpc('whoami', fn (RpcRequest $request) => new RpcResult(data: ['user' => $request->user]))
    ->onRpc('announce', function (RpcRequest $request) use ($rpc): RpcResult {
        $published = $rpc->centrifugo->publish('news', ['from' => $request->user, 'text' => $request->json()]);

        return new RpcResult(data: ['offset' => $published->getOffset()]);
    })
    ->onRpc('fail', fn () => throw new Error(1000, 'as you wished'))
    ->onRpc('kick', fn () => throw new Disconnect(4000, 'bye'))
    ->onRpc('*', fn () => throw new Error(404, 'no such method'))
    ->run();
