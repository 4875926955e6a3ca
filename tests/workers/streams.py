"""Subscription streams: a request's channel names the behaviour, its argument a file to which every event is appended."""

import json
import os

import streamed
from behaviour import State, behaviour, current, fail, options, until, write
from goridge import PING, STREAM, field, frame

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
        fail("as you wished")
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
    write(frame(0, message, options()))


def put(number, content, bits=0):
    write(frame(0, field(number, content), options(), stream=STREAM | bits))


def message(number, content):
    """A message of a streamed answer, as soon as it may be sent."""
    while current.id is not None and not streamed.granted(1):
        if streamed.is_stopped():
            return
    put(number, content)


@behaviour
def feed(data, argument, context):
    """`HOW,FILE`: streams the numbers up to one, `endless`, or until it `fail`s; `echo` streams what the client publishes. Other events are
    recorded in the file."""
    how, path = argument.split(",", 1)
    kind = record(data, path, context)
    if not kind.startswith("subscribe"):
        return write(frame(0, b"", options()))
    message(*((2, b"") if how == "late" else (1, REJECTED if how == "reject" else ACCEPTED)))
    if how == "fail":
        message(2, field(4, b"1"))
        return fail("as you wished")
    if how == "echo":
        echo_all()
    elif how == "endless":
        endless()
    elif how.isdigit():
        for one in range(int(how)):
            message(2, field(4, str(one).encode()))
    streamed.end()


def endless():
    while not streamed.is_stopped():
        if current.id is None:
            put(2, field(4, b"x"), PING)
        elif streamed.granted():
            put(2, field(4, b"x"))


def echo_all():
    """Until the client leaves."""
    while not streamed.is_stopped():
        with State.news:
            State.news.wait_for(lambda: State.inputs[current.id], 0.05)
            waiting, State.inputs[current.id] = State.inputs[current.id], []
        for one in waiting:
            State.grant(current.id)
            message(2, field(4, one))
