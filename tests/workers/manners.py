"""Good manners."""

import os
import threading
import time

from behaviour import State, answer, behaviour, fail, options, say, until, write
from goridge import frame


@behaviour
def echo(data, _argument, _context):
    answer(data)


@behaviour
def context(_data, _argument, context):
    answer(context)


@behaviour
def env(_data, _argument, _context):
    answer(dict(os.environ))


@behaviour
def credentials(_data, _argument, _context):
    umask = os.umask(0)
    os.umask(umask)
    answer({"uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()), "umask": f"{umask:04o}"})


@behaviour
def process(_data, _argument, _context):
    names = os.listdir("/proc/self/fd")
    fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in names if os.path.exists(f"/proc/self/fd/{fd}")}
    answer({"cwd": os.getcwd(), "pgid": os.getpgid(0), "pid": os.getpid(), "parent": os.getppid(), "fds": fds})


@behaviour
def pid(_data, _argument, _context):
    answer({"pid": os.getpid(), "handled": State.handled})


@behaviour
def flags(_data, _argument, _context):
    answer({"flags": State.flags})


@behaviour
def sleep(data, argument, _context):
    time.sleep(float(argument))
    answer(data)


@behaviour
def note(data, _argument, _context):
    """Appends the request to the file $NOTES, and takes a moment for it."""
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, data + b"\n")
    os.close(notes)
    time.sleep(0.01)
    answer(data)


@behaviour
def wait(data, argument, _context):
    """Answers when the file is there."""
    say(f"it waits for {argument}")
    until(argument)
    answer(data)


@behaviour
def large(_data, argument, _context):
    """Answers with so many MB."""
    answer(b"x" * (int(argument) << 20))


@behaviour
def error(_data, argument, _context):
    fail(argument)


@behaviour
def grow(data, argument, _context):
    """Uses so many MB more."""
    grow.memory = bytearray(os.urandom(1 << 20)) * int(argument)
    answer(data)


@behaviour
def grow_and_hang(_data, argument, _context):
    """Uses so many MB more, and does not answer."""
    grow.memory = bytearray(os.urandom(1 << 20)) * int(argument)
    threading.Event().wait()


@behaviour
def refuse(_data, _argument, _context):
    """Asks to be replaced, each time."""
    write(frame(0, b'{"stop":true}', options(13)))


@behaviour
def stop(_data, argument, _context):
    """Asks to be replaced, once."""
    if os.path.exists(argument):
        answer({"pid": os.getpid()})
    else:
        open(argument, "w").close()
        write(frame(0, b'{"stop":true}', options(13)))


@behaviour
def stop_when(data, argument, context):
    """The same, when the file is there."""
    until(argument)
    stop(data, argument + ".stopped", context)


@behaviour
def journal(data, argument, _context):
    """Notes the request's data in the file, in one write, and answers."""
    with open(argument, "ab", buffering=0) as file:
        file.write(data + b"\n")
    answer(data)
