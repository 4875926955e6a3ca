"""OpenTelemetry: handlers run in the trace of their request, if the library is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .logs import log

if TYPE_CHECKING:
    from .requests import Request

# In a context, what stands in front of a trace. In a text, its quotes would be escaped.
TRACED = b'"traceparent":["'


class _Api(NamedTuple):
    """What is needed of the library."""

    extract: Callable[[Any], Any]
    attach: Callable[[Any], Any]
    detach: Callable[[Any], None]


_api: Optional[_Api] = None
_is_missing = False
_has_failed = False


def attach(request: Request) -> Any:
    """Make the trace of a request the current one; return what ``detach`` needs. A request without a trace costs a search.

    No request fails because its trace cannot be continued.
    """
    if _is_missing or TRACED not in request._context or (api := _api or _load()) is None:
        return None
    headers = request.headers
    try:
        # With the propagators that the application has chosen.
        return api.attach(api.extract(headers))
    except Exception as error:
        _report(error)
        return None


def detach(token: Any) -> None:
    """Make the trace of before the current one again."""
    if token is not None and _api is not None:
        _api.detach(token)


def _load() -> Optional[_Api]:
    """Import the library with the first request that needs it."""
    global _api, _is_missing
    try:
        from opentelemetry import context, propagate
    except ImportError:
        _is_missing = True
        return None
    except Exception as error:  # Such as a propagator in OTEL_PROPAGATORS that is not installed.
        _is_missing = True
        _report(error)
        return None
    _api = _Api(propagate.extract, context.attach, context.detach)
    return _api


def _report(error: Exception) -> None:
    """Log the first error."""
    global _has_failed
    if not _has_failed:
        _has_failed = True
        log(f"cannot continue traces (logged once): {error!r}")
