<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Attribute\On;

/**
 * The handlers of an application, and which one takes a request.
 *
 * @internal
 */
final class Handlers
{
    /** @var array<string, Handler> those that take what no other one takes, by event type */
    private array $others = [];

    /** @var array<string, Routes> those of some methods or channels, by event type */
    private array $routes = [];

    /**
     * Takes a handler.
     *
     * @throws \LogicException when the event has one with this pattern already, or has nothing that a pattern could match
     */
    public function add(Event $event, string $text, Handler $handler): void
    {
        $handler->check($event);
        $pattern = new Pattern($text);
        if ($pattern->matchesAll()) {
            $taken = $this->others[$event->value] ?? null;
            $this->others[$event->value] ??= $handler;
            $what = $event->value;
        } else {
            $subject = $event->subject()
                ?? throw new \LogicException("$handler->place: $event->value takes no pattern, found \"$text\"");
            $this->routes[$event->value] ??= new Routes($subject);
            $taken = $this->routes[$event->value]->add($pattern, $handler);
            $what = $event === Event::Rpc ? "RPC method \"$text\"" : "$event->value \"$text\"";
        }
        if ($taken !== null) {
            throw new \LogicException("$what has a handler already: $taken->place");
        }
    }

    /**
     * Takes the handlers of a class, which have attributes.
     *
     * @param object|string $service an object, or the name of a class
     * @throws \LogicException when it has none
     */
    public function addAll(object|string $service, Resolver $resolver): void
    {
        $name = is_object($service) ? $service::class : $service;
        if (!class_exists($name)) {
            throw new \LogicException("there is no class $name");
        }
        $class = new \ReflectionClass($name);
        $found = false;
        foreach ([$class, ...$class->getMethods(\ReflectionMethod::IS_PUBLIC)] as $place) {
            foreach ($place->getAttributes(On::class, \ReflectionAttribute::IS_INSTANCEOF) as $attribute) {
                $found = true;
                $on = $attribute->newInstance();
                $method = $place instanceof \ReflectionMethod ? $place->name : null;
                $this->add($on->event, $on->pattern, Handler::ofService($service, $method, $resolver));
            }
        }
        if (!$found) {
            throw new \LogicException("$name has no handlers: expected methods with attributes such as #[OnRpc]");
        }
    }

    public function find(Event $event, Request $request): ?Handler
    {
        $type = $event->value;
        $routes = $this->routes[$type] ?? null;

        return ($routes === null ? null : $routes->find($request)) ?? $this->others[$type] ?? null;
    }

    /** Whether the event has any handler. */
    public function has(Event $event): bool
    {
        return isset($this->others[$event->value]) || isset($this->routes[$event->value]);
    }
}
