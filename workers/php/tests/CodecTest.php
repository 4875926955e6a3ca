<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Codec;
use Causeway\Codec\JsonCodec;
use Causeway\Codec\ProtoCodec;
use Causeway\Codec\Record;
use Causeway\Codec\Shapes;
use Causeway\Codec\Text;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Event\NotifyChannelStateRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SharedPollRefreshRequest;
use Causeway\Headers;
use Causeway\Payload;
use Causeway\Proto\Proxy;
use Causeway\Publication;
use Causeway\Raw;
use Causeway\Request;
use Causeway\Result;
use Causeway\Result\ConnectResult;
use Causeway\Result\MapPublishResult;
use Causeway\Result\PublishResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SharedPollRefreshResult;
use Causeway\Result\SubscribeResult;
use Google\Protobuf\Internal\Message;
use PHPUnit\Framework\TestCase;

/** Events and results are the same in protobuf and in JSON. */
final class CodecTest extends TestCase
{
    private const PROXY = 'Causeway\\Proto\\Proxy\\';

    public function testTheShapesAreThoseOfTheMessages(): void
    {
        foreach (Shapes::MESSAGES as $name => $fields) {
            $class = self::PROXY . $name;
            $message = new $class();
            $found = [];
            foreach ((new \ReflectionClass($class))->getProperties() as $property) {
                if ($property->getDeclaringClass()->getName() === $class) {
                    $found[$property->getName()] = self::kind((string) $property->getDocComment());
                }
            }
            ksort($found);
            ksort($fields);
            self::assertSame($found, $fields, $name);
            self::assertInstanceOf(Message::class, $message);
        }
        foreach (Event::cases() as $event) {
            self::assertArrayHasKey($event->requestMessage(), Shapes::MESSAGES);
            self::assertArrayHasKey($event->resultMessage(), Shapes::MESSAGES);
        }
    }

    /** @return iterable<string, array{array{type: string, protobuf: string, json: string}}> */
    public static function requests(): iterable
    {
        $text = (string) file_get_contents(__DIR__ . '/../../../tests/vectors/centrifugo-http-proxy.json');
        foreach (json_decode($text, true, flags: JSON_THROW_ON_ERROR)['requests'] as $number => $vector) {
            // Centrifugo itself refuses data that are not JSON.
            if (isset($vector['json'])) {
                yield "{$vector['type']} $number" => [$vector];
            }
        }
    }

    /**
     * @dataProvider requests
     * @param array{type: string, protobuf: string, json: string} $vector
     */
    public function testARequestOfCentrifugosHttpProxyIsTheSameEvent(array $vector): void
    {
        $event = Event::from($vector['type']);
        $proto = self::request($event, (string) base64_decode($vector['protobuf']), new ProtoCodec());
        $json = self::request($event, $vector['json'], new JsonCodec());
        // Centrifugo leaves out spaces of data, and escapes some characters.
        self::assertSame(['data' => null] + self::seen($proto), ['data' => null] + self::seen($json));
        self::assertSame($proto->data === '' || str_contains($vector['json'], 'b64data') ? $proto->data : json_encode($proto->json()), $json->data === '' || str_contains($vector['json'], 'b64data') ? $json->data : json_encode($json->json()));
    }

