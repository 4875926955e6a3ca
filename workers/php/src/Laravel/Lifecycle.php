<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\Cancelled;
use Causeway\Error;
use Causeway\Interceptor;
use Causeway\Log;
use Causeway\Request;
use Causeway\Stop;
use Causeway\WorkerException;
use Illuminate\Auth\Access\AuthorizationException;
use Illuminate\Auth\AuthenticationException;
use Illuminate\Container\Container;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Database\Eloquent\ModelNotFoundException;
use Illuminate\Validation\ValidationException;
use Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;

/**
 * Between requests: nothing of one is left for the next. Exceptions that Laravel knows are errors for the client; all others are reported to the
 * application's exception handler, and fail the request.
 */
final class Lifecycle implements Interceptor
{
    public function __construct(private readonly Container $laravel)
    {
    }

    public function intercept(Request $request, callable $next): mixed
    {
        try {
            return $next($request);
        } catch (Stop | Cancelled | WorkerException $error) {
            throw $error;
        } catch (\Throwable $error) {
            return $this->refusal($error) ?? throw $this->reported($error);
        } finally {
            $this->laravel->forgetScopedInstances();
            $auth = $this->laravel->resolved('auth') ? $this->laravel->make('auth') : null;
            if (is_object($auth) && method_exists($auth, 'forgetGuards')) {
                $auth->forgetGuards();
            }
        }
    }

    private function refusal(\Throwable $error): ?Error
    {
        return match (true) {
            $error instanceof ValidationException => new Error(107, 'bad request: ' . mb_substr($error->getMessage(), 0, 200)),
            $error instanceof AuthenticationException => new Error(101, 'unauthorized'),
            $error instanceof AuthorizationException, $error instanceof AccessDeniedHttpException => new Error(103, 'permission denied'),
            $error instanceof ModelNotFoundException, $error instanceof NotFoundHttpException => new Error(404, 'not found'),
            default => null,
        };
    }

    private function reported(\Throwable $error): \Throwable
    {
        try {
            $this->laravel->make(ExceptionHandler::class)->report($error);
        } catch (\Throwable $failure) {
            Log::error("cannot report an exception: {$failure->getMessage()}");
        }

        return $error;
    }
}
