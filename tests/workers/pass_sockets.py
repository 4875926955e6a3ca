"""Binds sockets, and starts a program that inherits them, as systemd does: pass_sockets.py NAME=ADDRESS... -- PROGRAM...

An address is host:port, or the path of a socket file. A name may be empty.
"""

import os
import socket
import sys

at = sys.argv.index("--")
sockets, names = [], []
for argument in sys.argv[1:at]:
    name, address = argument.split("=", 1)
    if address.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
    else:
        host, port = address.rsplit(":", 1)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.bind((host, int(port)))
    listener.listen(128)
    sockets.append(listener)
    names.append(name)
# Not to overwrite one that is still to be passed on.
high = [os.dup2(listener.fileno(), 100 + number) for number, listener in enumerate(sockets)]
for number, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + number, inheritable=True)
    os.close(descriptor)
for listener in sockets:
    if listener.fileno() < 3 + len(sockets):
        listener.detach()
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names))
program = sys.argv[at + 1 :]
os.execvp(program[0], program)
