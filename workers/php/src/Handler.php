<?php

declare(strict_types=1);

namespace Causeway;

/**
 * A handler: how it is called, and where it is defined.
 *
 * @internal
 */
final class Handler
{
    /** Where it is defined: file and line. */
    public readonly string $place;

    /**
     * @param \Closure(Request): mixed $call
     * @param list<string> $types the types of its first parameter, if they are classes
     */
    private function __construct(public readonly \Closure $call, \ReflectionFunctionAbstract $function, private readonly array $types)
    {
        $this->place = self::place($function);
    }

    /**
     * @param callable|array<mixed>|string $handler anything that can be called; or a class whose method `handle` or `__invoke` it is, or a class
     *                                              and a method
     * @throws \LogicException when it is none
     */
    public static function of(callable|array|string $handler, Resolver $resolver): self
    {
        if (is_callable($handler)) {
            $call = \Closure::fromCallable($handler);

            return self::bind($call, new \ReflectionFunction($call), $resolver);
        }
        if (is_string($handler) && !str_contains($handler, '::')) {
            return self::ofService($handler, null, $resolver);
        }
        [$class, $method] = [...array_values(is_string($handler) ? explode('::', $handler) : $handler), null, null];
        if ((is_object($class) || is_string($class)) && is_string($method)) {
            return self::ofService($class, $method, $resolver);
        }
        throw new \LogicException('expected a function, a class, or a class and a method');
    }

    /**
     * The method of a class; by default `handle`, or else `__invoke`.
     *
     * @throws \LogicException when it does not have it
     */
    public static function ofService(object|string $service, ?string $method, Resolver $resolver): self
    {
        $class = is_object($service) ? $service::class : $service;
        if (!class_exists($class)) {
            throw new \LogicException("expected a handler, found \"$class\", which is neither a function nor a class");
        }
        $method ??= method_exists($class, 'handle') ? 'handle' : '__invoke';
        if (!method_exists($class, $method) || !($function = new \ReflectionMethod($class, $method))->isPublic()) {
            throw new \LogicException("$class has no public method $method()");
        }
        if (is_object($service) || $function->isStatic()) {
            $call = $function->getClosure(is_object($service) ? $service : null);

            return self::bind($call, $function, $resolver);
        }

        $resolver->check($class, self::place($function));

        return self::bind(static fn (mixed ...$arguments): mixed => $resolver->get($class)->$method(...$arguments), $function, $resolver);
    }

    /** Checks that it can take requests of an event. */
    public function check(Event $event): void
    {
        $request = $event->requestClass();
        $fits = static fn (string $type): bool => is_a($request, $type, true);
        if ($this->types !== [] && array_filter($this->types, $fits) === []) {
            $name = static fn (string $class): string => substr((string) strrchr("\\$class", '\\'), 1);
            $found = implode('|', array_map($name, $this->types));
            throw new \LogicException("$this->place: a handler of $event->value takes {$name($request)}, not $found");
        }
    }

    /** Where a function is defined: file and line. */
    public static function place(\ReflectionFunctionAbstract $function): string
    {
        return $function->isInternal() ? "{$function->getName()}()" : "{$function->getFileName()}:{$function->getStartLine()}";
    }

    private static function bind(\Closure $call, \ReflectionFunctionAbstract $function, Resolver $resolver): self
    {
        $types = self::classes(($function->getParameters()[0] ?? null)?->getType());
        $needed = $resolver->parameters($function);
        if ($needed !== []) {
            $target = $call;
            $call = static fn (Request $request): mixed => $target($request, ...array_map($resolver->get(...), $needed));
        }

        return new self($call, $function, $types);
    }

    /** @return list<string> the classes that a type consists of; none if it has others as well */
    private static function classes(?\ReflectionType $type): array
    {
        $classes = [];
        foreach ($type instanceof \ReflectionUnionType ? $type->getTypes() : [$type] as $one) {
            if (!$one instanceof \ReflectionNamedType || $one->isBuiltin()) {
                return [];
            }
            $classes[] = $one->getName();
        }

        return $classes;
    }
}
