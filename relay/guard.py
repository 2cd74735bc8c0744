"""Refuses new events before there is no room for them, and lets them in again by itself.

Once a second it measures how much of the disk is free and how much waits for each channel; the accept path asks only
what came of it, :meth:`Guard.refusal`, which is a look into a dictionary. The commit queue is not guarded here: it
fills and empties within milliseconds, so it is asked at every request (:mod:`relay.ingest`, and the store itself);
here it is only watched, so that a person sees it.

A measurement that fails refuses nobody, and is tried again. What is accepted already can always be delivered: nothing
of delivering, and nothing that a person does, is ever refused by this.

For ``/api/status``: :attr:`Guard.pressures` is a list of :class:`Felt`, one for each limit (``queue``, ``disk``, and
``backlog`` with its ``channel``): ``level`` from 0 to 1, ``words``, and which storefronts are ``refused``.
:meth:`Guard.all_refused` says why, when nobody is let in: that is a reason not to be ready.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from relay.clock import Clock
from relay.core.delivery import State
from relay.core.events import DoorMoved, Happening, Observer, RequestRefused, StoreTrouble, Unexpected
from relay.core.pressure import (
    REFUSALS,
    Limit,
    Pressure,
    Refusal,
    concerning,
    of_backlog,
    of_disk,
    of_queue,
    refusing,
)
from relay.store import Store, StoreError

T = TypeVar("T")

EVERY_S = 1.0
"""From one measurement to the next. At most a second's webhooks come in beyond a limit."""
_QUIET = 5
"""The commit queue counts as free again after so many measurements without a refusal."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the guard knows of a storefront."""

    channel: str
    refuse_at: float
    """The share of each limit from which it is refused."""
    onward: str | None = None
    """The channel that its orders go on to from there: those that are fetched are delivered after."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Where its orders wait."""
        return (self.channel,) if self.onward is None else (self.channel, self.onward)


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be used."""

    backlog_max: Mapping[str, int]
    """Orders that may wait, by channel."""
    disk_free_min_bytes: int
    """What is to stay free; 0: the disk is not watched."""


@dataclass(frozen=True, slots=True)
class Felt:
    """How near a limit is, and who is refused for it."""

    pressure: Pressure
    refused: tuple[str, ...]


class Guard:
    """Measures, decides who is refused, and tells when that changes."""

    def __init__(
        self,
        gates: Mapping[str, Gate],
        room: Room,
        store: Store,
        queue: Callable[[], float],
        clock: Clock,
        observe: Observer,
    ) -> None:
        """``queue``: how much of the commit queue is in use, 0 to 1."""
        self._gates = gates
        self._room = room
        self._store = store
        self._queue = queue
        self._clock = clock
        self._observe = observe
        self._measured: list[Pressure] = []
        self._closed: dict[str, frozenset[Limit]] = {}
        self._refusals: dict[str, Refusal] = {}
        self._busy: dict[str, int] = {}
        self._told: dict[Limit, tuple[str, ...]] = {}
        self._troubles: dict[str, str] = {}

    def refusal(self, storefront: str) -> Refusal | None:
        """Why this storefront's events are not taken at present; ``None`` when they are."""
        return self._refusals.get(storefront)

    @property
    def pressures(self) -> Sequence[Felt]:
        """How near every limit is, and who is refused for it."""
        queue = of_queue(self._queue())
        return [Felt(pressure, self._refused_for(pressure)) for pressure in (queue, *self._measured)]

    def all_refused(self) -> str | None:
        """Why no storefront's events are taken at present; ``None`` when some are."""
        if not self._gates or self._refusals.keys() != self._gates.keys():
            return None
        return "; ".join(pressure.words for pressure in self._measured if self._refused_for(pressure))

    def __call__(self, happening: Happening) -> None:
        """An observer: sees whom the commit queue refused."""
        if type(happening) is RequestRefused and happening.type == "busy" and happening.storefront in self._gates:
            self._busy[happening.storefront] = _QUIET

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            await self.measure()
            await self._clock.sleep(EVERY_S)

    async def measure(self) -> None:
        """Measure once, decide, and tell what changed."""
        self._measured = [*await self._disk(), *await self._backlogs()]
        for storefront, gate in self._gates.items():
            felt = concerning(gate.channels, self._measured)
            closing = refusing(felt, gate.refuse_at, already=self._closed.get(storefront, frozenset()))
            self._closed[storefront] = frozenset(pressure.limit for pressure in closing)
            if closing:
                self._refusals[storefront] = REFUSALS[closing[0].limit]
            else:
                self._refusals.pop(storefront, None)
        self._tell()
        self._busy = {storefront: left - 1 for storefront, left in self._busy.items() if left > 1}

    async def _disk(self) -> list[Pressure]:
        if not self._room.disk_free_min_bytes:
            return []
        size, complaint = await self._asked("measuring the disk", self._store.size())
        if complaint:
            return [Pressure(Limit.DISK, 0.0, complaint)]
        return [] if size is None else [of_disk(size.disk_free, self._room.disk_free_min_bytes)]

    async def _backlogs(self) -> list[Pressure]:
        tally, complaint = await self._asked("counting what waits", self._store.tally())
        if tally is None:
            return [Pressure(Limit.BACKLOG, 0.0, complaint)]
        waiting = dict.fromkeys(self._room.backlog_max, 0)
        for (channel, state, _), orders in tally.items():
            if channel in waiting and state in (State.WAITING, State.SLEEPING):
                waiting[channel] += orders
        return [of_backlog(name, orders, self._room.backlog_max[name]) for name, orders in waiting.items()]

    async def _asked(self, what: str, answer: Awaitable[T]) -> tuple[T | None, str]:
        """The answer, or in what words there is none. A trouble that lasts is told once."""
        try:
            found = await answer
        except Exception as raised:  # noqa: BLE001 - whatever it was, nobody is refused for it, and it is tried again
            error = raised
        else:
            self._troubles.pop(what, None)
            return found, ""
        complaint = f"{what} failed: {type(error).__name__}: {error}"
        if self._troubles.get(what) != complaint:
            expected = isinstance(error, StoreError | OSError)
            self._observe(StoreTrouble(what, str(error)) if expected else Unexpected("guard", error))
        self._troubles[what] = complaint
        return None, complaint

    def _tell(self) -> None:
        for limit in Limit:
            before = self._told.get(limit, ())
            after = tuple(sorted(self._refused_by(limit)))
            if after != before:
                self._told[limit] = after
                self._observe(DoorMoved(limit.value, after, self._words(limit, {*before, *after})))

    def _words(self, limit: Limit, storefronts: set[str]) -> str:
        """Of what these storefronts feel of a limit."""
        channels = {channel for storefront in storefronts for channel in self._gates[storefront].channels}
        felt = [felt.pressure for felt in self.pressures if felt.pressure.limit is limit]
        return "; ".join(pressure.words for pressure in felt if pressure.channel in (None, *channels))

    def _refused_by(self, limit: Limit) -> Iterator[str]:
        if limit is Limit.QUEUE:
            yield from self._busy
        else:
            yield from (storefront for storefront, limits in self._closed.items() if limit in limits)

    def _refused_for(self, pressure: Pressure) -> tuple[str, ...]:
        refused = set(self._refused_by(pressure.limit))
        if pressure.channel is not None:  # of two backlogs that a storefront feels, one may be far from its limit
            gates = {storefront: self._gates[storefront] for storefront in refused}
            refused = {
                storefront
                for storefront, gate in gates.items()
                if pressure.channel in gate.channels and pressure.refuses(gate.refuse_at, already=True)
            }
        return tuple(sorted(refused))
