"""What an event is answered with, as values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any, Callable, Optional

from ..encoding import Json
from ..events import Disconnect, Error, Event
from ..results import Publication, Result


@dataclass
class Answer:
    """What an event is answered with: one of these is set; a stream may fail after its result."""

    event: Event
    result: Optional[Any] = None
    """The result of the event, such as a ``ConnectResult``. Its data are decoded JSON, or bytes if they are not JSON."""
    error: Optional[Error] = None
    """What the client gets instead of a result; it stays connected."""
    disconnect: Optional[Disconnect] = None
    """Disconnects the client."""
    failure: Optional[str] = None
    """Why there is no answer, as Centrifugo learns it; clients get an internal server error."""

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    @property
    def data(self) -> Json:
        """The data of the result; ``None`` when there is none."""
        return getattr(self.result, "data", None)


@dataclass
class Stream(Answer):
    """The answer to a subscription that gets a stream, and an iterator of its publications if the handler is a generator.

    Each step runs the handler until it yields.
    """

    _publications: Iterator[Publication] = field(default_factory=lambda: iter(()), repr=False, compare=False)

    def __iter__(self) -> Iterator[Publication]:
        return self._publications

    def __next__(self) -> Publication:
        return next(self._publications)

    def close(self) -> None:
        """Leave, as a client does: the generator is closed."""
        close = getattr(self._publications, "close", None)
        if close is not None:
            close()


@dataclass
class AsyncStream(Answer):
    """A ``Stream`` of an ``AsyncTestClient``, whose client may publish to it."""

    _publications: Optional[AsyncIterator[Publication]] = field(default=None, repr=False, compare=False)
    _inbox: Any = field(default=None, repr=False, compare=False)

    def __aiter__(self) -> AsyncIterator[Publication]:
        return self

    async def __anext__(self) -> Publication:
        if self._publications is None:
            raise StopAsyncIteration
        return await self._publications.__anext__()

    def publish(self, data: Json) -> None:
        """Publish to the stream of a bidirectional subscription: the handler gets it in ``request.messages``."""
        if self._inbox is None:
            raise RuntimeError("clients publish to streams of generators that answer a bidirectional subscription")
        self._inbox.put(data if isinstance(data, bytes) else json.dumps(data).encode())

    async def close(self) -> None:
        """Leave, as a client does: the messages end, and the generator is closed."""
        if self._inbox is not None:
            self._inbox.end()
        close = getattr(self._publications, "aclose", None)
        if close is not None:
            await close()


def decoded(event: Event, response: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set in an answer with this response."""
    if "error" in response:
        return {"error": Error(**{"code": 0, "message": "", **response["error"]})}
    if "disconnect" in response:
        return {"disconnect": Disconnect(**{"code": 0, "reason": "", **response["disconnect"]})}
    known = {field.name for field in fields_of(event.result)}  # type: ignore[arg-type]
    given = {name: value for name, value in response.get("result", {}).items() if name in known}
    result: Callable[..., Result] = event.result
    return {"result": result(**given)}
