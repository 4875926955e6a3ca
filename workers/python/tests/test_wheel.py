"""The package as it is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from supervisor import ROOT, Supervisor

import causeway
from causeway import frame

PACKAGE = ROOT / "workers/python"
APPLICATION = """
import causeway
app = causeway.App()
@app.on_connect
def connect(request):
    return causeway.ConnectResult(user=causeway.__file__)
app.run()
"""


def run(*command: str, folder: Path) -> None:
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", str(folder), str(copy(folder)), folder=folder)
    (found,) = folder.glob("*.whl")
    return found


def copy(folder: Path) -> Path:
    """Copy what git has of the package."""
    copied = folder / "source"
    for path in (*(PACKAGE / "src").rglob("*"), PACKAGE / "pyproject.toml", PACKAGE / "README.md"):
        if path.is_file() and path.suffix in (".py", ".pyi", ".typed", ".toml", ".md") and ".egg-info" not in str(path):
            target = copied / path.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return copied


def test_a_wheel_has_every_module_and_the_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = PACKAGE / "src"
    files = (path for suffix in ("*.py", "*.pyi", "py.typed") for path in (source / "causeway").rglob(suffix))
    assert packed == {str(path.relative_to(source)) for path in files}


def test_a_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.EnvBuilder(with_pip=False).create(environment)
    python = environment / "bin/python"
    install = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check")
    # Without protobuf: messages are JSON then.
    run(*install, "--no-deps", "--no-index", str(wheel), folder=tmp_path)
    (tmp_path / "app.py").write_text(APPLICATION)
    codecs = {"CAUSEWAY_CODECS": "proto,json"}
    worker = Supervisor([str(python), "-I", str(tmp_path / "app.py")], "pipes", tmp_path, codecs, {"codec": "json"})
    context = b'{"type":["connect"]}'
    worker.send(frame.encode(context + b"{}", frame.JSON, (len(context),)))
    assert str(environment) in worker.receive().payload.decode()
    _, errors = worker.process.communicate(timeout=60)
    assert (worker.process.returncode, errors) == (0, b"")


def test_the_version_of_the_package_is_that_of_the_module(wheel: Path) -> None:
    assert wheel.name == f"causeway_worker-{causeway.__version__}-py3-none-any.whl"
