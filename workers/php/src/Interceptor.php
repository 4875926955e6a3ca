<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Stands around handlers: it may look at the request and at the answer, replace either, or answer without the handler.
 *
 * {@see App::interceptors()} takes them, and functions of the same form.
 */
interface Interceptor
{
    /**
     * Answers a request.
     *
     * @param callable(Request): mixed $next the next interceptor, or the handler; at most one call. It returns the answer: a {@see Result}, an
     *                                       {@see Error} or a {@see Disconnect}, even if that was thrown, or the generator of a stream. Other
     *                                       exceptions are thrown.
     * @return mixed what a handler may return
     */
    public function intercept(Request $request, callable $next): mixed;
}
