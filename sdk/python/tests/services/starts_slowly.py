"""Its import takes longer than any test."""

import threading

threading.Event().wait()
