"""The promises, on simulated time: hundreds of seeded scenarios of hours each, watched at every step.

``RELAY_SIM_SEED=17`` runs one seed, ``RELAY_SIM_SEEDS=0-999`` many. See :mod:`tests.simulation`.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.outcome import Outcome
from relay.core.pace import Pace
from tests.builders import REFUSED, SENT
from tests.fakes import manual_sale
from tests.simulated import simulate
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.running import (
    FIXED_THIN,
    RANDOM_THIN,
    are_named,
    first_noticed,
    run,
    run_all,
    run_thin,
    seeds,
)
from tests.simulation.seeds import FOUND_THIN
from tests.simulation.world import World
from tests.test_dispatch import CHANNEL, Bench


def test_the_promises_hold_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = seeds()
    done = run_all(chosen)
    with capsys.disabled():
        print(f"\n{done.report()}\n  seeds: {chosen[0]} to {chosen[-1]}, the last of them {chosen[-6:]}")
    assert not done.failures, "\n\n".join(done.failures.values())
    assert are_named() or done.never_exercised() == []


def test_the_promises_hold_for_orders_that_are_fetched_and_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = seeds(FIXED_THIN, RANDOM_THIN, FOUND_THIN)
    done = run_all(chosen, "thin")
    with capsys.disabled():
        print(f"\n{done.report()}\n  seeds: {chosen[0]} to {chosen[-1]}, the last of them {chosen[-6:]}")
    assert not done.failures, "\n\n".join(done.failures.values())
    assert are_named() or done.never_exercised() == []


@pytest.mark.parametrize("run", [run, run_thin])
def test_a_seed_means_the_same_every_time(run: Callable[[int], World]) -> None:
    once, again = run(5), run(5)
    assert once.history.digest() == again.history.digest()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_relay_with_one_thing_wrong_is_noticed_by_the_right_invariant(mutant: Mutant) -> None:
    broken = first_noticed(mutant, [mutant.seed, *range(40)])
    assert broken is not None
    assert broken.name in mutant.noticed_by, str(broken)[:2000]


def test_promise_5_updates_leave_within_their_head_start_while_new_orders_come_twice_as_fast_as_the_pace() -> None:
    """For four hours, with the head starts as they are by default. What is due up to an hour later than an update goes
    before it, and nothing else: it leaves when twice its age and the hour have passed, as first in, first out says."""

    async def main() -> None:
        channel = replace(CHANNEL, pace=Pace(0.125, 1.0))
        async with Bench(channel=channel) as bench:
            came: dict[str, float] = {}
            for number in range(4 * 3600 // 4):
                second = number * 4
                if second in (0, 1200, 2400, 3000):
                    name = str(100_000 + number)
                    came[name] = second
                    await bench.order(name, old=True)
                await bench.order(str(number + 1))
                await bench.clock.sleep(4.0)
            left = {name: at for at, name in bench.sent if name in came}
            for name, came_s in came.items():
                assert abs(left[name] - 2 * (came_s + 3600.0)) < 60.0

    simulate(main())


def test_an_update_back_to_what_was_delivered_is_sent_after_one_that_was_refused_while_the_channel_was_halted() -> None:
    """What is refused may have left a trace: Jetti creates a sale before it populates it."""

    async def main() -> None:
        refuses = False

        async def answer(_: int) -> Outcome:
            return REFUSED if refuses else SENT

        policy = BreakerPolicy(refusals=2, halt_probe_s=1.0)
        channel = replace(CHANNEL, breaker=policy, head_starts=HeadStarts(0.0, 0.0, 0.0))
        async with Bench(script=answer, channel=channel) as bench:
            await bench.order("1", body=manual_sale(1, note="A"), version=1)
            await bench.after(1.0)
            refuses = True
            for name in ("2", "3"):
                await bench.order(name)
            await bench.after(1.0)
            await bench.order("1", body=manual_sale(1, note="B"), version=2)
            before = (await bench.after(100.0)).count("1")
            assert before >= 2, "it was a probe"
            refuses = False
            await bench.order("1", body=manual_sale(1, note="A"), version=3)
            assert (await bench.after(600.0)).count("1") == before + 1

    simulate(main())
