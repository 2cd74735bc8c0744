"""The OpenAPI document against a relay that runs and has something of everything: nothing breaks it, and it answers as
the document says, whatever it is asked."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from relay.api.routes import ROUTES
from relay.clock import SystemClock
from relay.core.events import AttemptMade, EventFound, Unexpected
from relay.sandbox import Fault, SandboxSettings
from tests.fakes import Shop, shopify_order
from tests.running import SHOP, RunningRelay, clean_environ, relay_running

CONFIG = Path(__file__).with_name("schemathesis.toml")
TOKEN = "private-token-c3d9"
SECONDS = 200
"""Until it is ended, on a machine that others use, too; by itself it takes half a minute."""


@asynccontextmanager
async def _something_of_everything(folder: Path) -> AsyncIterator[RunningRelay]:
    """Orders 1 to 3 are sent, 4 and 5 dead, 6 and 7 held, 8 cannot be mapped; two events have no order; and there was
    a bulk replay."""
    jetti = SandboxSettings(async_rate=None, faults=tuple(Fault(status=422, external_id=one) for one in ("4", "5")))
    storefronts = {"shop": SHOP | {"accept_when": "financial_status == 'paid'"}}
    async with (
        relay_running(folder, jetti=jetti, storefronts=storefronts, private={"token": TOKEN}) as (relay, _),
        Shop(relay.public_url) as shop,
    ):
        for number in range(1, 8):
            status = "pending" if number in (6, 7) else "paid"
            await shop.send(shopify_order(number, financial_status=status))
        await shop.send(shopify_order(8, line_items=None, financial_status="paid"))
        await shop.send(b"[]")
        await shop.send(b"null")
        await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) >= 5)
        await relay.happenings.until(lambda: len(relay.happenings.of(EventFound)) >= 3)
        await _replay(relay)
        yield relay


async def _replay(relay: RunningRelay) -> None:
    wanted = {"by": "ada", "why": "something of everything", "code": "unmappable"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        session.post(relay.private_url + "/api/dead-letters/replay", json=wanted) as answer,
    ):
        assert answer.status == 202
        async with asyncio.timeout(10):
            while (await relay.store.replays(1))[0].ended_at is None:
                await SystemClock().sleep(0.02)


@pytest.mark.timeout(SECONDS + 60)
async def test_whatever_is_asked_is_answered_as_the_document_says(tmp_path: Path) -> None:
    async with _something_of_everything(tmp_path) as relay:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("st"), "--config-file", CONFIG, "run",
            relay.private_url + "/api/openapi.json", "--no-color", "--header", f"Authorization: Bearer {TOKEN}",
            cwd=tmp_path, env=clean_environ(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        broken = [str(one.error) for one in relay.happenings.of(Unexpected)]

    assert broken == []
    said = out.decode()
    assert process.returncode == 0, said
    assert f"Tested: {len(ROUTES) - 1}\n" in said  # it fetches the document itself, and does not count that
    assert [int(number) > 1000 for number in re.findall(r"(\d+) generated", said)] == [True]
