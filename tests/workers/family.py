"""What it starts, and who goes on in its place."""

import os
import resource
import subprocess
import time

from behaviour import answer, behaviour


@behaviour
def child(_data, argument, _context):
    """Leaves a child behind: one that holds the pipes, or `quiet` one that does not."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(["sleep", "1000"], **(silent if argument == "quiet" else {}))
    answer({"child": child.pid})


def until(file):
    """A shell's loop that ends when the file is there, or its folder, the test's own, is gone."""
    return f"while test -d {os.path.dirname(file)} && ! test -e {file}; do sleep 0.05; done"


@behaviour
def daemon(_data, argument, _context):
    """Dies, and leaves a process in a session of its own, which holds the pipes until the file is there."""
    subprocess.Popen(["sh", "-c", until(argument)], start_new_session=True)
    os._exit(0)


@behaviour
def orphan(_data, argument, _context):
    """Leaves a grandchild whose parent ends at once; it ends itself when the file is there."""
    subprocess.run(["sh", "-c", f"{until(argument)} &"])
    answer({})


@behaviour
def leave(data, argument, _context):
    """Starts a process in a session of its own that holds nothing of the worker's: `child`, `orphan` (its parent ends at once),
    `blank` (like `child`, without any environment), and `stray` (like `orphan`, without any environment). Its pid is in the file that
    `data` names."""
    data = data.decode()
    program = ["sh", "-c", f"echo $$ > {data}; exec sleep 1000"]
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = {"PATH": os.environ["PATH"]} if argument in ("blank", "stray") else None
    if argument in ("orphan", "stray"):
        subprocess.run(["sh", "-c", f"setsid sh -c 'echo $$ > {data}; exec sleep 1000' &"], env=env, **silent)
    else:
        subprocess.Popen(program, start_new_session=True, env=env, **silent)
    while not os.path.exists(data) or os.path.getsize(data) == 0:
        time.sleep(0.01)
    answer({})


@behaviour
def limits(_data, _argument, _context):
    """Its limits of open files."""
    answer({"files": resource.getrlimit(resource.RLIMIT_NOFILE)})


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
