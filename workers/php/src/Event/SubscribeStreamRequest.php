<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Event;
use Causeway\Message;
use Causeway\Request;

/** A client subscribes to a channel, and gets a stream of its own. */
final class SubscribeStreamRequest extends Request
{
    /** The id of the stream, with which {@see \Causeway\Rpc\Streams} publishes to it and closes it. */
    public readonly string $stream;

    /** The channel. */
    public readonly string $channel;

    /** The client's subscription token. */
    public readonly string $token;

    /**
     * What the client publishes to the stream, for a handler that is a generator. Waits for each message; ends when the client leaves.
     *
     * @return \Generator<int, Message>
     * @throws \LogicException when the stream is unidirectional, or the worker handles one request at a time: there, and if the handler
     *                         returns a result, the handler of {@see StreamPublishRequest} gets what the client publishes
     */
    public function messages(): \Generator
    {
        $messages = $this->header('type') === Event::SubscribeBidirectional->value ? $this->payload->messages() : null;
        foreach ($messages ?? throw new \LogicException('only bidirectional streams have messages, and only with concurrency') as $message) {
            yield new Message($message);
        }
    }

    protected function read(): void
    {
        $this->stream = (string) $this->header('stream');
        $this->channel = $this->text('channel');
        $this->token = $this->text('token');
    }
}
