"""Promise 6, as a property: whatever waits and however late timers fire, no second sees more than rate plus burst."""

import asyncio
import random
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.pace import Mode, Pace
from relay.dispatch import permits
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
    loop, limiter = asyncio.get_running_loop(), permits(pace, Mode.ASYNC)
    times: list[float] = []
    for pause_s, wanting in bursts:
        await asyncio.sleep(pause_s)  # noqa: TID251 - simulated
        for _ in range(wanting):
            await limiter.acquire()
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
