"""What a channel may do at present, and what each outcome means for it: tempo, circuit, pause, stopwatch.

The rules are values of :mod:`relay.core`; here they are told the time, kept in the store, and asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import assert_never

from relay.clock import Clock
from relay.core import instant
from relay.core.breaker import Breaker, Circuit
from relay.core.condition import Condition, Pause
from relay.core.delivery import ChannelNow
from relay.core.events import (
    ChannelThrottled,
    CircuitMoved,
    Observer,
    PersonActed,
    ProbeFailed,
    StoreTrouble,
    Warned,
)
from relay.core.instant import Instant
from relay.core.outcome import (
    CannotMap,
    ChannelWrong,
    Failed,
    NotWanted,
    Outcome,
    Refused,
    Sent,
    Throttled,
    Trouble,
    Unchanged,
    pause_s,
    troubled,
)
from relay.core.suspects import Suspects
from relay.dispatch.channel import Channel
from relay.store import Deed, Revival, Revived, Store, StoreError

_KEEP_S = 30.0
"""How often the stopwatch is kept."""
_TICK_MAX_S = 2 * _KEEP_S
"""No more than this is added to the stopwatch at once: a process that stood still (SIGSTOP) did not try anything."""
_STORE_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What an attempt came to, knowing the channel."""

    outcome: Outcome
    channel: ChannelNow


