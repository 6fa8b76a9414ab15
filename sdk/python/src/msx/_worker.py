"""`python -m msx._worker NAME`: a worker process of one service.

The main thread imports the module, runs the hooks and waits for the drain; the control thread answers the hub
all the while, and ends the process when the hub is gone. Calls run elsewhere (`_threads`, `_loop`).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from msx._main import main

    main(sys.argv[1:])
