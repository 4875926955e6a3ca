"""Answers of more than one message, from workers of both protocols."""

import os
from collections import defaultdict

from behaviour import State, answer, behaviour, body, current, fail, options, until, write
from goridge import CONTROL, PING, PONG, STOP, STREAM, frame

# Messages of clients, and how many messages a worker may still send, by number of request.
State.inputs = defaultdict(list)
State.windows = defaultdict(lambda: 64)


def chunk(value, bits=0):
    write(frame(0, body(value), options(), stream=STREAM | bits))


def end():
    """The last frame."""
    if current.id is None:
        write(frame(0, b"", options()))
    else:
        write(frame(0, b"", options(), stream=STREAM | STOP))


def is_stopped():
    """Whether it is asked to end its stream. A worker of protocol 1 asks with a PING, and waits for the PONG."""
    if current.id is not None:
        return current.id in State.cancelled
    stopped = False
    while True:
        flags, _, payload = State.read()
        bits = State.relay.bits
        if flags & CONTROL:
            # Those between the request and the end of its answer are handled behind that.
            State.behind.append(payload)
        stopped |= bool(bits & STOP)
        if bits & PONG:
            return stopped


@behaviour
def chunks(_data, argument, _context):
    """So many messages."""
    for number in range(int(argument)):
        chunk(number)
    end()


@behaviour
def pinged(_data, argument, _context):
    """The same; each of them is acknowledged."""
    for number in range(int(argument)):
        chunk(number, PING)
        is_stopped()
    end()


@behaviour
def endless(_data, _argument, _context):
    """Messages until it is asked to end."""
    number, stopped = 0, False
    while not stopped:
        if current.id is None:
            chunk(number, PING)
        elif granted():
            chunk(number)
        number += 1
        stopped = is_stopped()
    end()


def granted(patience=0.05):
    """Takes one message out of the window."""
    with State.news:
        if not State.news.wait_for(lambda: State.windows[current.id] > 0, patience):
            return False
        State.windows[current.id] -= 1
        return True


@behaviour
def windowed(_data, argument, _context):
    """So many messages, as they are granted."""
    for number in range(int(argument)):
        while not granted(1):
            pass
        chunk(number)
    end()


@behaviour
def held(_data, argument, _context):
    """One message, and the end when the file is there."""
    chunk(1)
    until(argument)
    end()


@behaviour
def broken_off(_data, _argument, _context):
    chunk(1)
    fail("of my own")


@behaviour
def dies(_data, argument, _context):
    chunk(1)
    until(argument)
    os._exit(3)


@behaviour
def unfinished(_data, _argument, _context):
    """The handler ends, and not its stream."""
    chunk(1)


@behaviour
def parrot(_data, _argument, _context):
    """Sends back what the client sends, until that is `bye`."""
    granted()
    chunk(b"hello")
    message = b""
    while message != b"bye":
        with State.news:
            State.news.wait_for(lambda: State.inputs[current.id])
            message = State.inputs[current.id].pop(0)
        State.grant(current.id)
        while not granted(1):
            pass
        chunk(message)
    end()


@behaviour
def maybe(data, _argument, _context):
    """One message though it may be more."""
    answer(data)
