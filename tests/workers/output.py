"""What it prints to its standard streams."""

import json
import os
import threading
import time

from behaviour import answer, behaviour, response, say, write
from goridge import frame


@behaviour
def says(data, argument, _context):
    say(argument)
    answer(data)


@behaviour
def noise(data, _argument, _context):
    os.write(1, b"Warning: something\nand a line without its end")
    answer(data)
    os.write(1, b"\x1b[31mred\x1b[0m after the answer\n")


@behaviour
def binary(data, _argument, _context):
    os.write(1, bytes(range(256)) * 16)
    answer(data)
    os.write(1, os.urandom(64) + b"\n")


@behaviour
def flood(data, _argument, _context):
    os.write(2, b"x" * 200000)
    for _ in range(64):
        os.write(1, b"a line of noise " * 1024 + b"\n")
    answer(data)


@behaviour
def half(data, argument, _context):
    """The first bytes of a header, and then the answer."""
    os.write(1, frame(0, b"xxxx", (0,))[: int(argument)])
    answer(data)


# Longer texts come in pieces of this size.
PIECE = 65536


def pour(fd, text, size):
    """Writes `text` again and again, until it is so many bytes."""
    piece = text * (PIECE // len(text) or 1)
    while size > 0:
        size -= os.write(fd, piece[:size])


@behaviour
def spew(data, argument, _context):
    """`HEX,BYTES`: prints these bytes again and again where frames go, and then answers."""
    text, size = argument.split(",")
    pour(1, bytes.fromhex(text), int(size))
    os.write(1, b"\n")
    answer(data)


@behaviour
def random(data, argument, _context):
    """So many bytes of anything, where frames go."""
    size = int(argument)
    while size > 0:
        size -= os.write(1, os.urandom(min(size, PIECE)))
    answer(data)


def print_yes(argument):
    stream, seconds = argument.split(",")
    printed, end = 0, time.monotonic() + float(seconds)
    # On a busy machine it would not get far in that time.
    while printed < 1 << 20 or time.monotonic() < end:
        pour(int(stream), b"y\n", PIECE)
        printed += PIECE


@behaviour
def mute(data, _argument, _context):
    """Closes its stderr."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    answer(data)


@behaviour
def yes(data, argument, _context):
    """`STREAM,SECONDS`: prints the shortest lines, as fast as it can, and then answers."""
    print_yes(argument)
    answer(data)


@behaviour
def yes_afterwards(data, argument, _context):
    """The same once it has answered, and no request is in hand. On standard output it comes in whole lines between frames."""
    answer(data)
    threading.Timer(0.1, print_yes, [argument]).start()


@behaviour
def records(data, argument, _context):
    """`BYTES,COUNT`: so many JSON records of this size on its standard error."""
    size, count = map(int, argument.split(","))
    record = json.dumps({"level": "warning", "message": "x" * (size - 40), "n": 1}).encode() + b"\n"
    for _ in range(count):
        pour(2, record, len(record))
    answer(data)


@behaviour
def lines(data, argument, _context):
    """So many lines of a stack trace at once on its standard error, each with its number."""
    text = "".join(f"#{n} /srv/app/vendor/framework/src/Kernel.php(123): handle()\n" for n in range(int(argument)))
    text = text.encode()
    while text:
        text = text[os.write(2, text) :]
    answer(data)


@behaviour
def spare(data, argument, _context):
    """So many more answers than one."""
    write(response(data) * (int(argument) + 1))


@behaviour
def print_hex(data, argument, _context):
    """`STREAM,HEX`: these bytes."""
    stream, text = argument.split(",")
    os.write(int(stream), bytes.fromhex(text))
    answer(data)
