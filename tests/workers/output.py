"""What it prints to its standard streams."""

import os

from behaviour import answer, behaviour
from goridge import frame


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
