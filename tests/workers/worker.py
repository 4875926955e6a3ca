"""A worker that does to its supervisor what an RPC's method says: `name:argument`."""

import json
import os
import select
import threading

import answers  # noqa: F401
import boot
import ends  # noqa: F401
import family  # noqa: F401
import manners  # noqa: F401
import many  # noqa: F401
import output  # noqa: F401
import protocol  # noqa: F401
import streamed  # noqa: F401
import streams  # noqa: F401
from behaviour import BEHAVIOURS, State, current, fail, say, write
from goridge import CONTROL, JSON, PING, PONG, STREAM, Relay, fields, frame


# What it adds to its pid, in its handshake and in each echo.
OFFERS = json.loads(os.environ.get("OFFERS", "{}"))


def handle(method, data, context):
    name, _, argument = method.partition(":")
    if name in BEHAVIOURS:
        BEHAVIOURS[name](data, argument, context)
    else:
        fail(f"no behaviour {name}")


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


def connect():
    """Connects; `CONNECTS_TWICE` says which of two connections is used: the `first`, the `second`, or `either` one that has a frame."""
    which = os.environ.get("CONNECTS_TWICE")
    connect.other = None
    first = Relay()
    if which is None:
        return first
    second = Relay()
    connect.other = second if which == "first" else first
    return first if which == "first" else second


def next_frame():
    """The next frame, of whichever connection has one."""
    if os.environ.get("CONNECTS_TWICE") == "either":
        open_ones = [relay for relay in (State.relay, connect.other) if relay]
        ready, _, _ = select.select([relay.socket for relay in open_ones], [], [])
        if ready[0] is not State.relay.socket:
            State.relay, connect.other = connect.other, State.relay
        if connect.other and State.relay.is_closed():
            State.relay, connect.other = connect.other, None
    return State.relay.receive()


def echo(pid):
    try:
        first = json.dumps({"credit": int(os.environ["FIRST_CREDIT"])}) if "FIRST_CREDIT" in os.environ else ""
        more = frame(CONTROL | JSON, first.encode()) if first else b""
        write(frame(CONTROL, json.dumps({"pid": pid, **OFFERS}).encode()) + more)
    except ConnectionError:
        if not connect.other:
            raise
        # It was closed; the other one is left.
        State.relay, connect.other = connect.other, None


def numbered(*request):
    """Has a thread for each request, or none: `ONE_AT_A_TIME`. What closes the input does so in the thread that reads it."""

    def run(number):
        current.id = number
        handle(*request)

    if "ONE_AT_A_TIME" in os.environ or request[0].startswith("closes_input"):
        run(State.number)
    else:
        threading.Thread(target=run, args=(State.number,), daemon=True).start()


def control(payload, own):
    order = json.loads(payload)
    if "stop" in order:
        if not State.stubborn:
            os._exit(0)
    elif "cancel" in order:
        with State.news:
            State.cancelled[order["cancel"]] = order["reason"]
            State.news.notify_all()
        note(f"cancel {order['reason']}")
    elif "drain" in order:
        note("drain")
    elif "window" in order:
        with State.news:
            State.windows[order["window"]] += order["messages"]
            State.news.notify_all()
    else:
        echo(own or os.getpid())


def grant(number):
    """Takes one more message of a client."""
    write(frame(CONTROL | JSON, json.dumps({"window": number, "messages": 1}).encode()))


def note(text):
    """Writes a line into the file `NOTES`."""
    if "NOTES" in os.environ:
        with open(os.environ["NOTES"], "a") as file:
            file.write(text + "\n")


def serve():
    own = int(os.environ.get("OTHER_PID", 0))
    take = Ahead().put if "READS_AHEAD" in os.environ else handle
    if OFFERS.get("protocol") == 2:
        take = numbered
    while True:
        for payload in State.behind:
            control(payload, own)
        State.behind = []
        flags, options, payload = next_frame()
        State.received += 1
        if State.relay.bits & PING:
            write(frame(0, b"", stream=PONG))
        elif State.relay.bits & STREAM:
            with State.news:
                State.inputs[options[1]].append(payload)
                State.news.notify_all()
        elif flags & CONTROL:
            control(payload, own)
        elif options:
            State.handled += 1
            State.flags = flags
            State.number = options[-1]
            State.first = State.first or State.number
            context, body = payload[: options[0]], payload[options[0] :]
            message = fields(body)
            take(message.get(11, b"").decode(), message.get(12, b""), context)


def main():
    boot.misbehave()
    State.relay = connect()
    say("a line at the start")
    State.serve = serve
    State.note = note
    State.grant = grant
    State.read = next_frame
    serve()


main()
