<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Event\RpcRequest;
use Causeway\Pattern;
use Causeway\Result\RpcResult;
use Causeway\Testing\TestClient;
use Causeway\WorkerException;
use PHPUnit\Framework\TestCase;

final class PatternTest extends TestCase
{
    /** @return iterable<array{string, list<string>, list<string>}> a pattern, what it matches, and what not */
    public static function patterns(): iterable
    {
        yield ['users.*', ['users.', 'users.get', 'users.a.b:c/d', "users.\n"], ['users', 'xusers.get', 'Users.get']];
        yield ['*:news', [':news', 'a:news', 'a:b:news'], ['news', ':news2']];
        yield ['a?c', ['abc', 'aüc', 'a?c'], ['ac', 'abbc']];
        yield ['a**b', ['ab', 'axxb'], ['a']];
        yield ['a\\*?', ['a*x'], ['axx', 'a*']];
        yield ['(.+)~$*', ['(.+)~$', '(.+)~$x'], ['x']];
        yield ['*', ['', 'x', 'ü'], []];
    }

    /**
     * @dataProvider patterns
     * @param list<string> $matching
     * @param list<string> $others
     */
    public function testAPatternMatchesWholeSubjects(string $text, array $matching, array $others): void
    {
        $pattern = new Pattern($text);
        self::assertNull($pattern->literal);
        self::assertSame($matching, array_values(array_filter([...$matching, ...$others], $pattern->matches(...))));
    }

    public function testAPatternWithoutWildcardsIsAName(): void
    {
        self::assertSame('users.get', (new Pattern('users.get'))->literal);
        self::assertSame('a*\\b', (new Pattern('a\\*\\\\b'))->literal);
    }

    public function testAnEmptyOrUnfinishedPatternIsRefused(): void
    {
        foreach (['', 'a\\', "\xff"] as $text) {
            try {
                new Pattern($text);
                self::fail('it was accepted');
            } catch (\LogicException $error) {
                self::assertSame("expected a pattern such as \"chat:*\", found \"$text\"", $error->getMessage());
            }
        }
    }

    public function testAClientCannotMakeAPatternSearchForLong(): void
    {
        $pattern = new Pattern('*a*a*a*a*?a*a*b');
        self::assertFalse($pattern->matches(str_repeat('a', 50_000)));
        self::assertTrue($pattern->matches(str_repeat('a', 50_000) . 'b'));
    }

    public function testWhatCannotBeMatchedIsAnErrorAndNotForAnotherHandler(): void
    {
        $this->expectException(WorkerException::class);
        $this->expectExceptionMessage('cannot match the pattern "a*": ');
        (new Pattern('a*'))->matches("a\xff");
    }

    public function testPatternsThatMatchTheSameAreTheSame(): void
    {
        foreach ([['a**b', 'a*b'], ['\\a*', 'a*'], ['**', '*']] as [$one, $other]) {
            try {
                (new App())->onRpc($one, fn () => null)->onRpc($other, fn () => null);
                self::fail('it was registered');
            } catch (\LogicException $error) {
                self::assertStringContainsString(' has a handler already: ', $error->getMessage());
            }
        }
    }

    public function testTheMostSpecificPatternWinsInWhateverOrderTheyAreRegistered(): void
    {
        $patterns = ['users.get', 'users.get*', 'users.?et', 'users.*', 'users*', '*.get', '*?', '*'];
        $expected = [
            'users.get' => 'users.get',
            'users.gets' => 'users.get*',
            'users.set' => 'users.?et',
            'users.x' => 'users.*',
            'users' => 'users*',
            'x.get' => '*.get',
            'y' => '*?',
            '' => '*',
        ];
        mt_srand(3);
        for ($round = 0; $round < 20; ++$round) {
            shuffle($patterns);
            $app = new App();
            foreach ($patterns as $pattern) {
                $app->onRpc($pattern, fn () => new RpcResult($pattern));
            }
            $client = new TestClient($app);
            foreach ($expected as $method => $pattern) {
                self::assertSame($pattern, $client->rpc((string) $method)->data, (string) $method);
            }
        }
    }

    public function testEquallySpecificPatternsAreTakenInOrderOfRegistration(): void
    {
        foreach ([['a*', '*b'], ['*b', 'a*']] as $patterns) {
            $app = new App();
            foreach ($patterns as $pattern) {
                $app->onRpc($pattern, fn () => new RpcResult($pattern));
            }
            self::assertSame($patterns[0], (new TestClient($app))->rpc('ab')->data);
        }
    }

    public function testHandlersAreFoundWhateverNamesClientsMakeUp(): void
    {
        $app = (new App())->onRpc('a*', fn (RpcRequest $request) => new RpcResult("a $request->method"));
        $client = new TestClient($app);
        for ($number = 0; $number < 2500; ++$number) {
            self::assertSame("a a$number", $client->rpc("a$number")->data);
        }
        $long = str_repeat('a', 300);
        self::assertSame("a $long", $client->rpc($long)->data);
        $app->onRpc('a1*', fn () => new RpcResult('new'));
        self::assertSame(['new', 'a a2'], [$client->rpc('a1')->data, $client->rpc('a2')->data]);
    }
}
