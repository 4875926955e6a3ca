<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Proto\Api;
use Causeway\Raw;
use Causeway\Rpc;
use Causeway\Rpc\ApiException;
use Causeway\Rpc\Centrifugo;
use Causeway\Rpc\GrpcException;
use Causeway\Rpc\PluginStatus;
use Causeway\Rpc\RpcException;
use Causeway\Rpc\ServerException;
use Causeway\Rpc\WorkerState;
use Google\Protobuf\Internal\Message;

/**
 * The services against every recorded exchange.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
final class RpcExchangesTest extends RpcTestCase
{
    /** @return iterable<string, array{string, callable(Rpc): mixed, mixed}> the calls that cause the recorded exchanges, and their results */
    public static function exchanges(): iterable
    {
        $calls = self::server() + self::centrifugo();
        foreach (array_keys(Peer::vectors()) as $name) {
            yield $name => [$name, ...$calls[$name]];
        }
    }

    /** @return array<string, array{callable(Rpc): mixed, mixed}> */
    private static function server(): array
    {
        $states = [
            new WorkerState(29013, 'ready', 0, 1795449638375621835, 14614528, 2.026431866726191, ''),
            new WorkerState(29012, 'ready', 0, 1795449638375204727, 14831616, 2.0262394058646764, ''),
        ];
        $noPlugin = "resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope";
        $noMetric = 'metrics_plugin_add: undefined collector facts_nope, try first Declare the desired collector';
        $noObjectives = 'json: cannot unmarshal object into Go struct field Collector.Objectives of type float64';

        return [
            'informer.List [JSON]' => [fn (Rpc $rpc) => $rpc->informer->list(), ['centrifuge']],
            'informer.Workers centrifuge [JSON]' => [fn (Rpc $rpc) => $rpc->informer->workers(), $states],
            'informer.Workers unknown plugin [JSON]' => [fn (Rpc $rpc) => $rpc->informer->workers('nope'), []],
            'informer.AddWorker [JSON]' => [fn (Rpc $rpc) => $rpc->informer->addWorker(), null],
            'informer.RemoveWorker last [JSON]' => [fn (Rpc $rpc) => $rpc->informer->removeWorker(), null],
            'informer.AddWorker unknown plugin [JSON]' => [
                fn (Rpc $rpc) => $rpc->informer->addWorker('nope'),
                new ServerException('plugin nope does not support workers management'),
            ],
            'resetter.List [JSON]' => [fn (Rpc $rpc) => $rpc->resetter->list(), ['centrifuge']],
            'resetter.Reset centrifuge [JSON]' => [fn (Rpc $rpc) => $rpc->resetter->reset(), null],
            'resetter.Reset unknown plugin [JSON]' => [fn (Rpc $rpc) => $rpc->resetter->reset('nope'), new ServerException($noPlugin)],
            'rpc.Version [JSON]' => [fn (Rpc $rpc) => $rpc->version(), '3'],
            'metrics.Declare counter [JSON]' => [
                fn (Rpc $rpc) => $rpc->metrics->declare('facts_c', 'counter', 'help of facts_c'),
                null,
            ],
            'metrics.Declare counter with labels [JSON]' => [
                fn (Rpc $rpc) => $rpc->metrics->declare('facts_cl', 'counter', 'help of facts_cl', ['a', 'b'], namespace: 'app', subsystem: 'sub'),
                null,
            ],
            'metrics.Declare histogram [JSON]' => [
                fn (Rpc $rpc) => $rpc->metrics->declare('facts_h', 'histogram', 'help of facts_h', buckets: [0.1, 0.5, 1]),
                null,
            ],
            'metrics.Declare summary with labels [JSON]' => [
                fn (Rpc $rpc) => $rpc->metrics->declare('facts_sl', 'summary', 'help of facts_sl', ['k'], objectives: ['0.5' => 0.05, '0.9' => 0.01]),
                new ServerException($noObjectives),
            ],
            'metrics.Add facts_cl [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->add('facts_cl', 2.5, ['x', 'y']), null],
            'metrics.Sub facts_g [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->sub('facts_g', 2.5), null],
            'metrics.Set facts_gl [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->set('facts_gl', 2.5, ['x']), null],
            'metrics.Observe facts_h [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->observe('facts_h', 2.5), null],
            'metrics.Add unknown name [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->add('facts_nope', 1), new ServerException($noMetric)],
            'metrics.Unregister [JSON]' => [fn (Rpc $rpc) => $rpc->metrics->unregister('facts_gl'), null],
            'app.Error [JSON]' => [fn (Rpc $rpc) => $rpc->logger->error('hello from app'), null],
            'app.Warning [JSON]' => [fn (Rpc $rpc) => $rpc->logger->warning('hello from app'), null],
            'app.Info [JSON]' => [fn (Rpc $rpc) => $rpc->logger->info('hello from app'), null],
            'app.Debug [JSON]' => [fn (Rpc $rpc) => $rpc->logger->debug('hello from app'), null],
            'app.Log [JSON]' => [fn (Rpc $rpc) => $rpc->logger->log("hello from app\n"), null],
            'app.InfoWithContext [JSON]' => [fn (Rpc $rpc) => $rpc->logger->info('m', ['a' => 'b']), null],
            'lock.Lock [JSON]' => [fn (Rpc $rpc) => $rpc->lock->lock('r5', id: 'a'), 'a'],
            'status.Status centrifuge [JSON]' => [fn (Rpc $rpc) => $rpc->status->status(), new PluginStatus(200, '')],
            'status.Ready centrifuge [JSON]' => [fn (Rpc $rpc) => $rpc->status->ready(), new PluginStatus(200, '')],
            'unknown service [JSON]' => [
                fn (Rpc $rpc) => $rpc->call('nope.Do', 'x'),
                new ServerException("rpc: can't find service nope.Do"),
            ],
        ];
    }

    /** @return array<string, array{callable(Rpc): mixed, mixed}> */
    private static function centrifugo(): array
    {
        $down = 'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:59649: connect: connection refused"';
        $third = new Api\PublishResponse(['result' => new Api\PublishResult(['offset' => 3, 'epoch' => 'czCaNMVq'])]);
        $first = new Api\PublishResponse(['result' => new Api\PublishResult(['offset' => 1, 'epoch' => 'CLZcJmZq'])]);
        $client = '5f9b6346-bff5-48a2-ac88-12b06b6c0943';
        $api = static fn (callable $call): callable => static fn (Rpc $rpc) => $call($rpc->centrifugo);

        return [
            'centrifuge.Publish while no Centrifugo listens [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->publish('facts', ['n' => 1])),
                new GrpcException('Unavailable', $down),
            ],
            'centrifuge.Publish [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->publish('facts', new Raw('{"n":1}'))),
                new Api\PublishResult(['offset' => 1, 'epoch' => 'czCaNMVq']),
            ],
            'centrifuge.Publish unknown namespace [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->publish('zz:facts', new \stdClass())),
                new ApiException('unknown channel', 102),
            ],
            'centrifuge.Publish with tags and idempotency key [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->publish('facts', ['n' => 2], tags: ['k' => 'v'], idempotencyKey: 'i1')),
                new Api\PublishResult(['offset' => 2, 'epoch' => 'czCaNMVq']),
            ],
            'centrifuge.Broadcast [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->broadcast(['facts', 'other'], ['n' => 3])),
                new Api\BroadcastResult(['responses' => [$third, $first]]),
            ],
            'centrifuge.Presence [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->presence('facts')->getPresence()[$client]),
                new Api\ClientInfo(['user' => '42', 'client' => $client]),
            ],
            'centrifuge.Presence presence off [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->presence('bare:x')),
                new ApiException('not available', 108),
            ],
            'centrifuge.PresenceStats [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->presenceStats('facts')),
                new Api\PresenceStatsResult(['num_clients' => 1, 'num_users' => 1]),
            ],
            'centrifuge.History [PROTO]' => [
                $api(fn (Centrifugo $api) => array_map(
                    static fn (Api\Publication $one): array => [$one->getOffset(), $one->getData(), iterator_to_array($one->getTags())],
                    iterator_to_array($api->history('facts', limit: 10)->getPublications()),
                )),
                [[1, '{"n":1}', []], [2, '{"n":2}', ['k' => 'v']], [3, '{"n":3}', []]],
            ],
            'centrifuge.History reverse limit 1 [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->history('facts', limit: 1, reverse: true)->getPublications()[0]->getOffset()),
                3,
            ],
            'centrifuge.HistoryRemove [PROTO]' => [$api(fn (Centrifugo $api) => $api->historyRemove('facts')), null],
            'centrifuge.Channels pattern [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->channels('fac*')->getChannels()['facts']->getNumClients()),
                1,
            ],
            'centrifuge.Subscribe [PROTO]' => [$api(fn (Centrifugo $api) => $api->subscribe('srv', '42')), null],
            'centrifuge.Unsubscribe [PROTO]' => [$api(fn (Centrifugo $api) => $api->unsubscribe('srv', '42')), null],
            'centrifuge.Refresh [PROTO]' => [$api(fn (Centrifugo $api) => $api->refresh('42', expireAt: 1795453244)), null],
            'centrifuge.Disconnect [PROTO]' => [$api(fn (Centrifugo $api) => $api->disconnect('42')), null],
            'centrifuge.RPC [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->call('RPC', new Api\RPCRequest(['method' => 'nope', 'params' => '{}']))),
                new ApiException('not found', 104),
            ],
            'centrifuge.Connections [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->call('Connections', new Api\ConnectionsRequest(['user' => '42']))),
                new GrpcException('Unimplemented', 'method Connections not implemented'),
            ],
            'centrifuge.MapPublish [PROTO]' => [
                $api(fn (Centrifugo $api) => $api->call('MapPublish', new Api\MapPublishRequest())),
                new ServerException("rpc: can't find method centrifuge.MapPublish"),
            ],
        ];
    }

    /** @dataProvider exchanges */
    public function testEveryRecordedExchangeIsReproduced(string $name, callable $call, mixed $expected): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->replay($name));
        if ($expected instanceof RpcException) {
            $error = self::failure(fn () => $call($rpc));
            self::assertSame([$expected::class, $expected->getCode(), $expected->getMessage()], [$error::class, $error->getCode(), $error->getMessage()]);
        } else {
            $result = $call($rpc);
            self::assertEquals(self::plain($expected), self::plain($result));
        }
        $this->server?->finish();
    }

    public function testGrpcStatusesHaveTheirCodes(): void
    {
        self::assertSame(14, (new GrpcException('Unavailable', 'x'))->getCode());
        self::assertSame(16, (new GrpcException('Unauthenticated', 'x'))->getCode());
        self::assertSame(2, (new GrpcException('Code(99)', 'x'))->getCode());
    }

    /** Messages as their bytes, so that they can be compared. */
    private static function plain(mixed $value): mixed
    {
        return $value instanceof Message ? [$value::class, $value->serializeToString()] : $value;
    }
}
