<?php

declare(strict_types=1);

namespace Causeway;

use Psr\Log\LoggerInterface;

/**
 * A request whose handler has failed, for the log.
 *
 * @internal
 */
final class Incident
{
    public function __construct(
        private readonly Event $event,
        private readonly Request $request,
        private readonly ?LoggerInterface $logger,
        private readonly bool $debug,
    ) {
    }

    /** The event, with the method or channel that the client has sent: as a short piece of a log line. */
    public static function nameOf(Event $event, Request $request): string
    {
        $field = $event->subject();
        if ($field === null) {
            return $event->value;
        }
        $subject = property_exists($request, $field) && is_string($request->{$field}) ? $request->{$field} : '';
        $quoted = json_encode(substr($subject, 0, 100), JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES);

        return "$event->value $field $quoted";
    }

    /** @param string $text the exception in short */
    public function log(\Throwable $error, string $text): void
    {
        $name = self::nameOf($this->event, $this->request);
        $line = $text;
        $place = [];
        if (!$error instanceof WorkerException) {
            $origin = Trace::origin($error);
            $line = "$name failed: " . strtr($text, ["\r" => '', "\n" => ' ']) . ' (' . Trace::text($origin) . ')';
            $place = ['exception' => $error::class, 'place' => "{$origin['file']}:{$origin['line']}"];
        }
        $page = $this->debug ? new DebugPage($error, $this->request, $name) : null;
        if ($this->logger !== null) {
            $context = ['exception' => $error, 'event' => $this->event->value, 'user' => $this->request->user];
            $this->logger->error($line, $page === null ? $context : $context + ['debug' => (string) $page]);

            return;
        }
        $fields = ['type' => $this->event->value, ...$this->trace(), ...$place];
        if ($page === null && $place !== []) {
            $fields['traceback'] = (string) $error;
        }
        Log::error($line, $fields, (string) $page);
    }

    /**
     * The trace of the request. The server knows that of a line only where one request is handled at a time.
     *
     * @return array<string, string>
     */
    private function trace(): array
    {
        // 00-TRACE-SPAN-FLAGS
        $parts = explode('-', $this->request->headers->get('traceparent') ?? '');

        return count($parts) >= 4 ? ['trace_id' => $parts[1]] : [];
    }
}
