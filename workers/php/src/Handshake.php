<?php

declare(strict_types=1);

namespace Causeway;

/**
 * What a worker says about itself in its first control frame.
 *
 * @internal
 */
final class Handshake
{
    /**
     * The answer to the server's first control frame.
     *
     * @param array<string, string|int> $offer what this worker can do; servers other than Causeway get only the pid
     */
    public static function greeting(array $offer): Frame
    {
        $greeting = ['pid' => getmypid()];
        if (self::offers('CAUSEWAY_PROTOCOLS', '1')) {
            $greeting += $offer + ['name' => 'causeway/worker on PHP ' . PHP_VERSION];
        }
        $secret = getenv('CAUSEWAY_RELAY_SECRET');
        if (is_string($secret) && $secret !== '') {
            // On a tcp relay, this proves that it is the worker and not a stranger that knows its pid.
            $greeting['secret'] = $secret;
        }

        return new Frame(json_encode($greeting, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES), Frame::CONTROL);
    }

    /** The answer to any other of the server's control frames that asks for the pid. */
    public static function echo(): Frame
    {
        return new Frame('{"pid":' . getmypid() . '}', Frame::CONTROL);
    }

    /** Whether the server offers this protocol or codec, in a variable that lists them. */
    public static function offers(string $variable, string $what): bool
    {
        return in_array($what, explode(',', (string) getenv($variable)), true);
    }
}