    /** @return iterable<string, array{Event, Result|Error|Disconnect|null}> */
    public static function answers(): iterable
    {
        foreach (Event::cases() as $event) {
            $class = $event->resultClass();
            yield "empty $event->value" => [$event, new $class()];
            yield "none for $event->value" => [$event, null];
            if ($event->takesError()) {
                yield "error for $event->value" => [$event, new Error(403, "no \u{1F6AB} \"way\"", true)];
            }
            if ($event->takesDisconnect()) {
                yield "disconnect for $event->value" => [$event, new Disconnect(4999, '')];
            }
        }
        $filter = ['op' => 'and', 'nodes' => [['key' => 'k', 'cmp' => 'in', 'vals' => ['1', '2']], ['key' => 'x']]];
        yield 'connect' => [Event::Connect, new ConnectResult(
            user: '0',
            data: ['a' => 1.0, 'b' => new \stdClass(), 'c' => [], 'd' => "\u{2028}/<ä>"],
            channels: ['news', '', 'a'],
            expireAt: PHP_INT_MAX,
            info: 0,
            meta: false,
            labels: ['0' => 'zero', '1' => 'one'],
            subs: [
                'plain' => [],
                'full' => [
                    'expire_at' => 7,
                    'info' => ['i' => null],
                    'data' => [1],
                    'override' => ['presence' => ['value' => true], 'join_leave' => ['value' => false]],
                    'server_tags_filter' => $filter,
                    'cache_recover' => true,
                ],
                'message' => new Proxy\SubscribeOptions(['data' => '{"m":1}', 'override' => new Proxy\SubscribeOptionOverride()]),
                'raw' => ['data' => new Raw("\xff\x00"), 'b64info' => 'AP8='],
            ],
            caps: [['channels' => ['a'], 'allow' => ['sub'], 'match' => 'wildcard'], new Proxy\ChannelsCapability(['allow' => ['pub']])],
        )];
        yield 'raw' => [Event::MapPublish, new MapPublishResult(data: new Raw('{ "a" : 1.50 }'), streamData: new Raw("\xff"), score: PHP_INT_MIN)];
        yield 'publish' => [Event::Publish, new PublishResult(data: null, skipHistory: true, tags: ['a' => 'b'], version: 3, versionEpoch: 'e')];
        yield 'subscribe' => [Event::Subscribe, new SubscribeResult(
            allow: ['pub'],
            override: ['force_recovery' => ['value' => true]],
            serverTagsFilter: new Proxy\FilterNode(['op' => 'or', 'nodes' => [new Proxy\FilterNode(['vals' => ['1']])]]),
        )];
        yield 'poll' => [Event::SharedPollRefresh, new SharedPollRefreshResult(epoch: 'e', items: [
            ['key' => 'a', 'data' => [1], 'version' => PHP_INT_MAX, 'prev_data' => new Raw('"p"')],
            new Proxy\SharedPollRefreshResultItem(['key' => 'b', 'removed' => true]),
        ])];
        yield 'no data' => [Event::Rpc, new RpcResult(new Raw(''))];
    }

    /** @dataProvider answers */
    public function testAnAnswerMeansTheSameInBothCodecs(Event $event, Result|Error|Disconnect|null $answer): void
    {
        $class = self::PROXY . substr($event->resultMessage(), 0, -strlen('Result')) . 'Response';
        $proto = new $class();
        $proto->mergeFromString((new ProtoCodec())->answer($event, $answer));
        $json = Text::members((new JsonCodec())->answer($event, $answer));
        self::assertCount(1, $json);
        $name = (string) array_key_first($json);
        $message = $proto->{"get$name"}();
        self::assertNotNull($message);
        $shape = $name === 'result' ? $event->resultMessage() : ucfirst($name);
        self::assertSame(self::proto($shape, $message), self::json($shape, $json[$name]));
    }

    public function testMessagesOfStreamsMeanTheSameInBothCodecs(): void
    {
        [$proto, $json] = [new ProtoCodec(), new JsonCodec()];
        $opened = new Proxy\StreamSubscribeResponse();
        $opened->mergeFromString($proto->opening($proto->answer(Event::SubscribeUnidirectional, new SubscribeResult(data: [1]))));
        self::assertSame('[1]', $opened->getSubscribeResponse()->getResult()->getData());
        self::assertSame(
            '{"subscribe_response":{"result":{"data":[1]}}}',
            $json->opening($json->answer(Event::SubscribeUnidirectional, new SubscribeResult(data: [1]))),
        );
        $opened->mergeFromString($proto->opening($proto->answer(Event::SubscribeUnidirectional, null)));
        self::assertTrue($opened->hasSubscribeResponse());
        $published = new Proxy\StreamSubscribeResponse();
        $published->mergeFromString($proto->publication(new Publication(['a' => 1], ['t' => 'x'])));
        self::assertSame('{"a":1}', $published->getPublication()->getData());
        self::assertSame('x', $published->getPublication()->getTags()['t']);
        self::assertSame('{"publication":{"data":{"a":1},"tags":{"t":"x"}}}', $json->publication(new Publication(['a' => 1], ['t' => 'x'])));
        self::assertSame('{"publication":{"b64data":"/w=="}}', $json->publication(new Publication(new Raw("\xff"))));
    }

