<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;

/** The server's side of one connection of an RPC client. */
final class Peer
{
    private string $buffer = '';

    /** @param resource $stream */
    public function __construct(private $stream)
    {
        stream_set_timeout($stream, RpcServer::PATIENCE);
    }

    /** The recorded exchanges. */
    public static function vectors(): array
    {
        $text = (string) file_get_contents(__DIR__ . '/../../../tests/vectors/rpc-client.json');

        return array_column(json_decode($text, true, flags: JSON_THROW_ON_ERROR), null, 'name');
    }

    public function receive(): Frame
    {
        for (;;) {
            $offset = 0;
            $frame = Frame::decode($this->buffer, $offset);
            if ($frame !== null) {
                $this->buffer = substr($this->buffer, $offset);

                return $frame;
            }
            $chunk = fread($this->stream, 65536);
            if ($chunk === false || $chunk === '') {
                throw new \RuntimeException('the client closed the connection or sent nothing');
            }
            $this->buffer .= $chunk;
        }
    }

    /** Receives a request, which must have this method and argument. */
    public function expect(string $payload): Frame
    {
        $request = $this->receive();
        if ($request->payload !== $payload) {
            throw new \RuntimeException("expected $payload, received $request->payload");
        }

        return $request;
    }

    /** The bytes of a reply to a request, by default with the request's flags and sequence. */
    public function reply(Frame $request, string $result, ?int $flags = null, ?int $sequence = null): string
    {
        [$own, $length] = $request->options;
        $name = substr($request->payload, 0, $length);

        return (new Frame($name . $result, $flags ?? $request->flags, [$sequence ?? $own, $length]))->encode();
    }

    public function answer(Frame $request, string $result, ?int $flags = null, ?int $sequence = null): void
    {
        $this->send($this->reply($request, $result, $flags, $sequence));
    }

    public function refuse(Frame $request, string $text): void
    {
        $this->answer($request, $text, $request->flags | Frame::ERROR);
    }

    /** Answers a call of rpc.Version with its sequence. */
    public function version(): void
    {
        $request = $this->receive();
        $this->answer($request, "\"{$request->options[0]}\"");
    }

    /** Receives the recorded request, which may differ in its sequence only, and answers as recorded. */
    public function replay(string $name): void
    {
        $vector = self::vectors()[$name];
        $request = $this->receive();
        $sequence = pack('V', $request->options[0]);
        $expected = substr_replace((string) hex2bin($vector['request_hex']), $sequence, 12, 4);
        if ($request->encode() !== $expected) {
            throw new \RuntimeException("expected $expected, received {$request->encode()}");
        }
        $this->send(substr_replace((string) hex2bin($vector['reply_hex']), $sequence, 12, 4));
    }

    public function send(string $bytes): void
    {
        while ($bytes !== '') {
            $bytes = substr($bytes, (int) fwrite($this->stream, $bytes));
        }
    }

    /** Reads raw bytes. */
    public function read(int $size): string
    {
        return (string) fread($this->stream, $size);
    }

    /** Waits for the client to close the connection. */
    public function expectEnd(): void
    {
        if (fread($this->stream, 1) !== '' || !feof($this->stream)) {
            throw new \RuntimeException('the client did not close the connection');
        }
    }
}
