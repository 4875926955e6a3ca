<?php

declare(strict_types=1);

namespace Cinema;

use Causeway\Error;
use PDO;

/**
 * The seats of the screening, in a SQLite database that all workers share.
 *
 * No seat is sold twice, however many workers write at once: each change is one transaction that has SQLite's write lock from its beginning, and
 * updates the seat only on condition that it is still in the expected state. The ledger has every change; its numbers are the versions of seats, so
 * that clients can tell which of two messages about a seat is newer.
 *
 * @phpstan-type Seat array{seat: string, state: string, user: string, name: string, until: float, version: int}
 */
final class Screening
{
    public const CHANNEL = 'screening:1';

    /** The number of seats in each row. */
    private const ROWS = ['A' => 6, 'B' => 8, 'C' => 8, 'D' => 10, 'E' => 10, 'F' => 10, 'G' => 10, 'H' => 10];

    private const SCHEMA = <<<'SQL'
        CREATE TABLE screening (starts_at INTEGER NOT NULL);
        CREATE TABLE seat (
            seat TEXT PRIMARY KEY,
            state TEXT NOT NULL DEFAULT 'free' CHECK (state IN ('free', 'held', 'booked')),
            user TEXT NOT NULL DEFAULT '',
            name TEXT NOT NULL DEFAULT '',
            until REAL NOT NULL DEFAULT 0,
            version INTEGER NOT NULL DEFAULT 0,
            CHECK ((state = 'free') = (user = ''))
        );
        CREATE TABLE ledger (
            version INTEGER PRIMARY KEY,
            seat TEXT NOT NULL REFERENCES seat (seat),
            action TEXT NOT NULL CHECK (action IN ('hold', 'book', 'release', 'expire')),
            user TEXT NOT NULL
        );
        SQL;

    private readonly PDO $db;

    private readonly float $holdSeconds;

    private readonly int $startsAt;

    public function __construct()
    {
        $this->db = self::open();
        $this->holdSeconds = (float) (getenv('CINEMA_HOLD_SECONDS') ?: 30);
        $this->startsAt = self::number($this->db, 'SELECT starts_at FROM screening');
    }

    /** Creates the database, unless it exists. */
    public static function create(int $minutes): void
    {
        $db = self::open();
        // Readers and the one writer do not wait for each other.
        $db->exec('PRAGMA journal_mode = WAL');
        $db->exec('BEGIN IMMEDIATE');
        if (self::number($db, "SELECT count(*) FROM sqlite_master WHERE name = 'seat'") === 0) {
            $db->exec(self::SCHEMA);
            $db->prepare('INSERT INTO screening VALUES (?)')->execute([time() + 60 * $minutes]);
            $insert = $db->prepare('INSERT INTO seat (seat) VALUES (?)');
            foreach (self::ROWS as $row => $seats) {
                foreach (range(1, $seats) as $number) {
                    $insert->execute([$row . $number]);
                }
            }
        }
        $db->exec('COMMIT');
    }

    /**
     * Holds a seat for a while, or holds it anew.
     *
     * @return Seat
     */
    public function hold(string $seat, string $user, string $name): array
    {
        $now = microtime(true);

        return $this->change($seat, 'hold', $user, <<<'SQL'
            UPDATE seat SET state = 'held', user = :user, name = :name, until = :until
            WHERE seat = :seat AND (state = 'free' OR state = 'held' AND (user = :user OR until <= :now))
            SQL, ['name' => $name, 'until' => $now + $this->holdSeconds, 'now' => $now]);
    }

    /**
     * Books a seat that the user holds.
     *
     * @return Seat
     */
    public function book(string $seat, string $user): array
    {
        return $this->change($seat, 'book', $user, <<<'SQL'
            UPDATE seat SET state = 'booked', until = 0
            WHERE seat = :seat AND state = 'held' AND user = :user AND until > :now
            SQL, ['now' => microtime(true)]);
    }

    /**
     * Gives up a hold, or gives back a ticket.
     *
     * @return Seat
     */
    public function release(string $seat, string $user): array
    {
        return $this->change($seat, 'release', $user, <<<'SQL'
            UPDATE seat SET state = 'free', user = '', name = '', until = 0
            WHERE seat = :seat AND state <> 'free' AND user = :user
            SQL, []);
    }

    /**
     * All seats.
     *
     * @return list<Seat>
     */
    public function seats(): array
    {
        return $this->select('SELECT * FROM seat', []);
    }

    /** The number of the last change. */
    public function version(): int
    {
        return self::number($this->db, 'SELECT coalesce(max(version), 0) FROM ledger');
    }

    /**
     * @param array<string, string|float> $parameters
     *
     * @return Seat
     */
    private function change(string $seat, string $action, string $user, string $update, array $parameters): array
    {
        if (time() >= $this->startsAt) {
            throw new Error(423, 'the film has begun');
        }
        $this->db->exec('BEGIN IMMEDIATE');
        try {
            $statement = $this->db->prepare($update);
            $statement->execute(['seat' => $seat, 'user' => $user] + $parameters);
            $isChanged = $statement->rowCount() === 1;
            if ($isChanged) {
                $this->db->prepare('INSERT INTO ledger (seat, action, user) VALUES (?, ?, ?)')->execute([$seat, $action, $user]);
                $this->db->prepare('UPDATE seat SET version = ? WHERE seat = ?')->execute([$this->db->lastInsertId(), $seat]);
            }
            $now = $this->select('SELECT * FROM seat WHERE seat = ?', [$seat])[0] ?? throw new Error(404, 'no such seat');
            $this->db->exec('COMMIT');
        } catch (\Throwable $error) {
            $this->db->exec('ROLLBACK');

            throw $error;
        }
        // A client that has lost the answer asks again: what is already so is no failure.
        if ($isChanged || $action === 'book' && $now['state'] === 'booked' && $now['user'] === $user) {
            return $now;
        }

        throw match (true) {
            $now['state'] === 'free' => new Error(410, $action === 'book' ? "your hold of $seat has ended" : "$seat is free"),
            $now['user'] === $user => new Error(409, "$seat is yours already"),
            default => new Error(409, "$seat is {$now['state']} by {$now['name']}"),
        };
    }

    private static function open(): PDO
    {
        $db = new PDO('sqlite:' . (getenv('CINEMA_DATABASE') ?: __DIR__ . '/../cinema.sqlite'), options: [
            PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
            PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
            // Seconds that a transaction waits for the lock.
            PDO::ATTR_TIMEOUT => 8,
        ]);
        $db->exec('PRAGMA synchronous = NORMAL');

        return $db;
    }

    /**
     * @param list<string> $parameters
     *
     * @return list<Seat>
     */
    private function select(string $query, array $parameters): array
    {
        $statement = $this->db->prepare($query);
        $statement->execute($parameters);
        /** @var list<Seat> $seats */
        $seats = $statement->fetchAll();

        return $seats;
    }

    private static function number(PDO $db, string $query): int
    {
        $statement = $db->prepare($query);
        $statement->execute();
        $value = $statement->fetchColumn();

        return is_int($value) ? $value : 0;
    }
}
