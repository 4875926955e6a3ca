<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Async;
use Causeway\Failure;
use Causeway\Fields;
use Causeway\Frame;
use Causeway\FrameException;
use Causeway\Handshake;
use Causeway\Payload;
use Causeway\Relay;
use Causeway\Stop;

/**
 * The worker's side of protocol 2: many requests at a time, tied to their answers by a number.
 *
 * Each request runs in a fiber, see {@see Fibers}. Control frames cancel requests, grant messages of streams, and stop the worker.
 */
final class Worker
{
    private const STOP = '{"stop":true}';

    /** Seconds that handlers have to end after the server has closed the relay. */
    private const PATIENCE = 5.0;

    private readonly Output $output;

    private readonly Fibers $fibers;

    /** @var callable(Payload): (string|iterable<string>) */
    private $handler;

    /** @var array<string, string|int> */
    private array $offer = [];

    /** @var array<int, Task> requests in hand, by number */
    private array $tasks = [];

    /** Bytes that have arrived; the frames before `$offset` are handled. */
    private string $input = '';
    private int $offset = 0;

    /** The callbacks that read, and that wait for handlers when the server is gone. */
    private string $reader = '';
    private string $deadline = '';

    private int $pid = 0;
    private bool $isGreeted = false;
    private bool $isStopping = false;
    private bool $isOver = false;
    private ?FrameException $failure = null;

    /** The level of output buffers outside of handlers. */
    private int $level = 0;

    /**
     * @param int $concurrency the most requests at a time
     * @internal for its arguments; applications call {@see \Causeway\App::run()}
     */
    public function __construct(private readonly Relay $relay, public readonly Loop $loop, private readonly int $concurrency)
    {
        $this->output = new Output($relay, $loop, $this->abandon(...));
        $this->fibers = new Fibers($loop, $concurrency, $this->serve(...));
    }

    /**
     * Serves requests until the server stops this worker or closes the relay.
     *
     * @param callable(Payload): (string|iterable<string>) $handler returns an answer, or the messages of a stream
     * @param array<string, string|int> $offer what else this worker can do, for the handshake
     * @throws FrameException when the relay's bytes are not frames
     */
    public function run(callable $handler, array $offer = []): void
    {
        $this->handler = $handler;
        $this->offer = ['protocol' => 2, 'concurrency' => $this->concurrency] + $offer;
        $this->pid = (int) getmypid();
        $this->level = ob_get_level();
        $this->relay->unblock();
        $this->reader = $this->loop->onReadable($this->relay->input, $this->read(...));
        // A handler may exit: answers that others have given are sent nevertheless.
        register_shutdown_function($this->output->finish(...));
        Async::start($this);
        try {
            // Whoever else stops the loop does not stop the worker.
            while (!$this->isOver) {
                $this->loop->run();
            }
        } finally {
            Async::stop();
            $this->loop->cancel($this->reader);
            $this->loop->cancel($this->deadline);
            $this->output->finish();
        }
        if ($this->failure !== null) {
            throw $this->failure;
        }
    }

    /** Tells the server how many requests to send at a time; 0: no new ones for now. */
    public function limit(int $requests): void
    {
        $this->command(['credit' => max(0, min($requests, $this->concurrency))]);
    }

    /** Lets the server send more messages of the client of a stream. */
    public function grant(int $id, int $messages): void
    {
        $this->command(['window' => $id, 'messages' => $messages]);
    }

    private function read(): void
    {
        if ($this->isForked()) {
            return;
        }
        $chunk = $this->relay->tryRead();
        if ($chunk === null) {
            $this->abandon();

            return;
        }
        $this->output->hold();
        $this->input .= $chunk;
        try {
            while (($frame = Frame::decode($this->input, $this->offset)) !== null) {
                $this->receive($frame);
            }
        } catch (FrameException $error) {
            $this->failure = $error;
            $this->end();
        }
        if ($this->offset > 0) {
            $this->input = substr($this->input, $this->offset);
            $this->offset = 0;
        }
        $this->fibers->start();
        $this->output->flush();
    }

    private function receive(Frame $frame): void
    {
        if (($frame->flags & Frame::CONTROL) !== 0) {
            $this->control($frame);
        } elseif (($frame->stream & Frame::PING) !== 0) {
            $this->output->add((new Frame('', stream: Frame::PONG))->encode());
        } elseif (($frame->stream & Frame::PONG) === 0) {
            $this->request($frame);
        }
    }

