"""Runs scenarios, and says what they have exercised."""

import os
import random
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.simulated import simulate
from tests.simulation.chance import Chance
from tests.simulation.invariants import NAMES, THIN_NAMES
from tests.simulation.mutants import Mutant
from tests.simulation.scenario import BOUNDARIES, Weather, drawn
from tests.simulation.seeds import FOUND
from tests.simulation.storefront import drawn_thin
from tests.simulation.thin import ThinWorld
from tests.simulation.watch import Broken
from tests.simulation.world import Figures, World

FIXED = 80
"""So many are always run, from 0 on."""
RANDOM = 6
"""So many more are drawn anew each time."""
FIXED_THIN, RANDOM_THIN = 48, 4
"""The same, of orders that are fetched, and cancelled."""
_THIN_EXERCISED = tuple(
    f"{what} {where}" for what in ("fetch", "look-up", "cancel") for where in ("asked", "begun", "answered")
)
"""Where it must have been stopped at least once."""


@dataclass(slots=True)
class Run:
    """What came of many seeds."""

    world: str = "whole"
    """``whole``: orders that come whole; ``thin``: orders that are fetched, and cancelled."""
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
            "invariants: " + _counts({name: figures.invariants[name] for name in self._names if name != "no_defect"}),
            "crashes: "
            + _counts({where: figures.crashes[where] for where in (*self._boundaries, "anywhere", "orderly")}),
            "requests: " + _counts({weather.value: figures.weather[weather] for weather in Weather}),
        ]
        return "\n  ".join(["simulation:", *parts])

    def never_exercised(self) -> list[str]:
        figures = self.figures
        return [
            *(name for name in self._names if not figures.invariants[name]),
            *(f"crash: {where}" for where in self._boundaries if not figures.crashes[where]),
            *(f"weather: {weather}" for weather in self._weather if not figures.weather[weather]),
        ]

    @property
    def _names(self) -> tuple[str, ...]:
        return THIN_NAMES if self.world == "thin" else NAMES

    @property
    def _boundaries(self) -> tuple[str, ...]:
        return _THIN_EXERCISED if self.world == "thin" else BOUNDARIES

    @property
    def _weather(self) -> list[Weather]:
        return [weather for weather in Weather if self.world != "thin" or weather is not Weather.UNKNOWN]


def seeds(fixed: int = FIXED, drawn_anew: int = RANDOM, found: Iterable[int] = FOUND) -> list[int]:
    """Those that the environment names (``RELAY_SIM_SEED=17``, ``RELAY_SIM_SEEDS=0-199``); else the usual ones."""
    if (one := os.environ.get("RELAY_SIM_SEED")) is not None:
        return [int(one)]
    if (some := os.environ.get("RELAY_SIM_SEEDS")) is not None:
        bounds = re.fullmatch(r"(\d+)-(\d+)", some)
        if bounds is None:
            raise ValueError(f"RELAY_SIM_SEEDS={some!r}: expected for instance 0-199")
        return list(range(int(bounds[1]), int(bounds[2]) + 1))
    return sorted({*range(fixed), *found, *random.sample(range(10_000, 1_000_000), drawn_anew)})


def are_named() -> bool:
    """Whether the environment names seeds, so that they need not exercise everything."""
    return "RELAY_SIM_SEED" in os.environ or "RELAY_SIM_SEEDS" in os.environ


def run_all(chosen: Iterable[int], world: str = "whole") -> Run:
    """Every seed, on two cores."""
    run = Run(world)
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as workers:
        for seed, figures, failure in workers.map(partial(_run_one, world), chosen, chunksize=4):
            run.figures.add(figures)
            if failure is not None:
                run.failures[seed] = failure
    return run


def run(seed: int) -> World:
    """One seed, here. Raises :class:`Broken`."""

    return _ran(seed, lambda: World(drawn(seed)))


def run_thin(seed: int) -> World:
    """The same, for orders that are fetched, and cancelled."""
    return _ran(seed, lambda: ThinWorld(drawn_thin(seed)))


def _ran(seed: int, made: Callable[[], World]) -> World:
    async def main() -> World:
        world = made()
        await world.run()
        return world

    late = Chance(seed)
    return simulate(main(), lambda: late.between(0.0, 0.002, "late"))


def first_noticed(mutant: Mutant, chosen: Iterable[int]) -> Broken | None:
    """What is said first of a relay with something wrong."""

    async def main(seed: int) -> None:
        disk, altered = mutant.disk(), mutant.altered
        world = ThinWorld(drawn_thin(seed), disk, altered) if mutant.thin else World(drawn(seed), disk, altered)
        await world.run()

    with mutant.at_work():
        for seed in chosen:
            try:
                simulate(main(seed))
            except Broken as broken:
                return broken
    return None


def _run_one(world: str, seed: int) -> tuple[int, Figures, str | None]:
    try:
        return seed, (run_thin if world == "thin" else run)(seed).figures, None
    except Broken as broken:
        return seed, Figures(), str(broken)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} {n}" for what, n in counts.items())
