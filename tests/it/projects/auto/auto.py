import time

from msx import microservice


@microservice
def sleeps():
    time.sleep(0.05)


@microservice
def burns():
    """Takes a processor, and not just time."""
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
