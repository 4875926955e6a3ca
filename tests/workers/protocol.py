"""What is no frame, or the wrong one."""

import threading

from behaviour import answer, behaviour, for_ever, say, when, write
from goridge import frame


@behaviour
def broken(_data, _argument, _context):
    broken = bytearray(frame(0, b"a body that is long enough to be seen", (0,)))
    broken[7] ^= 255
    write(bytes(broken))


@behaviour
def broken_later(data, argument, _context):
    """Answers, and sends a broken frame when the file is there."""
    answer(data)
    when(argument, lambda: broken(b"", "", b""))


@behaviour
def huge(_data, _argument, _context):
    write(frame(0, b"", (0,), size=3_000_000_000))


@behaviour
def options(_data, argument, _context):
    write(frame(0, b"", (0,) * int(argument)))


@behaviour
def beyond(_data, _argument, _context):
    write(frame(0, b"", (99,)))


@behaviour
def one_chunk(_data, _argument, _context):
    """A part of a streamed answer, and no more."""
    write(frame(0, b"x", (0,), stream=1))


@behaviour
def trickle(data, argument, _context):
    """Half a frame, and the rest when the file is there."""
    whole = frame(0, b"", (0,))
    write(whole[:8])
    done = threading.Event()
    when(argument, done.set)
    done.wait()
    write(whole[8:])


@behaviour
def stall(_data, argument, _context):
    """Sends so many MB of an answer of 64 MB, and then nothing."""
    header = frame(0, b"", (0,), size=64 << 20)
    write(header)
    for _ in range(int(argument)):
        write(bytes(1 << 20))
    say("it stalls")
    for_ever()
