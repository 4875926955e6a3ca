<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Connections to the server.
 *
 * @internal
 */
final class Socket
{
    /**
     * Connects to `tcp://host:port` or `unix://path`.
     *
     * @return resource|string the stream, or why there is none
     * @throws \InvalidArgumentException when the address is invalid
     */
    public static function connect(string $address, float $seconds)
    {
        if (preg_match('~^(?:unix://.|tcp://.*:\d+$)~', $address) !== 1) {
            throw new \InvalidArgumentException("expected tcp://host:port or unix://path, found \"$address\"");
        }
        $context = stream_context_create(['socket' => ['tcp_nodelay' => true]]);
        $target = (string) preg_replace('~^tcp://:~', 'tcp://127.0.0.1:', $address);
        $stream = @stream_socket_client($target, $code, $message, $seconds, STREAM_CLIENT_CONNECT, $context);

        return $stream === false ? (is_string($message) ? $message : '') : $stream;
    }
}
