<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;

/** The server's side of the relay to a real process. */
final class Supervisor
{
    /** Seconds. */
    private const PATIENCE = 20;

    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    public array $pipes = [];

    /** @var resource */
    private $input;

    /** @var resource */
    private $output;

    private string $buffer = '';

    public readonly string $pid;

    /**
     * @param list<string> $arguments of PHP
     * @param array<string, string> $environment more variables
     */
    public function __construct(string $script, string $relay, array $arguments = [], array $environment = [])
    {
        $listener = match ($relay) {
            'tcp' => stream_socket_server('tcp://127.0.0.1:0'),
            'unix' => stream_socket_server('unix://' . sys_get_temp_dir() . '/causeway-' . bin2hex(random_bytes(8)) . '.sock'),
            default => null,
        };
        $address = $listener ? $relay . '://' . stream_socket_get_name($listener, false) : 'pipes';
        $environment += ['RR_RELAY' => $address] + getenv();
        $process = proc_open(['php', ...$arguments, $script], [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $this->pipes, null, $environment);
        assert(is_resource($process));
        $this->process = $process;
        [$this->output, $this->input] = $this->pipes;
        if ($listener) {
            $connection = stream_socket_accept($listener, self::PATIENCE);
            assert(is_resource($connection));
            $this->input = $this->output = $connection;
            if ($relay === 'unix') {
                unlink(substr($address, strlen('unix://')));
            }
        }
        $this->send(new Frame('{"pid":1}', Frame::CONTROL | Frame::JSON));
        $this->pid = $this->receive()->payload;
    }

    public function __destruct()
    {
        proc_terminate($this->process, 9);
        proc_close($this->process);
    }

    /** The worker's pid, as the kernel has it. */
    public function child(): int
    {
        return proc_get_status($this->process)['pid'];
    }

    public function send(Frame ...$frames): void
    {
        $this->sendBytes(implode('', array_map(static fn (Frame $frame): string => $frame->encode(), $frames)));
    }

    public function sendBytes(string $bytes): void
    {
        while ($bytes !== '') {
            $bytes = substr($bytes, (int) fwrite($this->output, $bytes));
        }
        fflush($this->output);
    }

    public function receive(): Frame
    {
        for (;;) {
            $offset = 0;
            $frame = Frame::decode($this->buffer, $offset);
            if ($frame) {
                $this->buffer = substr($this->buffer, $offset);

                return $frame;
            }
            $read = [$this->input];
            $none = [];
            if (stream_select($read, $none, $none, self::PATIENCE) !== 1) {
                throw new \RuntimeException('the worker does not answer');
            }
            $chunk = fread($this->input, 65536);
            if ($chunk === false || $chunk === '') {
                throw new \RuntimeException('the worker closed the relay: ' . stream_get_contents($this->pipes[2]));
            }
            $this->buffer .= $chunk;
        }
    }

    /** Sends a request and its fence; returns the answer once the echo has arrived. */
    public function ask(string $type, string $body, int $codec = Frame::PROTO): Frame
    {
        $context = json_encode(['type' => [$type], 'x-user' => ['7']], JSON_THROW_ON_ERROR);
        $request = new Frame($context . $body, $codec, [strlen($context)]);
        $this->send($request, new Frame('{"pid":1}', Frame::CONTROL | Frame::JSON));
        $answer = $this->receive();
        $echo = $this->receive();
        if ($echo->flags !== Frame::CONTROL) {
            throw new \RuntimeException('more than one answer');
        }

        return $answer;
    }

    /** Sends a request of protocol 2: an RPC. */
    public function request(int $id, string $method, string $data = 'null'): void
    {
        $this->send(self::rpc($id, $method, $data));
    }

    /** A request of protocol 2, in JSON: an RPC. */
    public static function rpc(int $id, string $method, string $data = 'null'): Frame
    {
        return self::event($id, 'rpc', '{"method":' . json_encode($method, JSON_THROW_ON_ERROR) . ",\"data\":$data}");
    }

    /** A request of protocol 2, in JSON. */
    public static function event(int $id, string $type, string $body): Frame
    {
        $context = "{\"stream\":[\"s-$id\"],\"type\":[\"$type\"]}";

        return new Frame($context . $body, Frame::JSON, [strlen($context), $id]);
    }

    /** Sends a command of protocol 2. */
    public function command(mixed ...$command): void
    {
        $this->send(new Frame(json_encode($command, JSON_THROW_ON_ERROR), Frame::CONTROL | Frame::JSON));
    }

    /**
     * Receives answers of protocol 2.
     *
     * @return array<int, string> by number: payloads, in the order of their arrival; errors begin with "!"
     */
    public function answers(int $count): array
    {
        $answers = [];
        while (count($answers) < $count) {
            $frame = $this->receive();
            $answers[$frame->options[1]] = ($frame->flags & Frame::ERROR ? '!' : '') . $frame->payload;
        }

        return $answers;
    }

    /** Waits for the worker to exit; returns its exit status and standard error. */
    public function wait(): array
    {
        if ($this->output === $this->pipes[0]) {
            fclose($this->output);
        }
        $errors = (string) stream_get_contents($this->pipes[2]);
        do {
            $status = proc_get_status($this->process);
        } while ($status['running'] && usleep(1000) === null);

        return [$status['exitcode'], $errors];
    }
}
