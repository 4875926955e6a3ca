<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use Causeway\Proto\Proxy;
use PHPUnit\Framework\TestCase;

final class ProcessTest extends TestCase
{
    private const EXAMPLE = __DIR__ . '/../examples/app.php';

    private string $script = '';

    protected function tearDown(): void
    {
        if ($this->script !== '') {
            unlink($this->script);
        }
    }

    /** @return iterable<string, array{string}> */
    public static function relays(): iterable
    {
        yield 'pipes' => ['pipes'];
        yield 'tcp' => ['tcp'];
        yield 'unix' => ['unix'];
    }

    /** @dataProvider relays */
    public function testTheExampleAnswersEveryEvent(string $relay): void
    {
        $worker = new Supervisor(self::EXAMPLE, $relay);
        self::assertSame('{"pid":' . $worker->child() . '}', $worker->pid);

        $connect = new Proxy\ConnectResponse();
        $connect->mergeFromString($worker->ask('connect', (new Proxy\ConnectRequest(['data' => '{"user":"ann"}']))->serializeToString())->payload);
        self::assertSame('ann', $connect->getResult()->getUser());
        self::assertSame('{"hello":"ann"}', $connect->getResult()->getData());
        self::assertSame(['news'], iterator_to_array($connect->getResult()->getChannels()));

        $denied = new Proxy\ConnectResponse();
        $denied->mergeFromString($worker->ask('connect', (new Proxy\ConnectRequest(['b64data' => 'eyJkZW55Ijp0cnVlfQ==']))->serializeToString())->payload);
        self::assertSame(4001, $denied->getDisconnect()->getCode());

        $private = new Proxy\SubscribeResponse();
        $private->mergeFromString($worker->ask('subscribe', (new Proxy\SubscribeRequest(['channel' => 'private:1']))->serializeToString())->payload);
        self::assertSame(403, $private->getError()->getCode());

        $publish = new Proxy\PublishResponse();
        $publish->mergeFromString($worker->ask('publish', (new Proxy\PublishRequest(['channel' => 'x', 'data' => '[1]']))->serializeToString())->payload);
        self::assertSame('[1]', $publish->getResult()->getData());

        foreach (['refresh' => new Proxy\RefreshResponse(), 'subrefresh' => new Proxy\SubRefreshResponse()] as $type => $response) {
            $response->mergeFromString($worker->ask($type, '')->payload);
            self::assertGreaterThan(time(), $response->getResult()->getExpireAt());
        }

        self::assertSame('{"sum":3}', self::rpc($worker, 'sum', ['a' => 1, 'b' => 2])->getResult()->getData());
        self::assertSame('{"user":"42"}', self::rpc($worker, 'whoami')->getResult()->getData());
        self::assertSame(1000, self::rpc($worker, 'fail')->getError()->getCode());
        self::assertSame('bye', self::rpc($worker, 'kick')->getDisconnect()->getReason());
        self::assertSame(404, self::rpc($worker, 'nope')->getError()->getCode());

        foreach (['{"user":null}', '{"user":42}', '[1]', '"x"', 'null', ''] as $data) {
            $connect = new Proxy\ConnectResponse();
            $connect->mergeFromString($worker->ask('connect', (new Proxy\ConnectRequest(['data' => $data]))->serializeToString())->payload);
            self::assertSame('guest', $connect->getResult()->getUser(), $data);
        }
        foreach ([[], [1, 2], ['a' => 1], ['a' => true, 'b' => '2'], null] as $numbers) {
            self::assertSame('a and b must be numbers', self::rpc($worker, 'sum', $numbers)->getError()->getMessage());
        }

        $unhandled = new Proxy\MapPublishResponse();
        $unhandled->mergeFromString($worker->ask('mappublish', '')->payload);
        self::assertSame(108, $unhandled->getError()->getCode());
        self::assertSame(Frame::ERROR, $worker->ask('nonsense', '')->flags);

        $data = str_repeat('x', 2_000_000);
        self::assertSame('"' . $data . '"', self::rpc($worker, 'echo', $data)->getResult()->getData());

        $worker->send(new Frame('{"stop":true}', Frame::CONTROL | Frame::JSON));
        self::assertSame(0, $worker->wait()[0]);
    }

