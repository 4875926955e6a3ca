<?php

/* The PHP package with many requests at a time, on the event loop of its tests: CI has no other. */

declare(strict_types=1);

require __DIR__ . '/../../workers/php/autoload.php';

use Causeway\App;
use Causeway\Async;
use Causeway\Async\Worker;
use Causeway\Cancelled;
use Causeway\Event\RpcRequest;
use Causeway\Relay;
use Causeway\Result\RpcResult;
use Causeway\Tests\SelectLoop;

(new App(codec: getenv('CODEC') ?: null))
    ->onRpc('echo', fn (RpcRequest $request) => new RpcResult($request->json()))
    // Waits for a file, and notes in another one that it has begun.
    ->onRpc('wait', function (RpcRequest $request): RpcResult {
        [$flag, $notes] = $request->json();
        file_put_contents($notes, "begun\n", FILE_APPEND);
        try {
            while (!file_exists($flag)) {
                clearstatcache();
                Async::delay(0.005);
            }
        } catch (Cancelled $cancelled) {
            file_put_contents($notes, "$cancelled->reason\n", FILE_APPEND);
            throw $cancelled;
        }

        return new RpcResult(getmypid());
    })
    ->onRpc('throw', fn () => throw new DomainException('thrown'))
    ->onRpc('exit', fn () => exit(3))
    ->run(new Worker(Relay::open(), new SelectLoop(), 8));
