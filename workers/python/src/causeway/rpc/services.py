"""The server's own services: workers, metrics, log, locks and health."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from ..encoding import Json
from ..frame import PROTO
from ..results import Publication
from .client import Client
from .values import (
    PLUGIN,
    FencedLock,
    PluginStatus,
    StreamInfo,
    WorkerState,
    clean,
    encode_publication,
    microseconds,
    owner_pid,
    text,
)


class _Service:
    def __init__(self, client: Client) -> None:
        self._client = client


class Informer(_Service):
    """Lists, adds and removes workers."""

    def list(self) -> Sequence[str]:
        """Return the names of the pools."""
        return list(self._client.call("informer.List", True) or ())

    def workers(self, plugin: str = PLUGIN) -> Sequence[WorkerState]:
        """Return the workers of a pool, none if the pool does not exist."""
        result = self._client.call("informer.Workers", plugin)
        return [WorkerState.from_json(worker) for worker in result.get("workers") or ()]

    def add_worker(self, plugin: str = PLUGIN) -> None:
        """Add one worker to the pool."""
        self._client.call("informer.AddWorker", plugin)

    def remove_worker(self, plugin: str = PLUGIN) -> None:
        """Remove one worker from the pool, except the last one."""
        self._client.call("informer.RemoveWorker", plugin)


class Resetter(_Service):
    """Replaces workers."""

    def list(self) -> Sequence[str]:
        """Return the names of the pools."""
        return list(self._client.call("resetter.List", True) or ())

    def reset(self, plugin: str = PLUGIN, *, timeout: float = 300.0) -> None:
        """Replace all workers of a pool and wait up to ``timeout`` seconds until the new ones are ready.

        RoadRunner also waits for the old workers to exit: behind it, do not call this from a worker of the same pool.
        """
        self._client.call("resetter.Reset", plugin, timeout)


class Metrics(_Service):
    """The application's metrics, served along with the server's own."""

    def declare(
        self,
        name: str,
        type: str,
        help: str = "",
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = (),
        objectives: Optional[Mapping[float, float]] = None,
        namespace: str = "",
        subsystem: str = "",
    ) -> None:
        """Declare a ``counter``, ``gauge``, ``histogram`` or ``summary``; declaring the same name again has no effect.

        ``labels`` are names. A histogram has ``buckets``, by default Prometheus' own; a summary has ``objectives``, quantiles and
        their allowed errors.
        """
        collector: dict[str, Any] = {
            "type": type,
            "help": help,
            "labels": list(labels) or None,
            "buckets": list(buckets) or None,
        }
        if namespace:
            collector["namespace"] = namespace
        if subsystem:
            collector["subsystem"] = subsystem
        if objectives:
            collector["objectives"] = {str(quantile): error for quantile, error in objectives.items()}
        self._client.call("metrics.Declare", {"name": name, "collector": collector})

    def add(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Add to a counter or gauge; ``labels`` are values, in the order of the declared names."""
        self._change("Add", name, value, labels)

    def sub(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Subtract from a gauge."""
        self._change("Sub", name, value, labels)

    def set(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Set a gauge."""
        self._change("Set", name, value, labels)

    def observe(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Add an observation to a histogram or summary."""
        self._change("Observe", name, value, labels)

    def unregister(self, name: str) -> None:
        """Remove a metric."""
        self._client.call("metrics.Unregister", name)

    def _change(self, operation: str, name: str, value: float, labels: Sequence[str]) -> None:
        self._client.call(f"metrics.{operation}", {"name": name, "value": value, "labels": list(labels)})


class Logger(_Service):
    """Writes to the server's log, on the channel ``app``. Values of a context are strings, or are logged as JSON."""

    def error(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log at error level."""
        self._write("Error", message, context)

    def warning(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log at warning level."""
        self._write("Warning", message, context)

    def info(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log at info level."""
        self._write("Info", message, context)

    def debug(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log at debug level."""
        self._write("Debug", message, context)

    def log(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Write the message to the server's standard error, unformatted, as a line of its own."""
        self._write("Log", message, context, "\n" if context or not message.endswith("\n") else "")

    def _write(self, level: str, message: str, context: Optional[Mapping[str, Any]], end: str = "") -> None:
        if not context:
            self._client.call(f"app.{level}", clean(message) + end)
            return
        attributes = [{"key": clean(key), "value": text(value)} for key, value in context.items()]
        attributes[-1]["value"] += end
        self._client.call(f"app.{level}WithContext", {"message": clean(message), "log_attrs": attributes})


class Lock(_Service):
    """Locks shared by all workers, or by several servers: one writer or many readers of a resource. Times are in seconds."""

    def lock(
        self,
        resource: str,
        id: Optional[str] = None,
        *,
        ttl: Optional[float] = None,
        wait: Optional[float] = None,
        owner: Optional[str] = None,
    ) -> Optional[str]:
        """Lock for writing; return the id of the lock, or ``None`` when the resource is locked already.

        The id is random by default; each call needs one of its own. The lock expires after ``ttl``, by default never; ``wait`` is
        how long to wait for it, by default not at all. With the owner ``"worker"``, it is released when this process ends:
        Causeway's own.
        """
        lock = self._take("lock.Lock", resource, id, ttl, wait, owner)
        return lock.id if lock else None

    def lock_fenced(
        self,
        resource: str,
        id: Optional[str] = None,
        *,
        ttl: Optional[float] = None,
        wait: Optional[float] = None,
        owner: Optional[str] = None,
    ) -> Optional[FencedLock]:
        """Lock for writing, with a token; otherwise like ``lock``. RoadRunner does not have it.

        The token is larger than that of each earlier lock of the resource: what the lock protects can refuse smaller ones.
        """
        return self._take("lock.LockFenced", resource, id, ttl, wait, owner)

    def lock_read(
        self,
        resource: str,
        id: Optional[str] = None,
        *,
        ttl: Optional[float] = None,
        wait: Optional[float] = None,
        owner: Optional[str] = None,
    ) -> Optional[str]:
        """Lock for reading, shared with other readers; otherwise like ``lock``."""
        lock = self._take("lock.LockRead", resource, id, ttl, wait, owner)
        return lock.id if lock else None

    def release(self, resource: str, id: str) -> bool:
        """Release a lock; return ``False`` when there is no lock with this id."""
        return self._ask("lock.Release", {"resource": resource, "id": id})

    def force_release(self, resource: str) -> bool:
        """Release all locks of a resource; return ``False`` when there are none."""
        return self._ask("lock.ForceRelease", {"resource": resource})

    def exists(self, resource: str, id: str = "*") -> bool:
        """Return whether the resource is locked: by the lock with this id, or by any."""
        return self._ask("lock.Exists", {"resource": resource, "id": id})

    def update_ttl(self, resource: str, id: str, ttl: float) -> bool:
        """Make a lock expire ``ttl`` from now; return ``False`` when there is no lock with this id."""
        return self._ask("lock.UpdateTTL", {"resource": resource, "id": id, "ttl": microseconds(ttl)})

    def _take(
        self,
        method: str,
        resource: str,
        id: Optional[str],
        ttl: Optional[float],
        wait: Optional[float],
        owner: Optional[str],
    ) -> Optional[FencedLock]:
        id = os.urandom(16).hex() if id is None else id
        request: dict[str, Any] = {"resource": resource, "id": id}
        if ttl is not None:
            request["ttl"] = microseconds(ttl)
        if wait is not None:
            request["wait"] = microseconds(wait)
        if owner is not None:
            request["pid"] = owner_pid(owner)
        response = self._client.call(method, request, self._client.timeout + (wait or 0))
        return FencedLock(id, int(response.get("token", 0))) if response.get("ok", False) else None

    def _ask(self, method: str, request: Mapping[str, Any]) -> bool:
        response = self._client.call(method, request)
        return bool(response.get("ok", False))


class Status(_Service):
    """The health of pools."""

    def status(self, plugin: str = PLUGIN) -> PluginStatus:
        """Return whether the pool is alive."""
        return self._ask("status.Status", plugin)

    def ready(self, plugin: str = PLUGIN) -> PluginStatus:
        """Return whether the pool can serve requests."""
        return self._ask("status.Ready", plugin)

    def _ask(self, method: str, plugin: str) -> PluginStatus:
        response = self._client.call(method, {"plugin": plugin})
        return PluginStatus(int(response.get("code", 0)), response.get("message", ""))


class Streams(_Service):
    """The streams of subscriptions that the server holds: those whose handler returned a result.

    Ids are those in the requests that opened them. Methods raise a ``ServerError`` when there is no such stream, or no longer.
    """

    def publish(self, id: str, data: Union[Json, Publication], *, tags: Optional[Mapping[str, str]] = None) -> None:
        """Send a message to the client: a value that JSON can represent, bytes, which are sent as they are, or a publication."""
        self._client.call_bytes("stream.Publish", encode_publication(id, data, tags), PROTO)

    def close(self, id: str, *, resubscribe: bool = False) -> None:
        """End a stream after what was published to it; the client stays away, or subscribes again."""
        self._client.call("stream.Close", {"id": id, "resubscribe": resubscribe})

    def list(self, *, channel: str = "", user: str = "", client: str = "", limit: int = 0) -> Sequence[StreamInfo]:
        """Return the open streams, or those of a channel, a user and a client; up to ``limit``, by default 1000."""
        filter = {"channel": channel, "user": user, "client": client, "limit": limit}
        result = self._client.call("stream.List", filter)
        return [StreamInfo.from_json(stream) for stream in result.get("streams") or ()]
