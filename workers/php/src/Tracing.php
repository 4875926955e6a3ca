<?php

declare(strict_types=1);

namespace Causeway;

use OpenTelemetry\API\Globals;
use OpenTelemetry\Context\Context;
use OpenTelemetry\Context\ScopeInterface;

/**
 * OpenTelemetry: handlers run in the trace of their request, if `open-telemetry/api` is there.
 *
 * @internal
 */
final class Tracing
{
    /** Whether the library is there, once a request has needed it. */
    private static ?bool $isInstalled = null;

    private static bool $hasFailed = false;

    /**
     * Makes the trace of a request the current one, until the result is detached; null if there is nothing to do. No request fails because
     * its trace cannot be continued.
     *
     * @return ScopeInterface|null
     */
    public static function enter(Headers $headers): ?object
    {
        $isTraced = $headers->get('traceparent') !== null;
        // The library warns of a fiber that has no context at all.
        $isFiber = \Fiber::getCurrent() !== null;
        if ((!$isTraced && !$isFiber) || !self::isInstalled()) {
            return null;
        }
        try {
            return self::activate($headers, $isTraced, $isFiber);
        } catch (\Throwable $error) {
            // Such as an unknown propagator in OTEL_PROPAGATORS.
            if (!self::$hasFailed) {
                self::$hasFailed = true;
                Log::warning("cannot continue traces (logged once): {$error->getMessage()}");
            }

            return null;
        }
    }

    /** @return ScopeInterface */
    private static function activate(Headers $headers, bool $isTraced, bool $isFiber): object
    {
        $root = Context::getRoot();
        if (!$isTraced) {
            return $root->activate();
        }
        $scope = $isFiber ? $root->activate() : null;
        try {
            // With the propagators that the application has chosen.
            $propagator = Globals::propagator();
            $carrier = [];
            foreach ($propagator->fields() as $field) {
                $carrier[$field] = $headers->get($field);
            }
            $context = $propagator->extract(array_filter($carrier, is_string(...)), null, $root);
        } finally {
            $scope?->detach();
        }

        return $context->activate();
    }

    /**
     * The messages of a stream, whose handler goes on in the trace of its request.
     *
     * @param iterable<string> $messages
     * @return \Generator<int, string>
     */
    public static function during(Headers $headers, iterable $messages): \Generator
    {
        $scope = self::enter($headers);
        try {
            foreach ($messages as $message) {
                yield $message;
            }
        } finally {
            $scope?->detach();
        }
    }

    private static function isInstalled(): bool
    {
        return self::$isInstalled ??= class_exists(Globals::class) && class_exists(Context::class);
    }
}
