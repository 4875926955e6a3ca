"""What the services take and return."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

from ..encoding import Json, to_bytes
from ..results import Publication

DEFAULT_ADDRESS = "tcp://127.0.0.1:6001"
"""Where Causeway and RoadRunner listen unless ``rpc.listen`` says otherwise."""

PLUGIN = "centrifuge"
"""The name of Causeway's pool."""


@dataclass(frozen=True)
class WorkerState:
    """A worker, as the server sees it."""

    pid: int
    status: str
    """Such as ``ready``, ``working`` or ``stopping``."""
    executions: int
    """Number of requests handled."""
    created: int
    """Start time in Unix nanoseconds."""
    memory: int
    """Resident memory in bytes."""
    cpu_percent: float
    command: str

    @classmethod
    def from_json(cls, worker: Mapping[str, Any]) -> WorkerState:
        """Return what a result says."""
        return cls(
            pid=worker["pid"],
            status=worker["statusStr"],
            executions=worker["numExecs"],
            created=worker["created"],
            memory=worker["memoryUsage"],
            cpu_percent=worker["CPUPercent"],
            command=worker["command"],
        )


@dataclass(frozen=True)
class PluginStatus:
    """The health of a pool: an HTTP status code, 200 if it is healthy, and a text."""

    code: int
    message: str


@dataclass(frozen=True)
class FencedLock:
    """A lock with a token, which is larger than that of each earlier lock of the same resource."""

    id: str
    token: int


@dataclass(frozen=True)
class StreamInfo:
    """An open stream of a subscription."""

    id: str
    channel: str
    client: str
    user: str
    pool: str
    bidirectional: bool
    held: bool
    """Whether a worker streams."""
    opened: int
    """When, in Unix milliseconds."""
    sent: int
    """Number of messages sent to the client."""
    buffered: int
    """Number of messages that wait until the client reads."""

    @classmethod
    def from_json(cls, stream: Mapping[str, Any]) -> StreamInfo:
        """Return what a result says; what is not set is left out of it."""
        return cls(
            id=str(stream.get("id", "")),
            channel=str(stream.get("channel", "")),
            client=str(stream.get("client", "")),
            user=str(stream.get("user", "")),
            pool=str(stream.get("pool", "")),
            bidirectional=bool(stream.get("bidirectional")),
            held=bool(stream.get("held")),
            opened=int(stream.get("opened", 0)),
            sent=int(stream.get("sent", 0)),
            buffered=int(stream.get("buffered", 0)),
        )


def encode_publication(id: str, data: Union[Json, Publication], tags: Optional[Mapping[str, str]]) -> bytes:
    """Encode the argument of ``stream.Publish`` as protobuf, which carries any bytes; it is simple enough to need no protobuf."""
    publication = data if isinstance(data, Publication) else Publication(data, tags)
    fields = b"" if publication.data is None else _field(4, to_bytes(publication.data))
    for key, value in (publication.tags or {}).items():
        fields += _field(7, _field(1, key.encode()) + _field(2, value.encode()))
    return _field(1, id.encode()) + _field(4, fields)


def _field(number: int, value: bytes) -> bytes:
    length, encoded = len(value), bytearray((number << 3 | 2,))
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded) + value


def owner_pid(owner: str) -> int:
    """Return the process that a lock's owner names."""
    if owner != "worker":
        raise ValueError(f"expected the owner 'worker', found {owner!r}")
    return os.getpid()


def microseconds(seconds: float) -> int:
    """Return seconds as the server takes them."""
    # More microseconds do not fit into 64 bits.
    if not 0 <= seconds < 9e12:
        raise ValueError(f"expected seconds, found {seconds}")
    return round(seconds * 1_000_000)


def clean(text: str) -> str:
    """Return valid Unicode: a bad character must not cost the log line."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def text(value: Any) -> str:
    """Return a value as the text of a log attribute."""
    if value is not None and not isinstance(value, (bool, int, float, list, tuple, dict)):
        return clean(str(value))
    try:
        return clean(json.dumps(value, default=str, separators=(",", ":"), ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return clean(repr(value))
