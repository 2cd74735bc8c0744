"""Forgets what is finished, in steps so small that nobody notices.

What is deleted when; a store's ``sweep`` does exactly this. An order is *finished* when it is sent or discarded.

* After ``retention.bodies_days``, what holds personal data: raw webhooks (body, and the headers kept with it) that were
  received so long ago, except the one that an unfinished order's sale is made of; and the sales of orders that have
  been finished for so long. So the raw webhooks that a newer one replaced (superseded, stale), repeated ones and those
  about no order go whatever became of the order.
* After ``retention.finished_days``: events that were received so long ago, except those of an unfinished order that
  carry its newest revision or its newest whole webhook; attempts of finished orders that were made so long ago; orders
  that have been finished for so long and had no event since, with whatever is left of them.
* Never, whatever its age: an order that waits, sleeps, is held or is a dead letter, and what is needed to send it; an
  event from which no order could be read, with its body, until it is understood or somebody discards it; the deeds of
  persons.

An order that was forgotten is unknown: should one of its webhooks come again, it is a new order, and is sent.

Each step is to hold the writer for at most :data:`AIM_S` and is followed by a pause of many times that, so that
housekeeping takes a twentieth of the writer at the most, and less while webhooks wait for their commit. What was freed
inside the file is then returned to the disk, but for :data:`KEPT_BYTES`, which would only be asked for again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relay.clock import Clock
from relay.core import instant
from relay.core.events import Housekept, Observer, StoreTrouble, Unexpected, Warned
from relay.core.instant import Instant
from relay.store import Cutoffs, Store, StoreError, SweepPlace

FIRST_S = 600.0
"""From the start to the first sweep, seconds: whoever restarts has other worries, and a clock that is wrong after
a boot is set right in this time."""
JUMP_S = 60.0
"""By more than this the wall clock and the steady one may not have drifted apart since the last look: what is old is
told by the wall clock, and what is forgotten because it was wrong is gone."""
AGAIN_S = 60.0
"""From a sweep that failed to the next, seconds, or sooner if sweeps are more frequent."""
AIM_S = 0.005
"""How long a step is to hold the writer at the most, seconds."""
KEPT_BYTES = 4 * 1024 * 1024
"""Free space inside the file that is not returned."""
_ROWS = (32, 64, 500)
"""Rows of one step: least, first, most. On a busy machine a step costs some milliseconds however few rows it has (its
statements wait for the interpreter), so fewer would only be more steps; and these, four times a second, still are more
than Jetti's asynchronous pace leaves behind (10 orders a second, four rows each)."""
_RETURNED = (131_072, 524_288, 2_097_152)
"""Bytes returned by one step: least, first, most."""
_RETURN_AIM_S = 0.050
"""Returning is only measured from outside, with its commit and the checkpoint after it: two or three fsyncs."""
_REST = 20.0
"""A pause is so many times what the step took …"""
_PAUSE_S = (0.02, 0.25)
"""… between these, seconds; while the store is busy, the longer one."""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long what is finished is kept, seconds."""

    bodies_s: float
    finished_s: float
    every_s: float
    """From one sweep to the next."""

    def cutoffs(self, now: Instant) -> Cutoffs:
        """What is old enough by now."""
        return Cutoffs(bodies=instant.after(now, -self.bodies_s), finished=instant.after(now, -self.finished_s))


class Housekeeper:
    """Sweeps the store now and then."""

    def __init__(
        self, store: Store, retention: Retention, busy: Callable[[], bool], clock: Clock, observe: Observer
    ) -> None:
        """``busy``: whether webhooks wait for their commit."""
        self._store = store
        self._retention = retention
        self._busy = busy
        self._clock = clock
        self._observe = observe
        self._rows = _ROWS[1]
        self._late = False
        self._returned = _RETURNED[1]
        self._agreed = 0.0

    async def run(self) -> None:
        """Sweep for ever; a store in trouble is left alone for a while."""
        self._agreed = self._offset()
        await self._clock.sleep(FIRST_S)
        while True:
            pause_s = self._retention.every_s
            try:
                if self._agrees():
                    self._observe(await self.sweep())
            except StoreError as error:
                self._observe(StoreTrouble("housekeeping", str(error)))
                pause_s = min(pause_s, AGAIN_S)
            except Exception as error:  # noqa: BLE001 - orders come and go without housekeeping; someone should look
                self._observe(Unexpected("housekeeping", error))
            await self._clock.sleep(pause_s)

    def _offset(self) -> float:
        return self._clock.now() / instant.SECOND - self._clock.monotonic()

    def _agrees(self) -> bool:
        """Whether the wall clock went on as it should since the last look."""
        before, self._agreed = self._agreed, self._offset()
        jumped_s = self._agreed - before
        if abs(jumped_s) <= JUMP_S:
            return True
        said = f"the wall clock was set by {jumped_s:+.0f} s: nothing is forgotten before the next sweep"
        self._observe(Warned(said, "see whether the machine's time is right"))
        return False

    async def sweep(self) -> Housekept:
        """Forget all that is old enough by now, and return the space. Raises :class:`relay.store.StoreError`."""
        started = self._clock.monotonic()
        cutoffs = self._retention.cutoffs(self._clock.now())
        events = bodies = attempts = orders = sales = 0
        held_max_s = 0.0
        place: SweepPlace | None = SweepPlace()
        while place is not None:
            swept = await self._store.sweep(cutoffs, place, limit=self._rows)
            deleted = swept.events + swept.bodies + swept.attempts + swept.orders + swept.sales
            if deleted:  # that it is quick to delete nothing says nothing
                self._adapt(swept.held_s)
            events, bodies, attempts = events + swept.events, bodies + swept.bodies, attempts + swept.attempts
            orders, sales = orders + swept.orders, sales + swept.sales
            held_max_s = max(held_max_s, swept.held_s)
            place = swept.place
            await self._pause(swept.held_s)
        returned = await self._return()
        took_s = self._clock.monotonic() - started
        return Housekept(events, bodies, attempts, orders, sales, returned, held_max_s, took_s)

    def _adapt(self, held_s: float) -> None:
        """One step that took too long says that the machine was busy, two in a row that they are too large."""
        was_late, self._late = self._late, held_s > AIM_S
        if was_late or not self._late:
            self._rows = sized(self._rows, held_s, aim_s=AIM_S, within=_ROWS)

    async def _return(self) -> int:
        """Return what is not used to the disk; how many bytes were."""
        size = await self._store.size()
        surplus = 0 if size is None else size.unused - KEPT_BYTES
        returned = 0
        while returned < surplus:
            before = self._clock.monotonic()
            step = await self._store.shrink(min(self._returned, surplus - returned))
            took_s = self._clock.monotonic() - before
            if not step:
                break
            returned += step
            self._returned = sized(self._returned, took_s, aim_s=_RETURN_AIM_S, within=_RETURNED)
            await self._pause(took_s)
        return returned

    async def _pause(self, held_s: float) -> None:
        least, most = _PAUSE_S
        await self._clock.sleep(most if self._busy() else min(most, max(least, held_s * _REST)))


def sized(size: int, took_s: float, *, aim_s: float, within: tuple[int, int, int]) -> int:
    """The size of the next step: half when the last one took too long, half as much again when far less."""
    least, _, most = within
    if took_s > aim_s:
        return max(least, size // 2)
    return min(most, size + size // 2) if took_s < aim_s / 2 else size
