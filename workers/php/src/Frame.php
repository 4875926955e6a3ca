<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * A goridge frame, version 1: pure bytes.
 *
 * All integers are little-endian: version and header length (a byte), flags (a byte), payload length (four), CRC-32 of these six
 * bytes (four), stream bits (a byte), zero (a byte), options (four each), payload.
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

    /** Bytes of a header without options. */
    private const FIXED = 12;

    /** @param list<int> $options at most ten */
    public function __construct(
        public readonly string $payload,
        public readonly int $flags = 0,
        public readonly array $options = [],
        public readonly int $stream = 0,
    ) {
    }

    /** The bytes of the frame. */
    public function encode(): string
    {
        $head = pack('CCV', 0x10 | (3 + count($this->options)), $this->flags, strlen($this->payload));

        return $head . pack('VCC', crc32($head), $this->stream, 0) . pack('V*', ...$this->options) . $this->payload;
    }

    /**
     * The frame at `$offset`, or null when bytes are missing. `$offset` is moved behind it.
     *
     * @throws FrameException when the bytes there are no frame
     */
    public static function decode(string $buffer, int &$offset = 0): ?self
    {
        if (strlen($buffer) - $offset < self::FIXED) {
            return null;
        }
        /** @var array{first: int, flags: int, length: int, crc: int, stream: int} $head */
        $head = unpack('Cfirst/Cflags/Vlength/Vcrc/Cstream', $buffer, $offset);
        $words = $head['first'] & 0x0F;
        if ($head['first'] >> 4 !== 1 || $words < 3 || $words > 13 || crc32(substr($buffer, $offset, 6)) !== $head['crc']) {
            throw new FrameException('not a frame: ' . bin2hex(substr($buffer, $offset, self::FIXED)));
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
