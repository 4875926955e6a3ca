"""What only a worker with numbered requests can do, well or badly."""

import json
import os
import threading

from behaviour import State, answer, behaviour, current, fail, for_ever, response, say, until, when, write
from goridge import CONTROL, JSON, frame


@behaviour
def wrong(data, argument, _context):
    """Answers another request first, that of this number or the `first` one, and then its own."""
    write(response(b'"of another"', State.first if argument == "first" else int(argument)))
    answer(data)


@behaviour
def guess(data, argument, _context):
    """When the file is there, answers requests that it was not given, near its own number and near none, and then its own."""
    until(argument)
    for number in [*range(1, 101), *(current.id + step & 0xFFFFFFFF for step in range(1, 101))]:
        write(response(b'"made up"', number))
    answer(data)


@behaviour
def obey(_data, argument, _context):
    """Ends with an error when it is cancelled."""
    fail(reason())


@behaviour
def late(data, _argument, _context):
    """Answers when it is cancelled."""
    reason()
    answer(data)


def reason():
    with State.news:
        State.news.wait_for(lambda: current.id in State.cancelled)
        return State.cancelled[current.id]


@behaviour
def credit(data, argument, _context):
    """Wants so many requests in flight, or, `N,FILE`, when the file is there; and answers at once."""
    number, _, path = argument.partition(",")

    def send():
        write(frame(CONTROL | JSON, json.dumps({"credit": int(number)}).encode()))

    if path:
        when(path, send)
    else:
        send()
    answer(data)


@behaviour
def closes_input(data, argument, _context):
    """Reads nothing any more, and answers when the file is there."""
    os.close(0)
    open(argument + ".closed", "w").close()
    until(argument)
    answer(data)
    for_ever()


@behaviour
def count(data, argument, _context):
    """Adds its data to the notes, so that a request which is run twice is seen, and then goes on as the argument says."""
    State.note(data.decode())
    if argument.startswith("exit,"):
        until(argument[5:])
        os._exit(3)
    answer(data)


@behaviour
def unnumbered(data, _argument, _context):
    """An answer without a number."""
    write(frame(0, b"x", (0,)))


@behaviour
def pid_of_another(data, _argument, _context):
    """Shows the pid of another process."""
    write(frame(CONTROL | JSON, json.dumps({"pid": 1}).encode()))
    answer(data)


@behaviour
def doubled(data, _argument, _context):
    """Two processes read requests and write answers from now on."""
    if os.fork() == 0:
        threading.Thread(target=State.serve, daemon=True).start()
        answer(data)
        for_ever()
    say("it has forked")


@behaviour
def crowd(_data, argument, _context):
    """Answers with the pid, and how many requests it has had, when the file is there."""
    until(argument)
    answer({"pid": os.getpid(), "handled": State.handled})
