<?php

/* Calls the server with all of the PHP package, one scene per run, and prints the results as JSON, like the Python caller. */

declare(strict_types=1);

require __DIR__ . '/../../workers/php/autoload.php';

use Causeway\Proto\Api;
use Causeway\Rpc;
use Causeway\Rpc\RpcException;
use Causeway\Rpc\WorkerState;

function bridge(): array
{
    $rpc = Rpc::shared();
    [$informer, $resetter] = [$rpc->informer, $rpc->resetter];
    $first = $informer->workers()[0];
    $seen = [
        'version' => $rpc->version(),
        'workers_in_config' => $rpc->config()['centrifuge']['pool']['num_workers'],
        'lists' => [$informer->list(), $resetter->list(), $informer->workers('nope')],
        'first' => [$first->status, $first->executions, $first->memory > 0, $first->created > 0, str_contains($first->command, 'worker')],
    ];
    $informer->addWorker();
    $deadline = time() + 20;
    while (count($informer->workers()) !== 2) {
        time() < $deadline || throw new RuntimeException('the second worker has not come');
    }
    $informer->removeWorker();
    $informer->removeWorker();
    $resetter->reset();
    $ready = array_filter($informer->workers(), fn (WorkerState $worker) => $worker->status === 'ready');
    $seen['replaced'] = !in_array($first->pid, array_column($ready, 'pid'), true);
    $seen['errors'] = [failure(fn () => $informer->addWorker('nope')), failure(fn () => $rpc->call('nope.Do'))];
    $seen['status'] = [$rpc->status->status()->code, $rpc->status->ready()->code];

    return $seen;
}

function centrifugo(): array
{
    $centrifugo = Rpc::shared()->centrifugo;
    $published = $centrifugo->publish('news', ['text' => 'grüß'], tags: ['k' => 'v'], idempotencyKey: 'i1');
    $centrifugo->disconnect('42', code: 4501, reason: 'bye', whitelist: ['a']);
    $centrifugo->subscribe('news', '42', data: [1], info: new stdClass(), expireAt: 7);

    return [
        'published' => [$published->getOffset(), $published->getEpoch()],
        'new' => (new ReflectionClass($centrifugo->call('MapStats', new Api\MapStatsRequest(['channel' => 'm']))))->getShortName(),
        'errors' => [
            failure(fn () => $centrifugo->publish('nowhere:x', null)),
            failure(fn () => $centrifugo->history('away', limit: 1)),
        ],
    ];
}

function away(): ?array
{
    return failure(fn () => Rpc::shared()->centrifugo->info());
}

function lock(): array
{
    $lock = Rpc::shared()->lock;

    return [
        strlen($lock->lock('random') ?? ''),
        $lock->lock('r', id: 'a', ttl: 60),
        $lock->lock('r', id: 'b'),
        $lock->lockRead('r', id: 'c', wait: 0.01),
        [$lock->exists('r'), $lock->exists('r', 'a'), $lock->exists('r', 'b')],
        [$lock->updateTtl('r', 'a', 30), $lock->updateTtl('r', 'b', 30)],
        [$lock->release('r', 'b'), $lock->release('r', 'a'), $lock->release('r', 'a')],
        [$lock->lockRead('r', id: 'c'), $lock->lockRead('r', id: 'd'), $lock->lock('r', id: 'e')],
        [$lock->forceRelease('r'), $lock->forceRelease('r'), $lock->exists('r')],
        $lock->lock('short', id: 'a', ttl: 0.05),
        $lock->lock('short', id: 'b', wait: 20),
        failure(fn () => $lock->lock('r', id: '')),
    ];
}

function metrics(): ?array
{
    $metrics = Rpc::shared()->metrics;
    $metrics->declare('calls', 'counter', help: 'Calls', labels: ['kind'], namespace: 'app', subsystem: 'sub');
    $metrics->declare('calls', 'counter', labels: ['kind']);
    $metrics->declare('level', 'gauge');
    $metrics->declare('seconds', 'histogram', buckets: [0.1, 1]);
    $metrics->declare('sizes', 'summary', objectives: ['0.5' => 0.05]);
    $metrics->add('calls', 2.5, ['a']);
    $metrics->set('level', 5);
    $metrics->sub('level', 2);
    $metrics->observe('seconds', 0.5);
    $metrics->observe('sizes', 3);
    $metrics->declare('gone', 'gauge');
    $metrics->unregister('gone');

    return failure(fn () => $metrics->add('nope', 1));
}

function log_lines(): void
{
    $logger = Rpc::shared()->logger;
    $logger->error('from error', ['user' => '42', 'list' => [1, 2]]);
    $logger->warning('from warning');
    $logger->info('from info', ['a' => 'b']);
    $logger->debug('from debug');
    $logger->log("from log\n");
}

function failure(callable $call): ?array
{
    try {
        $call();
    } catch (RpcException $error) {
        return [str_replace('Exception', '', (new ReflectionClass($error))->getShortName()), $error->getCode(), $error->getMessage()];
    }

    return null;
}

echo json_encode($argv[1](), JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
