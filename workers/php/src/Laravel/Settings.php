<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\Fields;
use Causeway\Interceptor;
use Illuminate\Contracts\Config\Repository;

/**
 * What `config/centrifugo.php` says.
 *
 * @internal
 */
final class Settings
{
    /**
     * @param array<int|string, object|string> $services
     * @param array<string, Interceptor|callable|string|list<Interceptor|callable|string>> $interceptors
     */
    private function __construct(
        public readonly ?string $rpc,
        public readonly float $timeout,
        public readonly ?string $routes,
        public readonly array $services,
        public readonly array $interceptors,
        public readonly ?string $codec,
        public readonly bool $backtrace,
        public readonly bool $debug,
    ) {
    }

    public static function of(Repository $config): self
    {
        $values = Fields::of($config->get('centrifugo', []));
        $text = static fn (string $key): ?string => $values->string($key) === '' ? null : $values->string($key);
        /** @var array<int|string, object|string> $services */
        $services = (array) $values->mixed('services');
        /** @var array<string, Interceptor|callable|string|list<Interceptor|callable|string>> $interceptors */
        $interceptors = (array) $values->mixed('interceptors');

        return new self(
            $text('rpc'),
            $values->has('timeout') ? $values->float('timeout') : 5.0,
            $text('routes'),
            $services,
            $interceptors,
            $text('codec'),
            (bool) $values->mixed('backtrace'),
            (bool) $values->mixed('debug'),
        );
    }
}
