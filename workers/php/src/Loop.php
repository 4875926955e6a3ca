<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * The worker's loop: frames in, answers out, in order.
 *
 * Frames are handled strictly one after the other. Causeway counts on it: behind each request it sends a control frame which asks
 * for the pid, and the echo tells that the request is done.
 *
 * What is ready to go out waits only while more can be had for nothing: it leaves before the loop waits for input, and before a
 * handler runs. So an answer and the echo behind it are one write, if the control frame came along with the request.
 */
final class Loop
{
    private const STOP = '{"stop":true}';

    /** What has come in; frames before `$offset` are handled. */
    private string $input = '';

    private int $offset = 0;

    /** What is ready to go out. */
    private string $output = '';

    /** The control frame that asks for the pid, as it came last, and the echo of it. */
    private string $question = '';
    private string $echo = '';

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
        try {
            while (($frame = $this->next()) !== null && $this->handle($frame, $handler)) {
                continue;
            }
        } catch (HungUp) {
            return;
        } finally {
            $this->flush();
        }
    }

    /** The next frame that is not yet another copy of the question; null at the end. */
    private function next(): ?Frame
    {
        for (;;) {
            if ($this->question !== '' && substr($this->input, $this->offset, strlen($this->question)) === $this->question) {
                $this->offset += strlen($this->question);
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
     * Whether the loop goes on.
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
        try {
            $answer = new Frame($handler($payload), options: [0]);
        } catch (Stop) {
            $this->output = (new Frame(self::STOP, options: [strlen(self::STOP)]))->encode();

            return false;
        } catch (\Throwable $error) {
            fwrite(STDERR, $error . PHP_EOL);
            $answer = new Frame($error::class . ': ' . $error->getMessage(), Frame::ERROR);
        }
        $this->output = $answer->encode();

        return true;
    }

    /** Whether the loop goes on. */
    private function control(Frame $frame): bool
    {
        $command = json_decode($frame->payload, true);
        if (is_array($command) && ($command['stop'] ?? false) === true) {
            return false;
        }
        $isFirst = $this->question === '';
        $this->question = $frame->encode();
        $this->echo = (new Frame('{"pid":' . getmypid() . '}', Frame::CONTROL))->encode();
        $secret = getenv('CAUSEWAY_RELAY_SECRET');
        if ($isFirst && is_string($secret) && $secret !== '') {
            // On a tcp relay the first answer also proves that this is a worker, and no stranger who knows a worker's pid.
            $greeting = json_encode(['pid' => getmypid(), 'secret' => $secret], JSON_THROW_ON_ERROR);
            $this->output .= (new Frame($greeting, Frame::CONTROL))->encode();

            return true;
        }
        $this->output .= $this->echo;

        return true;
    }

    /** Sends what is ready. */
    private function flush(): void
    {
        $ready = $this->output;
        $this->output = '';
        if ($ready === '') {
            return;
        }
        try {
            $this->relay->write($ready);
        } catch (\RuntimeException $error) {
            throw new HungUp($error->getMessage(), previous: $error);
        }
    }
}
