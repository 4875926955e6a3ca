"""Goridge by hand, so that it can also be spoken badly."""

import os
import socket
import struct
import sys
import zlib


class Relay:
    """The channel to the supervisor that RR_RELAY names."""

    def __init__(self, address=None):
        address = address or os.environ.get("RR_RELAY", "pipes")
        self.socket = None
        # The stream bits of the last frame.
        self.bits = 0
        if address.startswith("tcp://"):
            host, port = address[6:].rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        elif address.startswith("unix://"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address[7:])

    def read(self, size):
        return self.socket.recv(size) if self.socket else os.read(0, size)

    def write(self, data):
        if self.socket:
            return self.socket.sendall(data)
        while data:
            data = data[os.write(1, data) :]

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            chunk = self.read(min(size - len(data), 65536))
            if not chunk:
                self.ended()
            data += chunk
        return bytes(data)

    def ended(self):
        sys.exit(0)

    def is_closed(self):
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return True

    def close_input(self):
        if self.socket:
            self.socket.shutdown(socket.SHUT_RD)
        else:
            os.close(0)

    def close_output(self):
        if self.socket:
            self.socket.shutdown(socket.SHUT_WR)
        else:
            os.close(1)

    def receive(self):
        """The next frame: its flags, options and payload."""
        head = self.exactly(12)
        self.bits = head[10]
        number = (head[0] & 15) - 3
        options = struct.unpack(f"<{number}I", self.exactly(4 * number))
        return head[1], options, self.exactly(struct.unpack_from("<I", head, 2)[0])


CONTROL, JSON, ERROR = 1, 8, 0x40
STREAM, STOP, PING, PONG = 1, 2, 4, 8


def frame(flags, payload, options=(), stream=0, size=None):
    """A frame; `size` is what it claims to be long, if that is not true."""
    head = struct.pack("<BBI", 0x10 | (3 + len(options)), flags, len(payload) if size is None else size)
    tail = struct.pack("<IBB", zlib.crc32(head), stream, 0)
    return head + tail + struct.pack(f"<{len(options)}I", *options) + payload


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
