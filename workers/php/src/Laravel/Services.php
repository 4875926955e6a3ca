<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Illuminate\Container\Container;
use Psr\Container\ContainerInterface;

/**
 * Laravel's container, which makes objects of any class, though as a PSR-11 container it has only those that were bound.
 *
 * @internal
 */
final class Services implements ContainerInterface
{
    public function __construct(private readonly Container $laravel)
    {
    }

    public function get(string $id): mixed
    {
        return $this->laravel->make($id);
    }

    public function has(string $id): bool
    {
        return class_exists($id) || $this->laravel->bound($id);
    }
}
