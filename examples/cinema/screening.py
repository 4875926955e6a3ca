"""What Python needs of the screening: src/Screening.php has the rest, and the schema."""

import os
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

CHANNEL = "screening:1"


@dataclass
class Tick:
    """What pages get every second."""

    seconds: int  # until the film begins
    version: int  # of the last change
    freed: list[dict[str, Any]] = field(default_factory=list, repr=False)  # the seats whose holds have ended


class Screening:
    """The seats, in the database that all workers share."""

    def __init__(self) -> None:
        path = os.environ.get("CINEMA_DATABASE", "cinema.sqlite")
        # Transactions are begun explicitly. One task uses the connection, but on any thread.
        self._db = sqlite3.connect(path, timeout=8, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.row_factory = sqlite3.Row
        (self._starts_at,) = self._db.execute("SELECT starts_at FROM screening").fetchone()

    def tick(self) -> Tick:
        """End the holds whose time is over. Several workers do; each hold is ended once."""
        now = time.time()
        ended = "state = 'held' AND until <= ?"
        freed = []
        if self._db.execute(f"SELECT 1 FROM seat WHERE {ended} LIMIT 1", [now]).fetchone():
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for seat, user in self._db.execute(f"SELECT seat, user FROM seat WHERE {ended}", [now]).fetchall():
                    inserted = self._db.execute("INSERT INTO ledger (seat, action, user) VALUES (?, 'expire', ?)", [seat, user])
                    update = "UPDATE seat SET state = 'free', user = '', name = '', until = 0, version = ? WHERE seat = ?"
                    self._db.execute(update, [inserted.lastrowid, seat])
                    freed.append(dict(self._db.execute("SELECT * FROM seat WHERE seat = ?", [seat]).fetchone()))
        (version,) = self._db.execute("SELECT coalesce(max(version), 0) FROM ledger").fetchone()
        return Tick(max(0, self._starts_at - int(now)), version, freed)
