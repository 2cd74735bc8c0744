"""The promises over real processes and real sockets, with everything going wrong that may.

The loss checker (:mod:`tests.test_crash`) again, while Jetti throttles, fails, hangs up, answers too late for work that
was done, or rejects the credential; while the relay is killed, also during its own recovery, and stopped for longer
than a request may take; and while the clock jumps. Judged from the outside: what the shop was answered, and what the
sandbox received.
"""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from relay import app
from relay.clock import SystemClock
from relay.core.instant import SECOND, Instant
from relay.sandbox import Fault, RunningSandbox, SandboxSettings, sandbox
from tests.fakes import Happenings, Shop, fetched, shopify_order
from tests.running import ServeProcess, settings_from, tables_for, written
from tests.test_crash import Record, quiet, shopping, versions_of, versions_received

SEED = int(os.environ.get("RELAY_SEED", random.SystemRandom().randrange(2**32)))
TIMEOUT_S = 1.0
WORKERS = 8
HASTY: dict[str, Any] = {
    "sync_rate": 120,
    "in_flight_max": 8,
    "timeout_s": TIMEOUT_S,
    "retry": {"base_s": 0.1, "cap_s": 0.5},
    "breaker": {"probe_s": 0.2, "probe_cap_s": 0.5, "halt_probe_s": 0.3, "halt_probe_cap_s": 0.6},
}
WEATHER: dict[str, tuple[Fault, ...]] = {
    "throttled": (Fault(status=429, retry_after=0.3, rate=0.4, seconds=1.0),),
    "failing": (Fault(status=500, rate=0.6, seconds=1.0),),
    "down": (Fault(status=503, seconds=1.2),),
    "too late for work that was done": (Fault(status=504, worked=True, rate=0.5, seconds=1.0),),
    "hanging up before": (Fault(drop="before", rate=0.5, seconds=1.0),),
    "hanging up after": (Fault(drop="after", rate=0.5, seconds=1.0),),
    "silent, and it worked": (Fault(hang_s=3.0, worked=True, rate=0.15, seconds=1.0),),
    "silent": (Fault(hang_s=3.0, rate=0.15, seconds=1.0),),
    "wrong hash": (Fault(wrong_hash=True, seconds=1.5),),
    "refusing connections": (Fault(refuse_s=1.0),),
}


async def bad_weather(imitated: RunningSandbox, relay: ServeProcess, chance: random.Random) -> list[str]:
    """One fault after the other, and now and then a death: SIGKILL, SIGKILL again while it recovers, SIGSTOP."""
    seen: list[str] = []
    for name in chance.sample(sorted(WEATHER), len(WEATHER)):
        seen.append(name)
        for fault in WEATHER[name]:
            await imitated.impose(fault)
        await SystemClock().sleep(chance.uniform(0.3, 1.0))
        match chance.randrange(4):
            case 0:
                await relay.kill()
                await relay.start()
            case 1:
                await relay.kill()
                with suppress(TimeoutError):
                    await relay.start(chance.uniform(0.3, 1.2))  # it may get as far as taking, sending, settling
                await relay.kill()
                await relay.start()
            case 2:
                os.kill(relay.pid, signal.SIGSTOP)
                await SystemClock().sleep(TIMEOUT_S * 1.5)
                os.kill(relay.pid, signal.SIGCONT)
            case _:
                await SystemClock().sleep(0.5)
    return seen


@pytest.mark.timeout(240)
async def test_no_acknowledged_order_is_lost_dead_or_overtaken_whatever_jetti_the_network_and_the_machine_do(
    tmp_path: Path,
) -> None:
    chance, record = random.Random(SEED), Record()
    print(f"seed {SEED}: run it again with RELAY_SEED={SEED}")
    async with sandbox(SandboxSettings(async_rate=None, latency_s=0.02)) as imitated:
        tables = tables_for(imitated.url, tmp_path, channels={"main": HASTY})
        relay = ServeProcess(written(tmp_path, tables))
        await relay.start()
        versions = versions_of(40, chance)
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(shopping(relay, versions, record)) for _ in range(WORKERS)]
            seen = await bad_weather(imitated, relay, chance)
            for worker in workers:
                worker.cancel()
        await imitated.lift()
        await quiet(relay)
        dead = (await fetched(f"{relay.private_url}/api/dead-letters")).json["dead_letters"]
        assert await relay.terminate() == 0
        received = versions_received(imitated)
        answered = {request.status for request in imitated.journal.after(0, 1_000_000)}

    assert dead == [], "an outage, a throttle or a wrong credential made a dead letter"
    assert set(record.acknowledged) <= set(received), "an acknowledged order never reached Jetti"
    lost = {o: (v, received[o][-1]) for o, v in record.acknowledged.items() if received[o][-1] < v}
    assert lost == {}, "Jetti's newest version is older than one that was acknowledged"
    backwards = {order: seen for order, seen in received.items() if seen != sorted(seen)}
    assert backwards == {}, "an older version was sent after a newer one"
    assert len(seen) == len(WEATHER)
    assert {200, 401, 429, 500, 503, 504} <= answered, "the weather was fine"
    assert record.answers[200] > 100, "the load was no load"


class JumpingClock(SystemClock):
    """The machine's clocks, but someone sets the wall clock."""

    jumped: Instant = 0

    def now(self) -> Instant:
        return super().now() + self.jumped


@pytest.mark.parametrize("hours", [-30, 30])
@pytest.mark.timeout(60)
async def test_a_wall_clock_that_jumps_strands_no_order_and_kills_none(tmp_path: Path, hours: int) -> None:
    clock, happenings = JumpingClock(), Happenings()
    async with sandbox(SandboxSettings(async_rate=None)) as imitated:
        await imitated.impose(Fault(status=500, count=6))
        settings = settings_from(tmp_path, tables_for(imitated.url, tmp_path, channels={"main": HASTY}))
        async with app.running(settings, clock=clock, observers=[happenings]) as relay:
            async with Shop(relay.public_url) as shop:
                for order in range(1, 11):
                    assert (await shop.send(shopify_order(order))).status == 200
                await clock.sleep(0.15)
                clock.jumped = hours * 3600 * SECOND
                for order in range(11, 21):
                    assert (await shop.send(shopify_order(order))).status == 200
            async with asyncio.timeout(30):
                while len(imitated.account.sales_after(0, 100)) < 20:
                    await clock.sleep(0.05)
            assert await relay.store.dead_letters() == []
