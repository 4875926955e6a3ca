<?php

declare(strict_types=1);

namespace Causeway;

/**
 * A goridge frame, version 1.
 *
 * Integers are little-endian: version and header length (1 byte), flags (1), payload length (4), CRC-32 of these six bytes (4),
 * stream bits (1), zero (1), options (4 each), payload.
 */
final class Frame
{
    public const CONTROL = 0x01;
    public const RAW = 0x04;
    public const JSON = 0x08;
    public const MSGPACK = 0x10;
    public const GOB = 0x20;
    public const ERROR = 0x40;
    public const PROTO = 0x80;

    /** Bits of a frame in a stream. */
    public const STREAM = 0x01;
    public const STOP = 0x02;
    public const PING = 0x04;
    public const PONG = 0x08;

    /** Bytes of a header without options. */
    private const FIXED = 12;

    /** @param list<int> $options up to ten */
    public function __construct(
        public readonly string $payload,
        public readonly int $flags = 0,
        public readonly array $options = [],
        public readonly int $stream = 0,
    ) {
    }

    /**
     * The bytes of the frame.
     *
     * @throws \InvalidArgumentException when there are more than ten options
     */
    public function encode(): string
    {
        $count = count($this->options);
        if ($count > 10) {
            throw new \InvalidArgumentException('a frame has at most ten options');
        }
        $head = pack('CCV', 0x13 + $count, $this->flags, strlen($this->payload));

        return $head . pack('VCC', crc32($head), $this->stream, 0) . pack('V*', ...$this->options) . $this->payload;
    }

    /**
     * Decodes the frame at `$offset` and moves `$offset` behind it; returns null when bytes are missing.
     *
     * @throws FrameException when the bytes are not a frame
     */
    public static function decode(string $buffer, int &$offset = 0): ?self
    {
        if (strlen($buffer) - $offset < self::FIXED) {
            return null;
        }
        /** @var array{first: int, flags: int, length: int, crc: int, stream: int} $head */
        $head = unpack('Cfirst/Cflags/Vlength/Vcrc/Cstream', $buffer, $offset);
        $words = $head['first'] & 0x0F;
        if ($head['first'] >> 4 !== 1 || $words < 3 || $words > 13) {
            throw new FrameException('not a frame: ' . bin2hex(substr($buffer, $offset, self::FIXED)));
        }
        if (crc32(substr($buffer, $offset, 6)) !== $head['crc']) {
            throw new FrameException('wrong checksum of a frame: ' . bin2hex(substr($buffer, $offset, self::FIXED)));
        }
        $body = $offset + 4 * $words;
        if (strlen($buffer) < $body + $head['length']) {
            return null;
        }
        /** @var list<int> $options */
        $options = $words > 3 ? array_values((array) unpack('V' . ($words - 3), $buffer, $offset + self::FIXED)) : [];
        $offset = $body + $head['length'];

        return new self(substr($buffer, $body, $head['length']), $head['flags'], $options, $head['stream']);
    }
}
