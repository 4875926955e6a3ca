"""Handlers beside a FastAPI application: with its dependencies, its lifespan and its state.

::

    api = FastAPI(lifespan=lifespan)
    app = App(api)

    @app.on_connect
    async def connect(request: ConnectRequest, user: Annotated[User, Depends(current_user)]) -> ConnectResult:
        return ConnectResult(user=user.id)

A handler that takes dependencies is called as an endpoint of ``api`` is, which no client can reach: dependencies see the headers
that Centrifugo forwards, and their ``finally`` blocks run when the handler has ended.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Callable, Optional, TypeVar

from fastapi import BackgroundTasks, FastAPI, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ..annotations import types_of
from ..app import App as _App
from ..data import bad_request
from ..events import Error, Event
from ..failures import place_of
from ..handler import Handler, Style
from ..requests import Request

__all__ = ["App"]

F = TypeVar("F", bound=Callable[..., Any])


class App(_App):
    """An application whose handlers share the dependencies, the lifespan and the state of a FastAPI application.

    ``HTTPException`` is an ``Error`` with its status as code and its detail as message: clients stay connected.
    """

    def __init__(self, api: FastAPI, *, codec: Optional[str] = None, debug: Optional[bool] = None) -> None:
        """Take the application, and what ``causeway.App`` takes; ``debug`` is that of the application by default."""
        super().__init__(codec=codec, debug=api.debug or None if debug is None else debug, lifespan=_lifespan)
        self.api = api
        self._state: dict[str, Any] = {}
        self.add_middleware(_translate, asynchronous=_translate_async)

    def run(self, *arguments: Any, concurrency: Optional[int] = 64, **options: Any) -> None:
        """Serve requests until the server stops this worker, many at a time by default; otherwise like ``causeway.App.run``."""
        super().run(*arguments, concurrency=None if arguments else concurrency, **options)

    def on(self, event: Event, pattern: str = "*") -> Callable[[F], F]:
        """Handle any type of event; raise ``TypeError`` when a generator takes dependencies of FastAPI."""
        register = super().on(event, pattern)

        def register_endpoint(handler: F) -> F:
            wanted = _parameters_for_fastapi(handler)
            register(_Endpoint(self, event, handler, wanted).handler() if wanted else handler)
            return handler

        return register_endpoint


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    async with app.api.router.lifespan_context(app.api) as state:
        app._state = dict(state or {})
        yield


class _Endpoint:
    """A handler as an endpoint of FastAPI, and the other way round."""

    def __init__(self, app: App, event: Event, handler: Callable[..., Any], wanted: dict[str, inspect.Parameter]) -> None:
        style = Handler(handler).style
        if style not in (Style.PLAIN, Style.COROUTINE):
            raise TypeError(f"{place_of(handler)}: a generator takes no dependencies of FastAPI, which end with a call")
        self._app = app
        self._event = event
        self._handler = handler
        self._wanted = wanted
        self._call: ContextVar[_Call] = ContextVar("causeway.contrib.fastapi.call")
        endpoint = self._answer_async if style is Style.COROUTINE else self._answer
        route = APIRoute(
            f"/{event.value}",
            _with_signature(endpoint, list(wanted.values())),
            methods=["POST"],
            dependency_overrides_provider=app.api,
            include_in_schema=False,
            response_model=None,
        )
        self._asgi = AsyncExitStackMiddleware(route.app)

    def handler(self) -> Callable[..., Any]:
        """Return what the worker calls: a handler without the parameters that FastAPI provides."""

        async def handler(request: Request, **values: Any) -> Any:
            call = _Call(request, values)
            token = self._call.set(call)
            try:
                await self._asgi(self._scope(request), call.receive, call.send)
            finally:
                self._call.reset(token)
            return call.answer

        known = inspect.signature(self._handler).parameters.values()
        others = [parameter for parameter in known if parameter.name not in self._wanted]
        # With its place in the code, and the types of its parameters.
        setattr(handler, "__wrapped__", self._handler)  # noqa: B010 - functions have no such attribute for mypy
        return _with_signature(handler, others)

    def _answer(self, **provided: Any) -> Response:
        call = self._call.get()
        call.answer = self._handler(call.request, **call.values, **provided)
        return _NOTHING

    async def _answer_async(self, **provided: Any) -> Response:
        call = self._call.get()
        call.answer = await self._handler(call.request, **call.values, **provided)
        return _NOTHING

    def _scope(self, request: Request) -> dict[str, Any]:
        path = f"/{self._event.value}"
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": "POST",
            "scheme": "http",
            "server": None,
            "client": None,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "path_params": {},
            "query_string": b"",
            "headers": _headers(request),
            "app": self._app.api,
            "router": self._app.api.router,
            "state": dict(self._app._state),
            "causeway": request,
        }


class _Call:
    """One request on its way through FastAPI."""

    def __init__(self, request: Request, values: dict[str, Any]) -> None:
        self.request = request
        self.values = values
        self.answer: Any = None

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.request.data, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Discard the response: the answer is not in it."""


_NOTHING = Response(status_code=204)
_OF_THE_CALL = ("content-type", "content-length", ":authority")
"""Headers about Centrifugo's call, not about what the client sent."""


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    forwarded = {name: values for name, values in request.headers.items() if name not in _OF_THE_CALL}
    headers = {**forwarded, "content-type": ["application/json"]}
    return [(name.encode(), value.encode()) for name, values in headers.items() for value in values]


def _with_signature(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    async def call_async(*arguments: Any, **values: Any) -> Any:
        return await function(*arguments, **values)

    def call(*arguments: Any, **values: Any) -> Any:
        return function(*arguments, **values)

    called: Any = call_async if inspect.iscoroutinefunction(function) else call
    called.__signature__ = inspect.Signature(parameters)
    if hasattr(function, "__wrapped__"):
        called.__wrapped__ = function.__wrapped__
    return called  # type: ignore[no-any-return]


def _parameters_for_fastapi(handler: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters that FastAPI provides, by keyword, with their types."""
    parameters = list(inspect.signature(handler).parameters.values())[1:]
    if all(parameter.annotation is parameter.empty and parameter.default is parameter.empty for parameter in parameters):
        return {}
    hints = types_of(handler)
    found = {}
    for parameter in parameters:
        typed = parameter.replace(annotation=hints.get(parameter.name, parameter.annotation), kind=inspect.Parameter.KEYWORD_ONLY)
        if _is_for_fastapi(typed):
            found[parameter.name] = typed
    return found


def _is_for_fastapi(parameter: inspect.Parameter) -> bool:
    marks = (params.Depends, params.Param)
    annotation = parameter.annotation
    if isinstance(parameter.default, marks) or any(isinstance(mark, marks) for mark in getattr(annotation, "__metadata__", ())):
        return True
    return isinstance(annotation, type) and issubclass(annotation, (HTTPConnection, BackgroundTasks))


def _error(error: Exception) -> Error:
    """Return what a client gets instead of a response of HTTP."""
    if isinstance(error, HTTPException):
        return Error(error.status_code, str(error.detail))
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return bad_request(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _translate(request: Request, next: Callable[[Request], Any]) -> Any:
    try:
        return next(request)
    except (HTTPException, RequestValidationError) as error:
        return _error(error)


async def _translate_async(request: Request, next: Callable[[Request], Any]) -> Any:
    try:
        return await next(request)
    except (HTTPException, RequestValidationError) as error:
        return _error(error)
