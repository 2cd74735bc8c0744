"""Tests run on the loop that the relay runs on: uvloop's transports and clocks are not asyncio's."""

from collections.abc import Mapping
from typing import Any

import uvloop
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a machine that is shared; pytest's own timeout ends what never does.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Any]:
    """One loop only, so every test runs once."""
    return {"uvloop": uvloop.new_event_loop}
