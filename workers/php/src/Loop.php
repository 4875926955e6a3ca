<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * The worker's loop: frames in, answers out, in order.
 *
 * Frames are handled strictly one after the other. Causeway counts on it: behind each request it sends a control frame which asks
 * for the pid, and the echo tells that the request is done.
 */
final class Loop
{
    private const STOP = '{"stop":true}';

    private string $buffer = '';

    public function __construct(private readonly Relay $relay)
    {
    }

    /**
     * Answers requests until the supervisor says stop or hangs up.
     *
     * An exception of `$handler` fails its request and is shown on standard error; the loop goes on.
     *
     * @param callable(Payload): string $handler
     */
    public function run(callable $handler): void
    {
        while (($frame = $this->next()) !== null) {
            try {
                if (!$this->handle($frame, $handler)) {
                    return;
                }
            } catch (HungUp) {
                return;
            }
        }
    }

    /** The next frame; null at the end. */
    private function next(): ?Frame
    {
        for (;;) {
            $offset = 0;
            $frame = Frame::decode($this->buffer, $offset);
            if ($frame !== null) {
                $this->buffer = substr($this->buffer, $offset);

                return $frame;
            }
            $chunk = $this->relay->read();
            if ($chunk === '') {
                return null;
            }
            $this->buffer .= $chunk;
        }
    }

    /**
     * Whether the loop goes on.
     *
     * @param callable(Payload): string $handler
     */
    private function handle(Frame $frame, callable $handler): bool
    {
        if (($frame->flags & Frame::CONTROL) !== 0) {
            $command = json_decode($frame->payload, true);
            if (is_array($command) && ($command['stop'] ?? false) === true) {
                return false;
            }
            $this->send(new Frame(json_encode(['pid' => getmypid()], JSON_THROW_ON_ERROR), Frame::CONTROL));

            return true;
        }
        $length = $frame->options[0] ?? 0;
        $payload = new Payload(substr($frame->payload, 0, $length), substr($frame->payload, $length));
        try {
            $answer = new Frame($handler($payload), options: [0]);
        } catch (Stop) {
            $this->send(new Frame(self::STOP, options: [strlen(self::STOP)]));

            return false;
        } catch (\Throwable $error) {
            fwrite(STDERR, $error . PHP_EOL);
            $answer = new Frame($error::class . ': ' . $error->getMessage(), Frame::ERROR);
        }
        $this->send($answer);

        return true;
    }

    private function send(Frame $frame): void
    {
        try {
            $this->relay->write($frame->encode());
        } catch (\RuntimeException $error) {
            throw new HungUp($error->getMessage(), previous: $error);
        }
    }
}
