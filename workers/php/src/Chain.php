<?php

declare(strict_types=1);

namespace Causeway;

/**
 * One request on its way through interceptors to its handler, and the answer on its way back.
 *
 * @internal
 */
final class Chain
{
    /** The place of the function that has returned the answer, or has thrown it. */
    public string $place;

    private mixed $answer = null;

    /**
     * @param list<array{\Closure, string}> $interceptors functions and their places
     * @param \Closure(Request): mixed $handler
     */
    public function __construct(
        private readonly Event $event,
        private readonly array $interceptors,
        private readonly \Closure $handler,
        string $place,
    ) {
        $this->place = $place;
    }

    /** The answer to the request. */
    public function run(Request $request): mixed
    {
        try {
            return $this->call(0, $request);
        } finally {
            // The arguments in its trace may refer to this chain.
            $this->answer = null;
        }
    }

    private function call(int $number, Request $request): mixed
    {
        if (!isset($this->interceptors[$number])) {
            return $this->answer = $this->value($this->handler, $request);
        }
        [$interceptor, $place] = $this->interceptors[$number];
        $called = false;
        $next = function (Request $request) use (&$called, $number, $place): mixed {
            if ($called) {
                throw new WorkerException("$place: next was called twice");
            }
            $called = true;

            return $this->call($number + 1, $request);
        };
        $answer = $this->value($interceptor, $request, $next);
        if ($answer !== $this->answer) {
            [$this->answer, $this->place] = [$answer, $place];
        }

        return $answer;
    }

    private function value(\Closure $function, mixed ...$arguments): mixed
    {
        try {
            $answer = $function(...$arguments);
        } catch (Error | Disconnect $refusal) {
            return $refusal;
        }
        $class = $this->event->resultClass();

        return $answer ?? new $class();
    }
}
