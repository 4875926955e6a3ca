"""What it starts, and who goes on in its place."""

import os
import subprocess

from behaviour import answer, behaviour


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
