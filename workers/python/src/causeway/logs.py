"""What this package logs by itself: to standard error, which the server logs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

# The server takes lines of up to 1 MiB, and of 64 KiB when many workers write longer ones.
_LONGEST = 16 * 1024


def log(message: str, *, level: str = "warn", details: str = "", **fields: str) -> None:
    """Log a message, at level ``error``, ``warn`` or ``info``.

    Causeway gets one line of JSON, of which it keeps the level and the fields, and then the details, which are for people. A
    terminal, a test or RoadRunner gets the message and all that has more than one line.
    """
    if "CAUSEWAY_POOL" in os.environ:
        record = {"level": level, "msg": message, **fields}
        parts = [json.dumps({name: _valid(value) for name, value in record.items()}), details]
    else:
        parts = [message, *(value for value in fields.values() if "\n" in value), details]
    text = "".join(part.rstrip("\n") + "\n" for part in parts if part)
    # The application may have closed it, and the disk that it is on may be full: neither concerns the request.
    with suppress(OSError, ValueError, AttributeError):
        # At once, so that nothing from other threads comes in between.
        sys.stderr.write(text)
        sys.stderr.flush()


def _valid(text: str) -> str:
    """Return the text without half characters, which are no JSON, and without its middle if it is long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return text.encode(errors="backslashreplace").decode()
