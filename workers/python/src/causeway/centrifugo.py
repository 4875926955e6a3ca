"""Centrifugo's server API, called through the bridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from google.protobuf.message import Message

from ._proto import api_pb2 as api
from .events import Json, to_bytes
from .rpc import ApiError, Rpc


class Centrifugo:
    """Publishes, and asks and tells Centrifugo about its clients.

    ``data`` and ``info`` are whatever JSON can hold, or bytes, which are passed on as they are. Where a method takes a ``user``,
    it means all connections of the user, or the one that ``client`` or ``session`` names. Results are the messages of
    Centrifugo's API (``causeway.api``). An error that Centrifugo answers with is raised as :class:`ApiError`; a Centrifugo that
    cannot be reached, or does not have the method, as :class:`GrpcError`.
    """

    def __init__(self, rpc: Optional[Rpc] = None) -> None:
        self._rpc = rpc or Rpc.shared()

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
        """Publish into a channel; a publication whose ``idempotency_key`` was used shortly before is not repeated."""
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
        """Publish into many channels. ``responses`` has a result or an error for each, in order; none of these is raised."""
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
        """Disconnect connections but those in ``whitelist``, with a code and reason of Centrifugo's unless one is given."""
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
        """Prolong connections until ``expire_at``, in Unix seconds, or end them as ``expired``."""
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
        """Return who is in a channel: ``presence`` by the client's id."""
        result: api.PresenceResult = self.call("Presence", api.PresenceRequest(channel=channel))
        return result

    def presence_stats(self, channel: str) -> api.PresenceStatsResult:
        """Return how many are in a channel: ``num_clients`` and ``num_users``."""
        result: api.PresenceStatsResult = self.call("PresenceStats", api.PresenceStatsRequest(channel=channel))
        return result

    def history(
        self, channel: str, *, limit: int = 0, since: Optional[api.StreamPosition] = None, reverse: bool = False
    ) -> api.HistoryResult:
        """Return at most ``limit`` publications after ``since``, and the stream's position; with a limit of 0, that alone."""
        request = api.HistoryRequest(channel=channel, limit=limit, since=since, reverse=reverse)
        result: api.HistoryResult = self.call("History", request)
        return result

    def history_remove(self, channel: str) -> None:
        """Forget the publications of a channel."""
        self.call("HistoryRemove", api.HistoryRemoveRequest(channel=channel))

    def info(self) -> api.InfoResult:
        """Return what Centrifugo's ``nodes`` say of themselves."""
        result: api.InfoResult = self.call("Info", api.InfoRequest())
        return result

    def channels(self, pattern: str = "") -> api.ChannelsResult:
        """Return the ``channels`` that have subscribers, by their names; only those that match, if a pattern is given."""
        result: api.ChannelsResult = self.call("Channels", api.ChannelsRequest(pattern=pattern))
        return result

    def batch(self, commands: Sequence[api.Command], *, parallel: bool = False) -> Sequence[api.Reply]:
        """Carry out many commands in one call; each reply has a result or an ``error``, in order; none of these is raised."""
        response: api.BatchResponse = self.call("Batch", api.BatchRequest(commands=commands, parallel=parallel))
        return response.replies

    def call(self, method: str, request: Message, response: Optional[type[Message]] = None) -> Any:
        """Call any method of the API with its request message, and return the result of its response.

        ``response`` is the type of the response's message, for methods that ``causeway.api`` does not have yet.
        """
        response = response or getattr(api, f"{method}Response", None)
        if response is None:
            raise ValueError(f"causeway.api has no message {method}Response: say what the response is")
        answer: Any = self._rpc.call_proto(f"centrifuge.{method}", request, response)
        fields = answer.DESCRIPTOR.fields_by_name
        if "error" in fields and answer.HasField("error"):
            raise ApiError(answer.error.message, answer.error.code)
        return answer.result if "result" in fields else answer


def _optional(value: Json) -> Optional[bytes]:
    return None if value is None else to_bytes(value)
