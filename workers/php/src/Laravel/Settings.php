<?php

declare(strict_types=1);

namespace Causeway\Laravel;

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
     * @param array<string, mixed> $interceptors
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
        $values = (array) $config->get('centrifugo', []);
        $text = static fn (string $key): ?string => is_string($values[$key] ?? null) && $values[$key] !== '' ? $values[$key] : null;

        return new self(
            $text('rpc'),
            (float) ($values['timeout'] ?? 5.0),
            $text('routes'),
            (array) ($values['services'] ?? []),
            (array) ($values['interceptors'] ?? []),
            $text('codec'),
            (bool) ($values['backtrace'] ?? false),
            (bool) ($values['debug'] ?? false),
        );
    }
}
