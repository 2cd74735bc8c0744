"""The promises of the README, from the outside: real sockets, a real store on disk, the sandbox as Jetti.

Promise 1 is also proved by tests/test_crash.py, 3 and 5 by tests/test_dispatch.py, 6 by tests/test_pace.py.
"""

import asyncio
import json
import random
import sqlite3
from bisect import bisect_left
from collections import Counter
from pathlib import Path

from relay.clock import SystemClock
from relay.core import instant
from relay.core.events import AttemptMade
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from relay.store import places
from tests.fakes import Shop, fetched, manual_sale, shopify_order
from tests.running import RunningRelay, ServeProcess, relay_running, tables_for, written

SLOW = SandboxSettings(async_rate=None, latency_s=0.05)


async def idle(relay: RunningRelay, seconds: float = 20.0) -> None:
    """Return when nothing waits, sleeps or is in flight."""
    async with asyncio.timeout(seconds):
        while True:
            status = (await fetched(f"{relay.private_url}/api/status")).json["channels"].values()
            if not sum(sum(c["waiting"].values()) + c["orders"]["sleeping"] + c["in_flight"] for c in status):
                return
            await SystemClock().sleep(0.02)


def versions_at(imitated: RunningSandbox) -> dict[str, list[int]]:
    """Per order, the versions that reached the sandbox, in the order they came in."""
    versions: dict[str, list[int]] = {}
    for request in imitated.journal.after(0, 100_000):
        notes = json.loads(request.payload or b"null")["saleDefaults"]["notes"]
        versions.setdefault(request.external_id, []).append(int(notes.removeprefix("minute ")))
    return versions


async def test_promise_1_acknowledged_means_durable(tmp_path: Path) -> None:
    """While the commit cannot happen there is no answer; after the answer, SIGKILL takes nothing away."""
    relay = ServeProcess(written(tmp_path, tables_for("http://127.0.0.1:9", tmp_path)))
    await relay.start()
    async with relay, Shop(relay.url) as shop:
        assert (await shop.send(shopify_order(1))).status == 200
        other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asked = asyncio.create_task(shop.send(shopify_order(2)))
        answered, _ = await asyncio.wait([asked], timeout=1.0)
        assert not answered, "answered although nothing could be committed"
        other.execute("ROLLBACK")
        assert (await asked).status == 200
        await relay.kill()
        kept = other.execute("SELECT external_id FROM orders ORDER BY id").fetchall()
        other.close()
    assert kept == [("1",), ("2",)]


async def test_promise_2_every_accepted_event_ends_in_exactly_one_visible_place(tmp_path: Path) -> None:
    chance = random.Random(2)
    async with relay_running(tmp_path, jetti=SLOW) as (relay, _):
        accepted: list[int] = []
        async with Shop(relay.public_url) as shop:

            async def send(number: int, minute: int, **changes: object) -> None:
                body = shopify_order(number, minute, **changes)
                answer = await shop.send(body, webhook_id=f"{number}-{minute}-{len(changes)}")
                assert answer.status == 200
                accepted.append(answer.json["event"])

            events = [(number, minute) for number in range(1, 9) for minute in (1, 2, 3, 3, 2)]
            chance.shuffle(events)
            await asyncio.gather(*(send(*event) for event in events))
            await send(9, 1, line_items=None)
            await send(10, 1, test=True)
            await send(0, 1)
            await idle(relay)
        # The trimmed order of number 9 was found out by then: by the inspector, or when its turn came.
        found: dict[int, str] = {}
        store = relay.store
        for number in range(1, 11):
            for order in await store.find(str(number)):
                timeline = await store.timeline(order.id)
                assert timeline is not None
                for event in timeline.events:
                    assert event.id not in found, "an event in two orders"
                    found[event.id] = places.of_event(event, timeline).name
        lost = [event for event in await store.dead_letters() if not hasattr(event, "external_id")]
        without_order = set(accepted) - set(found)
    seen = Counter(found.values())
    assert set(seen) <= {"delivered", "superseded", "duplicate", "stale", "dead", "unchanged", "quarantined"}
    assert seen["dead"] + seen["quarantined"] == 1
    assert seen["delivered"] >= 8
    assert len(accepted) == len(set(accepted)) == 43
    # What is about no order: one order that is not wanted (a test), one that could not be read, which needs a person.
    assert len(without_order) == 2
    assert {event.id for event in lost} <= without_order
    assert len(lost) == 1


