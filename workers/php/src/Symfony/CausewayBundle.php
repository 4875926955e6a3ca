<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\App;
use Causeway\Attribute\On;
use Causeway\Event;
use Causeway\Interceptor;
use Causeway\Rpc;
use Symfony\Component\Config\Definition\Builder\ArrayNodeDefinition;
use Symfony\Component\Config\Definition\Configurator\DefinitionConfigurator;
use Symfony\Component\DependencyInjection\ChildDefinition;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\ContainerInterface;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\DependencyInjection\Reference;
use Symfony\Component\HttpKernel\Bundle\AbstractBundle;

/**
 * Symfony's side of Causeway: services whose methods have attributes such as `#[OnRpc('users.*')]` are handlers, those that implement
 * {@see Interceptor} stand around them, {@see Rpc} can be injected, and the command `centrifugo:work` serves events.
 */
final class CausewayBundle extends AbstractBundle
{
    public function configure(DefinitionConfigurator $definition): void
    {
        $root = $definition->rootNode();
        assert($root instanceof ArrayNodeDefinition);
        $nodes = $root->children();
        $nodes->scalarNode('rpc')->defaultNull()->info('Where rpc.listen of the server is. Workers need not say it.');
        $nodes->floatNode('timeout')->defaultValue(30.0)->info('Seconds that a call of the server may take.');
        $nodes->enumNode('codec')->values([null, 'proto', 'json'])->defaultNull()->info('By default what the server offers.');
        $nodes->booleanNode('backtrace')->defaultFalse()->info('Whether the worker says where a slow request is.');
        $nodes->booleanNode('debug')->defaultFalse()->info('Whether the log shows requests that have failed, with data of clients.');
    }

    /** @param array<string, mixed> $config */
    public function loadExtension(array $config, ContainerConfigurator $container, ContainerBuilder $builder): void
    {
        $builder->register(Rpc::class, Rpc::class)->setArguments([$config['rpc'], $config['timeout']])->setPublic(true);
        $builder->register(ResetServices::class, ResetServices::class)
            ->setArguments([new Reference('services_resetter', ContainerInterface::NULL_ON_INVALID_REFERENCE)]);
        $builder->register(App::class, App::class)
            ->setFactory([AppFactory::class, 'create'])
            ->setArguments([
                '$codec' => $config['codec'],
                '$backtrace' => $config['backtrace'],
                '$debug' => $config['debug'],
                '$logger' => new Reference('logger', ContainerInterface::NULL_ON_INVALID_REFERENCE),
            ])
            ->addTag('monolog.logger', ['channel' => 'centrifugo'])
            ->setPublic(true);
        $builder->register(WorkCommand::class, WorkCommand::class)
            ->setArguments([new Reference(App::class)])
            ->addTag('console.command');
        self::configureAttributes($builder);
    }

    public function build(ContainerBuilder $container): void
    {
        $container->addCompilerPass(new HandlersPass());
    }

    /** Tags services whose methods are handlers, and those that are interceptors. */
    private static function configureAttributes(ContainerBuilder $builder): void
    {
        $handler = static function (ChildDefinition $definition, On $on, \ReflectionClass|\ReflectionMethod $place): void {
            $method = $place instanceof \ReflectionMethod ? $place->name : null;
            $definition->addTag(HandlersPass::HANDLER, ['event' => $on->event->value, 'pattern' => $on->pattern, 'method' => $method]);
        };
        foreach (Event::cases() as $event) {
            /** @var class-string<On> $attribute */
            $attribute = "Causeway\\Attribute\\On$event->name";
            $builder->registerAttributeForAutoconfiguration($attribute, $handler);
        }
        $builder->registerForAutoconfiguration(Interceptor::class)->addTag(HandlersPass::INTERCEPTOR);
    }
}
