"""The types of a function's parameters."""

from __future__ import annotations

import inspect
import sys
import typing
from typing import Annotated, Any, Callable, Union

from .failures import place_of


def types_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a function's parameters and of what it returns; raise ``TypeError`` when one cannot be imported."""
    called: Any = inspect.unwrap(getattr(function, "func", function))
    if isinstance(called, type):
        called = getattr(called, "__init__")  # noqa: B009 - mypy takes it for the one of this instance
    elif not inspect.isroutine(called):
        called = type(called).__call__
    try:
        types = typing.get_type_hints(called, include_extras=True)
    except NameError as error:
        message = f"{place_of(function)}: {error}: types of parameters have to be importable when the worker starts"
        raise TypeError(message) from error
    return types if sys.version_info >= (3, 11) else {name: _as_written(type_) for name, type_ in types.items()}


def _as_written(type_: Any) -> Any:
    """Undo what Python before 3.11 does to the type of a parameter whose default is ``None``: it makes that optional."""
    arguments = typing.get_args(type_)
    is_optional = typing.get_origin(type_) is Union and len(arguments) == 2 and arguments[1] is type(None)
    return arguments[0] if is_optional and typing.get_origin(arguments[0]) is Annotated else type_
