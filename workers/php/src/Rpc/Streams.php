<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;
use Causeway\Frame;
use Causeway\Json;
use Causeway\Publication;
use Causeway\Raw;

/**
 * The streams of subscriptions that the server holds: those whose handler returned a result.
 *
 * Ids are those in the requests that opened them. All methods throw a {@see ServerException} when there is no such stream, or no longer,
 * and another {@see RpcException} for any other failure.
 */
final class Streams
{
    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Sends a message to the client.
     *
     * @param mixed $data a value that JSON can represent, {@see Raw}, or a {@see Publication}
     * @param array<string, string> $tags attached to the publication
     */
    public function publish(string $id, mixed $data, array $tags = []): void
    {
        $publication = $data instanceof Publication ? $data : new Publication($data, $tags);
        $content = match (true) {
            $publication->data === null => '',
            $publication->data instanceof Raw => ',"b64data":"' . base64_encode($publication->data->bytes) . '"',
            default => ',"data":' . Json::encode($publication->data),
        };
        if ($publication->tags !== []) {
            $content .= ',"tags":' . Json::encode((object) $publication->tags);
        }
        $this->client->callBytes('stream.Publish', '{"id":' . Json::encode($id) . "$content}", Frame::JSON);
    }

    /** Ends a stream after what was published to it; the client stays away, or subscribes again. */
    public function close(string $id, bool $resubscribe = false): void
    {
        $this->client->call('stream.Close', ['id' => $id, 'resubscribe' => $resubscribe]);
    }

    /**
     * The open streams, or those of a channel, a user and a client.
     *
     * @param int $limit how many are listed, by default 1000
     * @return list<StreamInfo>
     */
    public function list(string $channel = '', string $user = '', string $client = '', int $limit = 0): array
    {
        $filter = ['channel' => $channel, 'user' => $user, 'client' => $client, 'limit' => $limit];
        $result = $this->client->call('stream.List', $filter);

        return array_map(StreamInfo::fromJson(...), Fields::of($result)->list('streams'));
    }
}
