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
        if (!self::isSimple($class)) {
            throw new \LogicException("$class cannot be made without a container: its constructor takes arguments");
        }

        return $this->objects[$class] ??= new $class();
    }

    /**
     * What a function takes after its first parameter.
     *
     * @return list<string> names of classes
     * @throws \LogicException when a required parameter is no object
     */
    public function parameters(\ReflectionFunctionAbstract $function): array
    {
        $classes = [];
        foreach (array_slice($function->getParameters(), 1) as $parameter) {
            if ($parameter->isOptional()) {
                break;
            }
            $type = $parameter->getType();
            if (!$type instanceof \ReflectionNamedType || $type->isBuiltin()) {
                $place = Handler::place($function);
                throw new \LogicException("$place: only objects can be passed to a handler besides the request, not \${$parameter->getName()}");
            }
            $classes[] = $type->getName();
        }

        return $classes;
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
