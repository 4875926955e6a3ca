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

    private readonly Relay $relay;

    /** Bytes that have arrived; the frames before `$offset` are handled. */
    private string $input = '';
    private int $offset = 0;

    /** Bytes to write. */
    private string $output = '';

    /** The last fence, and its echo. Mostly the next fence has the same bytes and need not be decoded. */
    private string $fence = '';
    private string $echo = '';

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
     * @param callable(Payload): string $handler
     * @throws FrameException when the relay's bytes are not frames
     */
    public function run(callable $handler): void
    {
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
        for (;;) {
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
            $this->input = substr($this->input, $this->offset);
            $this->offset = 0;
            $chunk = $this->relay->read();
            if ($chunk === '') {
                return null;
            }
            $this->input .= $chunk;
        }
    }

    /**
     * Handles a frame; returns whether the loop goes on.
     *
     * @param callable(Payload): string $handler
     */
    private function handle(Frame $frame, callable $handler): bool
    {
        if (($frame->flags & Frame::CONTROL) !== 0) {
            return $this->control($frame);
        }
        $this->flush();
        $length = $frame->options[0] ?? 0;
        $payload = new Payload(substr($frame->payload, 0, $length), substr($frame->payload, $length));
        $level = ob_get_level();
        try {
            try {
                $answer = new Frame($handler($payload), options: [0]);
            } finally {
                // Output buffers that the handler left open would hold back all output, and grow.
                while (ob_get_level() > $level && @ob_end_flush()) {
                    continue;
                }
            }
        } catch (Stop) {
            $this->output = (new Frame(self::STOP, options: [strlen(self::STOP)]))->encode();

            return false;
        } catch (WorkerException $error) {
            fwrite(STDERR, $error->getMessage() . PHP_EOL);
            $answer = new Frame($error->getMessage(), Frame::ERROR);
        } catch (\Throwable $error) {
            fwrite(STDERR, $error . PHP_EOL);
            $answer = new Frame($error::class . ': ' . $error->getMessage(), Frame::ERROR);
        }
        $this->output = $answer->encode();

        return true;
    }

    /** Echoes a fence, or stops; returns whether the loop goes on. */
    private function control(Frame $frame): bool
    {
        $command = json_decode($frame->payload, true);
        if (is_array($command) && ($command['stop'] ?? false) === true) {
            return false;
        }
        $isFirst = $this->fence === '';
        $this->fence = $frame->encode();
        $this->echo = (new Frame('{"pid":' . getmypid() . '}', Frame::CONTROL))->encode();
        $secret = getenv('CAUSEWAY_RELAY_SECRET');
        if ($isFirst && is_string($secret) && $secret !== '') {
            // On a tcp relay, the first echo also proves that this is the worker and not a stranger that knows its pid.
            $greeting = json_encode(['pid' => getmypid(), 'secret' => $secret], JSON_THROW_ON_ERROR);
            $this->output .= (new Frame($greeting, Frame::CONTROL))->encode();

            return true;
        }
        $this->output .= $this->echo;

        return true;
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
