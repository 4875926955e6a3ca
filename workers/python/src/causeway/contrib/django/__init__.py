"""Handlers in a Django project: with its settings, models, users and connections to databases.

::

    # shop/realtime.py; settings.py has CAUSEWAY_APP = "shop.realtime.app"
    app = App()

    @app.on_connect
    def connect(request: ConnectRequest, user: AbstractUser) -> ConnectResult:
        return ConnectResult(user=str(user.pk))

``python manage.py causeway`` is the command of ``server`` in ``.rr.yaml``, if ``causeway.contrib.django`` is in
``INSTALLED_APPS``.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Callable, Optional

from asgiref.sync import sync_to_async
from django.apps import apps as installed
from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import close_old_connections
from django.http import Http404, HttpRequest, parse_cookie

from ...app import App as _App
from ...events import Error
from ...requests import ConnectRequest, Request
from ...rpc import Rpc

__all__ = ["App", "http_request", "rpc", "user_of"]


class App(_App):
    """An application whose handlers use Django's models, users and settings.

    Before and after each handler, connections to databases that are unusable or too old are closed, as around a view.
    ``PermissionDenied`` is error 403; ``Http404`` and what a ``get`` of a model raises are error 404. A parameter whose type is
    ``AbstractUser``, ``AbstractBaseUser`` or the user model gets the user; without one, the client gets error 101,
    "unauthorized".
    """

    def __init__(self, *, codec: Optional[str] = None, debug: Optional[bool] = None) -> None:
        """Take what ``causeway.App`` takes; ``debug`` is ``DEBUG`` of the settings by default."""
        super().__init__(codec=codec, debug=settings.DEBUG or None if debug is None else debug)
        self.add_middleware(_around, asynchronous=_around_async)
        # Models can be imported when all applications are known, and this package is one of them.
        from django.contrib.auth.models import AbstractBaseUser, AbstractUser

        for type_ in {AbstractUser, AbstractBaseUser, get_user_model()}:
            self.provide(type_, _provide_user, asynchronous=sync_to_async(_provide_user))


def user_of(request: Request) -> Any:
    """Return the user of a request, or an ``AnonymousUser``; in ``async`` handlers, call it with ``sync_to_async``.

    While a client connects, that is the user of Django's session, if Centrifugo forwards the header ``Cookie``. Later it is the
    one whose primary key is the user id of ``ConnectResult``. A user who is not active is none.
    """
    from django.contrib.auth.models import AnonymousUser

    if isinstance(request, ConnectRequest):
        return get_user(http_request(request))
    if not request.user:
        return AnonymousUser()
    try:
        user = get_user_model()._default_manager.get(pk=request.user)
    except (ObjectDoesNotExist, ValueError, ValidationError):
        return AnonymousUser()
    return user if user.is_active else AnonymousUser()


def http_request(request: Request) -> Any:
    """Return Django's request with the headers and cookies that Centrifugo forwards, and the session if there are sessions."""
    http = HttpRequest()
    http.method = "POST"
    http.META = {f"HTTP_{name.upper().replace('-', '_')}": ",".join(values) for name, values in request.headers.items()}
    http.COOKIES = parse_cookie(request.header("cookie", "") or "")
    if installed.is_installed("django.contrib.sessions"):
        engine = import_module(settings.SESSION_ENGINE)
        http.session = engine.SessionStore(http.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return http


@cache
def rpc() -> Rpc:
    """Return the client that publishes from views and commands.

    It is connected to ``CAUSEWAY_RPC`` of the settings, such as ``tcp://127.0.0.1:6001``, or else to ``RR_RPC``.
    """
    return Rpc(getattr(settings, "CAUSEWAY_RPC", None))


def _provide_user(request: Request) -> Any:
    user = user_of(request)
    if not user.is_authenticated:
        raise Error(101, "unauthorized")
    return user


_REFUSALS = (PermissionDenied, Http404, ObjectDoesNotExist)


def _refusal(error: Exception) -> Error:
    # Their text may be for developers.
    return Error(403, "permission denied") if isinstance(error, PermissionDenied) else Error(404, "not found")


def _around(request: Request, next: Callable[[Request], Any]) -> Any:
    close_old_connections()
    try:
        return next(request)
    except _REFUSALS as error:
        return _refusal(error)
    finally:
        close_old_connections()


async def _around_async(request: Request, next: Callable[[Request], Any]) -> Any:
    # Django's asynchronous queries run on the one thread that these run on.
    close = sync_to_async(close_old_connections)
    await close()
    try:
        return await next(request)
    except _REFUSALS as error:
        return _refusal(error)
    finally:
        await close()
