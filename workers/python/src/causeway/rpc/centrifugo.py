"""Centrifugo's server API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ..encoding import Json, to_bytes
from ..lazy import LazyModule
from .client import Client
from .errors import ApiError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from .._proto import api_pb2 as api
else:
    api = LazyModule("causeway._proto.api_pb2", "Centrifugo's server API")


class Centrifugo:
    """Centrifugo's server API, over the connection that the server has to Centrifugo.

    ``data`` and ``info`` are values that JSON can represent, or bytes, which are sent as they are. ``user`` selects all
    connections of a user, ``client`` or ``session`` a single one. Results are messages of ``causeway.api``.

    Methods raise an ``ApiError`` when Centrifugo answers with an error, a ``GrpcError`` when it cannot be reached or does not
    have the method, and another ``RpcError`` for any other failure.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def publish(
        self,
        channel: str,
        data: Json,
        *,
        skip_history: bool = False,
        tags: Optional[Mapping[str, str]] = None,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
    ) -> api.PublishResult:
        """Publish to a channel; a publication is dropped if its ``idempotency_key`` was used shortly before."""
        request = api.PublishRequest(
            channel=channel,
            data=to_bytes(data),
            skip_history=skip_history,
            tags=tags,
            idempotency_key=idempotency_key,
            delta=delta,
            version=version,
            version_epoch=version_epoch,
        )
        result: api.PublishResult = self.call("Publish", request)
        return result

    def broadcast(
        self,
        channels: Sequence[str],
        data: Json,
        *,
        skip_history: bool = False,
        tags: Optional[Mapping[str, str]] = None,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
    ) -> api.BroadcastResult:
        """Publish to many channels. The result has a response per channel, in order; an error in one of them is not raised."""
        request = api.BroadcastRequest(
            channels=channels,
            data=to_bytes(data),
            skip_history=skip_history,
            tags=tags,
            idempotency_key=idempotency_key,
            delta=delta,
            version=version,
            version_epoch=version_epoch,
        )
        result: api.BroadcastResult = self.call("Broadcast", request)
        return result

    def subscribe(
        self,
        channel: str,
        user: str = "",
        *,
        client: str = "",
        session: str = "",
        all_users: bool = False,
        label_filter: Optional[api.FilterNode] = None,
        data: Json = None,
        info: Json = None,
        expire_at: int = 0,
        recover_since: Optional[api.StreamPosition] = None,
        override: Optional[api.SubscribeOptionOverride] = None,
    ) -> None:
        """Subscribe connections to a channel; ``expire_at`` is in Unix seconds, 0: never."""
        request = api.SubscribeRequest(
            channel=channel,
            user=user,
            client=client,
            session=session,
            all_users=all_users,
            label_filter=label_filter,
            data=_optional(data),
            info=_optional(info),
            expire_at=expire_at,
            recover_since=recover_since,
            override=override,
        )
        self.call("Subscribe", request)

    def unsubscribe(
        self,
        channel: str,
        user: str = "",
        *,
        client: str = "",
        session: str = "",
        all_users: bool = False,
        label_filter: Optional[api.FilterNode] = None,
    ) -> None:
        """Unsubscribe connections from a channel."""
        request = api.UnsubscribeRequest(
            channel=channel, user=user, client=client, session=session, all_users=all_users, label_filter=label_filter
        )
        self.call("Unsubscribe", request)

    def disconnect(
        self,
        user: str = "",
        *,
        code: int = 0,
        reason: str = "",
        client: str = "",
        session: str = "",
        whitelist: Sequence[str] = (),
        all_users: bool = False,
        label_filter: Optional[api.FilterNode] = None,
    ) -> None:
        """Disconnect connections except those in ``whitelist``, by default with Centrifugo's own code and reason."""
        request = api.DisconnectRequest(
            user=user,
            disconnect=api.Disconnect(code=code, reason=reason) if code else None,
            client=client,
            session=session,
            whitelist=whitelist,
            all_users=all_users,
            label_filter=label_filter,
        )
        self.call("Disconnect", request)

    def refresh(
        self,
        user: str = "",
        *,
        client: str = "",
        session: str = "",
        expired: bool = False,
        expire_at: int = 0,
        info: Json = None,
        all_users: bool = False,
        label_filter: Optional[api.FilterNode] = None,
    ) -> None:
        """Extend connections until ``expire_at``, in Unix seconds, or expire them."""
        request = api.RefreshRequest(
            user=user,
            client=client,
            session=session,
            expired=expired,
            expire_at=expire_at,
            info=_optional(info),
            all_users=all_users,
            label_filter=label_filter,
        )
        self.call("Refresh", request)

    def presence(self, channel: str) -> api.PresenceResult:
        """Return the clients in a channel: ``presence`` by client id."""
        result: api.PresenceResult = self.call("Presence", api.PresenceRequest(channel=channel))
        return result

    def presence_stats(self, channel: str) -> api.PresenceStatsResult:
        """Return the number of clients and users in a channel: ``num_clients`` and ``num_users``."""
        result: api.PresenceStatsResult = self.call("PresenceStats", api.PresenceStatsRequest(channel=channel))
        return result

    def history(
        self, channel: str, *, limit: int = 0, since: Optional[api.StreamPosition] = None, reverse: bool = False
    ) -> api.HistoryResult:
        """Return up to ``limit`` publications after ``since`` and the stream's position; with a limit of 0, only the position."""
        request = api.HistoryRequest(channel=channel, limit=limit, since=since, reverse=reverse)
        result: api.HistoryResult = self.call("History", request)
        return result

    def history_remove(self, channel: str) -> None:
        """Remove the publications of a channel."""
        self.call("HistoryRemove", api.HistoryRemoveRequest(channel=channel))

    def info(self) -> api.InfoResult:
        """Return Centrifugo's ``nodes``."""
        result: api.InfoResult = self.call("Info", api.InfoRequest())
        return result

    def channels(self, pattern: str = "") -> api.ChannelsResult:
        """Return the ``channels`` that have subscribers, by name; with a pattern, only those that match."""
        result: api.ChannelsResult = self.call("Channels", api.ChannelsRequest(pattern=pattern))
        return result

    def batch(self, commands: Sequence[api.Command], *, parallel: bool = False) -> Sequence[api.Reply]:
        """Run many commands in one call. There is a reply per command, in order; an ``error`` in one of them is not raised."""
        response: api.BatchResponse = self.call("Batch", api.BatchRequest(commands=commands, parallel=parallel))
        return response.replies

    def call(self, method: str, request: Message, response: Optional[type[Message]] = None) -> Any:
        """Call any method of the API and return the result in its response.

        ``response`` is the type of the response message, for methods that ``causeway.api`` does not have.
        """
        response = response or getattr(api, f"{method}Response", None)
        if response is None:
            raise ValueError(f"causeway.api has no message {method}Response: pass the type of the response")
        answer: Any = self._client.call_proto(f"centrifuge.{method}", request, response)
        fields = answer.DESCRIPTOR.fields_by_name
        if "error" in fields and answer.HasField("error"):
            raise ApiError(answer.error.message, answer.error.code)
        return answer.result if "result" in fields else answer


def _optional(value: Json) -> Optional[bytes]:
    return None if value is None else to_bytes(value)
