<?php

/*
 * A chat whose rooms are streams: each subscriber has one, and publishes to all of its room. The channel `clock` is streamed by a worker.
 *
 * For Centrifugo's proxies of bidirectional and unidirectional subscription streams. Handles many requests at a time if
 * revolt/event-loop is installed: `composer require revolt/event-loop`.
 */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';

use Causeway\App;
use Causeway\Async;
use Causeway\Error;
use Causeway\Event\ConnectRequest;
use Causeway\Event\StreamEndRequest;
use Causeway\Event\StreamPublishRequest;
use Causeway\Event\SubscribeStreamRequest;
use Causeway\Publication;
use Causeway\Result\ConnectResult;
use Causeway\Result\SubscribeResult;
use Causeway\Rpc;
use Causeway\Rpc\ServerException;

$rpc = new Rpc();

/** Publishes to everybody in a room. */
$tell = function (string $room, array $message) use ($rpc): void {
    foreach ($rpc->stream->list(channel: $room) as $stream) {
        try {
            $rpc->stream->publish($stream->id, $message);
        } catch (ServerException) {
            // This subscriber has just left.
        }
    }
};

(new App())
    ->onConnect(fn (ConnectRequest $request) => new ConnectResult(user: 'guest'))
    ->onSubscribeBidirectional(function (SubscribeStreamRequest $request): SubscribeResult {
        if (str_starts_with($request->channel, 'private')) {
            throw new Error(403, 'permission denied');
        }

        return new SubscribeResult(data: ['stream' => $request->stream]);
    })
    ->onStreamPublish(function (StreamPublishRequest $request) use ($tell): void {
        $tell($request->channel, ['from' => $request->user, 'text' => $request->json()]);
    })
    ->onStreamEnd(function (StreamEndRequest $request) use ($tell): void {
        $tell($request->channel, ['left' => $request->client]);
    })
    ->onSubscribeUnidirectional(function (SubscribeStreamRequest $request): Generator {
        yield new SubscribeResult();
        for (;;) {
            yield new Publication(data: ['time' => date('c')]);
            Async::delay(1);
        }
    })
    ->run(concurrency: 64);
