"""How it ends, or does not."""

import json
import os
import signal

from behaviour import State, answer, behaviour, for_ever, say, until, when, write
from goridge import frame


@behaviour
def exit(_data, argument, _context):
    say("about to leave")
    os._exit(int(argument))


@behaviour
def last_words(data, _argument, _context):
    """Prints its data, and is gone."""
    say(json.loads(data))
    os._exit(3)


@behaviour
def after(data, argument, _context):
    """Answers, and is gone before it could have echoed."""
    answer(data)
    os._exit(int(argument))


@behaviour
def partial(_data, _argument, _context):
    write(frame(0, b"x" * 1000, (0,))[:100])
    os._exit(0)


@behaviour
def kill(_data, argument, _context):
    os.kill(os.getpid(), int(argument))
    answer(b'"woken"')


@behaviour
def closeout(_data, _argument, _context):
    State.relay.close_output()
    for_ever()


@behaviour
def closeout_when(_data, argument, _context):
    """Closes its output when the file is there."""
    until(argument)
    closeout(None, None, None)


@behaviour
def closeout_later(data, argument, _context):
    """Answers, and closes its output when the file is there."""
    answer(data)
    when(argument, State.relay.close_output)


@behaviour
def closein(data, _argument, _context):
    """Answers, and reads nothing any more."""
    answer(data)
    State.relay.close_input()
    for_ever()


@behaviour
def _stubborn(data, _argument, _context):
    """Ignores the stop frame from now on, the end of its input, and SIGTERM."""
    State.stubborn = True
    State.relay.ended = for_ever
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(data)
