"""What is computed or imported when it is first used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property:  # noqa: N801 - it replaces the one in functools
        """Without the lock of ``functools`` before 3.12, which takes longer than most of what is computed here."""

        def __init__(self, compute: Callable[[Any], Any]) -> None:
            self._compute = compute
            self._name = compute.__name__
            self.__doc__ = compute.__doc__

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._compute(instance)
            return value


class LazyModule:
    """Imports a module with the first use of one of its names."""

    def __init__(self, name: str, purpose: str) -> None:
        """Take the name of the module, and what needs it."""
        self._module = name
        self._purpose = purpose

    def __getattr__(self, name: str) -> Any:
        try:
            module = importlib.import_module(self._module)
        except ModuleNotFoundError as error:
            raise ImportError(f"{self._purpose} needs the package protobuf: {error}") from error
        value = self.__dict__[name] = getattr(module, name)
        return value


__all__ = ["LazyModule", "cached_property"]
