"""What a seed means: settings, weather, webhooks, persons, crashes."""

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from relay.core.breaker import BreakerPolicy
from relay.core.delivery import HeadStarts
from relay.core.pace import Pace
from relay.core.retry import RetryPolicy
from relay.dispatch import Channel
from tests.simulation.chance import Chance

HOUR_S = 3600.0


class Weather(StrEnum):
    """What an endpoint is like for a while."""

    CALM = "calm"
    STORM = "storm"
    """Its limit is lowered, and it answers 429 (or 503 with Retry-After) beyond it."""
    OUTAGE = "outage"
    """No connection, or 500, or 502, or no answer."""
    FLAPPING = "flapping"
    """An outage every other minute."""
    WRONG = "wrong"
    """The credentials, the address or the certificate are wrong until someone mends them."""
    SLOW = "slow"
    """It works, after many seconds."""
    LOST = "lost"
    """It works, and many of its answers do not arrive; or arrive as a 504."""
    UNKNOWN = "unknown item"
    """Every order is refused, because of an item that is to be acknowledged first."""


class Poison(StrEnum):
    """What is wrong with one order, for ever."""

    REFUSED = "422"
    MISSING = "missing"
    """A permanent problem code, with status 500."""
    FAILS = "500"
    FORBIDDEN = "403"
    """A firewall before Jetti dislikes it."""


