"""A worker that does to its supervisor what an RPC's method says. It speaks goridge by itself, so that it can also speak it badly."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

relay = os.environ.get("RR_RELAY", "pipes")
if relay.startswith("tcp://"):
    host, port = relay[6:].rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    read, write = connection.recv, connection.sendall
elif relay.startswith("unix://"):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(relay[7:])
    read, write = connection.recv, connection.sendall
else:

    def read(size):
        return os.read(0, size)

    def write(data):
        while data:
            data = data[os.write(1, data) :]


def frame(flags, payload, options=()):
    head = struct.pack("<BBI", 0x10 | (3 + len(options)), flags, len(payload))
    tail = struct.pack("<IBB", zlib.crc32(head), 0, 0)
    return head + tail + struct.pack(f"<{len(options)}I", *options) + payload


def exactly(size):
    data = bytearray()
    while len(data) < size:
        chunk = read(min(size - len(data), 65536))
        if not chunk:
            sys.exit(0)
        data += chunk
    return bytes(data)


def receive():
    head = exactly(12)
    options = struct.unpack(f"<{(head[0] & 15) - 3}I", exactly(4 * ((head[0] & 15) - 3)))
    return head[1], options, exactly(struct.unpack_from("<I", head, 2)[0])


def field(number, value):
    """A protobuf field of bytes."""
    length, size = b"", len(value)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def fields(message):
    """The fields of a protobuf message which are bytes."""
    found, at = {}, 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 2:
            size, at = varint(message, at)
            found[key >> 3] = message[at : at + size]
            at += size
        else:
            _, at = varint(message, at)
    return found


def varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def answer(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    write(frame(0, field(1, field(1, data)), (0,)))


handled = 0


def handle(method, data, context):
    name, _, argument = method.partition(":")
    if name == "echo":
        answer(data)
    elif name == "context":
        answer(context)
    elif name == "env":
        answer(dict(os.environ))
    elif name == "process":
        fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
        answer({"cwd": os.getcwd(), "pgid": os.getpgid(0), "pid": os.getpid(), "parent": os.getppid(), "fds": fds})
    elif name == "pid":
        answer({"pid": os.getpid(), "handled": handled})
    elif name == "sleep":
        time.sleep(float(argument))
        answer(data)
    elif name == "hang":
        print("it hangs", file=sys.stderr, flush=True)
        threading.Event().wait()
    elif name == "error":
        write(frame(0x40, argument.encode()))
    elif name == "nothing":
        pass
    elif name == "twice":
        answer(data)
        answer(b'"of another"')
    elif name == "later":
        answer(data)
        threading.Timer(float(argument), lambda: answer(b'"of another"')).start()
    elif name == "noise":
        os.write(1, b"Warning: something\nand a line without its end")
        answer(data)
        os.write(1, b"\x1b[31mred\x1b[0m after the answer\n")
    elif name == "flood":
        os.write(2, b"x" * 200000)
        for _ in range(64):
            os.write(1, b"a line of noise " * 1024 + b"\n")
        answer(data)
    elif name == "half":
        os.write(1, frame(0, b"xxxx", (0,))[: int(argument)])
        answer(data)
    elif name == "broken":
        broken = bytearray(frame(0, b"a body that is long enough to be seen", (0,)))
        broken[7] ^= 255
        write(bytes(broken))
    elif name == "brokenlater":
        answer(data)
        threading.Timer(float(argument), lambda: handle("broken", b"", b"")).start()
    elif name == "huge":
        head = struct.pack("<BBI", 0x14, 0, 3_000_000_000)
        write(head + struct.pack("<IBBI", zlib.crc32(head), 0, 0, 0))
    elif name == "options":
        write(frame(0, b"", (0,) * int(argument)))
    elif name == "beyond":
        write(frame(0, b"", (99,)))
    elif name == "stream":
        head = struct.pack("<BBI", 0x14, 0, 1)
        write(head + struct.pack("<IBBI", zlib.crc32(head), 1, 0, 0) + b"x")
    elif name == "exit":
        print("about to leave", file=sys.stderr, flush=True)
        os._exit(int(argument))
    elif name == "kill":
        os.kill(os.getpid(), int(argument))
    elif name == "partial":
        write(frame(0, b"x" * 1000, (0,))[:100])
        os._exit(0)
    elif name == "closeout":
        os.close(1)
        threading.Event().wait()
    elif name == "stop":
        if os.path.exists(argument):
            answer({"pid": os.getpid()})
        else:
            open(argument, "w").close()
            write(frame(0, b'{"stop":true}', (13,)))
    elif name == "child":
        child = subprocess.Popen(["sleep", "1000"])
        answer({"child": child.pid})
    elif name == "orphan":
        # Its parent ends at once; it ends itself when the file is there.
        subprocess.run(["sh", "-c", f"while ! test -e {argument}; do sleep 0.05; done &"])
        answer({})
    elif name == "stubborn":
        global stubborn
        stubborn = True
        answer(data)
    else:
        write(frame(0x40, f"no behaviour {name}".encode()))


stubborn = False
flag = os.environ.get("NO_BOOT")
if flag and os.path.exists(flag):
    print("cannot start: the flag is set", file=sys.stderr)
    sys.exit(7)
if "BOOT_HANGS" in os.environ:
    threading.Event().wait()
print("a line at the start", file=sys.stderr, flush=True)

ahead = "READS_AHEAD" in os.environ
requests = []
arrived = threading.Condition()


def work():
    """Handles what the reader has put aside: a worker that reads ahead of its answers."""
    while True:
        with arrived:
            arrived.wait_for(lambda: requests)
            request = requests.pop(0)
        handle(*request)


if ahead:
    threading.Thread(target=work, daemon=True).start()

while True:
    flags, options, payload = receive()
    if flags & 1:
        if b"stop" in payload:
            if stubborn:
                continue
            os._exit(0)
        write(frame(1, json.dumps({"pid": os.getpid()}).encode()))
        continue
    handled += 1
    context, body = payload[: options[0]], payload[options[0] :]
    message = fields(body)
    request = message.get(11, b"").decode(), message.get(12, b""), context
    if ahead:
        with arrived:
            requests.append(request)
            arrived.notify()
    else:
        handle(*request)
