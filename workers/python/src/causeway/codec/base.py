"""What both codecs can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Optional

if TYPE_CHECKING:
    from ..events import Event
    from ..results import Publication, Result


class Decoders(dict[str, Callable[[bytes], Any]]):
    """Creates a function when it is first used."""

    def __init__(self, create: Callable[[str], Callable[[bytes], Any]]) -> None:
        super().__init__()
        self._create = create

    def __missing__(self, message: str) -> Callable[[bytes], Any]:
        decoder = self[message] = self._create(message)
        return decoder


class Codec(ABC):
    """Decodes requests and encodes responses."""

    name: ClassVar[str]
    """The name in the handshake."""

    decoders: Decoders
    """Functions that decode a message, by its name. Attributes of what they return are named after its fields; those of fields
    that are not set are empty."""

    @abstractmethod
    def result(self, event: Event, result: Optional[Result]) -> bytes:
        """Encode a response with a result, which is empty by default.

        Raises ``TypeError`` or ``ValueError`` that begin with the name of the attribute that cannot be encoded.
        """

    @abstractmethod
    def refusal(self, event: Event, kind: str, fields: Mapping[str, Any]) -> bytes:
        """Encode a response with an ``error`` or a ``disconnect``."""

    @abstractmethod
    def opening(self, response: bytes) -> bytes:
        """Encode the first message of a stream, which contains the response to the subscription."""

    @abstractmethod
    def publication(self, publication: Publication) -> bytes:
        """Encode another message of a stream."""

    @abstractmethod
    def message(self, name: str, fields: Mapping[str, Any]) -> bytes:
        """Encode any message, by its name; raise ``TypeError`` when it has no such field, or the field no such value."""

    @abstractmethod
    def raw(self, message: Any, field: str) -> bytes:
        """Return a bytes field of a decoded message, or nothing if the message does not have it."""

    @abstractmethod
    def json(self, message: Any, field: str) -> Any:
        """Return a bytes field of a decoded message, decoded as JSON, or ``None`` when there is nothing."""
