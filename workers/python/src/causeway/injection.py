"""Dependencies: what handlers take beside the request, by the types of their parameters.

::

    handler(request, order: Order, session: Session)
                       │                  │
             a model of the data     a provider ── its own parameters, likewise

How each parameter gets its value is found out once, before the first request: what is missing is an error at the start.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Callable, NamedTuple, Optional, Union

from .annotations import types_of
from .data import DataSource, data_type
from .events import Event
from .handler import Handler, Style
from .requests import Request
from .sources import Scope, Source

OVERRIDES: ContextVar[Mapping[Any, Any]] = ContextVar("causeway.overrides", default=MappingProxyType({}))
"""Values to use instead of what their providers provide, in tests."""


class Injector:
    """The providers of an application."""

    def __init__(self) -> None:
        # For handlers that are not async, and for those that are.
        self._providers: dict[Any, tuple[_Provider, _Provider]] = {}

    def provide(self, type_: Any, function: Callable[..., Any], asynchronous: Optional[Callable[..., Any]] = None) -> None:
        """Take the provider of a type, and its counterpart for ``async`` handlers if there is one.

        Raises ``ValueError`` when the type has one already.
        """
        if type_ in self._providers:
            raise ValueError(f"{_name(type_)} has a provider already: {self._providers[type_][0].handler.place}")
        provider = _Provider(type_, Handler(function))
        self._providers[type_] = provider, _Provider(type_, Handler(asynchronous)) if asynchronous else provider

    def inject(self, event: Event, handler: Handler) -> Handler:
        """Return a handler that takes only a request; raise ``TypeError`` when a parameter cannot be provided."""
        wanted = list(_parameters(handler.function).values())[1:]
        wanted = [parameter for parameter in wanted if parameter.kind not in _VARIADIC]
        # An annotation is looked at only if there is one: a default of a lambda, say, is none of our business.
        if not any(parameter.annotation is not parameter.empty or _is_required(parameter) for parameter in wanted):
            return handler
        finding = _Finding(event, handler.style in (Style.COROUTINE, Style.ASYNC_GENERATOR))
        sources = self._sources(handler, _annotated(handler, {parameter.name: parameter for parameter in wanted}), finding)
        return Handler(_injected(handler, sources), place=handler.place) if sources else handler

    def _sources(self, handler: Handler, parameters: dict[str, inspect.Parameter], finding: _Finding) -> dict[str, Source]:
        """Find a source for every parameter that needs one, of a handler or of a provider."""
        sources: dict[str, Source] = {}
        for name, parameter in parameters.items():
            source = self._source(handler, parameter, finding)
            if source is not None:
                sources[name] = source
            elif _is_required(parameter):
                what = f"the parameter {name}: {_name(parameter.annotation)}" if _has_type(parameter) else f"the parameter {name}"
                raise TypeError(f"{handler.place}: {what} has no provider")
        for name, source in sources.items():
            if source.is_async and not finding.is_async:
                raise TypeError(f"{handler.place}: the provider of {name} is async: make what takes it async, too")
        return sources

    def _source(self, handler: Handler, parameter: inspect.Parameter, finding: _Finding) -> Optional[Source]:
        annotation = parameter.annotation
        if annotation in finding.dependents:
            circle = " > ".join(_name(type_) for type_ in (*finding.dependents, annotation))
            raise TypeError(f"{handler.place}: dependencies in a circle: {circle}")
        found = _find(self._providers, annotation)
        if found is not None:
            provider = found[finding.is_async]
            wanted = _annotated(provider.handler, _parameters(provider.handler.function))
            sources = self._sources(provider.handler, wanted, finding.of_provider(annotation))
            return _ProvidedSource(provider, sources)
        if _is_request(annotation):
            return _RequestSource()
        if finding.event is not None and (data := data_type(annotation)) is not None:
            return DataSource(data, finding.event, handler.place)
        return None


class _Finding(NamedTuple):
    """For what sources are looked for."""

    event: Optional[Event]
    """The event of the handler; only handlers take data."""
    is_async: bool
    """Whether the handler is ``async``, so that its providers may be."""
    dependents: tuple[Any, ...] = ()
    """The types that need what is looked for, the outermost first."""

    def of_provider(self, type_: Any) -> _Finding:
        return self._replace(event=None, dependents=(*self.dependents, type_))


class _Provider:
    def __init__(self, type_: Any, handler: Handler) -> None:
        self.type = type_
        self.handler = handler
        style, function = handler.style, handler.function
        self.is_async = style in (Style.COROUTINE, Style.ASYNC_GENERATOR)
        self.context: Any = None
        """Provides the value, and cleans up when the handler has ended."""
        if style is Style.GENERATOR:
            self.context = contextmanager(function)
        elif style is Style.ASYNC_GENERATOR:
            self.context = asynccontextmanager(function)


_Pair = tuple[_Provider, _Provider]


class _RequestSource(Source):
    is_async = False

    def get(self, scope: Scope) -> Any:
        return scope.request


class _ProvidedSource(Source):
    """What a provider provides, once per request."""

    def __init__(self, provider: _Provider, sources: Mapping[str, Source]) -> None:
        self._provider = provider
        self._sources = sources
        self.is_async = provider.is_async or any(source.is_async for source in sources.values())

    def get(self, scope: Scope) -> Any:
        provider = self._provider
        if provider.type not in scope.values:
            arguments = {name: source.get(scope) for name, source in self._sources.items()}
            if provider.context is None:
                value = provider.handler.function(**arguments)
            else:
                value = scope.stack.enter_context(provider.context(**arguments))
            scope.values[provider.type] = value
        return scope.values[provider.type]

    async def get_async(self, scope: Scope) -> Any:
        provider = self._provider
        if provider.type not in scope.values:
            arguments = {name: await source.get_async(scope) for name, source in self._sources.items()}
            if provider.context is None:
                value = provider.handler.function(**arguments)
                value = await value if provider.is_async else value
            elif provider.is_async:
                value = await scope.stack.enter_async_context(provider.context(**arguments))
            else:
                value = scope.stack.enter_context(provider.context(**arguments))
            scope.values[provider.type] = value
        return scope.values[provider.type]


def provided_type(provider: Callable[..., Any]) -> Any:
    """Return the type that a provider says it returns; raise ``TypeError`` if it does not."""
    handler = Handler(provider)
    annotation = types_of(provider).get("return") if not isinstance(provider, type) else provider
    if handler.style in (Style.GENERATOR, Style.ASYNC_GENERATOR) and typing.get_origin(annotation) in _ITERATORS:
        annotation = typing.get_args(annotation)[0]
    if annotation is None or annotation is type(None):
        raise TypeError(f"{handler.place}: a provider needs a return type, which is what it provides")
    return annotation


_ITERATORS = (Iterator, Generator, AsyncIterator, AsyncGenerator)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _injected(handler: Handler, sources: Mapping[str, Source]) -> Callable[[Request], Any]:
    """Return the handler with its dependencies, in the same style. They last until it has ended."""
    function = handler.function

    def values(scope: Scope) -> dict[str, Any]:
        return {name: source.get(scope) for name, source in sources.items()}

    async def values_async(scope: Scope) -> dict[str, Any]:
        return {name: await source.get_async(scope) for name, source in sources.items()}

    def call(request: Request) -> Any:
        with ExitStack() as stack:
            return function(request, **values(_scope(request, stack)))

    async def call_async(request: Request) -> Any:
        async with AsyncExitStack() as stack:
            return await function(request, **await values_async(_scope(request, stack)))

    def generate(request: Request) -> Iterator[Any]:
        with ExitStack() as stack:
            yield from function(request, **values(_scope(request, stack)))

    async def generate_async(request: Request) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            items = function(request, **await values_async(_scope(request, stack)))
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()

    styles: dict[Style, Callable[[Request], Any]] = {
        Style.PLAIN: call,
        Style.COROUTINE: call_async,
        Style.GENERATOR: generate,
        Style.ASYNC_GENERATOR: generate_async,
    }
    return styles[handler.style]


def _scope(request: Request, stack: Union[ExitStack, AsyncExitStack]) -> Scope:
    return Scope(request, dict(OVERRIDES.get()), stack)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        # A function in C that does not say.
        return {}


def _annotated(handler: Handler, parameters: dict[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Return parameters with their types instead of the names of these."""
    if all(not isinstance(parameter.annotation, str) for parameter in parameters.values()):
        return parameters
    hints = types_of(handler.function)
    return {name: parameter.replace(annotation=hints.get(name, parameter.annotation)) for name, parameter in parameters.items()}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in _VARIADIC


def _has_type(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is not parameter.empty


def _is_request(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Request)


def _find(providers: Mapping[Any, _Pair], annotation: Any) -> Optional[_Pair]:
    try:
        return providers.get(annotation)
    except TypeError:
        # Not hashable, as Annotated with a list.
        return None


def _name(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) else str(type_)
