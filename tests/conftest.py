"""Tests run on the loop that the relay runs on: uvloop's transports and clocks are not asyncio's."""

from collections.abc import Mapping
from typing import Any

import uvloop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Any]:
    """One loop only, so every test runs once."""
    return {"uvloop": uvloop.new_event_loop}
