<?php

declare(strict_types=1);

namespace Causeway\Worker\Tests;

use Causeway\Proto\Proxy;
use Causeway\Worker\Event;
use Causeway\Worker\Headers;
use Causeway\Worker\Payload;
use Causeway\Worker\Raw;
use Causeway\Worker\Request;
use Causeway\Worker\Result;
use Causeway\Worker\Worker;
use Google\Protobuf\Internal\Message;
use PHPUnit\Framework\TestCase;

/** What is read and written without Google's library is what the library reads and writes. */
final class SchemaTest extends TestCase
{
    /** @return iterable<string, array{Event, Message}> */
    public static function requests(): iterable
    {
        $all = [
            'client' => 'c', 'transport' => 'websocket', 'protocol' => 'json', 'encoding' => 'json', 'user' => 'jürgen', 'channel' => 'news',
            'method' => 'm', 'token' => 't', 'key' => 'k', 'name' => 'js', 'version' => '1', 'data' => str_repeat("\xFF", 300), 'meta' => '{"a":1}',
        ];
        foreach (Event::cases() as $event) {
            $new = static fn (): Message => new ('Causeway\Proto\Proxy\\' . ($event === Event::Rpc ? 'RPC' : $event->name) . 'Request')();
            $known = static fn (string $field): bool => method_exists($new(), "set$field");
            $fill = static function (array $values) use ($new, $known): Message {
                $message = $new();
                foreach (array_filter($values, $known, ARRAY_FILTER_USE_KEY) as $field => $value) {
                    $message->{"set$field"}($value);
                }

                return $message;
            };
            yield "$event->value, empty" => [$event, $new()];
            yield "$event->value, texts" => [$event, $fill($all)];
            yield "$event->value, base64" => [$event, $fill(['b64data' => base64_encode("\0\1"), 'data' => 'x'])];
            yield "$event->value, more than texts" => [$event, $fill($all + [
                'labels' => ['a' => 'b'],
                'channels' => ['x', 'y'],
                'events' => [new Proxy\ChannelEvent(['channel' => 'x', 'time_ms' => 7])],
                'items' => [new Proxy\SharedPollRefreshItem(['key' => 'x', 'version' => 7])],
            ])];
        }
    }

    /** @dataProvider requests */
    public function testARequestSaysWhatItsMessageSays(Event $event, Message $message): void
    {
        $bytes = $message->serializeToString();
        $headers = new Headers([]);
        $request = $event->request($bytes, $headers);
        $expected = new ($request::class)($message, $headers);
        self::assertSame(self::properties($expected), self::properties($request));
        self::assertSame($expected->labels(), $request->labels());
        self::assertSame($expected->meta(), $request->meta());
        self::assertTrue(isset($request->message));
        self::assertSame($bytes, $request->message->serializeToString());
        self::assertSame($request->message, $request->message);
    }

    /** @dataProvider requests */
    public function testABrokenRequestIsRefusedAsTheLibraryRefusesIt(Event $event, Message $message): void
    {
        $bytes = $message->serializeToString();
        $broken = ["\x0A\x01\xFF", "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", "\x0A\xFF\xFF\xFF\xFF\x0F", "\x0A\x80", "\xFF", "\x08\x01", "\0", $bytes . "\xFA\x3F\x01x"];
        for ($cut = 0; $cut < min(strlen($bytes), 400); ++$cut) {
            $broken[] = substr($bytes, 0, $cut);
        }
        foreach ($broken as $case) {
            $library = self::outcome(static function () use ($message, $case): string {
                $read = new $message();
                $read->mergeFromString($case);

                return $read->serializeToString();
            });
            self::assertSame($library, self::outcome(static fn (): string => $event->request($case, new Headers([]))->message->serializeToString()));
        }
    }

