"""The guard: refuses before there is no room, each storefront at its own share, and lets in again by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.delivery import Lane, State
from relay.core.events import DoorMoved, Happening, RequestRefused, StoreTrouble, Unexpected
from relay.core.pressure import Limit
from relay.guard import Gate, Guard, Room
from relay.store import Size, StoreFailed, Tally
from relay.store.memory import MemoryStore
from tests.simulated import LoopClock, simulate

RESERVE = 100
GATES = {"shop": Gate("main", 0.8), "woo": Gate("main", 1.0), "own": Gate("trial", 0.8)}
ROOM = Room({"main": 100, "trial": 100}, RESERVE)


class Measured(MemoryStore):
    """A store that says what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.free: int | Exception | None = 100 * RESERVE
        self.waiting: dict[str, int] | Exception = {}

    async def size(self) -> Size | None:
        if isinstance(self.free, Exception):
            raise self.free
        return None if self.free is None else Size(store=1, wal=1, unused=0, disk_free=self.free)

    async def tally(self) -> Tally:
        if isinstance(self.waiting, Exception):
            raise self.waiting
        return {
            (channel, state, lane): orders
            for channel, orders in self.waiting.items()
            for state, lane, orders in (
                (State.WAITING, Lane.NEW, orders - orders // 2),
                (State.SLEEPING, Lane.UPDATE, orders // 2),
                (State.SENT, Lane.NEW, 1_000_000),
                (State.DEAD, Lane.REPLAY, 1_000_000),
            )
        }


class Watch:
    """A guard, measured step by step."""

    def __init__(self, room: Room = ROOM, gates: dict[str, Gate] = GATES) -> None:
        self.store = Measured()
        self.told: list[Happening] = []
        self.queue = 0.0
        self.gates = gates
        self.guard = Guard(gates, room, self.store, lambda: self.queue, _NoClock(), self.told.append)

    async def refused(self, *, free: Any = 100 * RESERVE, waiting: Any = None) -> dict[str, str]:
        """Whom the next measurement refuses, and what for."""
        self.store.free, self.store.waiting = free, {} if waiting is None else waiting
        await self.guard.measure()
        refusals = {name: self.guard.refusal(name) for name in self.gates}
        return {name: refusal.name for name, refusal in refusals.items() if refusal is not None}

    @property
    def moves(self) -> list[tuple[str, tuple[str, ...]]]:
        """What was told of the door."""
        return [(move.limit, move.storefronts) for move in self.told if isinstance(move, DoorMoved)]


class _NoClock:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AssertionError(f"measuring asks for no {name}")


async def test_with_room_enough_nobody_is_refused() -> None:
    watch = Watch()

    assert await watch.refused(free=2 * RESERVE, waiting={"main": 79}) == {}
    assert watch.told == []
    assert watch.guard.all_refused() is None


async def test_as_the_disk_fills_those_that_send_it_again_are_refused_first() -> None:
    watch = Watch()

    assert await watch.refused(free=126) == {}
    assert await watch.refused(free=125) == {"shop": "disk-full", "own": "disk-full"}
    assert await watch.refused(free=101) == {"shop": "disk-full", "own": "disk-full"}
    assert watch.guard.all_refused() is None
    assert await watch.refused(free=100) == dict.fromkeys(GATES, "disk-full")
    assert watch.guard.all_refused() == (
        "100 bytes of the store's disk are free, 100 bytes are to stay free (store.disk_free_min_bytes)"
    )
    assert watch.moves == [("disk", ("own", "shop")), ("disk", ("own", "shop", "woo"))]


async def test_as_a_backlog_fills_only_its_own_storefronts_are_refused() -> None:
    watch = Watch()

    assert await watch.refused(waiting={"main": 80, "trial": 79}) == {"shop": "backlog-full"}
    assert await watch.refused(waiting={"main": 100, "trial": 79}) == {"shop": "backlog-full", "woo": "backlog-full"}
    (first, second) = [move for move in watch.told if isinstance(move, DoorMoved)]
    assert first == DoorMoved(
        "backlog", ("shop",), "80 orders wait for channel main, 100 may (channels.main.backlog_max)"
    )
    assert second.storefronts == ("shop", "woo")


async def test_whose_orders_are_fetched_feels_the_backlog_they_are_fetched_for_too() -> None:
    gates = {"bc": Gate("fetch:bc", 1.0, "main"), "own": Gate("trial", 0.8)}
    watch = Watch(Room({"main": 100, "trial": 100, "fetch:bc": 100}, RESERVE), gates)
    assert await watch.refused(waiting={"main": 100}) == {"bc": "backlog-full"}
    assert watch.moves == [("backlog", ("bc",))]
    assert {felt.pressure.channel for felt in watch.guard.pressures if felt.refused} == {"main"}
    assert await watch.refused(waiting={"fetch:bc": 100}) == {"bc": "backlog-full"}
    assert await watch.refused(waiting={"main": 50, "fetch:bc": 50}) == {}


async def test_everybody_is_let_in_again_by_itself_and_nobody_flaps() -> None:
    watch = Watch()
    await watch.refused(free=125)

    assert await watch.refused(free=130) == {"shop": "disk-full", "own": "disk-full"}  # 0.77: above 95 % of 0.8
    assert await watch.refused(free=132) == {}
    assert await watch.refused(free=130) == {}
    assert watch.moves == [("disk", ("own", "shop")), ("disk", ())]
    assert "132 bytes of the store's disk" in [move.words for move in watch.told if isinstance(move, DoorMoved)][1]


async def test_a_measurement_that_fails_refuses_nobody_is_told_once_and_tried_again() -> None:
    watch = Watch()
    await watch.refused(free=50)

    assert await watch.refused(free=StoreFailed("no such disk")) == {}
    assert await watch.refused(free=StoreFailed("no such disk")) == {}
    assert [t for t in watch.told if isinstance(t, StoreTrouble)] == [
        StoreTrouble("measuring the disk", "no such disk")
    ]
    assert watch.guard.pressures[1].pressure.words == "measuring the disk failed: StoreFailed: no such disk"
    assert await watch.refused(free=50) == dict.fromkeys(GATES, "disk-full")
    await watch.refused(free=StoreFailed("no such disk"))
    assert len([t for t in watch.told if isinstance(t, StoreTrouble)]) == 2


async def test_what_fails_to_be_counted_refuses_nobody_and_the_disk_still_does() -> None:
    watch = Watch()

    assert await watch.refused(waiting=StoreFailed("locked")) == {}
    assert await watch.refused(waiting=StoreFailed("locked"), free=1) == dict.fromkeys(GATES, "disk-full")


async def test_a_defect_of_ours_is_told_as_such_and_refuses_nobody() -> None:
    watch = Watch()

    assert await watch.refused(free=ZeroDivisionError("oh")) == {}
    assert [type(told) for told in watch.told] == [Unexpected]


@pytest.mark.parametrize("free", [None, 1])
async def test_a_disk_that_is_not_there_or_not_watched_refuses_nobody(free: int | None) -> None:
    watch = Watch(Room(ROOM.backlog_max, 0)) if free else Watch()

    assert await watch.refused(free=free) == {}
    assert [felt.pressure.limit for felt in watch.guard.pressures] == [Limit.QUEUE, Limit.BACKLOG, Limit.BACKLOG]


async def test_how_near_every_limit_is_and_who_is_refused_can_be_seen() -> None:
    watch = Watch()
    watch.queue = 0.25
    await watch.refused(free=200, waiting={"main": 90})
    felt = [(f.pressure.limit.value, f.pressure.channel, f.pressure.level, f.refused) for f in watch.guard.pressures]

    assert felt == [
        ("queue", None, 0.25, ()), ("disk", None, 0.5, ()), ("backlog", "main", 0.9, ("shop",)),
        ("backlog", "trial", 0.0, ()),
    ]  # fmt: skip


async def test_a_full_commit_queue_is_told_once_and_again_when_it_has_been_quiet_for_some_seconds() -> None:
    watch = Watch()
    watch.queue = 0.9
    for _ in range(3):
        watch.guard(RequestRefused("shop", 503, "busy", "", 0.0))
        watch.guard(RequestRefused("unknown", 503, "busy", "", 0.0))
        watch.guard(RequestRefused("woo", 503, "store-failed", "", 0.0))
        assert await watch.refused() == {}  # it is asked at every request, and not once a second
    assert watch.moves == [("queue", ("shop",))]
    for _ in range(5):
        await watch.refused()
    assert watch.moves == [("queue", ("shop",)), ("queue", ())]


def test_it_measures_at_once_and_then_every_second() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        clock = LoopClock()
        begun = clock.monotonic()

        class Stopping(Measured):
            async def tally(self) -> Tally:
                times.append(clock.monotonic() - begun)
                if len(times) == 4:
                    raise KeyboardInterrupt
                return await super().tally()

        guard = Guard(GATES, ROOM, Stopping(), lambda: 0.0, clock, lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            await guard.run()
        return times

    assert simulate(main()) == pytest.approx([0, 1, 2, 3], abs=1e-3)
