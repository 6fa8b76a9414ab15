import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fake_hub import SERVICES, SRC, FakeHub

pytest_plugins = ["msx.testing"]

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# park: calls wait where they are; replay: each call that parks is evicted; squeeze: those beyond two
MODES = {
    "park": {"replay": False, "max_parked": 256},
    "replay": {"replay": True, "max_parked": 256},
    "squeeze": {"replay": False, "max_parked": 2},
}


# Tests of `async def` services that ask for more than one event loop have `loop` among their parameters.
WITHOUT_UVLOOP = Path(__file__).with_name("without_uvloop")


@pytest.fixture(scope="module")
def loop():
    return "asyncio"


@pytest.fixture(scope="module")
def one_hub(loop):
    """One set of worker processes for all tests of a module."""
    path = os.pathsep.join(str(folder) for folder in (SRC, SERVICES, WITHOUT_UVLOOP))
    with FakeHub(env={"PYTHONPATH": path} if loop == "asyncio" else None) as hub:
        yield hub


@pytest.fixture(params=MODES)
def hub(request, one_hub):
    """Services with one slot each, in each of the modes."""
    for name, value in MODES[request.param].items():
        setattr(one_hub, name, value)
    return one_hub
