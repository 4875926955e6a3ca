<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Event;
use Causeway\Event\RpcRequest;
use Causeway\Frame;
use Causeway\Laravel\Services;
use Causeway\Proto\Api;
use Causeway\Proto\Proxy;
use Causeway\Request;
use Causeway\Result\RpcResult;
use Causeway\Testing\TestClient;
use Illuminate\Auth\AuthManager;
use Illuminate\Container\Container as LaravelContainer;

final class UserController
{
    public function call(RpcRequest $request): RpcResult
    {
        return new RpcResult("called $request->method");
    }
}

/**
 * The guide and the README: their examples run, and their tables are complete.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
final class GuideTest extends RpcTestCase
{
    private const GUIDE = __DIR__ . '/../../../docs/guide/php.md';
    private const FRAMEWORKS = __DIR__ . '/../../../docs/guide/php-frameworks.md';
    private const ROOT = __DIR__ . '/../../..';
    private const LOCKS = self::ROOT . '/docs/guide/locks.md';
    private const README = __DIR__ . '/../README.md';

    private string $script = '';

    protected function tearDown(): void
    {
        parent::tearDown();
        putenv('RR_RPC');
        if ($this->script !== '') {
            unlink($this->script);
        }
    }

    public function testTheGuidesApplicationAnswers(): void
    {
        $worker = $this->start(self::block('app.php'));
        $connect = new Proxy\ConnectResponse();
        $connect->mergeFromString($worker->ask('connect', '')->payload);
        self::assertSame(['42', '{"hello":"world"}'], [$connect->getResult()->getUser(), $connect->getResult()->getData()]);
        $subscribe = new Proxy\SubscribeResponse();
        $request = new Proxy\SubscribeRequest(['user' => '42', 'channel' => 'inbox:42']);
        $subscribe->mergeFromString($worker->ask('subscribe', $request->serializeToString())->payload);
        self::assertGreaterThan(time(), $subscribe->getResult()->getExpireAt());
        $request->setUser('43');
        $subscribe->mergeFromString($worker->ask('subscribe', $request->serializeToString())->payload);
        self::assertSame(403, $subscribe->getError()->getCode());
        self::assertSame('6', self::rpc($worker, 'sum', '[1,2,3]'));
    }

    public function testTheGuidesApplicationForManyRequestsAnswers(): void
    {
        $worker = $this->start(self::block('async.php'));
        self::assertSame('[1]', self::rpc($worker, 'later', '[1]'));
        self::assertStringStartsWith('this worker handles one request at a time: ', $worker->wait()[1]);
    }

    public function testTheGuidesStreamsAreOpened(): void
    {
        $this->serve(fn (Peer $peer) => $peer->answer($peer->expect('stream.Publish{"id":"s-1","data":{"you sent":[1]}}'), '{}'));
        putenv("RR_RPC={$this->server?->address}");
        $worker = $this->start(self::block('streams.php'));
        $ask = static function (string $type, string $body) use ($worker): string {
            $worker->send(Supervisor::event(1, $type, $body));

            return $worker->receive()->payload;
        };
        self::assertSame('{"result":{"data":{"stream":"s-1"}}}', $ask('subscribebidirectional', '{}'));
        self::assertSame('{"result":{}}', $ask('streampublish', '{"data":[1]}'));
        $this->server?->finish();
        self::assertSame('{"error":{"code":403,"message":"permission denied"}}', $ask('subscribeunidirectional', '{"user":""}'));
        self::assertSame('{"subscribe_response":{"result":{}}}', $ask('subscribeunidirectional', '{"user":"42"}'));
        foreach ([3, 2, 1] as $number) {
            self::assertSame("{\"publication\":{\"data\":$number}}", $worker->receive()->payload);
        }
        self::assertSame('', $worker->receive()->payload);
        self::assertSame('{"result":{}}', $ask('streamend', '{"user":"42","channel":"c"}'));
        self::assertStringContainsString('42 has left c', $worker->wait()[1]);
    }

    public function testTheGuidesServicesAnswer(): void
    {
        $worker = $this->start(self::block('services.php'), ['CAUSEWAY_CODECS' => 'proto,json']);
        $ask = static fn (string $type, string $body): string => $worker->ask($type, $body, Frame::JSON)->payload;
        self::assertSame('{"result":{"user":"7"}}', $ask('connect', '{}'));
        self::assertSame('{"result":{}}', $ask('subscribe', '{"channel":"chat:1"}'));
        self::assertSame('{"error":{"code":403,"message":"permission denied"}}', $ask('subscribe', '{"channel":"chat:admin"}'));
        self::assertSame('{"error":{"code":108,"message":"not available"}}', $ask('subscribe', '{"channel":"news"}'));
        self::assertSame('{"result":{}}', $ask('publish', '{"channel":"chat:1"}'));
        self::assertSame('{"error":{"code":401,"message":"log in first"}}', $ask('rpc', '{"method":"chat.count"}'));
        $answer = '{"result":{"data":{"messages":{"chat:1":1},"asked by":"user 42"}}}';
        self::assertSame($answer, $ask('rpc', '{"method":"chat.count","user":"42"}'));
        $log = $worker->wait()[1];
        self::assertMatchesRegularExpression('~connect took \d+\.\d ms~', $log);
        self::assertSame(7, substr_count($log, ' took '));
    }

    public function testTheGuidesTestPasses(): void
    {
        $this->write(self::block('test.php'));
        exec('php -d zend.assertions=1 -d assert.exception=1 ' . escapeshellarg($this->script) . ' 2>&1', $output, $status);
        self::assertSame([['passed'], 0], [$output, $status]);
    }

    public function testTheGuidesRoutesOfLaravelAreHandlers(): void
    {
        require_once __DIR__ . '/stubs/psr.php';
        require_once __DIR__ . '/stubs/illuminate.php';
        $laravel = new LaravelContainer();
        $user = new class () {
            public function createUserProvider(): self
            {
                return $this;
            }

            public function retrieveById(string $id): self
            {
                return $this;
            }

            public function getAuthIdentifier(): int
            {
                return 42;
            }
        };
        $laravel->instance(AuthManager::class, new class ($user) extends AuthManager {
            public function __construct(private readonly object $user)
            {
            }

            /** @param string|null $provider */
            public function createUserProvider($provider = null): object
            {
                return $this->user;
            }
        });
        $app = new App(container: new Services($laravel));
        $laravel->instance(App::class, $app);
        \Illuminate\Support\Facades\Facade::setFacadeApplication($laravel);
        $this->write(self::block('routes/centrifugo.php', self::FRAMEWORKS));
        class_exists('App\Http\Controllers\UserController') || class_alias(UserController::class, 'App\Http\Controllers\UserController');
        (fn (): mixed => require $this->script)();
        $client = new TestClient($app);
        self::assertSame('7', $client->connect(headers: ['x-user' => '7'])->result['user'] ?? null);
        self::assertSame('called users.get', $client->rpc('users.get')->data);
        self::assertSame(42, $client->rpc('whoami', user: '42')->data);
    }

    public function testTheGuidesServiceOfSymfonyIsAHandler(): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->answer($peer->expect('centrifuge.Publish{"channel":"chat:all","data":"hello"}'), '{}'));
        $this->write(self::block('src/Centrifugo/Chat.php', self::FRAMEWORKS));
        require $this->script;
        $class = 'App\Centrifugo\Chat';
        assert(class_exists($class));
        $client = new TestClient((new App())->services([new $class($rpc)]));
        self::assertSame(103, $client->subscribe('chat:1')->error?->getCode());
        self::assertSame('7', $client->connect(headers: ['x-user' => '7'])->result['user'] ?? null);
        self::assertTrue($client->subscribe('chat:1')->ok);
        self::assertSame('said', $client->rpc('chat.say', 'hello')->data);
        $this->server?->finish();
        $this->write(self::block('config/bundles.php', self::FRAMEWORKS));
        self::assertContains(\Causeway\Symfony\CausewayBundle::class, array_keys(require $this->script));
    }

    public function testTheReadmesApplicationAnswersAndPublishes(): void
    {
        $this->serve(static function (Peer $peer): void {
            $expected = new Api\PublishRequest(['channel' => 'news', 'data' => '{"from":"42","text":"hello"}']);
            $peer->answer($peer->expect('centrifuge.Publish' . $expected->serializeToString()), '');
        });
        putenv("RR_RPC={$this->server?->address}");
        $worker = $this->start(self::blocks(self::README)[0]);
        self::assertSame('"done"', self::rpc($worker, 'announce', '"hello"'));
        $this->server?->finish();
    }

    public function testTheGuidesCallsAreMade(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $published = new Api\PublishRequest(['channel' => 'news', 'data' => '{"text":"hello"}', 'tags' => ['kind' => 'greeting']]);
            $peer->answer($peer->expect('centrifuge.Publish' . $published->serializeToString()), '');
            $disconnect = new Api\Disconnect(['code' => 4501, 'reason' => 'bye']);
            $disconnected = new Api\DisconnectRequest(['user' => '42', 'disconnect' => $disconnect]);
            $peer->answer($peer->expect('centrifuge.Disconnect' . $disconnected->serializeToString()), '');
            $failed = new Api\PresenceStatsResponse(['error' => new Api\Error(['code' => 108, 'message' => 'not available'])]);
            $peer->answer($peer->receive(), $failed->serializeToString());
            $context = '{"message":"not available","log_attrs":[{"key":"code","value":"108"}]}';
            $peer->answer($peer->expect("app.WarningWithContext$context"), '{}');
            $lock = $peer->receive();
            if (preg_match('~^lock\.Lock\{"resource":"report","id":"\w{32}","ttl":60000000,"wait":500000\}$~', $lock->payload) !== 1) {
                throw new \RuntimeException($lock->payload);
            }
            $peer->answer($lock, '{"ok":true}');
        });
        putenv("RR_RPC=$rpc->address");
        $id = null;
        eval(self::block(''));
        self::assertSame(32, strlen((string) $id));
        $this->server?->finish();
    }

    public function testTheLockOfTheGuideEndsWithItsWorker(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $lock = $peer->receive();
            if (preg_match('~^lock\.Lock\{"resource":"report","id":"\w{32}","ttl":60000000,"pid":\d+\}$~', $lock->payload) !== 1) {
                throw new \RuntimeException($lock->payload);
            }
            $peer->answer($lock, '{"ok":true}');
        });
        $id = null;
        eval(self::blocks(self::LOCKS)[0]);
        self::assertSame(32, strlen((string) $id));
        $this->server?->finish();
    }

    public function testTheApplicationOfTheProjectsReadmeAnswers(): void
    {
        $worker = $this->start(str_replace('workers/php/autoload.php', 'vendor/autoload.php', self::blocks(self::ROOT . '/README.md')[0]));
        $connect = new Proxy\ConnectResponse();
        $connect->mergeFromString($worker->ask('connect', '')->payload);
        self::assertSame(['42', ['news']], [$connect->getResult()->getUser(), iterator_to_array($connect->getResult()->getChannels())]);
        self::assertSame('3', self::rpc($worker, 'sum', '[1,2]'));
    }

    /** One that is new needs a test, and a place here. */
    public function testEveryExampleOfTheGuidesIsRunByATest(): void
    {
        $known = [
            '/README.md' => ['<?php // app.php'],
            '/docs/guide/locks.md' => ['$id = $rpc->lock->lock(\'report\', ttl: 60, owner: \'worker\');'],
            '/docs/guide/php-frameworks.md' => ['<?php // routes/centrifugo.php', '<?php // config/bundles.php', '<?php // src/Centrifugo/Chat.php'],
            '/docs/guide/php.md' => [
                '<?php // app.php', '<?php // services.php', '<?php // test.php', '<?php // async.php', '<?php // streams.php', 'use Causeway\Rpc;',
            ],
            '/workers/php/README.md' => ['<?php // app.php'],
        ];
        $found = [];
        foreach (['/README.md', '/docs/*.md', '/docs/*/*.md', '/workers/*/README.md'] as $pattern) {
            foreach (glob(self::ROOT . $pattern) ?: [] as $page) {
                $first = array_map(static fn (string $block): string => strtok($block, "\n") ?: '', self::blocks($page));
                $found += $first === [] ? [] : [substr($page, strlen(self::ROOT)) => $first];
            }
        }
        ksort($found);
        self::assertSame($known, $found);
    }

    public function testEveryEventStandsInTheTableWithItsFields(): void
    {
        $common = self::members(Request::class);
        $rows = self::rows('~^\| .* \| `on~');
        self::assertCount(count(Event::cases()), $rows);
        foreach (Event::cases() as $number => $event) {
            [, $handler, $request, $result] = $rows[$number];
            self::assertSame(["on$event->name"], $handler);
            self::assertTrue(method_exists(App::class, $handler[0]));
            $request = preg_replace('~\(.*~', '', $request);
            self::assertSame(array_values(array_diff(self::members($event->requestClass()), $common)), $request, $event->value);
            $parameters = (new \ReflectionClass($event->resultClass()))->getConstructor()?->getParameters() ?? [];
            self::assertSame(array_map(static fn (\ReflectionParameter $one): string => $one->getName(), $parameters), $result, $event->value);
        }
        self::assertEqualsCanonicalizing($common, preg_replace('~\(.*~', '', self::documented('Field of requests')));
        $results = array_merge(...array_column($rows, 3));
        self::assertEqualsCanonicalizing(array_values(array_unique($results)), self::documented('Field of results'));
    }

    public function testEveryServiceStandsInTheTableWithItsMethods(): void
    {
        foreach (self::rows('~^\| `(centrifugo|informer|resetter|metrics|logger|lock|status|stream)` \| `~') as [[$service], $methods]) {
            $class = 'Causeway\\Rpc\\' . ($service === 'stream' ? 'Streams' : ucfirst($service));
            $documented = preg_grep('~^\w+(\(|$)~', $methods) ?: [];
            $expected = array_diff(get_class_methods($class), ['__construct']);
            self::assertEqualsCanonicalizing($expected, preg_replace('~\(.*~', '', $documented), $service);
        }
    }

    /**
     * Runs an application as a worker.
     *
     * @param array<string, string> $environment
     */
    private function start(string $code, array $environment = []): Supervisor
    {
        $this->write($code);

        return new Supervisor($this->script, 'pipes', [], $environment);
    }

    private function write(string $code): void
    {
        $this->script = (string) tempnam(sys_get_temp_dir(), 'causeway');
        $autoload = (string) realpath(__DIR__ . '/../autoload.php');
        file_put_contents($this->script, str_replace('vendor/autoload.php', $autoload, $code));
    }

    private static function rpc(Supervisor $worker, string $method, string $data): string
    {
        $request = new Proxy\RPCRequest(['method' => $method, 'user' => '42', 'data' => $data]);
        $answer = $worker->ask('rpc', $request->serializeToString());
        self::assertSame(0, $answer->flags & Frame::ERROR, $answer->payload);
        $response = new Proxy\RPCResponse();
        $response->mergeFromString($answer->payload);

        return $response->getResult()->getData();
    }

    /** The PHP code of a page that names its file like that; without a name, what is no file. */
    private static function block(string $file, string $page = self::GUIDE): string
    {
        $start = $file === '' ? 'use ' : "<?php // $file\n";
        $found = array_values(array_filter(self::blocks($page), static fn (string $block): bool => str_starts_with($block, $start)));
        self::assertCount(1, $found, $file);

        return $found[0];
    }

    /** @return list<string> the PHP code of a page */
    private static function blocks(string $page): array
    {
        preg_match_all('~^```php\n(.*?)^```~ms', (string) file_get_contents($page), $blocks);

        return $blocks[1];
    }

    /** @return list<string> the code in the first column of a table */
    private static function documented(string $title): array
    {
        $found = preg_match("~^\| $title \|.*\n.*\n((?:\|.*\n)+)~m", (string) file_get_contents(self::GUIDE), $table);
        self::assertSame(1, $found, $title);
        preg_match_all('~^\|([^|]+)~m', $table[1], $cells);
        preg_match_all('~`([^`]+)`~', implode('', $cells[1]), $code);

        return $code[1];
    }

    /** @return list<list<list<string>>> the code in each cell of the rows that match a pattern */
    private static function rows(string $pattern): array
    {
        $lines = preg_grep($pattern, (array) file(self::GUIDE, FILE_IGNORE_NEW_LINES)) ?: [];

        return array_map(static fn (string $line): array => array_map(static function (string $cell): array {
            preg_match_all('~`([^`]+)`~', $cell, $code);

            return $code[1];
        }, explode('|', substr($line, 1, -1))), array_values($lines));
    }

    /** @return list<string> public properties and methods of a request */
    private static function members(string $class): array
    {
        $reflection = new \ReflectionClass($class);
        $members = [...$reflection->getProperties(\ReflectionProperty::IS_PUBLIC), ...$reflection->getMethods(\ReflectionMethod::IS_PUBLIC)];
        $names = array_map(static fn (\ReflectionProperty|\ReflectionMethod $member): string => $member->getName(), $members);

        preg_match_all('~@property-read \S+(?:<.*>)? \$(\w+)~', (string) $reflection->getDocComment(), $lazy);

        return array_values(array_diff([...$names, ...$lazy[1]], ['__construct', '__get', '__isset']));
    }
}