async def test_promise_3_at_least_once_under_one_external_id_and_never_two_requests_at_once(tmp_path: Path) -> None:
    retry = {"base_s": 0.05, "cap_s": 0.1}
    async with relay_running(tmp_path, channels={"main": {"retry": retry}}, jetti=SLOW) as (relay, imitated):
        await imitated.impose(Fault(status=503, count=6, worked=True))
        async with Shop(relay.public_url) as shop:
            for minute in range(30):
                assert (await shop.send(shopify_order(1 + minute % 3, minute))).status == 200
                await SystemClock().sleep(0.01)
        await idle(relay)
        requests = list(imitated.journal.after(0, 1000))
        assert {request.external_id for request in requests} == {"1", "2", "3"}
        assert imitated.journal.overlaps == 0
        assert imitated.journal.max_in_flight_per_order == 1
        assert imitated.journal.max_in_flight > 1, "nothing was in flight together: nothing was tried"
        assert {seen[-1] for seen in versions_at(imitated).values()} == {27, 28, 29}


async def test_promise_4_never_backwards_whatever_order_webhooks_arrive_in(tmp_path: Path) -> None:
    chance = random.Random(4)
    async with relay_running(tmp_path, jetti=SandboxSettings(async_rate=None, latency_s=0.01)) as (relay, imitated):
        await imitated.impose(Fault(status=500, rate=0.2, worked=True))
        events = [(number, minute) for number in range(1, 13) for minute in range(15)]
        chance.shuffle(events)
        async with Shop(relay.public_url) as shop:

            async def some(share: list[tuple[int, int]]) -> None:
                for event in share:
                    assert (await shop.send(shopify_order(*event))).status == 200

            await asyncio.gather(*(some(events[start::6]) for start in range(6)))
        await imitated.lift()
        await idle(relay, 60.0)
        received = versions_at(imitated)
    assert len(received) == 12
    for seen in received.values():
        assert seen == sorted(seen)
        assert seen[-1] == 14


async def test_promise_5_a_new_order_behind_many_updates_leaves_within_two_request_intervals(tmp_path: Path) -> None:
    old = "2026-01-01T00:00:00Z"
    channels = {"main": {"sync_rate": 2, "burst": 1}}  # 50 ms apart: longer than a busy machine holds a request up
    async with relay_running(tmp_path, channels=channels) as (relay, imitated), Shop(relay.public_url) as shop:
        await asyncio.gather(*(shop.send(shopify_order(number, created_at=old)) for number in range(1, 301)))
        before = imitated.journal.last_seq
        created_at = instant.iso(SystemClock().now())
        assert (await shop.send(shopify_order(999, created_at=created_at))).json["status"] == "queued"
        at_most = imitated.journal.last_seq + 2
        async with asyncio.timeout(5):
            while "999" not in {request.external_id for request in imitated.journal.after(before, 1000)}:
                await SystemClock().sleep(0.01)
        (seq,) = [r.seq for r in imitated.journal.after(before, 1000) if r.external_id == "999"]
        assert seq <= at_most


async def test_promise_6_in_no_second_are_more_requests_sent_than_rate_plus_burst(tmp_path: Path) -> None:
    # 100 ms apart, and three at once: what a busy machine holds up for a fifth of a second is made up for, so
    # nearly all of the pace is used on any machine. How it is used at higher paces, `bench` and `demo` measure.
    rate, burst, orders = 10, 3, 123
    channels = {"main": {"sync_rate": 1, "multiplier": rate, "burst": burst}}
    async with relay_running(tmp_path, channels=channels) as (relay, imitated), Shop(relay.public_url) as shop:
        till = {"Authorization": "Bearer till-secret-77aa", "Content-Type": "application/json"}
        sales = b"[" + b",".join(manual_sale(number) for number in range(1, orders + 1)) + b"]"
        assert (await shop.post("/orders", sales, till)).status == 202
        await idle(relay)
        sent = [made for made in relay.happenings.of(AttemptMade) if made.outcome == "sent"]
        times = [request.at for request in imitated.journal.after(0, 1000)]
    assert len(sent) == len(times) == orders
    # What left 100 ms apart may arrive a few milliseconds closer together: so a little less than a second.
    most = max(bisect_left(times, at + 0.95) - i for i, at in enumerate(times))
    assert most <= rate + burst
    assert 0.95 * rate <= (orders - 1 - burst) / (times[-1] - times[0]) <= 1.01 * rate
