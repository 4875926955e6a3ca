<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Proto\Api;
use Causeway\Publication;
use Causeway\Raw;
use Causeway\Rpc;
use Causeway\Rpc\FencedLock;
use Causeway\Rpc\Lock;

/**
 * The services, beyond the recorded exchanges.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
final class RpcServicesTest extends RpcTestCase
{
    public function testEveryMethodOfCentrifugoCanBeCalled(): void
    {
        $table = (array) file(__DIR__ . '/../../../tests/vectors/centrifugo-api-methods.tsv');
        $methods = array_map(static fn (string $line): string => explode("\t", $line)[2], array_slice($table, 1));
        self::assertCount(40, $methods);
        $rpc = $this->serve(static function (Peer $peer) use ($methods): void {
            foreach ($methods as $method) {
                // A response with an empty result; a batch's has no result.
                $peer->answer($peer->expect("centrifuge.$method"), $method === 'Batch' ? '' : "\x12\0");
            }
        });
        foreach ($methods as $method) {
            $class = "Causeway\\Proto\\Api\\{$method}";
            $result = $rpc->centrifugo->call($method, new ("{$class}Request")());
            self::assertInstanceOf($method === 'Batch' ? Api\BatchResponse::class : "{$class}Result", $result);
        }
        $this->server?->finish();
    }

    public function testStreamsArePublishedToClosedAndListed(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->answer($peer->expect('stream.Publish{"id":"s","data":{"a":[]},"tags":{"0":"x"}}'), '{}');
            $peer->answer($peer->expect('stream.Publish{"id":"s","b64data":"/w=="}'), '{}');
            $peer->answer($peer->expect('stream.Publish{"id":"s"}'), '{}');
            $peer->answer($peer->expect('stream.Close{"id":"s","resubscribe":true}'), '{}');
            $peer->answer($peer->expect('stream.List{"channel":"c","user":"","client":"","limit":2}'), '{"streams":[{"id":"s","held":true,"sent":7}],"total":1}');
            $peer->answer($peer->receive(), '{}');
            $peer->refuse($peer->receive(), 'no such stream');
        });
        $rpc->stream->publish('s', ['a' => []], ['x']);
        $rpc->stream->publish('s', new Raw("\xff"));
        $rpc->stream->publish('s', new Publication());
        $rpc->stream->close('s', resubscribe: true);
        $stream = $rpc->stream->list(channel: 'c', limit: 2)[0];
        self::assertSame(['s', '', true, false, 7, 0], [$stream->id, $stream->channel, $stream->held, $stream->bidirectional, $stream->sent, $stream->opened]);
        self::assertSame([], $rpc->stream->list());
        $this->expectException(Rpc\ServerException::class);
        $this->expectExceptionMessage('no such stream');
        $rpc->stream->publish('gone', 1);
    }

    public function testAnUnknownMethodNeedsTheClassOfItsResponse(): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->answer($peer->receive(), "\x12\x02\x08\x07"));
        $result = $rpc->centrifugo->call('New', new Api\InfoRequest(), Api\PublishResponse::class);
        self::assertInstanceOf(Api\PublishResult::class, $result);
        self::assertSame(7, $result->getOffset());
        $this->expectExceptionMessage('NewResponse');
        $rpc->centrifugo->call('New', new Api\InfoRequest());
    }

    public function testAResponseWithoutAResultIsAnEmptyResult(): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->answer($peer->receive(), ''));
        self::assertSame(0, $rpc->centrifugo->publish('x', null)->getOffset());
    }

    public function testABatchHasAReplyForEachCommand(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->expect("centrifuge.Batch\n\x12\"\x10\n\x05facts\x12\x07{\"n\":1}\n\x02j\0");
            $published = new Api\Reply(['publish' => new Api\PublishResult(['offset' => 4])]);
            $failed = new Api\Reply(['error' => new Api\Error(['code' => 102])]);
            $peer->answer($request, (new Api\BatchResponse(['replies' => [$published, $failed]]))->serializeToString());
        });
        [$published, $failed] = $rpc->centrifugo->batch([
            new Api\Command(['publish' => new Api\PublishRequest(['channel' => 'facts', 'data' => '{"n":1}'])]),
            new Api\Command(['info' => new Api\InfoRequest()]),
        ]);
        self::assertSame(4, $published->getPublish()->getOffset());
        self::assertSame(102, $failed->getError()->getCode());
        $this->server?->finish();
    }

    public function testACallThatWaitsForALockMayTakeLongerThanOtherCalls(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->expect('lock.Lock{"resource":"r","id":"a","ttl":1500000,"wait":30000000}');
            // Longer than the client's timeout.
            usleep(1_000_000);
            $peer->answer($request, '{"ok":true}');
        });
        self::assertSame('a', (new Rpc($rpc->address, 0.5))->lock->lock('r', id: 'a', ttl: 1.5, wait: 30));
    }

    public function testLocksAreNamedByIdAndTimedInMicroseconds(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->receive();
            if (preg_match('~^lock\.LockRead\{"resource":"r","id":"[0-9a-f]{32}"\}$~', $request->payload) !== 1) {
                throw new \RuntimeException($request->payload);
            }
            $peer->answer($request, '{}');
            $peer->answer($peer->expect('lock.Release{"resource":"r","id":"a"}'), '{"ok":true}');
            $peer->answer($peer->expect('lock.ForceRelease{"resource":"r"}'), '{"ok":false}');
            $peer->answer($peer->expect('lock.Exists{"resource":"r","id":"*"}'), '{"ok":true}');
            $peer->answer($peer->expect('lock.UpdateTTL{"resource":"r","id":"a","ttl":1}'), '{}');
        });
        $lock = $rpc->lock;
        self::assertNull($lock->lockRead('r'));
        self::assertTrue($lock->release('r', 'a'));
        self::assertFalse($lock->forceRelease('r'));
        self::assertTrue($lock->exists('r'));
        self::assertFalse($lock->updateTtl('r', 'a', 0.000001));
        $this->server?->finish();
        $this->expectException(\InvalidArgumentException::class);
        $lock->lock('r', ttl: -1);
    }

    public function testALockMayHaveATokenAndEndWithTheProcess(): void
    {
        $pid = getmypid();
        $rpc = $this->serve(static function (Peer $peer) use ($pid): void {
            $peer->answer(
                $peer->expect("lock.LockFenced{\"resource\":\"r\",\"id\":\"a\",\"ttl\":1000000,\"pid\":$pid}"),
                '{"ok":true,"token":1790000000000000}',
            );
            $peer->answer($peer->expect('lock.LockFenced{"resource":"r","id":"b"}'), '{"ok":false,"token":0}');
            $peer->answer($peer->expect("lock.LockRead{\"resource\":\"r\",\"id\":\"c\",\"pid\":$pid}"), '{"ok":true}');
        });
        $lock = $rpc->lock;
        self::assertEquals(
            new FencedLock('a', 1_790_000_000_000_000),
            $lock->lockFenced('r', 'a', ttl: 1, owner: Lock::WORKER),
        );
        self::assertNull($lock->lockFenced('r', 'b'));
        self::assertSame('c', $lock->lockRead('r', 'c', owner: 'worker'));
        $this->server?->finish();
        $this->expectException(\InvalidArgumentException::class);
        $lock->lock('r', owner: 'server');
    }

    public function testUnformattedEntriesEndTheirLine(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->answer($peer->expect('app.Log"one\\n"'), 'true');
            $peer->answer($peer->expect('app.Log"two\\n"'), 'true');
            $attributes = '[{"key":"a","value":"1"},{"key":"b","value":"2\\n"}]';
            $peer->answer($peer->expect('app.LogWithContext{"message":"m","log_attrs":' . $attributes . '}'), '{}');
        });
        $rpc->logger->log('one');
        $rpc->logger->log("two\n");
        $rpc->logger->log('m', ['a' => 1, 'b' => 2]);
        $this->server?->finish();
        $this->addToAssertionCount(3);
    }

    public function testAnyValueCanBeLogged(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->answer($peer->expect("app.Error\"\u{fffd}\""), 'true');
            $attributes = '[{"key":"a","value":"[1,\"ü\"]"},{"key":"b","value":"null"},{"key":"0","value":"text"},{"key":"1","value":"Causeway\\\\Raw"}]';
            $peer->answer($peer->expect('app.DebugWithContext{"message":"m","log_attrs":' . $attributes . '}'), '{}');
        });
        $logger = $rpc->logger;
        $logger->error("\xff");
        $text = new class () {
            public function __toString(): string
            {
                return 'text';
            }
        };
        $logger->debug('m', ['a' => [1, 'ü'], 'b' => STDIN, $text, new Raw('{}')]);
        $this->server?->finish();
        $this->addToAssertionCount(2);
    }
}
