"""Housekeeping: what is old enough is asked for, in steps that nobody notices, and nothing stops it for good.

What a store then deletes is in the stores' own suite.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from relay.core.events import Happening, Housekept, StoreTrouble, Unexpected, Warned
from relay.housekeeping import AIM_S, FIRST_S, KEPT_BYTES, Housekeeper, Retention, sized
from relay.store import Cutoffs, Size, StoreFailed, SweepPlace, Swept
from relay.store.memory import MemoryStore
from tests.builders import NOW
from tests.simulated import LoopClock, simulate

DAY_S = 86_400.0
RETENTION = Retention(bodies_s=7 * DAY_S, finished_s=30 * DAY_S, every_s=3600)
MB = 1024 * 1024


@dataclass
class Step:
    """One call."""

    at_s: float
    """Since the start."""
    limit: int
    place: SweepPlace


@dataclass
class Asked:
    """What a store was asked."""

    steps: list[Step] = field(default_factory=list)
    cutoffs: list[Cutoffs] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)


class Dusty(MemoryStore):
    """A store with so many old rows, each of which costs so much to delete."""

    def __init__(self, rows: int, row_s: float = 0.0001, unused: int | None = 0) -> None:
        super().__init__()
        self.rows, self.row_s, self.unused = rows, row_s, unused
        self.asked = Asked()
        self.trouble: list[Exception] = []
        self._clock = LoopClock()
        self._started = self._clock.monotonic()

    async def sweep(self, cutoffs: Cutoffs, place: SweepPlace, *, limit: int) -> Swept:
        self.asked.steps.append(Step(self._clock.monotonic() - self._started, limit, place))
        self.asked.cutoffs.append(cutoffs)
        if self.trouble:
            raise self.trouble.pop(0)
        done = min(limit, self.rows - place.event_id)
        end = place.event_id + done
        held_s = done * self.row_s
        await self._clock.sleep(held_s)
        nowhere = end >= self.rows
        return Swept(None if nowhere else SweepPlace(event_id=end), events=done, bodies=done, held_s=held_s)

    async def shrink(self, most_bytes: int) -> int:
        assert self.unused is not None
        step = min(most_bytes, self.unused) // 4096 * 4096
        self.unused -= step
        self.asked.returned.append(step)
        return step

    async def size(self) -> Size | None:
        return None if self.unused is None else Size(100 * MB, 0, self.unused, 1000 * MB)


def kept(
    rows: int = 0, *, hours: float = 0.5, busy: Callable[[], bool] = lambda: False, row_s: float = 0.0001,
    unused: int | None = 0, trouble: tuple[Exception, ...] = (),
) -> tuple[Asked, list[Happening]]:  # fmt: skip
    """Keep house for some hours."""

    async def main() -> tuple[Asked, list[Happening]]:
        told: list[Happening] = []
        store = Dusty(rows, row_s, unused)
        store.trouble = list(trouble)
        task = asyncio.create_task(Housekeeper(store, RETENTION, busy, LoopClock(), told.append).run())
        await LoopClock().sleep(hours * 3600)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        return store.asked, told

    return simulate(main())


@pytest.mark.parametrize("days", [-40, 40])
def test_a_wall_clock_that_was_set_forgets_nothing_until_it_has_gone_on_as_it_should(days: int) -> None:
    async def main() -> tuple[list[float], list[Happening]]:
        told: list[Happening] = []
        store, clock = Dusty(10, 0.00001, 0), LoopClock()
        task = asyncio.create_task(Housekeeper(store, RETENTION, lambda: False, clock, told.append).run())
        await clock.sleep(FIRST_S - 5)
        clock.set_back(-days * 86_400)
        await clock.sleep(3700)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [step.at_s for step in store.asked.steps], told

    steps, told = simulate(main())
    assert [type(happening) for happening in told] == [Warned, Housekept]
    assert steps[0] >= FIRST_S + 3600


def test_the_first_sweep_is_ten_minutes_after_the_start_and_the_next_an_hour_after_it() -> None:
    asked, told = kept(hours=2.5)

    assert [step.at_s for step in asked.steps] == pytest.approx([FIRST_S, FIRST_S + 3600, FIRST_S + 7200], abs=1)
    assert [type(happening) for happening in told] == [Housekept] * 3


def test_what_is_old_enough_is_counted_in_days_from_now() -> None:
    asked, _ = kept()
    day = 86_400_000_000

    (cutoffs,) = asked.cutoffs
    now = NOW + FIRST_S * 1_000_000
    assert (cutoffs.bodies, cutoffs.finished) == pytest.approx((now - 7 * day, now - 30 * day), abs=10)


def test_a_sweep_goes_through_the_whole_store_step_by_step_and_tells_what_it_did() -> None:
    asked, told = kept(rows=10_000)

    places = [step.place.event_id for step in asked.steps]
    assert places == sorted(set(places))
    assert {cutoffs.bodies for cutoffs in asked.cutoffs} == {asked.cutoffs[0].bodies}
    (housekept,) = told
    assert isinstance(housekept, Housekept)
    assert (housekept.events, housekept.bodies, housekept.orders) == (10_000, 10_000, 0)
    assert housekept.duration_s > 5


@pytest.mark.parametrize("row_s", [0.00001, 0.00005, 0.0001])
def test_the_steps_find_the_size_that_holds_the_writer_for_less_than_the_aim(row_s: float) -> None:
    asked, _ = kept(rows=20_000, row_s=row_s)

    held = [step.limit * row_s for step in asked.steps[20:-1]]
    assert max(held) <= AIM_S * 1.5  # two steps beyond the aim are followed by half
    assert sum(held) / len(held) <= AIM_S
    assert {32 <= step.limit <= 500 for step in asked.steps} == {True}


def test_rows_that_cost_a_great_deal_are_deleted_few_at_a_time() -> None:
    asked, _ = kept(rows=1000, row_s=0.01)

    assert [step.limit for step in asked.steps[:4]] == [64, 64, 32, 32]
    assert asked.steps[-1].limit == 32


def test_between_the_steps_the_writer_is_everybody_elses() -> None:
    asked, told = kept(rows=50_000)
    (housekept,) = told

    assert isinstance(housekept, Housekept)
    held_s = sum(step.limit * 0.0001 for step in asked.steps)
    assert held_s < housekept.duration_s / 15


def test_while_webhooks_wait_it_gives_way_and_still_goes_on() -> None:
    calm, _ = kept(rows=2000)
    asked, told = kept(rows=2000, busy=lambda: True)
    gaps = [later.at_s - earlier.at_s for earlier, later in zip(asked.steps, asked.steps[1:], strict=False)]

    assert min(gaps) >= 0.25
    assert [type(happening) for happening in told] == [Housekept]
    assert asked.steps[-1].at_s > calm.steps[-1].at_s


def test_what_is_not_used_is_returned_in_small_steps_but_for_a_little() -> None:
    asked, told = kept(unused=50 * MB)
    (housekept,) = told

    assert isinstance(housekept, Housekept)
    assert housekept.returned_bytes == 46 * MB == sum(asked.returned)
    assert len(asked.returned) > 5
    assert max(asked.returned) <= 4 * MB


@pytest.mark.parametrize("unused", [0, KEPT_BYTES, None])
def test_a_little_that_is_not_used_stays_for_what_comes(unused: int | None) -> None:
    asked, _ = kept(unused=unused)

    assert asked.returned == []


def test_a_store_in_trouble_is_left_alone_for_a_minute_and_then_swept() -> None:
    asked, told = kept(trouble=(StoreFailed("disk full"), StoreFailed("disk full")))

    assert [step.at_s for step in asked.steps] == pytest.approx([FIRST_S, FIRST_S + 60, FIRST_S + 120], abs=1)
    assert told[:2] == [StoreTrouble("housekeeping", "disk full")] * 2
    assert isinstance(told[2], Housekept)


def test_a_defect_of_ours_is_told_and_ends_nothing() -> None:
    _, told = kept(hours=1.5, trouble=(ZeroDivisionError(),))

    assert [type(happening) for happening in told] == [Unexpected, Housekept]


@pytest.mark.parametrize(
    ("size", "took_s", "following"),
    [(64, 0.006, 32), (64, 0.005, 64), (64, 0.003, 64), (64, 0.001, 96), (8, 1.0, 8), (9, 1.0, 8), (500, 0.0, 500)],
)
def test_a_step_that_took_too_long_is_halved_and_one_that_was_quick_grows(
    size: int, took_s: float, following: int
) -> None:
    assert sized(size, took_s, aim_s=0.005, within=(8, 64, 500)) == following
