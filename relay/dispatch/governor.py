"""What a channel may do at present, and what each outcome means for it: tempo, circuit, pause, stopwatch.

The rules are values of :mod:`relay.core`; here they are told the time, kept in the store, and asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Set
from dataclasses import dataclass, replace
from typing import assert_never

from relay.clock import Clock
from relay.core import instant
from relay.core.breaker import Breaker, Circuit
from relay.core.condition import RATE_MIN, Condition, Pause, RateForNow
from relay.core.delivery import ChannelNow, Lane
from relay.core.events import (
    ChannelThrottled,
    CircuitMoved,
    Doing,
    Observer,
    PersonActed,
    ProbeFailed,
    StoreTrouble,
    Warned,
)
from relay.core.instant import Instant
from relay.core.order import Order
from relay.core.outcome import (
    Cancelled,
    CannotMap,
    ChannelWrong,
    Failed,
    Ignored,
    NotWanted,
    NotYet,
    Obtained,
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
_MANY = 3
"""Different orders that met a halted channel: fewer may have been refused for what they say."""


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
        self._refused, self._wrong, self._throttled = Suspects(), Suspects(), Suspects()
        self._begun = 0
        self._moved_at = 0  # number of the newest request when the circuit moved last
        self._probing = False
        self._owed = Breaker()  # whose refused orders may not all have been revived yet
        self._wronged: set[int] = set()  # that were refused as by a wrong channel since it stands
        self._tried: set[int] = set()  # that met the channel since it stands, or were throttled since one was taken
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
        return self._condition.without_what_is_over(self._clock.now())

    def share(self) -> float:
        """Of the ceiling that may be used at present."""
        return self._condition.share(self._channel.ceiling, self._clock.now())

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
        if not self._condition.breaker.stands:
            return False
        self._probing = True
        return True

    @property
    def tried(self) -> Set[int]:
        """Orders that met the channel since it stands, or were throttled since one was taken: others are tried before
        them, whatever their urgency, so that none that cannot be taken is every probe."""
        return self._tried

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

    def judge(self, order: Order, number: int, outcome: Outcome, *, probe: bool) -> Judged:
        """What request ``number`` means for its order and for the channel."""
        now = self._clock.now()
        self._tick()
        self.trouble = troubled(self.trouble, outcome, now=now)
        own_fault = self._suspect(order, number, outcome)
        breaker = self._condition.breaker
        if own_fault and isinstance(outcome, ChannelWrong) and not breaker.stands:
            # The channel takes others: it is the order, and its attempts count, so that it cannot stop the channel
            # again and again.
            outcome = Failed(outcome.cause)
        if not (own_fault and isinstance(outcome, Throttled)):
            self._set_tempo(outcome, number, now)
        if number <= self._moved_at and not isinstance(outcome, Sent | Obtained | Cancelled):
            # Begun before the circuit moved, it says nothing of how the channel is now; nor of the order.
            self._note_tried(order.id, outcome)
            return Judged(_parked(outcome), self._condition.around(self._park_s(now)))
        self._set_breaker(self._after(outcome, order.id, own_fault=own_fault, probe=probe, now=now))
        self._note_tried(order.id, outcome)
        if self._condition.breaker.stands:
            return Judged(_parked(outcome), self._condition.around(self._park_s(now)))
        if own_fault and isinstance(outcome, Throttled):
            return Judged(outcome, self._condition.around(pause_s(outcome)))
        return Judged(outcome, self._condition.around())

    def _note_tried(self, order_id: int, outcome: Outcome) -> None:
        stands = self._condition.breaker.stands
        if isinstance(outcome, Sent | Obtained | Cancelled):
            if not stands:
                self._tried.clear()
        elif stands or isinstance(outcome, Throttled):
            self._tried.add(order_id)
        if stands and isinstance(outcome, ChannelWrong):
            self._wronged.add(order_id)

    def _after(self, outcome: Outcome, order_id: int, *, own_fault: bool, probe: bool, now: Instant) -> Breaker:
        breaker, policy = self._condition.breaker, self._channel.breaker
        if not breaker.stands:
            return breaker.after(outcome, order_id=order_id, own_fault=own_fault, now=now, policy=policy)
        return breaker.probed(outcome, now=now, policy=policy) if probe else breaker

    def _suspect(self, order: Order, number: int, outcome: Outcome) -> bool:
        """Whether it is the order's own fault, as far as other orders tell."""
        match outcome:
            case Sent() | Obtained() | Cancelled():
                for suspects in (self._refused, self._wrong, self._throttled):
                    suspects.took(order.id, number)
            case Refused():
                # What was a dead letter before, and is replayed, says nothing of the channel.
                return self._refused.refused(order.id, self._begun) or order.lane is Lane.REPLAY
            case ChannelWrong():
                return self._wrong.refused(order.id, self._begun)
            case Throttled():
                return self._throttled.refused(order.id, self._begun)
            case Unchanged() | CannotMap() | NotWanted() | Ignored() | Failed() | NotYet():
                pass
            case _:
                assert_never(outcome)
        return False

    def _set_tempo(self, outcome: Outcome, number: int, now: Instant) -> None:
        tempo = self._condition.tempo
        match outcome:
            case Sent() | Obtained() | Cancelled():
                if (faster := tempo.took(number=number)) is not tempo:
                    self._condition = replace(self._condition, tempo=faster)
            case Throttled(_, cause):
                seconds = pause_s(outcome)
                slower = tempo.throttled(
                    seconds, cause, number=number, newest=self._begun, now=now, floor=self._channel.pace.floor
                )
                self._set(replace(self._condition, tempo=slower))
                if number > tempo.cut_at:
                    rate = self.share() * self._channel.ceiling
                    self._observe(ChannelThrottled(self._channel.name, seconds, cause, rate))
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
            if before.circuit is Circuit.HALTED and len(self._wronged) >= _MANY:
                self._wrong.forget()  # so many cannot all be odd: it was the channel
            self._tried = {*breaker.failed, *breaker.refused}
            self._wronged.clear()
            if before.halted_by_refusals:
                self._owed = before
            self._observe(CircuitMoved(name, before.circuit, breaker.circuit, breaker.cause))
            if not breaker.stands:
                self._wake_parked(before)
        elif breaker.probes > before.probes and self.trouble is not None:
            next_s = breaker.probe_in_s(self._clock.now())
            self._observe(ProbeFailed(name, breaker.circuit, self.trouble.cause, next_s))

    def _wake_parked(self, before: Breaker) -> None:
        """What is parked sleeps until the next probe would have been due, as this process or the one before it knew;
        it need not."""
        policy = self._channel.breaker
        longest_s = policy.halt_probe_cap_s if before.circuit is Circuit.HALTED else policy.probe_cap_s
        self._wake(max(before.probe_at or 0, instant.after(self._clock.now(), longest_s)))

    # -- what persons say ------------------------------------------------------------------------------------------

    async def pause(self, by: str, why: str, token: str | None = None) -> None:
        """Send nothing until someone resumes; durable when this returns. Raises :class:`StoreError`."""
        await self._loaded.wait()
        before = self._condition.pause
        self._set(replace(self._condition, pause=Pause(by, why, self._clock.now())))  # at once: it may be urgent
        try:
            await self._record(self.condition, "pause", by, why, token)
        except StoreError:
            self._set(replace(self._condition, pause=before))
            raise

    async def resume(self, by: str, why: str, token: str | None = None) -> None:
        """Go on: ends a pause, a rest, an open circuit and a halt, after reading the channel's secrets again.

        Raises :class:`ValueError` saying what is wrong with the secrets (then nothing is changed), or
        :class:`StoreError`.
        """
        await self._loaded.wait()
        await self._read_secrets()
        await self._revive(self._condition.breaker)
        await self._record(_resumed(self.condition, self._clock.now()), "resume", by, why, token)
        # As it is only now: while it was being kept, attempts went on.
        before, now = self.condition, self._clock.now()
        self._moved_at = self._begun
        resumed = _resumed(before, now)
        self._set(replace(resumed, breaker=before.breaker))
        self._set_breaker(resumed.breaker)
        self._wake(before.tempo.rests_until or 0)

    async def set_rate(
        self, rate: float | None, for_s: float | None, by: str, why: str, token: str | None = None
    ) -> None:
        """Send no faster than this for now: for so many seconds, or until someone takes it back (``rate`` is ``None``);
        durable when this returns. A throttle still cuts from it.

        Raises :class:`ValueError` saying what is wrong with the rate (then nothing is changed), or
        :class:`StoreError`.
        """
        await self._loaded.wait()
        now, before = self._clock.now(), self.condition.rate_for_now
        if rate is not None and not RATE_MIN <= rate < self._channel.ceiling:
            raise ValueError(
                f"is {rate:g}: name one from {RATE_MIN:g} to below {self._channel.ceiling:g} requests a second, "
                "which is configured and never exceeded; to send nothing, pause the channel"
            )
        until = None if for_s is None else instant.after(now, for_s)
        said = None if rate is None else RateForNow(rate, by, why, now, until)
        self._set(replace(self._condition, rate_for_now=said))  # at once: it may be urgent
        try:
            await self._record(self.condition, "rate", by, why, token, _in_words(said))
        except StoreError:
            self._set(replace(self._condition, rate_for_now=before))
            raise

    async def _record(
        self, condition: Condition, what: Doing, by: str, why: str, token: str | None, more: str = ""
    ) -> None:
        about = f"channel {self._channel.name}{more}"
        await self._store.keep(self._channel.name, condition, Deed(self._clock.now(), by, what, about, why, token))
        self._observe(PersonActed(by, what, about, why))

    # -- keeping it ------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Go on as the process before this one left it. Raises :class:`StoreError`."""
        kept = (await self._store.conditions()).get(self._channel.name, Condition()).restarted()
        kept = kept.without_what_is_over(self._clock.now())
        await self._revive(kept.breaker)
        self._ticked_at = self._clock.monotonic()
        self._condition = kept
        self._rest_left_s = self.resting_s
        self._loaded.set()
        for warning in _standing(self._channel.name, kept):
            self._observe(warning)

    async def run(self) -> None:
        """Keep the condition whenever it changes, and the stopwatch now and then, until cancelled."""
        kept, begun = self._condition, self._begun
        while True:
            await self._clock.until(self._unkept, _KEEP_S)
            self._unkept.clear()
            self._condition = condition = self.condition
            if begun == self._begun and condition == replace(kept, running_us=condition.running_us):
                continue  # nothing happened but time
            try:
                await self.keep()
                kept, begun = condition, self._begun
            except StoreError as error:
                self._observe(StoreTrouble("keeping a channel's condition", str(error)))
                await self._clock.sleep(_STORE_PAUSE_S)
                self._unkept.set()

    async def keep(self) -> None:
        """Keep the condition as it is, after what has to be done for it. Raises :class:`StoreError`."""
        if not self._loaded.is_set():
            return  # it is not known yet: a relay that is stopped while it starts must not forget a pause
        owed = self._owed
        await self._revive(owed)
        await self._revive(self._condition.breaker)
        await self._store.keep(self._channel.name, self.condition)
        if self._owed is owed:
            self._owed = Breaker()

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
        if ran_s <= 0 or not condition.runs:
            return
        ran_us = round(min(ran_s, _TICK_MAX_S) * instant.SECOND)
        self._condition = replace(condition, running_us=condition.running_us + ran_us)

    async def _read_secrets_again(self) -> None:
        """Before a probe: perhaps someone mended them."""
        try:
            await self._read_secrets()
        except ValueError as error:
            self._observe(Warned(f"the secrets of channel {self._channel.name} cannot be read again", str(error)))


