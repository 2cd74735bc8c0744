"""A bulk replay revives what was selected, once, in small steps, and goes on after a restart and after trouble."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from relay.core.delivery import Lane, State
from relay.core.events import ReplayAdvanced, StoreTrouble, Unexpected
from relay.core.sources import Identified
from relay.core.sources.native import Native
from relay.replayer import Reader, Replayer
from relay.store import NO_ORDER, Advanced, Deed, Replay, Revived, Selection, Store, StoreFailed
from relay.store.memory import MemoryStore
from tests.builders import REFUSED, STARTS, accept, arrival, at, deliver, garbled, ignored, upsert
from tests.fakes import Happenings
from tests.simulated import LoopClock, simulate

ALL = Selection()
DEED = Deed(at(10), "ada", "replay", "any cause", "mended")


@dataclass(frozen=True, slots=True)
class Taught(Native):
    """A source that has learnt to read what it could not read when it came."""

    says: Mapping[bytes, Identified] = field(default_factory=dict)

    def identify(self, headers: Any, body: bytes, *, now: int, position: int = 0) -> Identified:
        if body == b"broken":
            raise ZeroDivisionError
        assert headers["x-topic"] == "orders/updated"
        return self.says.get(body, garbled())


class Flaky(MemoryStore):
    """Fails so many times, and then works."""

    failures = 3

    async def advance_replay(self, replay_id: int, **given: Any) -> Advanced | None:
        if self.failures:
            self.failures -= 1
            raise StoreFailed("the disk is gone")
        return await super().advance_replay(replay_id, **given)


@dataclass
class Bench:
    store: Store
    source: Taught = field(default_factory=Taught)
    offered: list[Revived] = field(default_factory=list)
    told: Happenings = field(default_factory=Happenings)

    def replayer(self) -> Replayer:
        reader = Reader(self.source, "main", STARTS, 86_400.0)
        return Replayer(self.store, {"shop": reader}, {"main": STARTS}, self.offered.append, LoopClock(), self.told)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replayer]:
        replayer = self.replayer()
        task = asyncio.create_task(replayer.run())
        await asyncio.sleep(0)  # noqa: TID251 - lets it begin
        yield replayer
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def dead(self, count: int) -> None:
        for number in range(count):
            await deliver(self.store, await accept(self.store, upsert(str(1000 + number))), REFUSED)

    async def lost(self, body: bytes, storefront: str = "shop") -> int:
        made = arrival(garbled(), storefront=storefront, body=body)
        return (await self.store.accept(replace(made, headers={"X-Topic": "orders/updated"}))).event_id

    async def ended(self, replay: Replay) -> Replay:
        await self.told.until(lambda: any(told.ended for told in self.told.of(ReplayAdvanced)), 600.0)
        (found,) = [one for one in await self.store.replays() if one.id == replay.id]
        return found


def test_every_selected_order_waits_again_in_the_lane_of_replays_and_is_offered_once() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore())
        await bench.dead(250)
        async with bench.running() as replayer:
            replay = await bench.store.begin_replay(ALL, DEED)
            replayer.begun()
            ended = await bench.ended(replay)
        tally = await bench.store.tally()

        assert (ended.total, ended.revived, ended.left) == (250, 250, 0)
        assert tally["main", State.WAITING, Lane.REPLAY] == 250
        assert len({revived.waiting.order_id for revived in bench.offered}) == len(bench.offered) == 250
        told = [(step.revived, step.ended) for step in bench.told.of(ReplayAdvanced)]
        assert told == sorted(told)
        assert len(told) >= 4

    simulate(main())


def test_a_replay_begins_at_once_when_it_is_told_of_and_soon_when_it_is_not() -> None:
    async def main() -> None:
        for tell, within_s in ((True, 1.0), (False, 61.0)):
            bench, clock = Bench(MemoryStore()), LoopClock()
            await bench.dead(1)
            async with bench.running() as replayer:
                await clock.sleep(1)
                replay = await bench.store.begin_replay(ALL, DEED)
                before = clock.monotonic()
                if tell:
                    replayer.begun()
                await bench.ended(replay)
                assert clock.monotonic() - before <= within_s

    simulate(main())


def test_a_replay_that_a_restart_interrupted_goes_on_where_it_was() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore())
        await bench.dead(250)
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            await bench.told.until(lambda: bool(bench.offered))
        before = len(bench.offered)
        async with bench.running():
            ended = await bench.ended(replay)

        assert 0 < before < 250
        assert (ended.revived, len(bench.offered)) == (250, 250)

    simulate(main())


def test_trouble_with_the_store_is_told_and_the_replay_goes_on_when_it_is_over() -> None:
    async def main() -> None:
        bench = Bench(Flaky())
        await bench.dead(5)
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            ended = await bench.ended(replay)

        assert (ended.revived, len(bench.offered)) == (5, 5)
        assert [trouble.what for trouble in bench.told.of(StoreTrouble)] == ["replaying dead letters"] * 3

    simulate(main())


def test_several_replays_are_carried_out_one_after_the_other() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore())
        await bench.dead(3)
        first = await bench.store.begin_replay(Selection(code="http_422"), DEED)
        second = await bench.store.begin_replay(Selection(channel="main"), DEED)
        async with bench.running():
            await bench.told.until(lambda: [t.ended for t in bench.told.of(ReplayAdvanced)].count(True) == 2, 600.0)
        counts = {replay.id: replay.revived for replay in await bench.store.replays()}

        assert counts == {first.id: 3, second.id: 0}
        assert len(bench.offered) == 3

    simulate(main())


# -- events from which no order could be read --------------------------------------------------------------------------


def test_an_event_that_can_be_read_now_becomes_its_order_and_waits_behind_live_traffic() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore(), Taught(says={b"order": upsert("1001")}))
        event_id = await bench.lost(b"order")
        still = await bench.lost(b"garbage")
        replay = await bench.store.begin_replay(Selection(code=NO_ORDER), DEED)
        async with bench.running():
            ended = await bench.ended(replay)
        (order,) = await bench.store.find("1001")
        (left,) = await bench.store.dead_letters()

        assert (ended.total, ended.revived, ended.left) == (2, 1, 1)
        assert (order.state, order.lane, order.event_id) == (State.WAITING, Lane.REPLAY, event_id)
        assert left.id == still
        assert [revived.waiting.order_id for revived in bench.offered] == [order.id]

    simulate(main())


def test_an_event_that_turns_out_to_be_about_no_order_is_no_dead_letter_any_more() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore(), Taught(says={b"ping": ignored()}))
        await bench.lost(b"ping")
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            ended = await bench.ended(replay)

        assert (ended.revived, ended.left) == (1, 0)
        assert await bench.store.lost_events() == 0
        assert bench.offered == []

    simulate(main())


@pytest.mark.parametrize(
    "selection", [Selection(channel="main"), Selection(code="http_422"), Selection(storefront="b")]
)
def test_events_that_are_not_selected_are_not_read_again(selection: Selection) -> None:
    async def main() -> None:
        bench = Bench(MemoryStore(), Taught(says={b"order": upsert("1001")}))
        await bench.lost(b"order")
        replay = await bench.store.begin_replay(selection, DEED)
        async with bench.running():
            await bench.ended(replay)

        assert await bench.store.lost_events() == 1

    simulate(main())


def test_an_event_of_a_storefront_that_is_not_configured_any_more_is_left() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore(), Taught(says={b"order": upsert("1001")}))
        await bench.lost(b"order", storefront="gone")
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            ended = await bench.ended(replay)

        assert (ended.revived, ended.left) == (0, 1)

    simulate(main())


def test_a_defect_in_reading_one_event_is_told_and_costs_the_others_nothing() -> None:
    async def main() -> None:
        bench = Bench(MemoryStore(), Taught(says={b"order": upsert("1001")}))
        broken = await bench.lost(b"broken")
        await bench.lost(b"order")
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            ended = await bench.ended(replay)

        assert (ended.revived, ended.left) == (1, 1)
        assert [defect.where for defect in bench.told.of(Unexpected)] == [f"reading event {broken} again"]

    simulate(main())


def test_more_events_than_one_step_holds_are_all_read() -> None:
    async def main() -> None:
        bodies = [f"order {number}".encode() for number in range(50)]
        says: dict[bytes, Identified] = {body: upsert(str(number)) for number, body in enumerate(bodies)}
        bench = Bench(MemoryStore(), Taught(says=says))
        for body in bodies:
            await bench.lost(body)
        replay = await bench.store.begin_replay(ALL, DEED)
        async with bench.running():
            ended = await bench.ended(replay)

        assert (ended.revived, len(bench.offered)) == (50, 50)

    simulate(main())