@dataclass(frozen=True, slots=True)
class Spell:
    """Weather from one moment to another, seconds from the beginning."""

    weather: Weather
    from_s: float
    until_s: float
    strength: float
    """From 0 to 1: how much of the limit is left, how many answers are lost …"""
    how: str
    """Which kind of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One channel, and what becomes of it."""

    channel: Channel
    timeout_s: float
    spells: tuple[Spell, ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One event, as the shop sends it."""

    at_s: float
    channel: str
    order: str
    kind: str
    """``upsert``, ``cancel`` (whole) or ``deletion`` (only names the order)."""
    version: int | None
    key: str
    content: str
    """Two revisions with the same content make the same sale."""
    old: bool = False
    """Whether the order was made long ago."""
    mappable: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """The store's, for a while."""

    from_s: float
    until_s: float
    stall_s: float
    """How much longer it takes; 0: it fails instead."""


@dataclass(frozen=True, slots=True)
class End:
    """How one life of the relay ends."""

    after_s: float
    """Not before it has lived so long, seconds."""
    boundary: str | None
    """There; ``None``: anywhere."""
    down_s: float
    graceful: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does."""

    at_s: float
    what: str
    """``pause``, ``resume``, ``replay`` or ``discard``."""
    channel: str


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock's."""

    at_s: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One life of a shop."""

    seed: int
    lines: tuple[Line, ...]
    webhooks: tuple[Webhook, ...]
    poison: dict[tuple[str, str], Poison]
    """By channel and external id."""
    troubles: tuple[Trouble, ...]
    ends: tuple[End, ...]
    acts: tuple[Act, ...]
    jumps: tuple[Jump, ...]
    active_s: float
    """After so long everything is mended."""


METHODS = (
    "accept", "take", "settle", "keep", "head", "wake", "sleepers_due", "conditions", "look", "revive",
)  # fmt: skip
BOUNDARIES = (
    *(f"{method} {where}" for method in METHODS for where in ("asked", "done")),
    "send asked", "send begun", "send worked", "send answered",
)  # fmt: skip
"""Where a process can be stopped between two steps: ``asked``, nothing is done yet; ``done``, it is done, and nobody
knows yet. Of a request: not begun; begun; worked and not answered; answered."""

_MAIN_WEATHER = tuple(weather for weather in Weather if weather is not Weather.CALM)
_HOW = {
    Weather.STORM: ("none", "seconds", "date", "503", "long"),
    Weather.OUTAGE: ("connect", "500", "502", "503", "504", "hangs", "mixed"),
    Weather.FLAPPING: ("500", "connect", "mixed"),
    Weather.WRONG: ("401", "403", "404", "405", "302", "tls"),
    Weather.LOST: ("504", "hangs", "late"),
    Weather.UNKNOWN: ("missing", "422"),
}


def drawn(seed: int) -> Scenario:
    """The scenario that a seed means."""
    chance = Chance(seed)
    draw = chance.stream("scenario")
    active_s = draw.uniform(1.0, 4.0) * HOUR_S
    lines = tuple(drawn_line(seed, number, active_s, chance) for number in range(2 if draw.random() < 0.5 else 1))
    webhooks: list[Webhook] = []
    poison: dict[tuple[str, str], Poison] = {}
    for line in lines:
        _orders(line, active_s, chance, webhooks, poison)
    webhooks.sort(key=lambda webhook: webhook.at_s)
    return Scenario(
        seed=seed,
        lines=lines,
        webhooks=tuple(webhooks),
        poison=poison,
        troubles=drawn_troubles(chance.stream("store"), active_s),
        ends=drawn_ends(seed, chance.stream("ends"), webhooks, BOUNDARIES),
        acts=drawn_acts(chance.stream("persons"), lines, active_s),
        jumps=_jumps(chance.stream("clock"), active_s),
        active_s=active_s,
    )


def drawn_line(seed: int, number: int, active_s: float, chance: Chance) -> Line:
    draw = chance.stream("line", number)
    policy = BreakerPolicy(
        failures=draw.randint(2, 6),
        refusals=draw.randint(3, 8),
        probe_s=draw.choice([0.5, 1.0, 5.0]),
        probe_cap_s=draw.choice([10.0, 60.0]),
        halt_probe_s=draw.choice([1.0, 10.0]),
        halt_probe_cap_s=draw.choice([30.0, 120.0]),
    )
    channel = Channel(
        name=("main", "other", "third")[number],
        pace=Pace(
            draw.choice([1.0, 2.5, 10.0, 50.0]) * draw.uniform(0.9, 1.1), 1.0, draw.choice([1, 1, 1, 2, 3]),
            draw.choice([0.05, 0.1, 0.3]),
        ),
        retry=RetryPolicy(draw.choice([0.5, 1.0]), 2.0, draw.choice([60.0, 120.0]), draw.choice([0.5, 1.0]) * HOUR_S),
        breaker=policy,
        head_starts=draw.choice([HeadStarts(), *(HeadStarts(s, 0.0, -s) for s in (600.0, 60.0, 1.0))]),
        in_flight_max=draw.choice([1, 2, 8, 32]),
        window=draw.choice([2, 4, 16, 1024]),
    )  # fmt: skip
    spells = []
    at_s = draw.uniform(0.0, 0.2) * active_s
    weather = _MAIN_WEATHER[(seed + 3 * number) % len(_MAIN_WEATHER)]
    while at_s < active_s:
        until_s = min(active_s, at_s + draw.choice([60.0, 600.0, 2400.0, 7200.0]) * draw.uniform(0.5, 1.5))
        how = draw.choice(_HOW.get(weather, ("",)))
        spells.append(Spell(weather, at_s, until_s, draw.random(), how))
        at_s = until_s + draw.choice([0.0, 120.0, 1800.0]) * draw.uniform(0.0, 2.0)
        weather = draw.choice(_MAIN_WEATHER)
    return Line(channel, draw.choice([5.0, 12.0, 35.0]), tuple(spells))


def _orders(
    line: Line, active_s: float, chance: Chance, webhooks: list[Webhook], poison: dict[tuple[str, str], Poison]
) -> None:
    """Bursts of new orders, a trickle between them, what follows each of them, and old orders' updates."""
    name = line.channel.name
    draw = chance.stream("orders", name)
    times = [draw.uniform(0.0, active_s) for _ in range(draw.randint(5, 30))]
    for _ in range(draw.randint(1, 3)):
        burst_at_s, took_s = draw.uniform(0.0, 0.9) * active_s, draw.choice([0.0, 1.0, 30.0])
        times += [burst_at_s + draw.uniform(0.0, took_s) for _ in range(draw.randint(5, 30))]
    poisons = 0
    for number, at_s in enumerate(sorted(times), 1):
        order = f"{name[0]}{number}"
        webhooks += _webhooks_of(name, order, at_s, active_s, draw)
        if draw.random() < 0.03 and poisons < min(2, line.channel.breaker.failures - 1):
            poisons += 1
            which = draw.choice(list(Poison))
            # Only one that is refused as by a wrong channel: two of them in a row are as good as a wrong channel.
            poison[name, order] = Poison.FAILS if which in poison.values() and which is Poison.FORBIDDEN else which


def _webhooks_of(channel: str, order: str, at_s: float, active_s: float, draw: Random) -> list[Webhook]:
    old = draw.random() < 0.2
    events = 1 + (draw.choice([0, 0, 1, 1, 2, 4]) if draw.random() < 0.6 else 0)
    versioned = draw.random() < 0.9
    version, sent = 1000, list[Webhook]()
    for n in range(events):
        version += draw.choice([0, 1, 1, 1, 60]) if n else 0
        kind = "upsert"
        if n and draw.random() < 0.08:
            kind = draw.choice(["cancel", "deletion"])
        sent.append(
            Webhook(
                at_s=at_s, channel=channel, order=order, kind=kind, version=version if versioned else None,
                key=f"{order}-{n}", content=draw.choice("AB") if draw.random() < 0.7 else f"v{n}", old=old,
                mappable=draw.random() > 0.02,
            )
        )  # fmt: skip
        at_s = min(active_s, at_s + draw.choice([0.0, 0.01, 1.0, 60.0, 1800.0]) * draw.random())
    if len(sent) > 1 and draw.random() < 0.3:  # storefronts guarantee no order
        times = [webhook.at_s for webhook in sent]
        draw.shuffle(sent)
        sent = [replace(webhook, at_s=time_s) for webhook, time_s in zip(sent, times, strict=True)]
    repeated = [
        replace(webhook, at_s=webhook.at_s + draw.choice([0.0, 5.0, 900.0])) for webhook in sent if draw.random() < 0.1
    ]
    return [*sent, *repeated]


def drawn_troubles(draw: Random, active_s: float) -> tuple[Trouble, ...]:
    troubles = []
    for _ in range(draw.choice([0, 0, 1, 2, 4])):
        from_s = draw.uniform(0.0, active_s)
        troubles.append(Trouble(from_s, from_s + draw.choice([0.5, 10.0, 120.0]), draw.choice([0.0, 0.0, 0.3, 3.0])))
    return tuple(troubles)


def drawn_ends(seed: int, draw: Random, webhooks: list[Webhook], boundaries: tuple[str, ...]) -> tuple[End, ...]:
    if draw.random() < 0.15:
        return _quick_ends(draw, webhooks)
    ends = []
    for life in range(draw.choice([0, 1, 2, 4, 8])):
        boundary = boundaries[(5 * seed + life) % len(boundaries)] if draw.random() < 0.75 else None
        graceful = boundary is None and draw.random() < 0.4
        after_s = draw.choice([0.0, 0.05, 5.0, 300.0, 1500.0]) * draw.random()
        if boundary is not None and boundary.startswith("conditions"):
            after_s = 0.0  # they are asked for once, at the beginning
        ends.append(End(after_s, boundary, draw.choice([0.0, 0.5, 30.0, 300.0]) * draw.random(), graceful))
    return tuple(ends)


def _quick_ends(draw: Random, webhooks: list[Webhook]) -> tuple[End, ...]:
    """One restart right after the other, whenever the first request has begun; from the middle of some burst on."""
    boundary = draw.choice(["send begun", "send worked", "send answered", "settle done"])
    after_s = draw.choice(webhooks).at_s
    return tuple(End(after_s if life == 0 else 0.0, boundary, 0.0) for life in range(draw.randint(5, 15)))


def drawn_acts(draw: Random, lines: tuple[Line, ...], active_s: float) -> tuple[Act, ...]:
    acts = []
    for _ in range(draw.choice([0, 1, 2, 4])):
        channel = draw.choice(lines).channel.name
        at_s, what = draw.uniform(0.0, active_s), draw.choice(["pause", "pause", "resume", "replay", "discard"])
        acts.append(Act(at_s, what, channel))
        if what == "pause":
            acts.append(Act(at_s + draw.choice([1.0, 60.0, 3600.0]) * draw.random(), "resume", channel))
    return tuple(sorted(acts, key=lambda act: act.at_s))


def _jumps(draw: Random, active_s: float) -> tuple[Jump, ...]:
    if draw.random() < 0.8:
        return ()
    return tuple(
        Jump(at_s, draw.choice([1.0, 30.0, 3600.0, 86_400.0, -30.0, -3600.0]))
        for at_s in sorted(draw.uniform(0.0, active_s) for _ in range(draw.randint(1, 3)))
    )
