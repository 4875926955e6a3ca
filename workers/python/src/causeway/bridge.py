"""What can be asked of the bridge itself: its workers, metrics, log, locks and state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .rpc import Rpc

PLUGIN = "centrifuge"
"""The name of the only pool that Causeway has; RoadRunner may have more."""


class _Service:
    def __init__(self, rpc: Optional[Rpc] = None) -> None:
        self._rpc = rpc or Rpc.shared()


@dataclass(frozen=True)
class WorkerState:
    """What the bridge knows of a worker."""

    pid: int
    status: str
    """``ready``, ``working``, ``stopping`` and so on."""
    executions: int
    """How many requests it has handled."""
    created: int
    """When it was started, in Unix nanoseconds."""
    memory: int
    """Resident memory in bytes."""
    cpu_percent: float
    command: str


class Informer(_Service):
    """Lists workers, and changes how many there are."""

    def list(self) -> Sequence[str]:
        """Return the names of the pools."""
        return list(self._rpc.call("informer.List", True) or ())

    def workers(self, plugin: str = PLUGIN) -> Sequence[WorkerState]:
        """Return the workers of a pool; none for a pool that does not exist."""
        found = self._rpc.call("informer.Workers", plugin)["workers"] or ()
        return [
            WorkerState(
                pid=worker["pid"],
                status=worker["statusStr"],
                executions=worker["numExecs"],
                created=worker["created"],
                memory=worker["memoryUsage"],
                cpu_percent=worker["CPUPercent"],
                command=worker["command"],
            )
            for worker in found
        ]

    def add_worker(self, plugin: str = PLUGIN) -> None:
        """Have the pool one worker larger."""
        self._rpc.call("informer.AddWorker", plugin)

    def remove_worker(self, plugin: str = PLUGIN) -> None:
        """Have the pool one worker smaller; the last worker stays."""
        self._rpc.call("informer.RemoveWorker", plugin)


class Resetter(_Service):
    """Replaces workers."""

    def list(self) -> Sequence[str]:
        """Return the names of the pools."""
        return list(self._rpc.call("resetter.List", True) or ())

    def reset(self, plugin: str = PLUGIN, *, timeout: float = 300.0) -> None:
        """Replace all workers of a pool, and wait for the new ones, ``timeout`` seconds at the most.

        RoadRunner also waits for the old ones to end: do not call it from a worker of that pool there.
        """
        self._rpc.call("resetter.Reset", plugin, timeout=timeout)


class Metrics(_Service):
    """Keeps an application's own metrics beside the bridge's."""

    def declare(
        self,
        name: str,
        kind: str,
        *,
        help: str = "",
        labels: Sequence[str] = (),
        buckets: Sequence[float] = (),
        objectives: Optional[Mapping[float, float]] = None,
        namespace: str = "",
        subsystem: str = "",
    ) -> None:
        """Declare a ``counter``, ``gauge``, ``histogram`` or ``summary``; a second declaration of the same name changes nothing.

        ``labels`` are names. A histogram has ``buckets``, or the usual ones; a summary has ``objectives``, quantiles with the
        error that is allowed for each.
        """
        collector: dict[str, Any] = {
            "type": kind,
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
        self._rpc.call("metrics.Declare", {"name": name, "collector": collector})

    def add(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Add to a counter or gauge; ``labels`` are values, in the order of the declaration's names."""
        self._change("Add", name, value, labels)

    def sub(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Subtract from a gauge."""
        self._change("Sub", name, value, labels)

    def set(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Set a gauge."""
        self._change("Set", name, value, labels)

    def observe(self, name: str, value: float, labels: Sequence[str] = ()) -> None:
        """Count a value in a histogram or summary."""
        self._change("Observe", name, value, labels)

    def unregister(self, name: str) -> None:
        """Forget a metric."""
        self._rpc.call("metrics.Unregister", name)

    def _change(self, what: str, name: str, value: float, labels: Sequence[str]) -> None:
        self._rpc.call(f"metrics.{what}", {"name": name, "value": value, "labels": list(labels)})


class Logger(_Service):
    """Writes into the bridge's log, on its channel ``app``. Values of a context that are no strings are written as JSON."""

    def error(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log an error."""
        self._write("Error", message, context)

    def warning(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log a warning."""
        self._write("Warning", message, context)

    def info(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log an information."""
        self._write("Info", message, context)

    def debug(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Log what is of interest in a search for a fault."""
        self._write("Debug", message, context)

    def log(self, message: str, context: Optional[Mapping[str, Any]] = None) -> None:
        """Write to the bridge's standard error as it is."""
        self._write("Log", message, context)

    def _write(self, level: str, message: str, context: Optional[Mapping[str, Any]]) -> None:
        if not context:
            self._rpc.call(f"app.{level}", _clean(message))
            return
        attributes = [{"key": _clean(key), "value": _text(value)} for key, value in context.items()]
        self._rpc.call(f"app.{level}WithContext", {"message": _clean(message), "log_attrs": attributes})


class Lock(_Service):
    """Locks that all workers of the bridge share: one writer or many readers to a resource. Times are in seconds."""

    def lock(
        self, resource: str, *, id: Optional[str] = None, ttl: Optional[float] = None, wait: Optional[float] = None
    ) -> Optional[str]:
        """Lock for writing, and return the lock's id, a random one unless given; ``None`` when somebody else has the lock.

        The lock ends by itself after ``ttl``, if given; ``wait`` is how long to wait for it, else not at all.
        """
        return self._take("lock.Lock", resource, id, ttl, wait)

    def lock_read(
        self, resource: str, *, id: Optional[str] = None, ttl: Optional[float] = None, wait: Optional[float] = None
    ) -> Optional[str]:
        """Lock for reading, together with other readers."""
        return self._take("lock.LockRead", resource, id, ttl, wait)

    def release(self, resource: str, id: str) -> bool:
        """Release a lock; ``False`` when there was none of this id."""
        return self._ask("lock.Release", {"resource": resource, "id": id})

    def force_release(self, resource: str) -> bool:
        """Release all locks of a resource, whoever has them."""
        return self._ask("lock.ForceRelease", {"resource": resource})

    def exists(self, resource: str, id: str = "*") -> bool:
        """Return whether the resource is locked, under this id if one is given."""
        return self._ask("lock.Exists", {"resource": resource, "id": id})

    def update_ttl(self, resource: str, id: str, ttl: float) -> bool:
        """Have a lock end by itself after ``ttl`` from now."""
        return self._ask("lock.UpdateTTL", {"resource": resource, "id": id, "ttl": _microseconds(ttl)})

    def _take(self, method: str, resource: str, id: Optional[str], ttl: Optional[float], wait: Optional[float]) -> Optional[str]:
        id = os.urandom(16).hex() if id is None else id
        request: dict[str, Any] = {"resource": resource, "id": id}
        if ttl is not None:
            request["ttl"] = _microseconds(ttl)
        if wait is not None:
            request["wait"] = _microseconds(wait)
        return id if self._ask(method, request, wait or 0) else None

    def _ask(self, method: str, request: Mapping[str, Any], wait: float = 0) -> bool:
        response = self._rpc.call(method, request, timeout=self._rpc.timeout + wait)
        return bool(response.get("ok", False))


@dataclass(frozen=True)
class PluginStatus:
    """How a pool is: an HTTP status, 200 for well, and a text."""

    code: int
    message: str


class Status(_Service):
    """Asks whether the bridge is well."""

    def status(self, plugin: str = PLUGIN) -> PluginStatus:
        """Return whether the pool lives."""
        return self._ask("status.Status", plugin)

    def ready(self, plugin: str = PLUGIN) -> PluginStatus:
        """Return whether the pool can take requests."""
        return self._ask("status.Ready", plugin)

    def _ask(self, method: str, plugin: str) -> PluginStatus:
        response = self._rpc.call(method, {"plugin": plugin})
        return PluginStatus(int(response.get("code", 0)), response.get("message", ""))


def _microseconds(seconds: float) -> int:
    # Beyond that, they do not fit into 64 bits.
    if not 0 <= seconds < 9e12:
        raise ValueError(f"expected seconds, found {seconds}")
    return round(seconds * 1_000_000)


def _clean(text: str) -> str:
    """Return text that can be sent: a log line must not fail for a character."""
    return text.encode(errors="replace").decode()


def _text(value: Any) -> str:
    return _clean(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))
