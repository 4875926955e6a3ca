<?php

/*
 * The PHP package with both kinds of streams: the channels of one are counted by their handler, those of the other are the server's. Notes
 * every event of a stream in the file `notes`. Handles one request at a time, unless it has the argument `many`: on Revolt's event loop
 * where it is installed, otherwise on that of the package's tests.
 */

declare(strict_types=1);

require __DIR__ . '/../../workers/php/autoload.php';

use Causeway\App;
use Causeway\Async;
use Causeway\Async\RevoltLoop;
use Causeway\Event\StreamEndRequest;
use Causeway\Event\StreamPublishRequest;
use Causeway\Event\SubscribeStreamRequest;
use Causeway\Publication;
use Causeway\Relay;
use Causeway\Result\SubscribeResult;
use Causeway\Rpc;
use Causeway\Tests\SelectLoop;
use Causeway\Worker;

$rpc = new Rpc();

$note = function (SubscribeStreamRequest|StreamPublishRequest|StreamEndRequest $request, array $more = []): void {
    $event = ['type' => $request->header('type'), 'channel' => $request->channel] + $more;
    file_put_contents('notes', json_encode($event) . "\n", FILE_APPEND);
};

(new App())
    ->onSubscribeUnidirectional(function (SubscribeStreamRequest $request) use ($note): Generator {
        $note($request);
        yield new SubscribeResult();
        for ($number = 0;; ++$number) {
            yield new Publication(data: ['n' => $number]);
            Async::delay(0.05);
        }
    })
    ->onSubscribeBidirectional(function (SubscribeStreamRequest $request) use ($note): SubscribeResult {
        $note($request);

        return new SubscribeResult(data: ['stream' => $request->stream]);
    })
    ->onStreamPublish(function (StreamPublishRequest $request) use ($rpc, $note): void {
        $note($request, ['data' => $request->json()]);
        match ($request->json()) {
            'restart' => null,
            'bye' => $rpc->stream->close($request->stream),
            default => $rpc->stream->publish($request->stream, ['echo' => $request->json()]),
        };
    })
    ->onStreamEnd(fn (StreamEndRequest $request) => $note($request, ['reason' => $request->header('reason')]))
    ->run(match ($argv[1] ?? '') {
        'many' => new Async\Worker(Relay::open(), RevoltLoop::isInstalled() ? new RevoltLoop() : new SelectLoop(), 8),
        default => new Worker(),
    });
