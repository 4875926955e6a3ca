from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LockFencedResponse(_message.Message):
    __slots__ = ["ok", "token"]
    OK_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    token: int
    def __init__(self, ok: bool = ..., token: _Optional[int] = ...) -> None: ...

class LockRequest(_message.Message):
    __slots__ = ["id", "pid", "resource", "ttl", "wait"]
    ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    pid: int
    resource: str
    ttl: int
    wait: int
    def __init__(self, resource: _Optional[str] = ..., id: _Optional[str] = ..., ttl: _Optional[int] = ..., wait: _Optional[int] = ..., pid: _Optional[int] = ...) -> None: ...

class LockResponse(_message.Message):
    __slots__ = ["ok"]
    OK_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    def __init__(self, ok: bool = ...) -> None: ...

class LogAttribute(_message.Message):
    __slots__ = ["key", "value"]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ["log_attrs", "message"]
    LOG_ATTRS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    log_attrs: _containers.RepeatedCompositeFieldContainer[LogAttribute]
    message: str
    def __init__(self, message: _Optional[str] = ..., log_attrs: _Optional[_Iterable[_Union[LogAttribute, _Mapping]]] = ...) -> None: ...

class LogResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ["plugin"]
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    def __init__(self, plugin: _Optional[str] = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ["code", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class StreamCloseRequest(_message.Message):
    __slots__ = ["id", "resubscribe"]
    ID_FIELD_NUMBER: _ClassVar[int]
    RESUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    id: str
    resubscribe: bool
    def __init__(self, id: _Optional[str] = ..., resubscribe: bool = ...) -> None: ...

class StreamCloseResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ["bidirectional", "buffered", "channel", "client", "held", "id", "opened", "pool", "sent", "user"]
    BIDIRECTIONAL_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    bidirectional: bool
    buffered: int
    channel: str
    client: str
    held: bool
    id: str
    opened: int
    pool: str
    sent: int
    user: str
    def __init__(self, id: _Optional[str] = ..., channel: _Optional[str] = ..., client: _Optional[str] = ..., user: _Optional[str] = ..., pool: _Optional[str] = ..., bidirectional: bool = ..., held: bool = ..., opened: _Optional[int] = ..., sent: _Optional[int] = ..., buffered: _Optional[int] = ...) -> None: ...

class StreamListRequest(_message.Message):
    __slots__ = ["channel", "client", "limit", "user"]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    channel: str
    client: str
    limit: int
    user: str
    def __init__(self, channel: _Optional[str] = ..., user: _Optional[str] = ..., client: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class StreamListResponse(_message.Message):
    __slots__ = ["streams", "total"]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    total: int
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class StreamPublication(_message.Message):
    __slots__ = ["data", "tags"]
    class TagsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    tags: _containers.ScalarMap[str, str]
    def __init__(self, data: _Optional[bytes] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StreamPublishRequest(_message.Message):
    __slots__ = ["b64data", "data", "id", "publication"]
    B64DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    b64data: str
    data: bytes
    id: str
    publication: StreamPublication
    def __init__(self, id: _Optional[str] = ..., data: _Optional[bytes] = ..., b64data: _Optional[str] = ..., publication: _Optional[_Union[StreamPublication, _Mapping]] = ...) -> None: ...

class StreamPublishResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...
