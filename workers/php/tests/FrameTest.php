<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use Causeway\FrameException;
use PHPUnit\Framework\TestCase;

final class FrameTest extends TestCase
{
    /** @return iterable<string, array{array<string, mixed>}> */
    public static function vectors(): iterable
    {
        $text = (string) file_get_contents(__DIR__ . '/../../../tests/vectors/goridge-frames.json');
        foreach (json_decode($text, true, flags: JSON_THROW_ON_ERROR) as $vector) {
            yield $vector['name'] => [$vector];
        }
    }

    /**
     * @dataProvider vectors
     * @param array<string, mixed> $vector
     */
    public function testEveryRecordedFrameIsEncodedAndDecoded(array $vector): void
    {
        $bytes = (string) hex2bin($vector['frame_hex']);
        $frame = new Frame((string) hex2bin($vector['payload_hex']), $vector['flags'], $vector['options'], $vector['byte10']);
        self::assertSame($bytes, $frame->encode());
        $offset = 0;
        self::assertEquals($frame, Frame::decode($bytes, $offset));
        self::assertSame(strlen($bytes), $offset);
        for ($cut = 0; $cut < strlen($bytes); ++$cut) {
            self::assertNull(Frame::decode(substr($bytes, 0, $cut)));
        }
    }

    public function testAFrameHasAtMostTenOptions(): void
    {
        self::assertSame(52, strlen((new Frame('', options: range(1, 10)))->encode()));
        $this->expectException(\InvalidArgumentException::class);
        (new Frame('', options: range(1, 11)))->encode();
    }

    public function testAWrongChecksumIsAnError(): void
    {
        $bytes = (new Frame('x'))->encode();
        $bytes[7] = $bytes[7] ^ "\x01";
        $this->expectException(FrameException::class);
        Frame::decode($bytes);
    }
}
