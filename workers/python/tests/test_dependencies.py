"""Dependencies by type, and data as models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Optional, Union

import pytest
from pydantic import BaseModel, field_validator

import causeway
from causeway import App, Data, Error, Publication, RpcResult, SubscribeResult
from causeway.testing import AsyncTestClient, TestClient


class Database:
    """What applications have."""

    def __init__(self, name: str = "real") -> None:
        self.name = name


class Session:
    """What needs a database, and is closed."""

    def __init__(self, database: Database) -> None:
        self.database = database


class Order(BaseModel):
    """What clients send."""

    id: int
    tags: list[str] = []
    email: Optional[str] = None

    @field_validator("email")
    @classmethod
    def has_an_at(cls, email: Optional[str]) -> Optional[str]:
        if email is not None and "@" not in email:
            raise ValueError("no @")
        return email


SEEN: list[str] = []


@pytest.fixture(autouse=True)
def seen() -> list[str]:
    SEEN.clear()
    return SEEN


def database() -> Database:
    SEEN.append("database")
    return Database()


def session(database: Database, request: causeway.Request) -> Iterator[Session]:
    SEEN.append(f"open {request.user}")
    try:
        yield Session(database)
        SEEN.append("commit")
    except BaseException as error:
        SEEN.append(f"rollback {type(error).__name__}")
        raise
    finally:
        SEEN.append("close")


async def session_async(database: Database, request: causeway.Request) -> AsyncIterator[Session]:
    await asyncio.sleep(0)
    SEEN.append(f"open {request.user}")
    try:
        yield Session(database)
        SEEN.append("commit")
    except BaseException as error:
        SEEN.append(f"rollback {type(error).__name__}")
        raise
    finally:
        await asyncio.sleep(0)
        SEEN.append("close")


def application(*, is_async: bool = False) -> App:
    app = App()
    app.provider(database)
    app.provider(session_async if is_async else session)
    return app


def ask(app: App, method: str, data: Any = None, *, loop: bool = False) -> Any:
    """Return the answer to a call, of a worker of either kind."""
    if not loop:
        return TestClient(app, user="42").rpc(method, data)

    async def main() -> Any:
        return await AsyncTestClient(app, user="42").rpc(method, data)

    return asyncio.run(main())


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_dependencies_last_for_a_request_and_are_provided_once(is_async: bool, loop: bool) -> None:
    app = application(is_async=is_async)

    def plain(request: causeway.RpcRequest, first: Session, database: Database, second: Session, n: int = 7) -> RpcResult:
        SEEN.append("handler")
        assert first is second and first.database is database
        return RpcResult([database.name, n])

    async def handler(request: causeway.RpcRequest, first: Session, database: Database, second: Session) -> RpcResult:
        return plain(request, first, database, second)

    app.on_rpc("*")(handler if is_async else plain)
    for _ in range(2):
        assert ask(app, "a", loop=loop).data == ["real", 7]
        assert SEEN == ["database", "open 42", "handler", "commit", "close"]
        SEEN.clear()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_provider_learns_what_the_handler_raises(is_async: bool) -> None:
    app = application(is_async=is_async)

    def fail(request: causeway.RpcRequest, session: Session) -> RpcResult:
        raise Error(403, "no") if request.method == "refuse" else KeyError(request.method)

    async def fail_async(request: causeway.RpcRequest, session: Session) -> RpcResult:
        return fail(request, session)

    app.on_rpc("*")(fail_async if is_async else fail)
    assert ask(app, "refuse").error == Error(403, "no")
    assert SEEN[2:] == ["rollback Error", "close"]
    with pytest.raises(KeyError):
        ask(app, "x")
    assert SEEN[-2:] == ["rollback KeyError", "close"]


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_dependencies_of_a_stream_last_until_it_ends(is_async: bool, loop: bool) -> None:
    app = application(is_async=is_async)

    if is_async:

        @app.on_subscribe_unidirectional
        async def clock(request: causeway.SubscribeStreamRequest, session: Session) -> AsyncIterator[Any]:
            yield SubscribeResult(data=session.database.name)
            for number in range(3):
                yield Publication(number)

    else:

        @app.on_subscribe_unidirectional
        def numbers(request: causeway.SubscribeStreamRequest, session: Session) -> Iterator[Any]:
            yield SubscribeResult(data=session.database.name)
            for number in range(3):
                yield Publication(number)

    async def main() -> None:
        stream = await AsyncTestClient(app).subscribe_unidirectional("news")
        assert (stream.data, SEEN[-1]) == ("real", "open ")
        assert (await stream.__anext__()).data == 0
        await stream.close()

    if loop:
        asyncio.run(main())
    else:
        stream = TestClient(app).subscribe_unidirectional("news")
        assert (stream.data, SEEN[-1]) == ("real", "open ")
        assert next(stream).data == 0
        stream.close()
    assert SEEN[-2:] == ["rollback GeneratorExit", "close"]


def test_a_test_provides_its_own() -> None:
    app = application()

    @app.on_rpc("name")
    def name(request: causeway.RpcRequest, session: Session, database: Database) -> RpcResult:
        return RpcResult([session.database.name, database.name])

    assert TestClient(app, provide={Database: Database("fake")}).rpc("name").data == ["fake", "fake"]
    assert TestClient(app).rpc("name").data == ["real", "real"]


def test_a_class_provides_itself_and_other_types_are_named() -> None:
    app = App()
    app.provider(Database)
    app.provide(str, lambda: "text")

    @app.on_rpc("*")
    def handler(request: causeway.RpcRequest, database: Database, text: str) -> RpcResult:
        return RpcResult([database.name, text])

    assert TestClient(app).rpc("a").data == ["text", "text"]


def nothing(request: causeway.RpcRequest, database: Database) -> None: ...
def untyped(request: causeway.RpcRequest, database) -> None: ...  # type: ignore[no-untyped-def]
def unknown(request: causeway.RpcRequest, order: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821
def plain(request: causeway.RpcRequest, session: Session) -> None: ...
def one(two: Session) -> Database: ...  # type: ignore[empty-body]
def two(one: Database) -> Session: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("handler", "providers", "message"),
    [
        (nothing, [], "the parameter database: Database has no provider"),
        (untyped, [], "the parameter database has no provider"),
        (unknown, [], "name 'Missing' is not defined: types of parameters have to be importable when the worker starts"),
        (plain, [database, session_async], "the provider of session is async: make what takes it async, too"),
        (plain, [one, two], "dependencies in a circle: Session > Database > Session"),
    ],
)
def test_what_cannot_be_provided_is_an_error_at_the_start(handler: Any, providers: list[Any], message: str) -> None:
    app = App()
    app.on_rpc("*")(handler)
    for provider in providers:
        app.provider(provider)
    with pytest.raises(TypeError) as raised:
        app.run()
    assert str(raised.value).endswith(f": {message}")
    assert f"test_dependencies.py:{handler.__code__.co_firstlineno}: " in str(raised.value) or "circle" in message


def test_a_provider_without_a_type_and_a_second_one_are_errors() -> None:
    app = application()
    with pytest.raises(TypeError, match=r"test_dependencies\.py:\d+: a provider needs a return type"):
        app.provider(lambda: 1)
    with pytest.raises(ValueError, match=r"^Database has a provider already: .*test_dependencies\.py:\d+$"):
        app.provider(database)


def test_parameters_with_defaults_and_handlers_without_types_are_left_alone() -> None:
    app = App()
    app.on_rpc("lambda")(lambda request, value=7: RpcResult(value))

    @app.on_rpc("rest")
    def rest(request: causeway.RpcRequest, number: int = 1, *rest: int, **named: int) -> RpcResult:
        return RpcResult([number, *rest, named])

    client = TestClient(app)
    assert (client.rpc("lambda").data, client.rpc("rest").data) == (7, [1, {}])


@pytest.mark.parametrize("loop", [False, True])
def test_data_come_as_a_model_and_models_go_out(loop: bool) -> None:
    app = App()

    @app.on_rpc("order")
    def order(request: causeway.RpcRequest, order: Order) -> RpcResult:
        assert isinstance(order, Order)
        return RpcResult({"order": order})

    @app.on_rpc("sum")
    async def add(request: causeway.RpcRequest, numbers: Data[list[int]]) -> RpcResult:
        return RpcResult(sum(numbers))

    @app.on_rpc("either")
    def either(request: causeway.RpcRequest, value: Data[Union[int, None]] = None) -> RpcResult:
        return RpcResult([value])

    assert ask(app, "order", {"id": 7}, loop=loop).data == {"order": {"id": 7, "tags": [], "email": None}}
    assert ask(app, "sum", [1, 2], loop=loop).data == 3
    assert ask(app, "either", loop=loop).data == [None]


INVALID = [
    ({"id": "x"}, "id: Input should be a valid integer, unable to parse string as an integer"),
    ({"id": 1, "tags": ["a", 2]}, "tags.1: Input should be a valid string"),
    ({"id": 1, "email": "secret"}, "email: Value error, no @"),
    (None, "Input should be an object"),
    (b"{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
]


@pytest.mark.parametrize(("data", "problem"), INVALID)
def test_invalid_data_are_the_clients_error_and_a_line_in_the_log(
    data: Any, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App()

    @app.on_rpc("order")
    def order(request: causeway.RpcRequest, order: Order) -> RpcResult:
        raise AssertionError

    assert TestClient(app).rpc("order", data).error == Error(107, f"bad request: {problem}")
    line = order.__code__.co_firstlineno
    assert capsys.readouterr().err == f'invalid data for rpc method "order": {problem} ({__file__}:{line})\n'


class Strict(BaseModel, extra="forbid"):
    pass


def test_the_names_of_a_clients_fields_fill_neither_the_log_nor_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    app = App()

    @app.on_rpc("order")
    def order(request: causeway.RpcRequest, data: Data[Strict]) -> RpcResult:
        raise AssertionError

    error = TestClient(app).rpc("order", {"x" * 1_000_000: 1}).error
    assert error is not None and error.message == "bad request: " + "x" * 187
    assert f'invalid data for rpc method "order": {"x" * 200} (' in capsys.readouterr().err


def test_a_long_problem_is_cut() -> None:
    app = App()

    @app.on_publish
    def publish(request: causeway.PublishRequest, data: Data[dict[int, int]]) -> None: ...

    error = TestClient(app).publish("news", {"x" * 1000: 1}).error
    assert error and error.code == 107 and len(error.message) == 200


def test_a_provider_has_a_counterpart_for_async_handlers() -> None:
    app = App()

    async def counterpart() -> Database:
        return Database("async")

    app.provide(Database, Database, asynchronous=counterpart)
    app.provider(plain_session)

    @app.on_rpc("plain")
    def handler(request: causeway.RpcRequest, database: Database, session: list[Session]) -> RpcResult:
        return RpcResult([database.name, session[0].database.name])

    @app.on_rpc("async")
    async def handler_async(request: causeway.RpcRequest, database: Database, session: list[Session]) -> RpcResult:
        return handler(request, database, session)

    client = TestClient(app)
    assert (client.rpc("plain").data, client.rpc("async").data) == (["real"] * 2, ["async"] * 2)


def plain_session(database: Database) -> list[Session]:
    return [Session(database)]