    public function testTheExampleOfStreamsPublishesToAllOfARoom(): void
    {
        $server = new RpcServer([static function (Peer $peer): void {
            $list = $peer->expect('stream.List{"channel":"room","user":"","client":"","limit":0}');
            $peer->answer($list, '{"streams":[{"id":"a"},{"id":"gone"},{"id":"b"}]}');
            $peer->answer($peer->expect('stream.Publish{"id":"a","data":{"from":"42","text":"hi"}}'), '{}');
            $peer->refuse($peer->expect('stream.Publish{"id":"gone","data":{"from":"42","text":"hi"}}'), 'no such stream');
            $peer->answer($peer->expect('stream.Publish{"id":"b","data":{"from":"42","text":"hi"}}'), '{}');
        }]);
        $worker = new Supervisor(__DIR__ . '/../examples/streams.php', 'pipes', [], ['RR_RPC' => $server->address]);
        $worker->send(Supervisor::event(1, 'streampublish', '{"channel":"room","user":"42","data":"hi"}'));
        self::assertSame('{"result":{}}', $worker->receive()->payload);
        $server->finish();
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{"channel":"clock"}'));
        self::assertSame('{"subscribe_response":{"result":{}}}', $worker->receive()->payload);
        self::assertMatchesRegularExpression('~^\{"publication":\{"data":\{"time":"20~', $worker->receive()->payload);
        $worker->send(new Frame('', stream: Frame::STOP));
        while (($worker->receive()->stream & Frame::STREAM) !== 0) {
            continue;
        }
        self::assertSame(0, $worker->wait()[0]);
    }

    public function testOutputOfHandlersGoesToStandardErrorAndTheWorkerExitsWhenItsInputEnds(): void
    {
        $worker = $this->script('$app->onRpc("*", function () { echo "printed"; });');
        self::assertTrue(self::rpc($worker, 'x')->hasResult());
        self::assertSame([0, 'printed'], $worker->wait());
    }

    public function testOutputNeverReachesTheRelayWhateverBecomesOfItsBuffers(): void
    {
        $worker = $this->script(
            '$app->onRpc("clean", function () { while (ob_get_level()) { ob_end_clean(); } echo "a"; })'
            . '->onRpc("open", function () { ob_start(); echo "b"; ob_start(); echo "c"; })'
            . '->onRpc("throw", function () { ob_start(); echo "d"; throw new Causeway\\Error(1, "x"); })'
            . '->onRpc("level", fn () => new Causeway\\Result\\RpcResult(ob_get_level()))'
            . '->onRpc("stream", function () { file_put_contents("php://stdout", "e"); passthru("echo f; cat"); system("echo g >&2"); });',
        );
        $level = self::rpc($worker, 'level')->getResult()->getData();
        foreach (['clean', 'open', 'stream'] as $method) {
            self::assertTrue(self::rpc($worker, $method)->hasResult(), $method);
        }
        self::assertSame('x', self::rpc($worker, 'throw')->getError()->getMessage());
        self::assertSame($level, self::rpc($worker, 'level')->getResult()->getData());
        self::assertSame([0, "abcef\ng\nd"], $worker->wait());
    }

    public function testAWorkerWithoutProtobufDoesNotStart(): void
    {
        if (extension_loaded('protobuf') || is_file(__DIR__ . '/../vendor/autoload.php')) {
            self::markTestSkipped('protobuf cannot be hidden');
        }
        $this->expectExceptionMessage('google/protobuf is missing: install it with Composer');
        $this->script('ini_set("include_path", "/nowhere");');
    }

    public function testARelayWaitsForTheNextRequestForLongerThanPhpByDefault(): void
    {
        $start = static fn (string $relay): Supervisor => new Supervisor(self::EXAMPLE, $relay, ['-d', 'default_socket_timeout=1']);
        $workers = [$start('tcp'), $start('unix')];
        usleep(1_500_000);
        foreach ($workers as $worker) {
            self::assertSame('{"user":"42"}', self::rpc($worker, 'whoami')->getResult()->getData());
        }
    }

