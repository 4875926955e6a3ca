"""Subscription streams: a request's channel names the behaviour, its argument a file to which every event is appended."""

import json
import os

from behaviour import behaviour, until, write
from goridge import field, frame

ACCEPTED = field(1, b"")
REJECTED = field(2, b"\x08\x93\x03" + field(2, b"rejected"))


@behaviour
def stream(data, argument, context):
    """`FILE`: accepts. While there is a file `FILE.wait`, an event waits for `FILE.go` to appear. Publications of `"reject"` are rejected,
    and `"fail"` fails."""
    kind = record(data, argument, context)
    if os.path.exists(argument + ".wait"):
        until(argument + ".go")
    if data == b'"fail"':
        write(frame(0x40, b"as you wished"))
    elif data == b'"reject"' and kind == "streampublish":
        reply(REJECTED)
    else:
        reply(ACCEPTED if kind.startswith("subscribe") else b"")


@behaviour
def talk(data, argument, context):
    """The same, in another namespace."""
    stream(data, argument, context)


@behaviour
def refused(data, argument, context):
    record(data, argument, context)
    reply(REJECTED)


@behaviour
def malformed(data, argument, context):
    record(data, argument, context)
    reply(b"\xff\xff")


@behaviour
def quiet(_data, _argument, _context):
    """Accepts, and remembers nothing."""
    reply(ACCEPTED)


def record(data, path, context):
    context = json.loads(context)
    kind = context["type"][0]
    event = {"type": kind, "data": data.decode(), "pid": os.getpid(), "context": context}
    with open(path, "a") as file:
        file.write(json.dumps(event) + "\n")
    return kind


def reply(message):
    write(frame(0, message, (0,)))