class Governor:
    """Governs one channel's sending."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        clock: Clock,
        observe: Observer,
        read_secrets: Callable[[], Awaitable[None]],
        offer: Callable[[Revived], None],
        wake: Callable[[Instant], None],
    ) -> None:
        """``offer`` takes an order that waits again; ``wake`` lets those wait that sleep until then at the longest."""
        self._channel = channel
        self._store = store
        self._clock = clock
        self._observe = observe
        self._read_secrets = read_secrets
        self._offer = offer
        self._wake = wake
        self._condition = Condition()
        self._suspects = Suspects()
        self._begun = 0
        self._moved_at = 0  # number of the newest request when the circuit moved last
        self._probing = False
        self._ticked_at = clock.monotonic()
        self._rest_left_s = 0.0
        self._loaded = asyncio.Event()
        self._changed = asyncio.Event()
        self._unkept = asyncio.Event()
        self.trouble: Trouble | None = None
        """What the latest attempts came to, if they did not get through; ``None`` when the last one did."""

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def condition(self) -> Condition:
        """As of now."""
        self._tick()
        return self._condition

    @property
    def share(self) -> float:
        """Of the ceiling that may be used."""
        return self._condition.tempo.share

    @property
    def resting_s(self) -> float:
        """For how many more seconds nothing is sent because of a throttle."""
        return self._condition.tempo.resting_s(self._clock.now())

    @property
    def probe_in_s(self) -> float | None:
        """Seconds until the next probe; ``None`` while the circuit is closed."""
        breaker = self._condition.breaker
        return breaker.probe_in_s(self._clock.now()) if breaker.stands else None

    # -- may it send? ----------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Return when a request, or a probe, may be sent."""
        while True:
            self._changed.clear()
            wait_s = self._wait_s()
            if wait_s == 0:
                if self._condition.breaker.circuit is Circuit.HALTED:
                    await self._read_secrets_again()
                return
            if wait_s is None:
                await self._changed.wait()
            else:
                await self._clock.until(self._changed, wait_s)

    def _wait_s(self) -> float | None:
        """Seconds until something may be sent; ``None``: not before something happens."""
        if self._condition.pause is not None:
            return None
        if (resting_s := self.resting_s) > 0:
            return resting_s
        if not self._condition.breaker.stands:
            return 0
        return None if self._probing else self.probe_in_s

    def choose(self) -> bool | None:
        """A delivery is about to be chosen: whether it is a probe; ``None``: nothing may be sent any more."""
        if self._wait_s() != 0:
            return None
        self._probing = self._condition.breaker.stands
        return self._probing

    def unchosen(self, probe: bool) -> None:
        """A delivery that was chosen is done with, whatever came of it."""
        if probe:
            self._probing = False
            self._changed.set()

    def begin(self, probe: bool) -> int | None:
        """A request is about to be sent: its number; ``None`` if it may not be sent any more."""
        stands = self._condition.breaker.stands and not probe
        if self._condition.pause is not None or stands or self.resting_s > 0:
            return None
        self._begun += 1
        return self._begun

    # -- what came of it -------------------------------------------------------------------------------------------

    def judge(self, order_id: int, number: int, outcome: Outcome, *, probe: bool) -> Judged:
        """What request ``number`` means for its order and for the channel."""
        now = self._clock.now()
        self._tick()
        self.trouble = troubled(self.trouble, outcome, now=now)
        own_fault = self._suspect(order_id, number, outcome)
        if own_fault and isinstance(outcome, ChannelWrong) and not self._condition.breaker.stands:
            # The channel takes others: it is the order, and its attempts count, so that it cannot stop the channel
            # again and again.
            outcome = Failed(outcome.cause)
        self._set_tempo(outcome, number, now)
        if number <= self._moved_at and not isinstance(outcome, Sent):
            # Begun before the circuit moved, it says nothing of how the channel is now; nor of the order.
            return Judged(_parked(outcome), self._condition.around(self._park_s(now)))
        before = self._condition.breaker
        if before.stands and probe:
            breaker = before.probed(outcome, now=now, policy=self._channel.breaker)
        elif before.stands:
            breaker = before
        else:
            breaker = before.after(
                outcome, order_id=order_id, own_fault=own_fault, now=now, policy=self._channel.breaker
            )
        self._set_breaker(breaker)
        if not breaker.stands:
            return Judged(outcome, self._condition.around())
        return Judged(_parked(outcome), self._condition.around(self._park_s(now)))

    def _suspect(self, order_id: int, number: int, outcome: Outcome) -> bool:
        """Whether the order is refused by its own fault."""
        match outcome:
            case Sent():
                self._suspects.took(order_id, number)
            case Refused() | ChannelWrong():
                return self._suspects.refused(order_id, self._begun)
            case Unchanged() | CannotMap() | NotWanted() | Throttled() | Failed():
                pass
            case _:
                assert_never(outcome)
        return False

    def _set_tempo(self, outcome: Outcome, number: int, now: Instant) -> None:
        tempo = self._condition.tempo
        match outcome:
            case Sent():
                self._condition = replace(
                    self._condition, tempo=tempo.took(number=number), worked_us=self._condition.running_us
                )
            case Throttled(_, cause):
                seconds = pause_s(outcome)
                slower = tempo.throttled(
                    seconds, cause, number=number, newest=self._begun, now=now, floor=self._channel.pace.floor
                )
                self._set(replace(self._condition, tempo=slower))
                if number > tempo.cut_at:
                    self._observe(
                        ChannelThrottled(self._channel.name, seconds, cause, self.share * self._channel.ceiling)
                    )
            case _:
                pass

    def _park_s(self, now: Instant) -> float:
        """For how long an order sleeps that met a channel which stands, or stood, still."""
        breaker = self._condition.breaker
        return breaker.probe_in_s(now) if breaker.stands else self._channel.retry.base_s

    def _set_breaker(self, breaker: Breaker) -> None:
        before = self._condition.breaker
        if breaker == before:
            return
        self._set(replace(self._condition, breaker=breaker))
        name = self._channel.name
        if breaker.circuit is not before.circuit:
            self._moved_at = self._begun
            self._observe(CircuitMoved(name, before.circuit, breaker.circuit, breaker.cause))
            if not breaker.stands:
                self._wake_parked(before)
        elif breaker.probes > before.probes and self.trouble is not None:
            next_s = breaker.probe_in_s(self._clock.now())
            self._observe(ProbeFailed(name, breaker.circuit, self.trouble.cause, next_s))

    def _wake_parked(self, before: Breaker) -> None:
        """What is parked sleeps until the next probe would have been due; it need not."""
        if before.probe_at is not None:
            self._wake(before.probe_at)

    # -- what persons say ------------------------------------------------------------------------------------------

    async def pause(self, by: str, why: str) -> None:
        """Send nothing until someone resumes; durable when this returns. Raises :class:`StoreError`."""
        await self._loaded.wait()
        now = self._clock.now()
        await self._do(replace(self.condition, pause=Pause(by, why, now)), "pause", by, why)

    async def resume(self, by: str, why: str) -> None:
        """Go on: ends a pause, a rest, an open circuit and a halt, after reading the channel's secrets again.

        Raises :class:`ValueError` saying what is wrong with the secrets (then nothing is changed), or
        :class:`StoreError`.
        """
        await self._loaded.wait()
        await self._read_secrets()
        await self._revive(self._condition.breaker)
        condition = self.condition  # only now: while we waited, attempts went on
        before = condition.breaker
        breaker = before.resumed(now=self._clock.now())
        self._moved_at = self._begun
        await self._do(
            replace(condition, pause=None, tempo=condition.tempo.rested(), breaker=breaker), "resume", by, why
        )
        if before.stands:
            self._observe(CircuitMoved(self._channel.name, before.circuit, breaker.circuit, None))
            self._wake_parked(before)

    async def _do(self, condition: Condition, what: str, by: str, why: str) -> None:
        about = f"channel {self._channel.name}"
        before = self._condition
        self._set(condition)
        try:
            await self._store.keep(self._channel.name, condition, Deed(self._clock.now(), by, what, about, why))
        except StoreError:
            self._set(replace(self._condition, pause=before.pause))
            raise
        self._observe(PersonActed(by, what, about, why))

    # -- keeping it ------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Go on as the process before this one left it. Raises :class:`StoreError`."""
        kept = (await self._store.conditions()).get(self._channel.name, Condition()).restarted()
        await self._revive(kept.breaker)
        self._ticked_at = self._clock.monotonic()
        self._condition = kept
        self._rest_left_s = self.resting_s
        self._loaded.set()

    async def run(self) -> None:
        """Keep the condition whenever it changes, and the stopwatch now and then, until cancelled."""
        kept, begun = self._condition, self._begun
        while True:
            await self._clock.until(self._unkept, _KEEP_S)
            self._unkept.clear()
            condition = self.condition
            if begun == self._begun and condition == replace(kept, running_us=condition.running_us):
                continue  # nothing happened but time
            try:
                await self._store.keep(self._channel.name, condition)
                kept, begun = condition, self._begun
                await self._revive(condition.breaker)
            except StoreError as error:
                self._observe(StoreTrouble("keeping a channel's condition", str(error)))
                await self._clock.sleep(_STORE_PAUSE_S)
                self._unkept.set()

    async def _revive(self, breaker: Breaker) -> None:
        """The orders that were refused before it was known that the channel is wrong are no dead letters."""
        if not breaker.halted_by_refusals or not breaker.refused:
            return
        revival = Revival(
            breaker.refused,
            self._clock.now(),
            {self._channel.name: self._channel.head_starts},
            lane=None,
            code=breaker.refusal,
        )
        for revived in await self._store.revive(revival):
            self._offer(revived)

    def _set(self, condition: Condition) -> None:
        self._tick()
        self._condition = replace(condition, running_us=self._condition.running_us)
        self._rest_left_s = self.resting_s
        self._unkept.set()
        self._changed.set()

    def _tick(self) -> None:
        """Advance the stopwatch to now."""
        at = self._clock.monotonic()
        passed_s, self._ticked_at = at - self._ticked_at, at
        ran_s = max(0.0, passed_s - self._rest_left_s)
        self._rest_left_s = max(0.0, self._rest_left_s - passed_s)
        condition = self._condition
        if ran_s <= 0 or condition.pause is not None or condition.breaker.stands:
            return
        ran_us = round(min(ran_s, _TICK_MAX_S) * instant.SECOND)
        self._condition = replace(condition, running_us=condition.running_us + ran_us)

    async def _read_secrets_again(self) -> None:
        """Before a probe: perhaps someone mended them."""
        try:
            await self._read_secrets()
        except ValueError as error:
            self._observe(Warned(f"the secrets of channel {self._channel.name} cannot be read again", str(error)))


def _parked(outcome: Outcome) -> Outcome:
    """The outcome as it is for an order that loses nothing by it. (What was refused may have left a trace at Jetti, as
    what failed may have, and unlike what was sent to a wrong channel.)"""
    return Failed(outcome.cause) if isinstance(outcome, Refused) else outcome
