<?php

/* Answers every event of a small chat; the Python example answers the same. */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';

use Causeway\Worker\Disconnect;
use Causeway\Worker\Error;
use Causeway\Worker\Event\ConnectRequest;
use Causeway\Worker\Event\PublishRequest;
use Causeway\Worker\Event\RefreshRequest;
use Causeway\Worker\Event\RpcRequest;
use Causeway\Worker\Event\SubRefreshRequest;
use Causeway\Worker\Event\SubscribeRequest;
use Causeway\Worker\Raw;
use Causeway\Worker\Result\ConnectResult;
use Causeway\Worker\Result\PublishResult;
use Causeway\Worker\Result\RefreshResult;
use Causeway\Worker\Result\RpcResult;
use Causeway\Worker\Result\SubRefreshResult;
use Causeway\Worker\Result\SubscribeResult;
use Causeway\Worker\Rpc\Centrifugo;
use Causeway\Worker\Worker;

(new Worker())
    ->onConnect(function (ConnectRequest $request): ConnectResult {
        $data = (array) $request->json();
        if ($data['deny'] ?? false) {
            throw new Disconnect(4001, 'denied');
        }
        $user = (string) ($data['user'] ?? 'guest');

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

        return new RpcResult(data: ['sum' => $data['a'] + $data['b']]);
    })
    ->onRpc('whoami', fn (RpcRequest $request) => new RpcResult(data: ['user' => $request->user]))
    ->onRpc('announce', function (RpcRequest $request): RpcResult {
        // Over rpc.listen of .rr.yaml, which the variable RR_RPC tells of.
        $published = (new Centrifugo())->publish('news', ['from' => $request->user, 'text' => $request->json()]);

        return new RpcResult(data: ['offset' => $published->getOffset()]);
    })
    ->onRpc('fail', fn () => throw new Error(1000, 'as you wished'))
    ->onRpc('kick', fn () => throw new Disconnect(4000, 'bye'))
    ->onRpc(null, fn () => throw new Error(404, 'no such method'))
    ->run();
