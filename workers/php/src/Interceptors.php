<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The interceptors of an application: those of all events around those of one type, each in order of registration.
 *
 * @internal
 */
final class Interceptors
{
    private const ALL = '*';

    /** @var array<string, list<array{\Closure, string}>> functions and their places, by event type */
    private array $registered = [];

    /** @var array<string, list<array{\Closure, string}>> those of an event and those of all */
    private array $merged = [];

    /**
     * @param Interceptor|callable|string $interceptor an interceptor, a function of its form, or a class
     * @throws \LogicException when it is none
     */
    public function add(?Event $event, Interceptor|callable|string $interceptor, Resolver $resolver): void
    {
        $this->registered[$event === null ? self::ALL : $event->value][] = self::function($interceptor, $resolver);
        $this->merged = [];
    }

    /** @return list<array{\Closure, string}> */
    public function of(Event $event): array
    {
        return $this->merged[$event->value] ??= [...$this->registered[self::ALL] ?? [], ...$this->registered[$event->value] ?? []];
    }

    /** @return array{\Closure, string} */
    private static function function(Interceptor|callable|string $interceptor, Resolver $resolver): array
    {
        if (is_string($interceptor) && !is_callable($interceptor)) {
            if (!is_a($interceptor, Interceptor::class, true)) {
                throw new \LogicException("expected an interceptor, found \"$interceptor\"");
            }
            $place = Handler::place(new \ReflectionMethod($interceptor, 'intercept'));
            $resolver->check($interceptor, $place);
            $call = static function (Request $request, callable $next) use ($interceptor, $resolver): mixed {
                $object = $resolver->get($interceptor);
                assert($object instanceof Interceptor);

                return $object->intercept($request, $next);
            };

            return [$call, $place];
        }
        $call = $interceptor instanceof Interceptor ? $interceptor->intercept(...) : \Closure::fromCallable($interceptor);

        return [$call, Handler::place(new \ReflectionFunction($call))];
    }
}
