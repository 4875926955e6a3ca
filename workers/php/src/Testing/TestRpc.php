<?php

declare(strict_types=1);

namespace Causeway\Testing;

use Causeway\Rpc;

/**
 * An {@see Rpc} that calls no server, for tests of handlers that publish: it keeps the calls, and returns what the test says.
 *
 *     $test = new TestRpc();
 *     $app = application($test->rpc);
 *     (new TestClient($app))->rpc('announce', 'hello');
 *     self::assertSame(['hello'], $test->published('news'));
 */
final class TestRpc
{
    /** What the application takes instead of its own. */
    public readonly Rpc $rpc;

    private readonly RecordingClient $client;

    public function __construct()
    {
        $this->client = new RecordingClient();
        $this->rpc = new Rpc('tcp://127.0.0.1:0', client: $this->client);
    }

    /**
     * Returns this result from all calls of a method; without one, results are empty.
     *
     * @param string $method such as `lock.Lock` or `centrifuge.PresenceStats`
     * @param mixed $result as a server returns it, such as `['result' => ['num_users' => 7]]` for methods of Centrifugo, where it may be a message
     *                      of `Causeway\Proto\Api` as well; or an exception to throw
     */
    public function returns(string $method, mixed $result): self
    {
        $this->client->results[$method] = $result;

        return $this;
    }

    /**
     * The calls of a method, in order.
     *
     * @return list<mixed> their arguments; those of Centrifugo's methods are arrays of the fields that are set, with data as values
     */
    public function calls(string $method): array
    {
        $calls = array_filter($this->client->calls, static fn (array $call): bool => $call[0] === $method);

        return array_column(array_values($calls), 1);
    }

    /** @return list<mixed> the data that were published to a channel or a stream, in order, also by broadcasts */
    public function published(string $target): array
    {
        $data = [];
        foreach ($this->client->calls as [$method, $argument]) {
            $targets = match (true) {
                !is_array($argument) => [],
                $method === 'centrifuge.Publish' => [$argument['channel'] ?? null],
                $method === 'centrifuge.Broadcast' => (array) ($argument['channels'] ?? []),
                $method === 'stream.Publish' => [$argument['id'] ?? null],
                default => [],
            };
            if (is_array($argument) && in_array($target, $targets, true)) {
                $data[] = $argument['data'] ?? null;
            }
        }

        return $data;
    }
}