def _resumed(condition: Condition, now: Instant) -> Condition:
    return replace(condition, pause=None, tempo=condition.tempo.rested(), breaker=condition.breaker.resumed(now=now))


def _in_words(said: RateForNow | None) -> str:
    """``: 2.5/s until 2026-11-21T19:40:00.000Z``."""
    if said is None:
        return ": as configured again"
    return f": {said.rate:g}/s for now" if said.until is None else f": {said.rate:g}/s until {instant.iso(said.until)}"


def _standing(channel: str, kept: Condition) -> Iterator[Warned]:
    """What a relay that starts again should say of a channel that stands."""
    if kept.pause is not None:
        said = f"channel {channel} is paused by {kept.pause.by} since {instant.iso(kept.pause.since)}"
        yield Warned(said, f"order-relay resume {channel}")
    if (slow := kept.rate_for_now) is not None:
        until = "until someone takes it back" if slow.until is None else f"until {instant.iso(slow.until)}"
        said = f"channel {channel} is sent to at {slow.rate:g}/s at the most, by {slow.by} {until}: {slow.why}"
        yield Warned(said, f"order-relay rate {channel} --reset")
    if kept.breaker.stands and kept.breaker.cause is not None:
        cause = kept.breaker.cause
        yield Warned(
            f"channel {channel} is {kept.breaker.circuit}: {cause.code}",
            "it is tried again now with one order; order-relay status says what to do",
        )


def _parked(outcome: Outcome) -> Outcome:
    """The outcome as it is for an order that loses nothing by it. (What was refused may have left a trace at Jetti, as
    what failed may have, and unlike what was sent to a wrong channel.)"""
    return Failed(outcome.cause) if isinstance(outcome, Refused) else outcome
