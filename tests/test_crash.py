"""The loss checker: a relay under load is killed with SIGKILL again and again; nothing it acknowledged is lost.

Judged from the outside: what the shop was answered, and what the sandbox received.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.clock import SystemClock
from relay.sandbox import RunningSandbox, SandboxSettings, sandbox
from tests.fakes import Shop, fetched, shopify_order
from tests.running import ServeProcess, tables_for, written

KILLS = 22
ORDERS = 60
WORKERS = 12
IN_FLIGHT_MAX = 8
SEED = int(os.environ.get("RELAY_SEED", random.SystemRandom().randrange(2**32)))


@dataclass
class Record:
    """What the shop knows: the newest version of each order that was answered 2xx, and which came without an answer."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0

    def note(self, order: int, version: int, status: int) -> None:
        self.answers[status] += 1
        if 200 <= status < 300:
            self.acknowledged[order] = max(version, self.acknowledged.get(order, -1))


async def shopping(relay: ServeProcess, versions: "Iterator[tuple[int, int]]", record: Record) -> None:
    """Send webhook after webhook, as a storefront does: what is not answered is sent again, with the same id."""
    for order, version in versions:
        body = shopify_order(order, version)
        while True:
            try:
                async with Shop(relay.url) as shop:
                    answer = await shop.send(body, webhook_id=f"{order}-{version}")
            except (aiohttp.ClientError, OSError):
                record.unanswered += 1
                await SystemClock().sleep(0.05)
                continue
            record.note(order, version, answer.status)
            if answer.status == 200:
                break


def versions_of(orders: int, chance: random.Random) -> "Iterator[tuple[int, int]]":
    """Endlessly: some order, some newer version of it; now and then a late, older one."""
    newest: Counter[int] = Counter()
    while True:
        order = chance.randrange(1, orders + 1)
        newest[order] += 1
        late = chance.random() < 0.1 and newest[order] > 2
        yield order, newest[order] - 2 if late else newest[order]


async def quiet(relay: ServeProcess) -> None:
    """Return when nothing waits, sleeps or is in flight any more."""
    async with asyncio.timeout(60):
        while True:
            channel = (await fetched(f"{relay.private_url}/api/status")).json["channels"]["main"]
            left = sum(channel["waiting"].values()) + channel["orders"]["sleeping"] + channel["in_flight"]
            if not left:
                return
            await SystemClock().sleep(0.05)


def versions_received(imitated: RunningSandbox) -> dict[int, list[int]]:
    """What reached the sandbox, per order, in the order it came in."""
    received: dict[int, list[int]] = {}
    for request in imitated.journal.after(0, 1_000_000):
        payload: Any = json.loads(request.payload or b"null")
        version = int(payload["saleDefaults"]["notes"].removeprefix("minute "))
        received.setdefault(int(request.external_id), []).append(version)
    return received


@pytest.mark.timeout(240)
async def test_no_acknowledged_order_is_lost_by_killing_the_relay_again_and_again(tmp_path: Path) -> None:
    chance, record = random.Random(SEED), Record()
    slow = SandboxSettings(async_rate=None, latency_s=0.03)
    in_flight_at_kills = 0
    print(f"seed {SEED}: run it again with RELAY_SEED={SEED}")
    async with sandbox(slow) as imitated:
        channels = {"main": {"sync_rate": 150, "in_flight_max": IN_FLIGHT_MAX}}
        relay = ServeProcess(written(tmp_path, tables_for(imitated.url, tmp_path, channels=channels)))
        await relay.start()
        versions = versions_of(ORDERS, chance)
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(shopping(relay, versions, record)) for _ in range(WORKERS)]
            for _ in range(KILLS):
                await SystemClock().sleep(chance.uniform(0.02, 0.5))
                await relay.kill()
                in_flight_at_kills += IN_FLIGHT_MAX
                await relay.start()
            for worker in workers:
                worker.cancel()
        await quiet(relay)
        assert await relay.terminate() == 0
        received = versions_received(imitated)
        overlaps = imitated.journal.overlaps

    assert set(record.acknowledged) == set(received), "an acknowledged order never reached Jetti"
    lost = {o: (v, received[o][-1]) for o, v in record.acknowledged.items() if received[o][-1] < v}
    assert lost == {}, "Jetti's newest version is older than one that was acknowledged"
    backwards = {order: seen for order, seen in received.items() if seen != sorted(seen)}
    assert backwards == {}, "an older version was sent after a newer one"
    resent = sum(len(seen) - len(set(seen)) for seen in received.values())
    assert resent <= in_flight_at_kills, "more was sent again than can have been in flight"
    assert overlaps == 0, "one order was in flight twice"
    assert record.answers[200] > KILLS, "the load was no load"
    assert record.unanswered > 0, "no webhook was ever cut off by a kill: the kills came at idle moments"
    assert set(record.answers) == {200}
