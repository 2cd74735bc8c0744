"""Promise 6, as a property: whatever waits and however late timers fire, no second sees more than rate plus burst.

And the rules by which a channel gives way to a throttle, and comes back.
"""

import asyncio
import random
from bisect import bisect_left
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import instant
from relay.core.condition import Condition, RateForNow
from relay.core.pace import CUT, STEP, Mode, Pace, Tempo, drained_s
from relay.dispatch.channel import Permits
from tests.builders import NOW, at, cause
from tests.simulated import simulate


def test_the_asynchronous_endpoint_is_allowed_ten_times_the_synchronous_rate_by_default() -> None:
    assert Pace().ceiling(Mode.ASYNC) == 10.0
    assert Pace().ceiling(Mode.SYNC) == 1.0
    assert Pace().spacing_s(Mode.ASYNC) == 0.1


def most_in_a_second(times: list[float]) -> int:
    """The most requests in any window of one second, both ends open enough to be exact."""
    return max((bisect_left(times, at + 1.0 - 1e-9) - i for i, at in enumerate(times)), default=0)


async def sent_at(pace: Pace, bursts: list[tuple[float, int]]) -> list[float]:
    """When requests leave: after each pause (seconds), so many want to."""
    loop, permits = asyncio.get_running_loop(), Permits(pace, Mode.ASYNC)
    times: list[float] = []
    for pause_s, wanting in bursts:
        await asyncio.sleep(pause_s)  # noqa: TID251 - simulated
        for _ in range(wanting):
            await permits.take()
            times.append(loop.time())
    return times


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0.5, 200.0),
    burst=st.integers(1, 20),
    bursts=st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(1, 60)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    late_max_s=st.sampled_from([0.0, 0.001, 0.02]),
)
def test_no_window_of_one_second_sees_more_than_the_rate_plus_the_burst(
    rate: float, burst: int, bursts: list[tuple[float, int]], seed: int, late_max_s: float
) -> None:
    chance = random.Random(seed)
    pace = Pace(sync_rate=rate, multiplier=1.0, burst=burst)
    times = simulate(sent_at(pace, bursts), lambda: chance.uniform(0.0, late_max_s))
    assert most_in_a_second(times) <= rate + burst


@pytest.mark.parametrize("rate", [1.0, 10.0, 40.0])
def test_late_timers_do_not_eat_the_pace(rate: float) -> None:
    """Every timer a millisecond late, as uvloop's are: a plain bucket would lose that at every request."""
    chance = random.Random(1)
    times = simulate(sent_at(Pace(sync_rate=rate, multiplier=1.0), [(0.0, 2000)]), lambda: chance.uniform(0, 0.001))
    used = (len(times) - 1) / (times[-1] - times[0]) / rate
    assert 0.995 <= used <= 1.001


def test_burst_one_means_evenly_spaced() -> None:
    times = simulate(sent_at(Pace(), [(0.0, 50)]))
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps[1:]) > 0.099


@pytest.mark.parametrize(("share", "spacing_s"), [(1.0, 0.1), (0.5, 0.2), (0.3, 1 / 3), (0.1, 1.0)])
def test_a_share_of_the_ceiling_spaces_requests_as_much_further_apart(share: float, spacing_s: float) -> None:
    async def run() -> list[float]:
        loop, permits = asyncio.get_running_loop(), Permits(Pace(), Mode.ASYNC)
        times = []
        for _ in range(50):
            await permits.take(lambda: share)
            times.append(loop.time())
        return times

    times = simulate(run())
    assert (times[-1] - times[0]) / 49 == pytest.approx(spacing_s, rel=0.02)


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0.5, 200.0),
    burst=st.integers(1, 5),
    shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=60),
    late_max_s=st.sampled_from([0.0, 0.02]),
)
def test_whatever_share_is_used_no_second_sees_more_than_the_rate_plus_the_burst(
    rate: float, burst: int, shares: list[float], late_max_s: float
) -> None:
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        permits = Permits(Pace(sync_rate=rate, multiplier=1.0, burst=burst), Mode.ASYNC)
        await permits.begin_spent()
        times = []
        for share in shares:
            await permits.take(partial(float, share))
            times.append(loop.time())
        return times

    chance = random.Random(1)
    assert most_in_a_second(simulate(run(), lambda: chance.uniform(0.0, late_max_s))) <= rate + burst


