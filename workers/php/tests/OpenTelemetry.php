<?php

// A stand-in for `open-telemetry/api` and `open-telemetry/context`: what Causeway uses of them, with their names and signatures.

declare(strict_types=1);

namespace OpenTelemetry\Context {
    final class Context
    {
        private static ?self $root = null;

        /** @var \WeakMap<object, self>|null the current context of each fiber, and of the stand-in for {main} */
        private static ?\WeakMap $current = null;

        /** @param array<string, string> $trace */
        private function __construct(public readonly array $trace)
        {
        }

        public static function getRoot(): self
        {
            return self::$root ??= new self([]);
        }

        public static function getCurrent(): self
        {
            if (\Fiber::getCurrent() !== null && !isset(self::heads()[\Fiber::getCurrent()])) {
                trigger_error('Access to not initialized OpenTelemetry context in fiber', E_USER_WARNING);
            }

            return self::heads()[\Fiber::getCurrent() ?? self::getRoot()] ?? self::getRoot();
        }

        /** @param array<string, string> $trace */
        public function withTrace(array $trace): self
        {
            return new self($trace);
        }

        public function activate(): Scope
        {
            $key = \Fiber::getCurrent() ?? self::getRoot();
            $before = self::heads()[$key] ?? null;
            self::heads()[$key] = $this;

            return new Scope(static function () use ($key, $before): void {
                if ($before === null) {
                    unset(self::heads()[$key]);
                } else {
                    self::heads()[$key] = $before;
                }
            });
        }

        /** @return \WeakMap<object, self> */
        private static function heads(): \WeakMap
        {
            return self::$current ??= new \WeakMap();
        }
    }

    interface ScopeInterface
    {
        public function detach(): int;
    }

    final class Scope implements ScopeInterface
    {
        public function __construct(private readonly \Closure $end)
        {
        }

        public function detach(): int
        {
            ($this->end)();

            return 0;
        }
    }
}

namespace OpenTelemetry\API {
    use OpenTelemetry\Context\Context;

    final class Globals
    {
        public static bool $fails = false;

        public static function propagator(): Propagator
        {
            if (self::$fails) {
                throw new \DomainException('unknown propagator');
            }
            // Like the real one, which may have another propagator in each context.
            Context::getCurrent();

            return new Propagator();
        }
    }

    final class Propagator
    {
        /** @return list<string> */
        public function fields(): array
        {
            return ['traceparent', 'tracestate', 'baggage'];
        }

        public function extract(mixed $carrier, ?object $getter = null, ?Context $context = null): Context
        {
            // Like the real one, which would ask for the current context otherwise.
            return ($context ?? Context::getCurrent())->withTrace($carrier);
        }
    }
}
