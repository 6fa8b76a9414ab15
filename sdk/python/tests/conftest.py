import pytest
from hypothesis import HealthCheck, settings

from fake_hub import FakeHub

pytest_plugins = ["msx.testing"]

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# park: calls wait where they are; replay: each call that parks is evicted; squeeze: those beyond two
MODES = {
    "park": {"replay": False, "max_parked": 256},
    "replay": {"replay": True, "max_parked": 256},
    "squeeze": {"replay": False, "max_parked": 2},
}


@pytest.fixture(scope="module")
def loop():
    """What `async def` services run on; a module's own fixture may say both."""
    return "asyncio"


@pytest.fixture(scope="module")
def one_hub(loop):
    """One set of worker processes for all tests of a module."""
    with FakeHub(uvloop=loop == "uvloop") as hub:
        yield hub


@pytest.fixture(params=MODES)
def hub(request, one_hub):
    """Services with one slot each, in each of the modes."""
    for name, value in MODES[request.param].items():
        setattr(one_hub, name, value)
    return one_hub
