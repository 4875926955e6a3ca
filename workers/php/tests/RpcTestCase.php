<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Rpc;
use Causeway\Rpc\RpcException;
use PHPUnit\Framework\TestCase;

/**
 * A client and the server that it calls.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
abstract class RpcTestCase extends TestCase
{
    protected ?RpcServer $server = null;

    protected function tearDown(): void
    {
        $this->server = null;
    }

    /** A client of a server that runs these parts. */
    protected function serve(callable ...$parts): Rpc
    {
        $this->server = new RpcServer(array_values($parts));

        return new Rpc($this->server->address, RpcServer::PATIENCE);
    }

    /** The error of a call. */
    protected static function failure(callable $call): RpcException
    {
        try {
            $call();
        } catch (RpcException $error) {
            return $error;
        }
        self::fail('the call succeeded');
    }
}
