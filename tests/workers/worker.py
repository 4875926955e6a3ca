"""A worker that does to its supervisor what an RPC's method says: `name:argument`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import boot
from goridge import CONTROL, ERROR, Relay, field, fields, frame

BEHAVIOURS = {}
handled = 0
stubborn = False
relay = None


def behaviour(function):
    """Makes a function the behaviour of its name. It gets the request's data, the method's argument and the context."""
    BEHAVIOURS[function.__name__.strip("_")] = function
    return function


def answer(value):
    relay.write(response(value))


def response(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return frame(0, field(1, field(1, data)), (0,))


def say(text):
    print(text, file=sys.stderr, flush=True)


# Good manners.


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
def process(_data, _argument, _context):
    names = os.listdir("/proc/self/fd")
    fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in names if os.path.exists(f"/proc/self/fd/{fd}")}
    answer({"cwd": os.getcwd(), "pgid": os.getpgid(0), "pid": os.getpid(), "parent": os.getppid(), "fds": fds})


@behaviour
def pid(_data, _argument, _context):
    answer({"pid": os.getpid(), "handled": handled})


@behaviour
def sleep(data, argument, _context):
    time.sleep(float(argument))
    answer(data)


@behaviour
def wait(data, argument, _context):
    """Answers when the file is there."""
    say("it waits")
    while not os.path.exists(argument):
        time.sleep(0.005)
    answer(data)


@behaviour
def error(_data, argument, _context):
    relay.write(frame(ERROR, argument.encode()))


@behaviour
def grow(data, argument, _context):
    """Uses so many MB more."""
    grow.memory = bytearray(os.urandom(1 << 20)) * int(argument)
    answer(data)


@behaviour
def stop(_data, argument, _context):
    """Asks to be replaced, once."""
    if os.path.exists(argument):
        answer({"pid": os.getpid()})
    else:
        open(argument, "w").close()
        relay.write(frame(0, b'{"stop":true}', (13,)))


# No answer, or too many.


@behaviour
def hang(_data, _argument, _context):
    say("it hangs")
    threading.Event().wait()


@behaviour
def nothing(_data, _argument, _context):
    pass


@behaviour
def twice(data, _argument, _context):
    answer(data)
    answer(b'"of another"')


@behaviour
def together(data, _argument, _context):
    """Two answers in one write."""
    relay.write(response(data) + response(b'"of another"'))


@behaviour
def later(data, argument, _context):
    answer(data)
    threading.Timer(float(argument), lambda: answer(b'"of another"')).start()


# What it prints.


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
    os.write(1, frame(0, b"xxxx", (0,))[: int(argument)])
    answer(data)


# What is no frame, or the wrong one.


@behaviour
def broken(_data, _argument, _context):
    broken = bytearray(frame(0, b"a body that is long enough to be seen", (0,)))
    broken[7] ^= 255
    relay.write(bytes(broken))


@behaviour
def brokenlater(data, argument, _context):
    answer(data)
    threading.Timer(float(argument), lambda: broken(b"", "", b"")).start()


@behaviour
def huge(_data, _argument, _context):
    relay.write(frame(0, b"", (0,), size=3_000_000_000))


@behaviour
def options(_data, argument, _context):
    relay.write(frame(0, b"", (0,) * int(argument)))


@behaviour
def beyond(_data, _argument, _context):
    relay.write(frame(0, b"", (99,)))


@behaviour
def stream(_data, _argument, _context):
    relay.write(frame(0, b"x", (0,), stream=1))


# Its end.


@behaviour
def exit(_data, argument, _context):
    say("about to leave")
    os._exit(int(argument))


@behaviour
def after(data, argument, _context):
    """Answers, and is gone before it could have echoed."""
    answer(data)
    os._exit(int(argument))


@behaviour
def partial(_data, _argument, _context):
    relay.write(frame(0, b"x" * 1000, (0,))[:100])
    os._exit(0)


@behaviour
def kill(_data, argument, _context):
    os.kill(os.getpid(), int(argument))
    answer(b'"woken"')


@behaviour
def closeout(_data, _argument, _context):
    os.close(1)
    threading.Event().wait()


@behaviour
def closeout_when(_data, argument, _context):
    """Closes its output when the file is there."""
    while not os.path.exists(argument):
        time.sleep(0.005)
    closeout(None, None, None)


@behaviour
def closein(data, _argument, _context):
    answer(data)
    os.close(0)
    threading.Event().wait()


@behaviour
def _stubborn(data, _argument, _context):
    """Ignores the stop frame from now on, the end of its input, and SIGTERM."""
    global stubborn
    stubborn = True
    relay.ended = lambda: threading.Event().wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(data)


# Its family.


@behaviour
def child(_data, argument, _context):
    """Leaves a child behind: one that holds the pipes, or `quiet` one that does not."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(["sleep", "1000"], **(silent if argument == "quiet" else {}))
    answer({"child": child.pid})


@behaviour
def daemon(_data, argument, _context):
    """Dies, and leaves a process in a session of its own, which holds the pipes until the file is there."""
    subprocess.Popen(["sh", "-c", f"while ! test -e {argument}; do sleep 0.05; done"], start_new_session=True)
    os._exit(0)


@behaviour
def orphan(_data, argument, _context):
    """Leaves a grandchild whose parent ends at once; it ends itself when the file is there."""
    subprocess.run(["sh", "-c", f"while ! test -e {argument}; do sleep 0.05; done &"])
    answer({})


@behaviour
def fork(data, _argument, _context):
    """Its child answers and serves from now on; it only waits."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    answer(data)


@behaviour
def split(data, _argument, _context):
    """Two processes read requests and write answers from now on."""
    os.fork()
    answer(data)


def handle(method, data, context):
    name, _, argument = method.partition(":")
    if name in BEHAVIOURS:
        BEHAVIOURS[name](data, argument, context)
    else:
        relay.write(frame(ERROR, f"no behaviour {name}".encode()))


class Ahead:
    """Reads requests though the last one is not answered yet."""

    def __init__(self):
        self.requests, self.arrived = [], threading.Condition()
        threading.Thread(target=self.work, daemon=True).start()

    def put(self, *request):
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify()

    def work(self):
        while True:
            with self.arrived:
                self.arrived.wait_for(lambda: self.requests)
                request = self.requests.pop(0)
            handle(*request)


def main():
    global relay, handled
    boot.misbehave()
    if "CONNECTS_TWICE" in os.environ:
        main.first = Relay()
    relay = Relay()
    say("a line at the start")
    take = Ahead().put if "READS_AHEAD" in os.environ else handle
    while True:
        flags, options, payload = relay.receive()
        if flags & CONTROL:
            if b"stop" not in payload:
                relay.write(frame(CONTROL, json.dumps({"pid": os.getpid()}).encode()))
            elif not stubborn:
                os._exit(0)
            continue
        handled += 1
        context, body = payload[: options[0]], payload[options[0] :]
        message = fields(body)
        take(message.get(11, b"").decode(), message.get(12, b""), context)


main()
