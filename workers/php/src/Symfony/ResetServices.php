<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\Interceptor;
use Causeway\Request;
use Symfony\Contracts\Service\ResetInterface;

/**
 * Between requests: services that keep a state, such as Doctrine's entity manager, lose it.
 *
 * @internal
 */
final class ResetServices implements Interceptor
{
    /** @param ResetInterface|null $services all services of the application that can be reset */
    public function __construct(private readonly ?ResetInterface $services)
    {
    }

    public function intercept(Request $request, callable $next): mixed
    {
        try {
            return $next($request);
        } finally {
            $this->services?->reset();
        }
    }
}
