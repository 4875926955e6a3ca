"""The data of requests as models of pydantic, if that is installed."""

from __future__ import annotations

import importlib.util
import json
import typing
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

from .events import Error, Event
from .failures import described
from .logs import log
from .sources import Scope, Source

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")
_DATA = "causeway.data"

Data = Annotated[T, _DATA]
"""Marks a parameter that gets the data of the request as any type that pydantic can validate: ``numbers: Data[list[int]]``."""

_LONGEST_PROBLEM = 200


def bad_request(problem: str) -> Error:
    """Return Centrifugo's error 107, with what is wrong about the client's data."""
    return Error(107, f"bad request: {problem}"[:_LONGEST_PROBLEM])


def data_type(annotation: Any) -> Optional[Any]:
    """Return the type of a parameter that gets the data; ``None`` if it does not."""
    if _DATA in getattr(annotation, "__metadata__", ()):
        return typing.get_args(annotation)[0]
    # Without pydantic imported, it is no model of pydantic.
    is_model = isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__")
    return annotation if is_model else None


def problem_of(error: ValidationError) -> str:
    """Return the first problem, shortened, with its place in the data and without the data."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return (f"{place}: {first['msg']}" if place else str(first["msg"]))[:_LONGEST_PROBLEM]


class DataSource(Source):
    """The data of the request, validated."""

    is_async = False

    def __init__(self, type_: Any, event: Event, place: str) -> None:
        """Take the type, and the place of the handler, for the log; raise ``TypeError`` without pydantic."""
        if importlib.util.find_spec("pydantic") is None:
            raise TypeError(f"{place}: Data needs the package pydantic")
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(type_)
        self._event = event
        self._place = place

    def get(self, scope: Scope) -> Any:
        """Return the data; raise an ``Error`` for the client, and log it, if it is not valid."""
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(scope.request.data or b"null")
        except ValidationError as error:
            problem = problem_of(error)
            what = described(self._event, scope.request)
            line = f"invalid data for {what}: {json.dumps(problem)[1:-1]} ({self._place})"
            log(line, type=self._event.value, place=self._place)
            raise bad_request(problem) from error
