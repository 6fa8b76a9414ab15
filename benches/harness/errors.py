"""The one error that benches/run prints without a traceback."""


class BenchError(Exception):
    """What was being done, why it failed, what to do next."""