@settings(deadline=None, max_examples=60)
@given(
    pace=st.builds(Pace, st.floats(0.5, 20.0), st.just(1.0), st.integers(1, 5)),
    said=st.lists(st.tuples(st.floats(0.01, 40.0), st.floats(0.5, 60.0)), min_size=1, max_size=5),
    share=st.floats(0.1, 1.0),
    late_max_s=st.sampled_from([0.0, 0.02]),
)
def test_never_is_more_sent_than_the_ceiling_or_the_rate_for_now_allow_whichever_is_less(
    pace: Pace, said: list[tuple[float, float]], share: float, late_max_s: float
) -> None:
    """Each rate that is said holds from one moment to the next; what waits for a permit then feels it at once."""
    ceiling = pace.ceiling(Mode.ASYNC)

    async def run() -> list[tuple[float, float, list[float]]]:
        loop, permits, times = asyncio.get_running_loop(), Permits(pace, Mode.ASYNC), list[float]()
        condition = Condition(Tempo(share))

        async def send() -> None:
            while True:
                await permits.take(lambda: condition.share(ceiling, NOW))
                times.append(loop.time())

        sending = asyncio.create_task(send())
        spans = []
        for rate, for_s in said:
            condition = replace(condition, rate_for_now=RateForNow(rate, "ann", "why", NOW))
            began = loop.time()
            await asyncio.sleep(for_s)  # noqa: TID251 - simulated
            spans.append((rate, began, [at for at in times if began < at]))
        sending.cancel()
        return spans

    chance = random.Random(1)
    spans = simulate(run(), lambda: chance.uniform(0.0, late_max_s))
    assert most_in_a_second([at for _, _, sent in spans for at in sent]) <= ceiling + pace.burst
    for rate, began, sent in spans:
        used = share * min(rate, ceiling)
        for number, left_at in enumerate(sent, 1):
            # One that waited already, and what a bucket that was left alone may give at once.
            assert number <= used * (left_at - began) + 2 + pace.burst * share * min(1.0, rate / ceiling)
    rate, began, sent = spans[-1]
    expected = share * min(rate, ceiling) * said[-1][1]
    assert len(sent) >= 0.9 * expected - 2, "it is used"


def test_a_rate_for_now_that_is_taken_back_is_felt_by_what_waits_already() -> None:
    async def run() -> float:
        loop, permits = asyncio.get_running_loop(), Permits(Pace(), Mode.ASYNC)
        shares = [0.001]
        waiting = asyncio.create_task(permits.take(lambda: shares[-1]))
        await asyncio.sleep(5.0)  # noqa: TID251 - simulated
        assert not waiting.done()
        shares.append(1.0)
        before = loop.time()
        await waiting
        return loop.time() - before

    assert simulate(run()) < 0.25


@pytest.mark.parametrize(
    ("orders", "for_s", "seconds"), [(100, None, 50.0), (10, 60.0, 5.0), (220, 60.0, 70.0), (100, 0.0, 10.0)]
)
def test_a_backlog_drains_at_the_rate_for_now_and_then_at_the_one_that_follows(
    orders: int, for_s: float | None, seconds: float
) -> None:
    assert drained_s(orders, 2.0, for_s=for_s, then=10.0) == pytest.approx(seconds)


def test_a_bucket_that_begins_spent_lets_no_more_through_than_one_that_was_used_all_along() -> None:
    async def run() -> float:
        loop, permits = asyncio.get_running_loop(), Permits(Pace(burst=3), Mode.ASYNC)
        began = loop.time()
        await permits.begin_spent()
        await permits.take()
        return loop.time() - began

    assert simulate(run()) >= 0.1


