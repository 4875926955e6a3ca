<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Psr\Container\ContainerInterface;

require_once __DIR__ . '/stubs/psr.php';

/** A container that makes an object per call and counts its calls. */
final class Container implements ContainerInterface
{
    /** @var array<string, int> */
    public array $calls = [];

    /** @param array<string, \Closure(): mixed> $factories by name */
    public function __construct(private readonly array $factories)
    {
    }

    public function get(string $id): mixed
    {
        $this->calls[$id] = ($this->calls[$id] ?? 0) + 1;

        return ($this->factories[$id] ?? throw new \OutOfBoundsException("nothing is registered as $id"))();
    }

    public function has(string $id): bool
    {
        return isset($this->factories[$id]);
    }
}
