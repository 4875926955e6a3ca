"""A worker with roadrunner/centrifugo's loop: it answers the types of events that its arguments name, logs others as invalid, and answers
them with nothing. The file `requests` holds the types of all events."""

import json
import os
import sys

from goridge import CONTROL, Relay, field, frame

known = sys.argv[1:]
relay = Relay()
while True:
    flags, options, payload = relay.receive()
    if flags & CONTROL:
        if b"stop" in payload:
            break
        relay.write(frame(CONTROL, json.dumps({"pid": os.getpid()}).encode()))
        continue
    kind = json.loads(payload[: options[0]])["type"][0]
    with open("requests", "a") as file:
        file.write(kind + " ")
    if kind in known:
        relay.write(frame(0, field(1, field(4, kind.encode())), (0,)))
