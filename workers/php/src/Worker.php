<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The worker's loop: requests in, answers out, in order.
 *
 * Frames are handled strictly one after the other, and the server relies on it: behind each request it sends a control frame that
 * asks for the pid, the fence, and its echo says that the worker is done with the request.
 *
 * Output waits only as long as there is more input to handle at no cost: it is written before the loop waits for input, and before a
 * handler runs. So an answer and the echo behind it are one write if the fence came along with the request.
 */
final class Worker
{
    private const STOP = '{"stop":true}';

    /** After so many messages of a stream, the worker waits for the server. RoadRunner's own package does the same. */
    private const PING_INTERVAL = 5;

    private readonly Relay $relay;

    /** Bytes that have arrived; the frames before `$offset` are handled. */
    private string $input = '';
    private int $offset = 0;

    /** Bytes to write. */
    private string $output = '';

    /** The last fence, and its echo. Mostly the next fence has the same bytes and need not be decoded. */
    private string $fence = '';
    private string $echo = '';

    /** @var list<Frame> frames that arrived while an answer was streamed */
    private array $later = [];

    /** @var array<string, string|int> what this worker says about itself in its first echo */
    private array $offer = [];

    /** @param Relay|null $relay by default the one that the environment variable `RR_RELAY` names */
    public function __construct(?Relay $relay = null)
    {
        $this->relay = $relay ?? Relay::open();
    }

    /**
     * Serves requests until the server stops this worker or closes the relay.
     *
     * {@see Stop} hands the request to another worker and ends the loop. Any other exception of `$handler` fails the request; the
     * loop logs it to standard error and goes on.
     *
     * @param callable(Payload): (string|iterable<string>) $handler returns an answer, or the messages of a stream
     * @param array<string, string|int> $offer what this worker can do, for the handshake
     * @throws FrameException when the relay's bytes are not frames
     */
    public function run(callable $handler, array $offer = []): void
    {
        $this->offer = $offer;
        try {
            try {
                while (($frame = $this->next()) !== null && $this->handle($frame, $handler)) {
                    continue;
                }
            } finally {
                $this->flush();
            }
        } catch (RelayClosed) {
            return;
        }
    }

    /** The next frame that is not a copy of the last fence; null at the end of the stream. */
    private function next(): ?Frame
    {
        while (true) {
            if ($this->later !== []) {
                return array_shift($this->later);
            }
            if ($this->fence !== '' && substr($this->input, $this->offset, strlen($this->fence)) === $this->fence) {
                $this->offset += strlen($this->fence);
                $this->output .= $this->echo;
                continue;
            }
            $frame = Frame::decode($this->input, $this->offset);
            if ($frame !== null) {
                return $frame;
            }
            $this->flush();
            if (!$this->read()) {
                return null;
            }
        }
    }

    /** Waits for more bytes; returns false at the end of the stream. */
    private function read(): bool
    {
        $this->input = substr($this->input, $this->offset);
        $this->offset = 0;
        $chunk = $this->relay->read();
        $this->input .= $chunk;

        return $chunk !== '';
    }

    /**
     * Handles a frame; returns whether the loop goes on.
     *
     * @param callable(Payload): (string|iterable<string>) $handler
     */
    private function handle(Frame $frame, callable $handler): bool
    {
        if (($frame->flags & Frame::CONTROL) !== 0) {
            return $this->control($frame);
        }
        if ($frame->stream !== 0) {
            // About a stream that has ended.
            return true;
        }
        $this->flush();
        $length = $frame->options[0] ?? 0;
        $isJson = ($frame->flags & Frame::JSON) !== 0;
        $payload = new Payload(substr($frame->payload, 0, $length), substr($frame->payload, $length), $isJson);
        $level = ob_get_level();
        try {
            try {
                $answer = $handler($payload);
                $answer = new Frame(is_string($answer) ? $answer : $this->stream($answer), options: [0]);
            } finally {
                // Output buffers that the handler left open would hold back all output, and grow.
                while (ob_get_level() > $level && @ob_end_flush()) {
                    continue;
                }
            }
        } catch (Stop) {
            $this->output = (new Frame(self::STOP, options: [strlen(self::STOP)]))->encode();

            return false;
        } catch (RelayClosed $closed) {
            throw $closed;
        } catch (\Throwable $error) {
            $answer = new Frame(Failure::log($error), Frame::ERROR);
        }
        $this->output = $answer->encode();

        return true;
    }

    /** Echoes a fence, or stops; returns whether the loop goes on. */
    private function control(Frame $frame): bool
    {
        if (self::isStop($frame)) {
            return false;
        }
        $isFirst = $this->fence === '';
        $this->fence = $frame->encode();
        $this->echo = Handshake::echo()->encode();
        $this->output .= $isFirst ? Handshake::greeting($this->offer)->encode() : $this->echo;

        return true;
    }

    private static function isStop(Frame $frame): bool
    {
        $command = ($frame->flags & Frame::CONTROL) !== 0 ? json_decode($frame->payload, true) : null;

        return is_array($command) && ($command['stop'] ?? false) === true;
    }

    /**
     * Sends the messages of a stream, and returns the payload of its last frame.
     *
     * With every fifth message the worker asks whether the server is still there, and waits for its answer. The server can say at any
     * time that nobody wants the stream any more.
     *
     * @param iterable<string> $messages
     */
    private function stream(iterable $messages): string
    {
        $sent = 0;
        foreach ($messages as $message) {
            if (!$this->isWanted()) {
                break;
            }
            $isPing = ++$sent % self::PING_INTERVAL === 0;
            $this->output = (new Frame($message, options: [0], stream: $isPing ? Frame::STREAM | Frame::PING : Frame::STREAM))->encode();
            $this->flush();
            if ($isPing && !$this->awaitPong()) {
                break;
            }
        }

        return '';
    }

    /** Whether the server has not ended the stream. */
    private function isWanted(): bool
    {
        while (($frame = $this->inStream()) !== null || ($this->relay->isReadable() && $this->read())) {
            if ($frame !== null && ($frame->stream & Frame::PONG) === 0) {
                return false;
            }
        }

        return true;
    }

    /** Waits for the server; returns false when it ends the stream. */
    private function awaitPong(): bool
    {
        while (($frame = $this->inStream()) === null) {
            if (!$this->read()) {
                throw new RelayClosed('the server has closed the relay');
            }
        }

        return ($frame->stream & Frame::PONG) !== 0;
    }

    /** The next frame that is about the stream, or stops the worker; any other one is handled after the stream. */
    private function inStream(): ?Frame
    {
        while (($frame = Frame::decode($this->input, $this->offset)) !== null) {
            if ($frame->stream !== 0) {
                return $frame;
            }
            $this->later[] = $frame;
            if (self::isStop($frame)) {
                return $frame;
            }
        }

        return null;
    }

    private function flush(): void
    {
        $bytes = $this->output;
        $this->output = '';
        if ($bytes === '') {
            return;
        }
        try {
            $this->relay->write($bytes);
        } catch (\RuntimeException $error) {
            throw new RelayClosed($error->getMessage(), previous: $error);
        }
    }
}