    /** @return iterable<string, array{Event, Result|null}> */
    public static function results(): iterable
    {
        yield 'nothing' => [Event::Refresh, null];
        yield 'connect, empty' => [Event::Connect, new Result\ConnectResult()];
        yield 'connect, plain' => [Event::Connect, new Result\ConnectResult('jürgen', ['a' => 0], ['x', 'y'], 1 << 40, 0, false)];
        yield 'connect, labels' => [Event::Connect, new Result\ConnectResult('0', labels: ['a' => 'b'])];
        yield 'connect, subs' => [Event::Connect, new Result\ConnectResult(subs: ['x' => new Proxy\SubscribeOptions(['expire_at' => 7])])];
        yield 'refresh' => [Event::Refresh, new Result\RefreshResult(127, true, '', new Raw("\xFF"))];
        yield 'refresh, negative' => [Event::Refresh, new Result\RefreshResult(-5)];
        yield 'subscribe' => [Event::Subscribe, new Result\SubscribeResult(null, 'i', 128, ['pub'])];
        yield 'publish' => [Event::Publish, new Result\PublishResult(new Raw(str_repeat('x', 70_000)), true)];
        yield 'publish, tags' => [Event::Publish, new Result\PublishResult(1, false, ['a' => 'b'])];
        yield 'rpc' => [Event::Rpc, new Result\RpcResult([])];
        yield 'rpc, empty bytes' => [Event::Rpc, new Result\RpcResult(new Raw(''))];
        yield 'sub_refresh' => [Event::SubRefresh, new Result\SubRefreshResult(1, true)];
        yield 'notify_cache_empty' => [Event::NotifyCacheEmpty, new Result\NotifyCacheEmptyResult(true)];
        yield 'notify_channel_state' => [Event::NotifyChannelState, new Result\NotifyChannelStateResult()];
        yield 'map_publish' => [Event::MapPublish, new Result\MapPublishResult('k', 1, ['a' => 'b'], -5)];
        yield 'map_remove' => [Event::MapRemove, new Result\MapRemoveResult('k')];
        $item = new Proxy\SharedPollRefreshResultItem(['key' => 'k', 'version' => 1]);
        yield 'shared_poll_refresh' => [Event::SharedPollRefresh, new Result\SharedPollRefreshResult([$item], 'e')];
    }

    /** @dataProvider results */
    public function testAResultIsAnsweredAsTheLibraryWritesIt(Event $event, ?Result $result): void
    {
        $message = $event->result();
        $result?->fill($message);
        $expected = $event->response();
        $expected->setResult($message);
        $answer = (new Worker())->on($event, static fn (): ?Result => $result)->answer(new Payload("{\"type\":[\"$event->value\"]}", ''));
        $found = $event->response();
        $found->mergeFromString($answer);
        self::assertSame($expected->serializeToString(), $found->serializeToString());
    }

    public function testAResultThatIsNotUtf8IsAnError(): void
    {
        $this->expectExceptionMessage('utf-8');
        (new Result\ConnectResult("\xFF"))->encode(Event::Connect);
    }

    public function testARequestHasNoPropertyThatNobodyDeclared(): void
    {
        $request = Event::Rpc->request('', new Headers([]));
        self::assertFalse(isset($request->nonsense));
        self::assertNull(@$request->nonsense);
        self::assertSame('Undefined property: Causeway\Worker\Event\RpcRequest::$nonsense', error_get_last()['message'] ?? '');
    }

    /** @return array<string, mixed> the plain ones of what a request shows */
    private static function properties(Request $request): array
    {
        $shown = get_object_vars($request);
        unset($shown['message'], $shown['headers']);

        return array_map(static fn (mixed $value): mixed => is_array($value) ? array_map(self::plain(...), $value) : $value, $shown);
    }

    private static function plain(mixed $value): mixed
    {
        return $value instanceof Message ? $value->serializeToString() : $value;
    }

    /** @param callable(): string $try */
    private static function outcome(callable $try): string
    {
        try {
            return $try();
        } catch (\Exception $error) {
            return $error::class . ': ' . $error->getMessage();
        }
    }
}
