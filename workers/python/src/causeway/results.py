"""What a handler returns: a result for each type of event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Union

from .encoding import Json

if TYPE_CHECKING:
    from ._proto import proxy_pb2 as pb

Fields = Mapping[str, Any]
"""A nested message, as a mapping from the names of its fields to their values."""


class Result:
    """What all results have in common: attributes named after the fields of a protobuf message."""


@dataclass
class ConnectResult(Result):
    """Lets the client connect."""

    user: str = ""
    """The id of the user."""
    data: Json = None
    """For the client."""
    channels: Sequence[str] = ()
    """Channels to subscribe the client to."""
    expire_at: int = 0
    """When the connection expires, in Unix seconds; 0: never."""
    info: Json = None
    """Shown in presence and join events."""
    meta: Json = None
    """Attached to the connection and hidden from the client."""
    labels: Optional[Mapping[str, str]] = None
    """Attached to the connection, to filter connections by."""
    subs: Optional[Mapping[str, Union[pb.SubscribeOptions, Fields]]] = None
    """Channels to subscribe the client to, with options."""
    caps: Sequence[Union[pb.ChannelsCapability, Fields]] = ()
    """What the client may do in which channels."""


@dataclass
class RefreshResult(Result):
    """Extends the connection, or ends it."""

    expire_at: int = 0
    """When the connection expires next, in Unix seconds."""
    expired: bool = False
    """Whether the connection has expired."""
    info: Json = None
    """Shown in presence and join events."""
    meta: Json = None
    """Attached to the connection and hidden from the client."""
    caps: Sequence[Union[pb.ChannelsCapability, Fields]] = ()
    """What the client may do in which channels."""


@dataclass
class SubscribeResult(Result):
    """Lets the client subscribe."""

    data: Json = None
    """For the client."""
    info: Json = None
    """Shown in presence and join events."""
    expire_at: int = 0
    """When the subscription expires, in Unix seconds; 0: never."""
    allow: Sequence[str] = ()
    """What the client may do in the channel."""
    override: Union[pb.SubscribeOptionOverride, Fields, None] = None
    """Channel options to override."""
    server_tags_filter: Union[pb.FilterNode, Fields, None] = None
    """Selects publications by their tags."""


@dataclass
class PublishResult(Result):
    """Lets the publication pass."""

    data: Json = None
    """Replaces what the client sent."""
    skip_history: bool = False
    """Whether to keep it out of the history."""
    tags: Optional[Mapping[str, str]] = None
    """Attached to the publication."""
    idempotency_key: str = ""
    """Drops the publication if its key was used shortly before."""
    delta: bool = False
    """Whether to send subscribers only what changed."""
    version: int = 0
    """Drops the publication if the channel has this version or a newer one."""
    version_epoch: str = ""
    """Versions of another epoch are not compared."""


@dataclass
class RpcResult(Result):
    """Answers the call."""

    data: Json = None
    """For the client."""


@dataclass
class SubRefreshResult(Result):
    """Extends the subscription, or ends it."""

    expire_at: int = 0
    """When the subscription expires next, in Unix seconds."""
    expired: bool = False
    """Whether the subscription has expired."""
    info: Json = None
    """Shown in presence and join events."""


@dataclass
class NotifyCacheEmptyResult(Result):
    """Acknowledges the notification."""

    populated: bool = False
    """Whether the application has published to the channel."""


@dataclass
class NotifyChannelStateResult(Result):
    """Acknowledges the notification."""


@dataclass
class MapPublishResult(Result):
    """Lets the client set the entry."""

    key: str = ""
    """Replaces the client's key."""
    data: Json = None
    """Replaces what the client sent."""
    tags: Optional[Mapping[str, str]] = None
    """Attached to the publication."""
    score: int = 0
    """Orders the entry."""
    key_mode: str = ""
    """How the key may be set, as Centrifugo defines it."""
    stream_data: Json = None
    """Goes to the stream instead of the data."""
    idempotency_key: str = ""
    """Drops the publication if its key was used shortly before."""
    delta: bool = False
    """Whether to send subscribers only what changed."""
    version: int = 0
    """Drops the publication if the entry has this version or a newer one."""
    version_epoch: str = ""
    """Versions of another epoch are not compared."""


@dataclass
class MapRemoveResult(Result):
    """Lets the client remove the entry."""

    key: str = ""
    """Replaces the client's key."""
    tags: Optional[Mapping[str, str]] = None
    """Attached to the publication."""
    idempotency_key: str = ""
    """Drops the removal if its key was used shortly before."""


@dataclass
class SharedPollRefreshResult(Result):
    """Returns the state of the items."""

    items: Sequence[Union[pb.SharedPollRefreshResultItem, Fields]] = ()
    """The items."""
    epoch: str = ""
    """A new epoch means that versions start again."""


@dataclass
class StreamEndResult(Result):
    """Acknowledges the end of a stream."""


@dataclass
class Publication:
    """A message of a stream, for the client. Handlers of streams that are generators yield it."""

    data: Json = None
    """For the client."""
    tags: Optional[Mapping[str, str]] = None
    """Attached to the publication."""
