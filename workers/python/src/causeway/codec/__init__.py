"""How messages are encoded: as protobuf, or as JSON in the shape of Centrifugo's HTTP proxy.

Events, results and answers are the same with both. Protobuf is the default. JSON needs no protobuf at all: it is what a worker
uses where protobuf is missing, or is the slow one that is written in Python.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Optional

from ..logs import log
from .base import Codec

__all__ = ["Codec", "by_name", "choose"]


def choose(wanted: Optional[str] = None) -> Codec:
    """Return the codec that an application wants, or by default the faster one.

    JSON needs a server that offers it in ``CAUSEWAY_CODECS``. Raises ``ValueError`` when there is no codec of this name.
    """
    if wanted is not None and wanted not in ("proto", "json"):
        raise ValueError(f'expected the codec "proto" or "json", found {wanted!r}')
    offered = "json" in os.environ.get("CAUSEWAY_CODECS", "proto").split(",")
    if wanted == "json" and not offered:
        log("this server does not offer the codec json: protobuf is used")
    return by_name("json" if offered and (wanted == "json" or (wanted is None and not _protobuf_is_fast())) else "proto")


@cache
def by_name(name: str) -> Codec:
    """Return a codec; import what it needs."""
    if name == "json":
        from . import json

        return json.CODEC
    from . import proto

    return proto.CODEC


def _protobuf_is_fast() -> bool:
    """Whether protobuf is installed, and not the implementation in Python. Finding out imports none of it."""
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.protobuf") is None:
        return False
    chosen = os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
    if chosen:
        return chosen != "python"
    return any(importlib.util.find_spec(name) for name in ("google._upb._message", "google.protobuf.pyext._message"))
