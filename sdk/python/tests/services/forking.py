"""What services of the tests do in a forked process."""

import os

import msx


def in_fork(service):
    """What a call of the service says there, and how many of this process's sockets are closed there."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            service.start()
            os.write(write, b"0 called")
        except msx.NoCallContext as error:
            os.write(write, f"{sockets()} {error}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    theirs, said = os.read(read, 1000).decode().split(" ", 1)
    return said, sockets() - int(theirs)


def sockets():
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except FileNotFoundError:  # what listed them
            pass
    return count
