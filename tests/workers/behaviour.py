"""What all behaviours have in common: their names, and the way back to the supervisor."""

import json
import os
import sys
import threading
import time

from goridge import ERROR, field, frame

BEHAVIOURS = {}


class State:
    """The worker's own."""

    relay = None
    # Held while a frame is written.
    writing = threading.RLock()
    # Frames that have arrived, and how many of them were requests.
    received = 0
    handled = 0
    # The flags of the last request.
    flags = 0
    # The number of the first one.
    first = None
    # Whether it ignores the stop frame.
    stubborn = False
    # The reasons for which requests were cancelled, by number.
    cancelled = {}
    news = threading.Condition()
    # Reads frames for ever.
    serve = None
    # Control frames that came in the middle of a streamed answer.
    behind = []


class Current(threading.local):
    """The request that a thread is at, if requests are numbered."""

    id = None


current = Current()


def options(context=0, number=None):
    """The options of an answer: of this request, or of another one."""
    number = current.id if number is None else number
    return (context,) if number is None else (context, number)


def behaviour(function):
    """Makes a function the behaviour of its name. It gets the request's data, the method's argument and the context."""
    BEHAVIOURS[function.__name__.strip("_")] = function
    return function


def answer(value):
    write(response(value))


def write(data):
    with State.writing:
        State.relay.write(data)


def response(value, number=None):
    return frame(0, body(value), options(number=number))


def body(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return field(1, field(1, data))


def fail(text):
    write(frame(ERROR, text.encode(), () if current.id is None else options()))


def say(text):
    print(text, file=sys.stderr, flush=True)


def until(path):
    """Waits for a file."""
    while not os.path.exists(path):
        time.sleep(0.005)


def when(path, act):
    """Acts in a thread of its own when the file is there, and leaves the file `path.done`."""

    def wait():
        until(path)
        act()
        open(path + ".done", "w").close()

    threading.Thread(target=wait, daemon=True).start()


def for_ever():
    threading.Event().wait()
