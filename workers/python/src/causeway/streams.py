"""Streams of bidirectional and unidirectional subscriptions."""

from __future__ import annotations

import json
from typing import Any, Optional, Union

from .codec import Codec
from .encoding import Json
from .events import Disconnect, Error, Event
from .failures import Stop, WorkerError
from .handler import Handler, encode, respond
from .lazy import cached_property
from .results import Publication


class Message:
    """What a client published to the stream of its bidirectional subscription."""

    def __init__(self, data: bytes) -> None:
        """Take the data as it was sent."""
        self.data = data

    @cached_property
    def json(self) -> Json:
        """The data, decoded as JSON; ``None`` when there is none."""
        return json.loads(self.data) if self.data else None


class StreamEncoder:
    """Encodes the messages of one stream, which a handler that is a generator yields.

    The first is a ``SubscribeResult``, which accepts the subscription, or an ``Error`` or ``Disconnect``, which rejects it. If it
    is a publication, the subscription is accepted with an empty result.
    """

    def __init__(self, codec: Codec, event: Event, handler: Handler) -> None:
        self._codec = codec
        self._event = event
        self._handler = handler
        self.accepted = False
        """Whether the client has been subscribed."""

    def rejection(self, item: Any) -> Optional[bytes]:
        """Return the answer to the subscription if this rejects it."""
        if self.accepted or not isinstance(item, (Error, Disconnect)):
            return None
        return encode(self._codec, self._event, self._handler, item)

    def refusal(self, raised: Union[Stop, Error, Disconnect]) -> bytes:
        """Return the answer if what the generator raised rejects the subscription; raise ``WorkerError`` if it is too late."""
        raised.__traceback__ = None
        if isinstance(raised, Stop):
            if not self.accepted:
                raise raised
            raise WorkerError(f"{self._handler.place}: a stream that has begun cannot go to another worker") from raised
        rejection = self.rejection(raised)
        if rejection is None:
            raise WorkerError(f"{self._handler.place}: the stream ended with {type(raised).__name__} {raised}") from raised
        return rejection

    def messages(self, item: Any) -> list[bytes]:
        """Encode what the generator yielded; raise ``WorkerError`` when it cannot be part of a stream."""
        messages = []
        if not self.accepted:
            result = item if isinstance(item, self._event.result) else None
            messages.append(self._codec.opening(encode(self._codec, self._event, self._handler, result)))
            self.accepted = True
            if result is not None:
                return messages
        if not isinstance(item, Publication):
            yielded = f"the handler of {self._event.value} yielded {type(item).__name__}"
            raise WorkerError(f"{self._handler.place}: {yielded}{_EXPECTED}")
        try:
            messages.append(self._codec.publication(item))
        except Exception as error:
            raise WorkerError(f"{self._handler.place}: cannot encode a publication: {error}") from error
        return messages

    def end(self) -> list[bytes]:
        """Return what is missing when the generator ends: a subscription that it has not rejected is accepted."""
        if self.accepted:
            return []
        self.accepted = True
        return [self._codec.opening(respond(self._codec, self._event, None))]


_EXPECTED = ", expected a Publication; the first may be a SubscribeResult, Error or Disconnect"
