"""Where a handler's parameters get their values from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from .requests import Request


class Scope(NamedTuple):
    """One request, and what has been provided for it."""

    request: Request
    values: dict[Any, Any]
    """By type."""
    stack: Any
    """Closes what is to be closed when the handler has ended."""


class Source(ABC):
    """Gets the value of one parameter, for each request."""

    is_async: bool
    """Whether only ``get_async`` can get it."""

    @abstractmethod
    def get(self, scope: Scope) -> Any:
        """Return the value for a request."""

    async def get_async(self, scope: Scope) -> Any:
        """Return the value for a request, in an ``async`` handler."""
        return self.get(scope)
