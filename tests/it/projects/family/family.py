"""A service that starts processes which would outlive it."""

import subprocess
import sys

from msx import microservice

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(3600)
"""


def stubborn(**options):
    """It ignores what asks it to end, from the moment that this returns."""
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, **options)
    child.stdout.readline()
    return child.pid


def daemon(command):
    """Its parent is gone, and it leads a session of its own."""
    shell = f"setsid {command} > /dev/null 2>&1 < /dev/null & echo $!"
    return int(subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=True).stdout)


@microservice
def family():
    return [stubborn(), stubborn(start_new_session=True), daemon("sleep 3600")]


@microservice
def stranger():
    """Not even its environment tells where it comes from."""
    return daemon("env -i sleep 3600")


@microservice
def many(count: int):
    for _ in range(count):
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
