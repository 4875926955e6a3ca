"""A worker without protobuf. It keeps what it gets in the file `requests`, and answers with the bytes in the first of these files:
`answer.TYPE.NAME`, where NAME is the method, the channel or the client's name, `answer.TYPE`, `answer`. `"SOON"` in it is in four seconds.
The lines of `answer.TYPE.NAME.stream` are the messages of a streamed answer.

Some RPCs are answered by themselves: `pid`, `echo`, `flags`, and `repeat:N` with the data, a string, N times and nothing around it.
"""

import json
import os
import time

from goridge import CONTROL, ERROR, Relay, frame

JSON = 0x08
STREAM, STOP = 1, 2


def answer(kind, flags, body):
    method = body.get("method", "") if kind == "rpc" else ""
    if method == "pid":
        return {"result": {"data": {"pid": os.getpid()}}}
    if method == "flags":
        return {"result": {"data": {"flags": flags}}}
    if method == "echo":
        return {"result": {name: body[name] for name in ("data", "b64data") if name in body}}
    if method.startswith("repeat:"):
        return body["data"].encode() * int(method[7:])
    name = body.get("method") or body.get("channel") or body.get("name")
    if os.path.exists(f"answer.{kind}.{name}.stream"):
        with open(f"answer.{kind}.{name}.stream", "rb") as file:
            return file.read().splitlines()
    for name in (f"answer.{kind}.{name}", f"answer.{kind}", "answer"):
        if os.path.exists(name):
            with open(name, "rb") as file:
                return file.read().replace(b'"SOON"', str(int(time.time()) + 4).encode())
    return {}


def replies(answer, options):
    if isinstance(answer, list):
        messages = [frame(JSON, message, options, STREAM) for message in answer]
        return b"".join(messages) + frame(JSON, b"", options, STREAM | STOP if options[1:] else 0)
    return frame(JSON, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), options)


def main():
    relay = Relay()
    greeting = {"pid": os.getpid()}
    if "SAYS_NOTHING" not in os.environ:
        greeting["codec"] = "json"
    if "CONCURRENCY" in os.environ:
        greeting.update(protocol=2, concurrency=int(os.environ["CONCURRENCY"]))
    waiting = []
    while True:
        flags, options, payload = relay.receive()
        if flags & CONTROL:
            if b"stop" in payload:
                return
            if b"pid" in payload:
                relay.write(frame(CONTROL, json.dumps(greeting).encode()))
            continue
        if not options:
            # The end of a stream is asked for, which has been sent already.
            continue
        context, body = json.loads(payload[: options[0]]), payload[options[0] :]
        kind = context["type"][0]
        try:
            with open("requests", "a") as file:
                file.write(json.dumps([kind, body.decode()]) + "\n")
            reply = replies(answer(kind, flags, json.loads(body)), (0, *options[1:]))
        except Exception as error:
            reply = frame(ERROR, repr(error).encode(), (0, *options[1:]) if options[1:] else ())
        waiting.append(reply)
        # With protocol 2, requests are answered together, the last one first.
        if len(waiting) == greeting.get("concurrency", 1):
            relay.write(b"".join(reversed(waiting)))
            waiting.clear()


main()
