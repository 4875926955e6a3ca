"""The ways in which a worker does not start, by variables of the environment."""

import fcntl
import os
import sys
import threading
import time


def misbehave():
    """Does what the variables say; returns if the worker is to start all the same."""
    flag = os.environ.get("NO_BOOT")
    if flag and os.path.exists(flag):
        print("cannot start: the flag is set", file=sys.stderr)
        sys.exit(7)
    # A file: while it is there, it prints as fast as it can, and never starts.
    floods = os.environ.get("BOOT_FLOODS")
    while floods and os.path.exists(floods):
        os.write(1, b"\x15" * 65536)
        os.write(2, b"y\n" * 32768)
    hangs = os.environ.get("BOOT_HANGS")
    # `1`, or a file: only while that is there.
    if hangs and (hangs == "1" or os.path.exists(hangs)):
        threading.Event().wait()
    time.sleep(float(os.environ.get("BOOT_TAKES", 0)))
    gate = os.environ.get("BOOT_WAITS")
    while gate and not os.path.exists(gate):
        time.sleep(0.005)
    if "BOOT_FAILS" in os.environ:
        # `FILE:TIMES`: the first so many starts that find the file fail; it counts them.
        path, times = os.environ["BOOT_FAILS"].rsplit(":", 1)
        if os.path.exists(path) and count(path) <= int(times):
            print("cannot start yet", file=sys.stderr)
            sys.exit(8)


def count(path):
    """How often it was counted in this file, this time included."""
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        number = int(file.read() or 0) + 1
        file.seek(0)
        file.write(str(number))
        return number