    public function testDataArriveByteByByteWhateverIsAroundThem(): void
    {
        $texts = [
            '{}', '[]', '""', '0', '-1.50e+10', 'null', 'true', '{"a":1.0,"b":{},"c":[ ]}', " {\n\"data\" : \"}\" }", '"\\"}]\\\\"', '[[],[{"a":"{["}]]',
            '12345678901234567890', '"\\ud83d\\ude00<>&\\u2028"', '{"":{"":[]}}', str_repeat('[', 490) . str_repeat(']', 490),
        ];
        $around = [
            ['{"method":"m","data":', '}'], ['{"data":', ',"meta":{"data":[1]},"labels":{"}":"]"}}'], ['{"user":"\\"data\\":1","method":"{","data":', "}"],
            ['{"method":"m", "data" : ', " ,\"meta\":{}\n}"], [" {\"data\":", '}'], ['{"unknown":{"data":[2]},"data":', '}'],
        ];
        foreach ($texts as $text) {
            foreach ($around as [$before, $after]) {
                $request = self::request(Event::Rpc, $before . $text . $after, new JsonCodec());
                self::assertSame(trim($text), $request->data, $before);
                self::assertSame(json_decode($text, true), $request->json());
            }
        }
    }

    public function testDataThatCannotBeDecodedMatterOnlyToAHandlerThatDecodesThem(): void
    {
        $deep = str_repeat('[', 600) . str_repeat(']', 600);
        foreach ([$deep => 'Maximum stack depth exceeded', "\"\xff\"" => 'Malformed UTF-8 characters, possibly incorrectly encoded'] as $data => $error) {
            $request = self::request(Event::Rpc, "{\"user\":\"42\",\"data\":$data,\"method\":\"m\"}", new JsonCodec());
            self::assertSame(['42', 'm', $data], [$request->user, $request->method, $request->data]);
            try {
                $request->json();
                self::fail('it was decoded');
            } catch (\JsonException $exception) {
                self::assertStringContainsString($error, $exception->getMessage());
            }
        }
    }

    public function testBinaryDataAreBase64(): void
    {
        $request = self::request(Event::Rpc, '{"user":"","method":"m","b64data":"AP8=","b64meta":"fQ=="}', new JsonCodec());
        self::assertSame("\x00\xff", $request->data);
        self::assertTrue(isset($request->data));
        $this->expectException(\JsonException::class);
        $request->meta();
    }

    public function testWhatIsNoJsonObjectIsAnError(): void
    {
        foreach (['[]', '[1]', '1', 'null', '{"a":1', '{"a" 1}', '{"a":[1}', '{"user":', 'nonsense', '{"user":[}'] as $body) {
            try {
                self::request(Event::Rpc, $body, new JsonCodec());
                self::fail("$body was accepted");
            } catch (\UnexpectedValueException $error) {
                self::assertNotSame('', $error->getMessage());
            }
        }
    }

