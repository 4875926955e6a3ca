#!/usr/bin/env python3
"""Generate the services of ``AsyncRpc`` from those of ``Rpc``: the same code with ``async`` and ``await``.

    python scripts/generate_async.py

A test compares the result with what is in ``src/causeway/rpc/aio``.
"""

from __future__ import annotations

import re
from pathlib import Path

RPC = Path(__file__).resolve().parent.parent / "src/causeway/rpc"
NAMES = ("centrifugo.py", "services.py")

# The methods that call the server.
_CALL = re.compile(r"\bself\.(_client\.call\w*|call|_take|_ask|_change|_write)\(")


def generate(name: str) -> str:
    """Return the source of an asynchronous module."""
    source = (RPC / name).read_text()
    source = re.sub(r"^    def (?!__)", "    async def ", source, flags=re.MULTILINE)
    source = _CALL.sub(r"await self.\1(", source)
    source = re.sub(r"^(\s*)from \.(?=\.|errors|values)", r"\1from ..", source, flags=re.MULTILINE)
    source = source.replace("from .client import Client\n", "")
    before, after = re.split(r"(?<=\n)\n(?=\n*(?:if TYPE|class ))", source, maxsplit=1)
    source = f"{before}from .client import Client\n\n{after}"
    title, rest = source.split("\n", 1)
    return f"{title}\n\n# Generated from ../{name} by scripts/generate_async.py.\n{rest}"


if __name__ == "__main__":
    for name in NAMES:
        (RPC / "aio" / name).write_text(generate(name))
