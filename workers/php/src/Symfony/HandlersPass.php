<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\App;
use Causeway\Fields;
use Symfony\Component\DependencyInjection\ChildDefinition;
use Symfony\Component\DependencyInjection\Compiler\CompilerPassInterface;
use Symfony\Component\DependencyInjection\Compiler\ServiceLocatorTagPass;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Reference;

/**
 * Collects the handlers and interceptors of an application, and what they need, which is made with the first request that needs it.
 *
 * @internal
 */
final class HandlersPass implements CompilerPassInterface
{
    public const HANDLER = 'causeway.handler';
    public const INTERCEPTOR = 'causeway.interceptor';

    public function process(ContainerBuilder $container): void
    {
        if (!$container->hasDefinition(App::class)) {
            return;
        }
        $references = [ResetServices::class => new Reference(ResetServices::class)];
        $handlers = self::handlers($container, $references);
        $container->getDefinition(App::class)
            ->setArgument('$interceptors', self::interceptors($container, $references))
            ->setArgument('$handlers', $handlers)
            ->setArgument('$services', ServiceLocatorTagPass::register($container, $references));
    }

    /**
     * @param array<string, Reference> $references
     * @return list<array{string, string, class-string, string}> the type of event, the pattern, the class and the method of each
     */
    private static function handlers(ContainerBuilder $container, array &$references): array
    {
        $handlers = [];
        foreach ($container->findTaggedServiceIds(self::HANDLER, true) as $id => $tags) {
            $class = self::classOf($container, $id, $references);
            foreach (array_map(Fields::of(...), array_values((array) $tags)) as $tag) {
                $method = $tag->string('method') ?: (method_exists($class, 'handle') ? 'handle' : '__invoke');
                $handlers[] = [$tag->string('event'), $tag->string('pattern') ?: '*', $class, $method];
                self::addParameters($container, $class, $method, $references);
            }
        }

        return $handlers;
    }

    /**
     * @param array<string, Reference> $references
     * @return list<array{string, string}> the type of event or `*`, and the class of each, the outermost first
     */
    private static function interceptors(ContainerBuilder $container, array &$references): array
    {
        $interceptors = [];
        foreach ($container->findTaggedServiceIds(self::INTERCEPTOR, true) as $id => $tags) {
            $class = self::classOf($container, $id, $references);
            $attributes = (new \ReflectionClass($class))->getAttributes(AsInterceptor::class);
            $places = array_map(static fn (\ReflectionAttribute $attribute): AsInterceptor => $attribute->newInstance(), $attributes);
            foreach ($places !== [] ? $places : [new AsInterceptor()] as $place) {
                $interceptors[$place->priority][] = [$place->event === null ? '*' : $place->event->value, $class];
            }
        }
        krsort($interceptors);

        return [['*', ResetServices::class], ...array_merge(...$interceptors)];
    }

    /**
     * What a handler takes after the request.
     *
     * @param class-string $class
     * @param array<string, Reference> $references
     */
    private static function addParameters(ContainerBuilder $container, string $class, string $method, array &$references): void
    {
        foreach (array_slice((new \ReflectionMethod($class, $method))->getParameters(), 1) as $parameter) {
            $type = $parameter->getType();
            if ($type instanceof \ReflectionNamedType && !$type->isBuiltin() && $container->has($type->getName())) {
                $references[$type->getName()] = new Reference($type->getName());
            }
        }
    }

    /**
     * @param array<string, Reference> $references
     * @return class-string
     */
    private static function classOf(ContainerBuilder $container, string $id, array &$references): string
    {
        $definition = $container->findDefinition($id);
        while ($definition->getClass() === null && $definition instanceof ChildDefinition) {
            $definition = $container->findDefinition($definition->getParent());
        }
        $class = $container->getParameterBag()->resolveValue($definition->getClass() ?? $id);
        if (!is_string($class) || !class_exists($class)) {
            throw new \LogicException("the service \"$id\" has no class");
        }
        $references[$class] = new Reference($id);

        return $class;
    }
}
