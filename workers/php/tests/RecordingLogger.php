<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Psr\Log\LoggerInterface;
use Psr\Log\LoggerTrait;

require_once __DIR__ . '/stubs/psr.php';

final class RecordingLogger implements LoggerInterface
{
    use LoggerTrait;

    /** @var list<array{mixed, string, array<mixed>}> */
    public array $entries = [];

    /** @param mixed $level */
    public function log($level, string|\Stringable $message, array $context = []): void
    {
        $this->entries[] = [$level, (string) $message, $context];
    }
}