    public function testAnExceptionFailsOnlyItsOwnRequest(): void
    {
        $worker = $this->script('$app->onRpc("bad", fn () => intdiv(1, 0))->onRpc("*", fn () => null);');
        $failed = $worker->ask('rpc', (new Proxy\RPCRequest(['method' => 'bad']))->serializeToString());
        self::assertSame(Frame::ERROR, $failed->flags);
        self::assertSame('DivisionByZeroError: Division by zero', $failed->payload);
        self::assertTrue(self::rpc($worker, 'good')->hasResult());
        self::assertStringContainsString('DivisionByZeroError', $worker->wait()[1]);
    }

    public function testAWrongAnswerIsLoggedInOneLineAndTheWorkerGoesOn(): void
    {
        $worker = $this->script('$app->onRpc("bad", fn () => "text")->onRpc("*", fn () => null);');
        $failed = $worker->ask('rpc', (new Proxy\RPCRequest(['method' => 'bad']))->serializeToString());
        $message = "$this->script:1: the handler of rpc returned string, expected RpcResult, Error, Disconnect or null";
        self::assertSame([Frame::ERROR, $message], [$failed->flags, $failed->payload]);
        self::assertTrue(self::rpc($worker, 'good')->hasResult());
        self::assertSame([0, "$message\n"], $worker->wait());
    }

    public function testAMissingHandlerIsLoggedOnce(): void
    {
        $worker = $this->script('');
        foreach (["one\n", 'two'] as $method) {
            $error = self::rpc($worker, $method)->getError();
            self::assertSame([108, 'not available'], [$error->getCode(), $error->getMessage()]);
        }
        $empty = new Proxy\NotifyCacheEmptyResponse();
        $empty->mergeFromString($worker->ask('notifycacheempty', '')->payload);
        self::assertTrue($empty->hasResult());
        $lines = ['no handler for rpc method "one\n" (logged once)', 'no handler for notifycacheempty (logged once)', ''];
        self::assertSame([0, implode("\n", $lines)], $worker->wait());
    }

    public function testAWarningOfPhpIsLoggedOnce(): void
    {
        $worker = $this->script('$app->onRpc("*", function () { $nothing["x"]; });');
        self::assertTrue(self::rpc($worker, 'x')->hasResult());
        self::assertSame(1, substr_count($worker->wait()[1], 'Undefined variable $nothing'));
    }

    public function testAWorkerWithoutTheExtensionOffersJson(): void
    {
        if (extension_loaded('protobuf') || is_file(__DIR__ . '/../vendor/autoload.php')) {
            self::markTestSkipped('protobuf cannot be hidden');
        }
        // Nothing of protobuf is on the include path.
        $worker = $this->script('ini_set("include_path", "/nowhere"); $app->onRpc("*", fn ($request) => new Causeway\Result\RpcResult($request->json()))
            ->onPublish(fn () => (new Causeway\Rpc())->centrifugo->publish("a", 1));', ['CAUSEWAY_PROTOCOLS' => '1', 'CAUSEWAY_CODECS' => 'proto,json']);
        $name = 'causeway/worker on PHP ' . PHP_VERSION;
        self::assertSame(['pid' => $worker->child(), 'codec' => 'json', 'name' => $name], json_decode($worker->pid, true));
        self::assertSame('{"result":{"data":[1]}}', $worker->ask('rpc', '{"data":[1]}', Frame::JSON)->payload);
        self::assertStringContainsString('google/protobuf is missing', $worker->ask('publish', '{}', Frame::JSON)->payload);
        self::assertSame(0, $worker->wait()[0]);
    }

    public function testAGeneratorIsAStreamThatAsksWhetherTheServerIsThere(): void
    {
        $worker = $this->script('$app->onSubscribeUnidirectional(function () { for ($i = 1; $i < 12; $i++) yield new Causeway\Publication($i); })->onRpc("*", fn () => null);');
        $context = '{"type":["subscribeunidirectional"]}';
        $fence = new Frame('{"pid":1}', Frame::CONTROL | Frame::JSON);
        $worker->send(new Frame("$context{}", Frame::JSON, [strlen($context)]), $fence);
        for ($sent = 1; $sent <= 12; ++$sent) {
            $isPing = $sent % 5 === 0;
            $payload = $sent === 1 ? '{"subscribe_response":{"result":{}}}' : '{"publication":{"data":' . ($sent - 1) . '}}';
            self::assertEquals(new Frame($payload, 0, [0], $isPing ? Frame::STREAM | Frame::PING : Frame::STREAM), $worker->receive());
            if ($isPing) {
                $worker->send(new Frame('', stream: Frame::PONG));
            }
        }
        self::assertEquals(new Frame('', 0, [0]), $worker->receive());
        self::assertSame(Frame::CONTROL, $worker->receive()->flags);
        self::assertSame('{"result":{}}', $worker->ask('rpc', '{}', Frame::JSON)->payload);
    }

    public function testTheServerEndsAStreamAtAPingOrAtAnyOtherMessage(): void
    {
        $stop = new Frame('', stream: Frame::STOP);
        $worker = $this->script('$app->onSubscribeUnidirectional(function ($request) {
            try { for (;;) { if ($request->channel === "slow") { usleep(1000); } yield new Causeway\Publication(1); } } finally { fwrite(STDERR, "closed\n"); } })->onRpc("*", fn () => null);');
        $context = '{"type":["subscribeunidirectional"]}';
        foreach (['fast', 'slow'] as $channel) {
            $worker->send(new Frame("$context{\"channel\":\"$channel\"}", Frame::JSON, [strlen($context)]));
            for ($sent = 1; $channel === 'fast' && $sent < 5; ++$sent) {
                $worker->receive();
            }
            $worker->receive();
            $worker->send($stop);
            while (($worker->receive()->stream & Frame::STREAM) !== 0) {
                continue;
            }
            // What crossed the end of the stream does not concern the next request.
            $worker->send(new Frame('', stream: Frame::PONG), $stop);
            self::assertSame('{"result":{}}', $worker->ask('rpc', '{}', Frame::JSON)->payload);
        }
        self::assertSame([0, "closed\nclosed\n"], $worker->wait());
    }