    /** A new request, or a message of the client of a stream. */
    private function request(Frame $frame): void
    {
        $id = $frame->options[1] ?? throw new FrameException('a request has no number');
        if (($frame->stream & (Frame::STREAM | Frame::STOP)) === 0) {
            $this->tasks[$id] = $task = new Task($id, $frame, $this);
            $this->fibers->add($task);

            return;
        }
        // Messages may still be on their way when the request is over.
        $inbox = ($this->tasks[$id] ?? null)?->inbox();
        if (($frame->stream & Frame::STREAM) !== 0) {
            $inbox?->add(substr($frame->payload, $frame->options[0]));
        }
        if (($frame->stream & Frame::STOP) !== 0) {
            $inbox?->close();
        }
    }

    private function control(Frame $frame): void
    {
        $command = Fields::of(json_decode($frame->payload, true));
        if ($command->has('pid')) {
            $this->output->add(($this->isGreeted ? Handshake::echo() : Handshake::greeting($this->offer))->encode());
            $this->isGreeted = true;
        } elseif ($command->has('cancel')) {
            ($this->tasks[$command->int('cancel')] ?? null)?->cancellation->request($command->string('reason') ?: 'gone');
        } elseif ($command->has('window')) {
            ($this->tasks[$command->int('window')] ?? null)?->grant($command->int('messages'));
        } elseif ($command->bool('stop')) {
            $this->leave();
        }
        // {"drain": true} asks for nothing: the server sends no more requests, and what is in hand ends as ever.
    }

    /** Runs the handler of a request and answers it. */
    private function serve(Task $task): void
    {
        Async::enter($task->cancellation);
        $level = ob_get_level();
        $turn = $this->fibers->turn();
        try {
            $answer = $this->answer($task);
        } catch (Stop) {
            $answer = $task->frame(self::STOP, context: strlen(self::STOP));
        } catch (\Throwable $error) {
            $answer = $task->frame(Failure::log($error), Frame::ERROR);
        }
        $this->closeBuffers($this->fibers->turn() === $turn ? $level : null);
        $this->output->add($answer->encode());
        $this->isForked();
        unset($this->tasks[$task->id]);
        if ($this->isStopping && $this->tasks === []) {
            $this->end();
        }
        Async::leave();
    }

    /** The answer to a request, or the last frame of its stream. Nothing of the handler is left then: a destructor may throw. */
    private function answer(Task $task): Frame
    {
        $task->cancellation->throwIfRequested();
        $answer = ($this->handler)($task->payload());
        if (is_string($answer)) {
            return $task->frame($answer);
        }
        foreach ($answer as $message) {
            if ($this->isStopping) {
                $task->cancellation->request('stop');
            }
            $this->output->add($task->message($message)->encode());
        }

        return $task->frame('', stream: Frame::STREAM | Frame::STOP);
    }

    /** @param array<string, int> $command */
    private function command(array $command): void
    {
        $this->output->add((new Frame(json_encode($command, JSON_THROW_ON_ERROR), Frame::CONTROL | Frame::JSON))->encode());
    }

    /**
     * Output buffers that a handler left open would hold back all output, and grow.
     *
     * @param int|null $level the level before the handler; null if it was suspended: then they may be those of another one
     */
    private function closeBuffers(?int $level): void
    {
        $level ??= count($this->tasks) === 1 ? $this->level : PHP_INT_MAX;
        while (ob_get_level() > $level && @ob_end_flush()) {
            continue;
        }
    }

    /** The server stops this worker: what is in hand ends first, but streams would go on. */
    private function leave(): void
    {
        $this->isStopping = true;
        if ($this->tasks === []) {
            $this->end();
        }
        foreach ($this->tasks as $task) {
            if ($task->isStreaming()) {
                $task->cancellation->request('stop');
            }
        }
    }

    /** The server has closed the relay: nobody waits for an answer. */
    private function abandon(): void
    {
        if ($this->deadline !== '') {
            return;
        }
        $this->loop->cancel($this->reader);
        $this->isStopping = true;
        if ($this->tasks === []) {
            $this->end();
        }
        foreach ($this->tasks as $task) {
            $task->cancellation->request('gone');
        }
        $this->deadline = $this->loop->delay(self::PATIENCE, $this->end(...));
    }

    /** A process that a handler has forked must not take the parent's requests, as {@see Output} does not send its answers. */
    private function isForked(): bool
    {
        if (getmypid() === $this->pid) {
            return false;
        }
        $this->end();

        return true;
    }

    private function end(): void
    {
        $this->isOver = true;
        $this->loop->stop();
    }
}