    /** @return iterable<string, array{Event, Result|Error, string}> */
    public static function mistakes(): iterable
    {
        yield 'type' => [Event::Connect, new ConnectResult(channels: [[]]), 'channels: expected string, found array'];
        yield 'list' => [Event::Connect, new ConnectResult(subs: ['a' => 'x']), 'subs: expected an array or a SubscribeOptions, found string'];
        yield 'field' => [Event::Connect, new ConnectResult(subs: ['a' => ['dat' => 1]]), 'subs: dat: SubscribeOptions has no such field'];
        yield 'message' => [
            Event::Subscribe,
            new SubscribeResult(override: ['presence' => new Proxy\FilterNode()]),
            'override: presence: expected an array or a BoolValue, found Causeway\Proto\Proxy\FilterNode',
        ];
        yield 'range' => [Event::Publish, new PublishResult(version: -1), 'version: expected uint64, found -1'];
        yield 'code' => [Event::Rpc, new Error(-1, 'x'), 'code: expected uint32, found -1'];
        yield 'text' => [Event::Rpc, new Error(1, "\xff"), 'message: Malformed UTF-8'];
        yield 'key' => [Event::Publish, new PublishResult(tags: ["\xff" => 'x']), 'tags: Malformed UTF-8'];
        yield 'data' => [Event::Rpc, new RpcResult(NAN), 'data: Inf and NaN cannot be JSON encoded'];
    }

    /** @dataProvider mistakes */
    public function testAMistakeIsNamed(Event $event, Result|Error $answer, string $message): void
    {
        $this->expectExceptionMessage($message);
        (new JsonCodec())->answer($event, $answer);
    }

    public function testNestedMessagesOfRequestsHaveTheSameGetters(): void
    {
        $request = self::request(Event::SharedPollRefresh, '{"channel":"c","items":[{"key":"k","version":7},{}]}', new JsonCodec());
        self::assertInstanceOf(SharedPollRefreshRequest::class, $request);
        self::assertSame(['k', 7, '', 0], [
            $request->items[0]->getKey(), $request->items[0]->getVersion(), $request->items[1]->getKey(), $request->items[1]->getVersion(),
        ]);
        $request = self::request(Event::NotifyChannelState, '{"events":[{"time_ms":1,"channel":"c","type":"occupied"}]}', new JsonCodec());
        self::assertInstanceOf(NotifyChannelStateRequest::class, $request);
        self::assertSame([1, 'c', 'occupied'], [
            $request->events[0]->getTimeMs(), $request->events[0]->getChannel(), $request->events[0]->getType(),
        ]);
        self::assertInstanceOf(Record::class, $request->message);
        $options = Record::decode('SubscribeOptions', '{"override":{"presence":{"value":true}},"data":{"a":1},"server_tags_filter":{"vals":["x"]}}');
        self::assertSame([true, true, false, '{"a":1}', ['x'], false, null], [
            $options->hasOverride(), $options->getOverride()->getPresence()->getValue(), $options->hasB64info(), $options->getData(),
            $options->getServerTagsFilter()->getVals(), $options->getCacheRecover(), $options->getOverride()->getJoinLeave(),
        ]);
        $this->expectExceptionMessage('SubscribeOptions has no method getNothing()');
        $options->getNothing();
    }

    public function testTheCodecIsChosenByWhatTheServerOffers(): void
    {
        $default = extension_loaded('protobuf') ? 'proto' : 'json';
        try {
            foreach (['' => 'proto', 'proto' => 'proto', 'proto,json' => $default] as $offered => $chosen) {
                putenv("CAUSEWAY_CODECS=$offered");
                self::assertSame($chosen, Codec::choose()::NAME);
                self::assertSame('proto', Codec::choose('proto')::NAME);
            }
            self::assertSame('json', Codec::choose('json')::NAME);
        } finally {
            putenv('CAUSEWAY_CODECS');
        }
        foreach (['json' => 'this server does not offer the codec "json"', 'xml' => 'expected the codec "proto" or "json", found "xml"'] as $codec => $message) {
            try {
                Codec::choose($codec);
                self::fail('it was chosen');
            } catch (\LogicException $error) {
                self::assertSame($message, $error->getMessage());
            }
        }
    }

    private static function request(Event $event, string $body, Codec $codec): Request
    {
        $class = $event->requestClass();

        return new $class($codec->decode($event->requestMessage(), $body), new Headers([]), $codec, new Payload('', $body));
    }

