<?php

/* As much of Laravel as the tests of its adapter need, unless laravel/framework is installed. */

declare(strict_types=1);

namespace Illuminate\Broadcasting {
    if (!class_exists(BroadcastException::class)) {
        class BroadcastException extends \RuntimeException
        {
        }
    }
}

namespace Symfony\Component\HttpKernel\Exception {
    if (!class_exists(AccessDeniedHttpException::class)) {
        class AccessDeniedHttpException extends \RuntimeException
        {
        }

        class NotFoundHttpException extends \RuntimeException
        {
        }
    }
}

namespace Illuminate\Auth\Access {
    if (!class_exists(AuthorizationException::class)) {
        class AuthorizationException extends \Exception
        {
        }
    }
}

namespace Illuminate\Auth {
    if (!class_exists(AuthManager::class)) {
        class AuthManager
        {
        }
    }
    if (!class_exists(AuthenticationException::class)) {
        class AuthenticationException extends \Exception
        {
        }
    }
}

namespace Illuminate\Contracts\Debug {
    if (!interface_exists(ExceptionHandler::class)) {
        interface ExceptionHandler
        {
            public function report(\Throwable $e);

            public function shouldReport(\Throwable $e);

            public function render($request, \Throwable $e);

            public function renderForConsole($output, \Throwable $e);
        }
    }
}

namespace Illuminate\Container {
    if (!class_exists(Container::class)) {
        class Container
        {
            private array $made = [];

            private array $scoped = [];

            public function instance(string $name, mixed $object): mixed
            {
                return $this->made[$name] = $object;
            }

            public function scoped(string $name, \Closure $factory): void
            {
                $this->scoped[$name] = $factory;
            }

            public function make(string $name): mixed
            {
                if (!$this->bound($name)) {
                    return new $name();
                }

                return $this->made[$name] ??= ($this->scoped[$name])($this);
            }

            public function bound(string $name): bool
            {
                return isset($this->made[$name]) || isset($this->scoped[$name]);
            }

            public function resolved(string $name): bool
            {
                return isset($this->made[$name]);
            }

            public function forgetScopedInstances(): void
            {
                $this->made = array_diff_key($this->made, $this->scoped);
            }
        }
    }
}

namespace Illuminate\Contracts\Auth {
    if (!interface_exists(Authenticatable::class)) {
        interface Authenticatable
        {
        }
    }
}

namespace Illuminate\Contracts\Broadcasting {
    if (!interface_exists(Factory::class)) {
        interface Factory
        {
            public function connection($name = null);
        }
    }
}

namespace Illuminate\Auth {
    if (!class_exists(GenericUser::class)) {
        class GenericUser implements \Illuminate\Contracts\Auth\Authenticatable
        {
            public function __construct(protected array $attributes)
            {
            }

            public function getAuthIdentifier(): mixed
            {
                return $this->attributes['id'];
            }
        }
    }
}

namespace Illuminate\Contracts\Config {
    if (!interface_exists(Repository::class)) {
        interface Repository
        {
            public function has($key);

            public function get($key, $default = null);

            public function all();

            public function set($key, $value = null);

            public function prepend($key, $value);

            public function push($key, $value);
        }
    }
}

namespace Illuminate\Http {
    if (!class_exists(Request::class)) {
        class Request
        {
            private ?\Closure $users = null;

            private array $input = [];

            public static function create(string $uri, string $method = 'GET', array $parameters = []): self
            {
                $request = new self();
                $request->input = $parameters;

                return $request;
            }

            public function input(string $name): mixed
            {
                return $this->input[$name] ?? null;
            }

            public function setUserResolver(\Closure $users): void
            {
                $this->users = $users;
            }

            public function user(?string $guard = null): mixed
            {
                return $this->users === null ? null : ($this->users)($guard);
            }
        }
    }
}

namespace Illuminate\Broadcasting\Broadcasters {
    if (!class_exists(Broadcaster::class)) {
        trait UsePusherChannelConventions
        {
            public function isGuardedChannel($channel)
            {
                return str_starts_with($channel, 'private-') || str_starts_with($channel, 'presence-');
            }

            public function normalizeChannelName($channel)
            {
                return preg_replace('~^(private|presence)-~', '', $channel);
            }
        }

        abstract class Broadcaster
        {
            private array $channels = [];

            public function channel($channel, $callback, $options = [])
            {
                $this->channels[$channel] = $callback;

                return $this;
            }

            protected function formatChannels(array $channels)
            {
                return array_map(strval(...), $channels);
            }

            protected function retrieveUser($request, $channel)
            {
                return $request->user();
            }

            protected function verifyUserCanAccessChannel($request, $channel)
            {
                foreach ($this->channels as $pattern => $callback) {
                    if (preg_match('~^' . preg_replace('~\\\\{(\w+)\\\\}~', '([^\.]+)', preg_quote($pattern, '~')) . '$~', $channel, $values) !== 1) {
                        continue;
                    }
                    $result = $callback($this->retrieveUser($request, $channel), ...array_slice($values, 1));
                    if ($result) {
                        return $this->validAuthenticationResponse($request, $result);
                    }
                    break;
                }
                throw new \Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException();
            }
        }
    }
}

namespace Illuminate\Support\Facades {
    if (!class_exists(Facade::class)) {
        abstract class Facade
        {
            private static ?\Illuminate\Container\Container $laravel = null;

            public static function setFacadeApplication($laravel): void
            {
                self::$laravel = $laravel;
            }

            public static function __callStatic(string $method, array $arguments): mixed
            {
                return self::$laravel?->make(static::getFacadeAccessor())->$method(...$arguments);
            }
        }
    }
}
