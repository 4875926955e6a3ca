"""No answer, or too many."""

import json
import os
import threading
import time

from behaviour import State, answer, behaviour, for_ever, response, say, until, when, write
from goridge import CONTROL, frame

OF_ANOTHER = b'"of another"'


@behaviour
def hang(_data, _argument, _context):
    say("it hangs")
    for_ever()


@behaviour
def nothing(_data, _argument, _context):
    pass


@behaviour
def twice(data, _argument, _context):
    answer(data)
    answer(OF_ANOTHER)


@behaviour
def together(data, _argument, _context):
    """Two answers in one write."""
    write(response(data) + response(OF_ANOTHER))


@behaviour
def later(data, argument, _context):
    """Answers again after so many seconds."""
    answer(data)
    threading.Timer(float(argument), lambda: answer(OF_ANOTHER)).start()


@behaviour
def again(data, argument, _context):
    """Answers again when the file is there."""
    answer(data)
    when(argument, lambda: answer(OF_ANOTHER))


@behaviour
def halves(data, argument, _context):
    """`BYTES,FILE`: when the file is there, sends so many bytes of another answer, and the rest when the next frame has arrived."""
    answer(data)
    size, path = argument.split(",", 1)
    another = response(OF_ANOTHER)

    def act():
        until(path)
        received = State.received
        with State.writing:
            State.relay.write(another[: int(size)])
            open(path + ".done", "w").close()
            while State.received == received:
                time.sleep(0.001)
            State.relay.write(another[int(size) :])

    threading.Thread(target=act, daemon=True).start()


@behaviour
def lingers(data, argument, _context):
    """Answers, and is not done before the file is there."""
    answer(data)
    until(argument)


@behaviour
def made_up(data, argument, _context):
    """Shows its pid so often though nobody asked, and then answers, twice."""
    pid = frame(CONTROL, json.dumps({"pid": os.getpid()}).encode())
    write(pid * int(argument) + response(data) + response(OF_ANOTHER))