    /** @return array<string, mixed> everything that a handler can see, but for the message */
    private static function seen(Request $request): array
    {
        $seen = ['data' => $request->data, 'labels' => $request->labels()];
        foreach (['json', 'meta'] as $method) {
            try {
                $seen[$method] = $request->$method();
            } catch (\JsonException) {
                $seen[$method] = 'not JSON';
            }
        }
        ksort($seen['labels']);
        foreach ((new \ReflectionClass($request))->getProperties(\ReflectionProperty::IS_PUBLIC) as $property) {
            $value = $property->getValue($request);
            if (is_array($value)) {
                $value = array_map(static fn (mixed $one): mixed => match (true) {
                    !is_object($one) => $one,
                    method_exists($one, 'getTimeMs') || $request instanceof NotifyChannelStateRequest => [(int) $one->getTimeMs(), $one->getChannel(), $one->getType()],
                    default => [$one->getKey(), (int) $one->getVersion()],
                }, $value);
            }
            if (!is_object($value)) {
                $seen[$property->getName()] = $value;
            }
        }

        return $seen;
    }

    /** The kind of a field, as the generated code describes it. */
    private static function kind(string $comment): string|array
    {
        self::assertSame(1, preg_match('~<code>(repeated |)(map<string, (\S+)>|\S+) \w+ = ~', $comment, $parts), $comment);
        $name = static fn (string $type): string => ltrim((string) strrchr(".$type", '.'), '.');

        return match (true) {
            isset($parts[3]) && $parts[3] !== '' => ['string' => $name($parts[3])],
            $parts[1] !== '' => [$name($parts[2])],
            default => $name($parts[2]),
        };
    }

    /** @return array<string, mixed> the fields of a message that are set */
    private static function proto(string $name, Message $message): array
    {
        $fields = [];
        foreach (Shapes::MESSAGES[$name] as $field => $kind) {
            $value = $message->{'get' . str_replace('_', '', $field)}();
            $of = is_array($kind) ? reset($kind) : $kind;
            $one = static fn (mixed $value): mixed => isset(Shapes::MESSAGES[$of]) ? self::proto($of, $value) : self::plain($value);
            $value = is_array($kind) ? array_map($one, iterator_to_array($value)) : ($value === null ? null : $one($value));
            if (str_starts_with($field, 'b64') && $value !== '') {
                [$field, $value] = [substr($field, 3), base64_decode($value)];
            }
            if ($value !== null && $value !== '' && $value !== 0 && $value !== false && ($value !== [] || (is_string($kind) && isset(Shapes::MESSAGES[$kind])))) {
                $fields[$field] = $value;
            }
        }
        ksort($fields);
        foreach (['labels', 'tags', 'subs'] as $map) {
            if (isset($fields[$map])) {
                ksort($fields[$map]);
            }
        }

        return $fields;
    }

    /** @return array<string, mixed> the same of a message in JSON */
    private static function json(string $name, string $text): array
    {
        json_decode($text, flags: JSON_THROW_ON_ERROR);
        $fields = [];
        foreach (Text::members($text) as $field => $value) {
            $isBinary = str_starts_with($field, 'b64');
            $field = $isBinary ? substr($field, 3) : $field;
            $kind = Shapes::MESSAGES[$name][$field];
            $of = is_array($kind) ? reset($kind) : $kind;
            $one = static fn (string $value): mixed => isset(Shapes::MESSAGES[$of]) ? self::json($of, $value) : json_decode($value, true);
            $fields[$field] = match (true) {
                $isBinary => base64_decode(json_decode($value)),
                $kind === 'bytes' => $value,
                !is_array($kind) => $one($value),
                is_string(key($kind)) => array_map($one, Text::members($value)),
                default => array_map(static fn (mixed $item): mixed => $one((string) json_encode($item)), json_decode($value)),
            };
        }
        ksort($fields);
        foreach (['labels', 'tags', 'subs'] as $map) {
            if (isset($fields[$map])) {
                ksort($fields[$map]);
            }
        }

        return $fields;
    }

    private static function plain(mixed $value): mixed
    {
        return is_string($value) && preg_match('~^-?\d{10,}$~', $value) === 1 ? (int) $value : $value;
    }
}
