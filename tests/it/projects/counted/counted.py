"""A service that counts how many of its calls run in one process."""

import os
import threading
import time

from msx import microservice

counting = threading.Lock()
running = 0


@microservice
def counted():
    global running
    with counting:
        running += 1
        now = running
    time.sleep(0.005)
    with counting:
        running -= 1
    return [os.getpid(), now]