    public function testAWorkerThatIsStoppedEndsItsStream(): void
    {
        $worker = $this->script('$app->onSubscribeUnidirectional(function () { for (;;) { usleep(1000); yield new Causeway\Publication(1); } });');
        $context = '{"type":["subscribeunidirectional"]}';
        $worker->send(new Frame("$context{}", Frame::JSON, [strlen($context)]));
        $worker->receive();
        $worker->send(new Frame('{"stop":true}', Frame::CONTROL | Frame::JSON));
        while (($worker->receive()->stream & Frame::STREAM) !== 0) {
            continue;
        }
        self::assertSame([0, ''], $worker->wait());
    }

    public function testAGeneratorThatFailsEndsItsStreamWithAnError(): void
    {
        $worker = $this->script('$app->onSubscribeUnidirectional(function () { yield new Causeway\Publication(1); throw new DomainException("x"); })->onRpc("*", fn () => null);');
        $worker->send(new Frame('{"type":["subscribeunidirectional"]}', Frame::PROTO, [36]));
        self::assertSame([Frame::STREAM, Frame::STREAM], [$worker->receive()->stream, $worker->receive()->stream]);
        self::assertEquals(new Frame('DomainException: x', Frame::ERROR), $worker->receive());
        self::assertTrue(self::rpc($worker, 'x')->hasResult());
    }

    public function testAWorkerCanAskToBeReplaced(): void
    {
        $worker = $this->script('$app->onRpc("*", fn () => throw new Causeway\Stop());');
        $worker->send(new Frame('{"type":["rpc"]}', Frame::PROTO, [16]));
        self::assertEquals(new Frame('{"stop":true}', options: [13]), $worker->receive());
        self::assertSame(0, $worker->wait()[0]);
    }

    /**
     * An application of one line.
     *
     * @param array<string, string> $environment
     */
    private function script(string $line, array $environment = []): Supervisor
    {
        $this->script = (string) tempnam(sys_get_temp_dir(), 'causeway');
        $autoload = var_export(realpath(__DIR__ . '/../autoload.php'), true);
        file_put_contents($this->script, "<?php require $autoload; \$app = new Causeway\\App(); $line \$app->run();");

        return new Supervisor($this->script, 'pipes', [], $environment);
    }

    private static function rpc(Supervisor $worker, string $method, mixed $data = null): Proxy\RPCResponse
    {
        $request = new Proxy\RPCRequest(['method' => $method, 'user' => '42', 'data' => json_encode($data, JSON_THROW_ON_ERROR)]);
        $response = new Proxy\RPCResponse();
        $response->mergeFromString($worker->ask('rpc', $request->serializeToString())->payload);

        return $response;
    }
}
