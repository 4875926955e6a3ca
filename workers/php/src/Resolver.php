<?php

declare(strict_types=1);

namespace Causeway;

use Psr\Container\ContainerInterface;

/**
 * The application's objects: from its container, which decides how long they live, or one of each class.
 *
 * @internal
 */
final class Resolver
{
    /** @var array<string, object> */
    private array $objects = [];

    public function __construct(private readonly ?ContainerInterface $container)
    {
    }

    /**
     * An object of a class.
     *
     * @param string $class the name of a class, or of an interface that the container knows
     * @throws \LogicException when it cannot be made
     */
    public function get(string $class): object
    {
        if ($this->container !== null && ($this->container->has($class) || !self::isSimple($class))) {
            $object = $this->container->get($class);

            return is_object($object) ? $object : throw new \LogicException("the container has no object for $class");
        }
        self::expectSimple($class);

        return $this->objects[$class] ??= new $class();
    }

    /**
     * Checks that there can be an object of a class, as far as is known before it is needed: a container is asked for it then.
     *
     * @param string $place where it is needed, for the exception
     * @throws \LogicException when it cannot be made
     */
    public function check(string $class, string $place): void
    {
        if ($this->container === null) {
            self::expectSimple($class, "$place: ");
        }
    }

    /**
     * What a function takes after its first parameter.
     *
     * @return list<string> names of classes
     * @throws \LogicException when a required parameter is no object, or one that cannot be made
     */
    public function parameters(\ReflectionFunctionAbstract $function): array
    {
        $classes = [];
        foreach (array_slice($function->getParameters(), 1) as $parameter) {
            if ($parameter->isOptional()) {
                break;
            }
            $type = $parameter->getType();
            $place = Handler::place($function);
            if (!$type instanceof \ReflectionNamedType || $type->isBuiltin()) {
                throw new \LogicException("$place: only objects can be passed to a handler besides the request, not \${$parameter->getName()}");
            }
            $this->check($type->getName(), $place);
            $classes[] = $type->getName();
        }

        return $classes;
    }

    private static function expectSimple(string $class, string $where = ''): void
    {
        if (!self::isSimple($class)) {
            throw new \LogicException("$where$class cannot be made without a container: its constructor takes arguments");
        }
    }

    private static function isSimple(string $class): bool
    {
        if (!class_exists($class)) {
            return false;
        }
        $reflection = new \ReflectionClass($class);

        return $reflection->isInstantiable() && ($reflection->getConstructor()?->getNumberOfRequiredParameters() ?? 0) === 0;
    }
}
