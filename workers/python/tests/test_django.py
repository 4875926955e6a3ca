"""Handlers in a Django project: its example as a worker, and its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor import ROOT, Supervisor

import causeway
from causeway import Event, frame, proxy

EXAMPLE = ROOT / "workers/python/examples/django_shop"
PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from django.test import Client
from shop.models import Order
ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
Order.objects.create(pk=7, user=ann)
Order.objects.create(pk=8, user=bob)
client = Client()
client.force_login(ann)
print("sessionid=" + client.cookies["sessionid"].value)
"""


def environment(database: Path) -> dict[str, str]:
    path = os.pathsep.join((str(ROOT / "workers/python/src"), str(EXAMPLE)))
    return {"PYTHONPATH": path, "DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "project.settings"}


def run(*arguments: str, database: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the settings of the project."""
    env = {**os.environ, **environment(database)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def manage(*arguments: str, database: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the project."""
    return run(str(EXAMPLE / "manage.py"), *arguments, database=database)


def test_the_tests_of_the_project_pass(tmp_path: Path) -> None:
    ran = manage("test", "shop", "-v", "0", database=tmp_path / "db.sqlite3")
    assert ran.returncode == 0 and "Ran 2 tests" in ran.stderr, ran.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The path of a database with two users and their orders, and the cookie of one who is logged in."""
    database = tmp_path_factory.mktemp("shop") / "db.sqlite3"
    prepared = run("-c", PREPARE, database=database)
    assert prepared.returncode == 0, prepared.stderr
    return database, prepared.stdout.splitlines()[-1]


@pytest.mark.parametrize("concurrency", [0, 8])
def test_the_project_is_a_worker_that_knows_its_users(shop: tuple[Path, str], tmp_path: Path, concurrency: int) -> None:
    database, cookie = shop
    command = [sys.executable, str(EXAMPLE / "manage.py"), "causeway"]
    env, claims = environment(database), {}
    if concurrency:
        command += ["--concurrency", str(concurrency)]
        env["CAUSEWAY_PROTOCOLS"] = "1,2"
        claims = {"protocol": 2, "concurrency": concurrency, "name": f"causeway-worker {causeway.__version__}"}
    worker = Supervisor(command, "pipes", tmp_path, env, claims)
    numbers = iter(range(1, 100))

    def ask(event: Event, message: Any, **headers: str) -> Any:
        context = json.dumps({**{name: [value] for name, value in headers.items()}, "type": [event.value]}).encode()
        options = (len(context), next(numbers)) if concurrency else (len(context),)
        worker.send(frame.encode(context + message.SerializeToString(), frame.PROTO, options))
        answer = worker.receive()
        assert not answer.flags & frame.ERROR, answer.payload
        return event.response.FromString(answer.payload)

    connect = ask(Event.CONNECT, proxy.ConnectRequest(), cookie=cookie)
    assert (connect.result.user, connect.result.data) == ("1", b'{"name":"ann"}')
    # As browsers send them.
    others = f'a[b]=1; preferences={{"a": 1}}; {cookie}'
    assert ask(Event.CONNECT, proxy.ConnectRequest(), cookie=others).result.user == "1"
    assert ask(Event.CONNECT, proxy.ConnectRequest(), cookie="nonsense").error.code == 101
    for channel, code in (("orders:7", 0), ("orders:8", 403), ("orders:9", 404)):
        assert ask(Event.SUBSCRIBE, proxy.SubscribeRequest(user="1", channel=channel)).error.code == code
    listed = ask(Event.RPC, proxy.RPCRequest(user="1", method="orders.list"))
    assert listed.result.data == b'[{"id":7,"state":"paid"}]'
    assert ask(Event.RPC, proxy.RPCRequest(user="1", method="orders.cancel", data=b"8")).result.data == b'{"cancelled":false}'
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, errors) == (0, b"")


def test_an_id_that_cannot_be_a_primary_key_is_nobodys(shop: tuple[Path, str]) -> None:
    code = """
import django
django.setup()
from unittest.mock import patch
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from causeway import SubscribeRequest, proxy
from causeway.contrib.django import user_of
request = SubscribeRequest(proxy.SubscribeRequest(user="x").SerializeToString(), b"")
print(user_of(request))
# As a key that is a UUID does.
with patch.object(type(User._meta.pk), "get_prep_value", side_effect=ValidationError("no UUID")):
    print(user_of(request))
"""
    ran = run("-c", code, database=shop[0])
    assert (ran.stdout, ran.returncode) == ("AnonymousUser\nAnonymousUser\n", 0), ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--app", ""], "name the application: --app shop.realtime.app, or CAUSEWAY_APP in the settings"),
        (["--app", "shop.nothing.app"], "cannot import the application shop.nothing.app: No module named 'shop.nothing'"),
        (["--app", "shop.models.Order"], "shop.models.Order is no causeway.App but ModelBase"),
    ],
)
def test_a_command_that_cannot_run_says_why(tmp_path: Path, arguments: list[str], message: str) -> None:
    ran = manage("causeway", *arguments, database=tmp_path / "db.sqlite3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"CommandError: {message}\n")
