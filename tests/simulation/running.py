"""Runs scenarios, and says what they have exercised."""

import os
import random
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulated import simulate
from tests.simulation.chance import Chance
from tests.simulation.invariants import NAMES
from tests.simulation.mutants import Mutant
from tests.simulation.scenario import BOUNDARIES, Weather, drawn
from tests.simulation.seeds import FOUND
from tests.simulation.watch import Broken
from tests.simulation.world import Figures, World

FIXED = 80
"""So many are always run, from 0 on."""
RANDOM = 6
"""So many more are drawn anew each time."""


@dataclass(slots=True)
class Run:
    """What came of many seeds."""

    figures: Figures = field(default_factory=Figures)
    failures: dict[int, str] = field(default_factory=dict)
    """By the seed, what is to be read."""

    def report(self) -> str:
        """How often everything was exercised."""
        figures = self.figures
        hours = figures.totals["simulated seconds"] / 3600
        totals = ", ".join(f"{n} {what}" for what, n in figures.totals.items() if what != "simulated seconds")
        parts = [
            f"{totals}, {hours:.0f} simulated hours",
            "invariants: " + _counts({name: figures.invariants[name] for name in NAMES if name != "no_defect"}),
            "crashes: " + _counts({where: figures.crashes[where] for where in (*BOUNDARIES, "anywhere", "orderly")}),
            "requests: " + _counts({weather.value: figures.weather[weather] for weather in Weather}),
        ]
        return "\n  ".join(["simulation:", *parts])

    def never_exercised(self) -> list[str]:
        figures = self.figures
        return [
            *(name for name in NAMES if not figures.invariants[name]),
            *(f"crash: {where}" for where in BOUNDARIES if not figures.crashes[where]),
            *(f"weather: {weather}" for weather in Weather if not figures.weather[weather]),
        ]


def seeds() -> list[int]:
    """Those that the environment names (``RELAY_SIM_SEED=17``, ``RELAY_SIM_SEEDS=0-199``); else the usual ones."""
    if (one := os.environ.get("RELAY_SIM_SEED")) is not None:
        return [int(one)]
    if (some := os.environ.get("RELAY_SIM_SEEDS")) is not None:
        bounds = re.fullmatch(r"(\d+)-(\d+)", some)
        if bounds is None:
            raise ValueError(f"RELAY_SIM_SEEDS={some!r}: expected for instance 0-199")
        return list(range(int(bounds[1]), int(bounds[2]) + 1))
    return sorted({*range(FIXED), *FOUND, *random.sample(range(10_000, 1_000_000), RANDOM)})


def are_named() -> bool:
    """Whether the environment names seeds, so that they need not exercise everything."""
    return "RELAY_SIM_SEED" in os.environ or "RELAY_SIM_SEEDS" in os.environ


def run_all(chosen: Iterable[int]) -> Run:
    """Every seed, on two cores."""
    run = Run()
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as workers:
        for seed, figures, failure in workers.map(_run_one, chosen, chunksize=4):
            run.figures.add(figures)
            if failure is not None:
                run.failures[seed] = failure
    return run


def run(seed: int) -> World:
    """One seed, here. Raises :class:`Broken`."""

    async def main() -> World:
        world = World(drawn(seed))
        await world.run()
        return world

    late = Chance(seed)
    return simulate(main(), lambda: late.between(0.0, 0.002, "late"))


def first_noticed(mutant: Mutant, chosen: Iterable[int]) -> Broken | None:
    """What is said first of a relay with something wrong."""

    async def main(seed: int) -> None:
        await World(drawn(seed), disk=mutant.disk(), altered=mutant.altered).run()

    with mutant.at_work():
        for seed in chosen:
            try:
                simulate(main(seed))
            except Broken as broken:
                return broken
    return None


def _run_one(seed: int) -> tuple[int, Figures, str | None]:
    try:
        return seed, run(seed).figures, None
    except Broken as broken:
        return seed, Figures(), str(broken)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} {n}" for what, n in counts.items())