# -- tempo -----------------------------------------------------------------------------------------------------------

FLOOR = 0.1
WHY = cause("http_429", 429)


def throttled(tempo: Tempo, seconds: float, *, number: int = 1, newest: int = 1, now: int = NOW) -> Tempo:
    return tempo.throttled(seconds, WHY, number=number, newest=newest, now=now, floor=FLOOR)


def test_a_throttle_halves_the_rate_and_a_success_gives_a_hundredth_of_the_ceiling_back() -> None:
    slower = throttled(Tempo(), 5.0, number=7, newest=9)
    assert slower == Tempo(CUT, NOW, at(5.0), WHY, 9)
    assert slower.took(number=10).share == pytest.approx(CUT + STEP)


def test_requests_that_left_before_the_rate_was_cut_neither_cut_it_again_nor_raise_it() -> None:
    cut = throttled(Tempo(), 1.0, number=3, newest=9)
    for number in range(4, 10):
        assert throttled(cut, 1.0, number=number, newest=12).share == CUT
        assert cut.took(number=number) == cut
    assert throttled(cut, 1.0, number=10, newest=12).share == CUT * CUT


def test_a_throttle_of_what_left_before_the_cut_still_lengthens_the_rest() -> None:
    cut = throttled(Tempo(), 1.0, number=3, newest=9)
    assert throttled(cut, 30.0, number=4, newest=9).resting_s(NOW) == 30.0


def test_from_the_floor_the_whole_rate_is_back_after_ninety_successes_and_never_exceeded() -> None:
    tempo = Tempo(share=FLOOR)
    for number in range(1, 91):
        assert tempo.share < 1.0
        tempo = tempo.took(number=number)
    assert tempo.share == pytest.approx(1.0)
    assert tempo.took(number=91).took(number=92).share == 1.0


STEPS = st.lists(
    st.tuples(st.sampled_from(["took", "throttled"]), st.integers(0, 5), st.floats(0.1, 300.0), st.floats(0.0, 60.0)),
    max_size=60,
)


@given(STEPS, st.floats(0.01, 1.0))
def test_the_share_stays_between_the_floor_and_the_whole(
    steps: list[tuple[str, int, float, float]], floor: float
) -> None:
    tempo, newest, now = Tempo(), 0, NOW
    for what, back, seconds, passed_s in steps:
        newest, now = newest + 1, instant.after(now, passed_s)
        number = max(1, newest - back)
        if what == "took":
            tempo = tempo.took(number=number)
        else:
            tempo = tempo.throttled(seconds, WHY, number=number, newest=newest, now=now, floor=floor)
        assert floor <= tempo.share <= 1.0


@given(st.floats(0.1, 300.0), st.floats(0.0, 300.0), st.floats(0.1, 300.0))
def test_a_rest_is_never_shortened_by_a_shorter_one(first_s: float, later_s: float, second_s: float) -> None:
    once, later = throttled(Tempo(), first_s), at(later_s)
    twice = throttled(once, second_s, now=later)
    assert twice.resting_s(later) == pytest.approx(max(once.resting_s(later), second_s), abs=1e-5)


@given(st.floats(0.1, 300.0), st.floats(0.001, 1e7))
def test_a_clock_that_was_set_back_ends_a_rest(seconds: float, back_s: float) -> None:
    resting = throttled(Tempo(), seconds)
    assert resting.resting_s(NOW) > 0
    assert resting.resting_s(at(-back_s)) == 0
    assert throttled(resting, 1.0, now=at(-back_s)).resting_s(at(-back_s)) == 1.0


def test_someone_who_wants_it_to_go_on_ends_the_rest_and_not_the_caution() -> None:
    rested = throttled(Tempo(), 60.0).rested()
    assert (rested.resting_s(NOW), rested.share) == (0.0, CUT)
