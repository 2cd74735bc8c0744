"""One loop per channel: wait for the permit, choose the most urgent order, do the channel's errand with it, record what
came of it. What is sent where (a sale to Jetti, say) only the errand knows.

Permit first, choice second. Taken the other way round, an update that is already out of the queue would block a
checkout that arrives a moment later.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from relay.clock import Clock
from relay.core import instant
from relay.core.backlog import Backlog, Waiting
from relay.core.condition import Condition
from relay.core.delivery import ChannelNow, Delivery, State
from relay.core.events import AttemptMade, EventFound, Observer, PermitTaken, SaleMade, StoreTrouble, Unexpected
from relay.core.instant import Instant
from relay.core.order import Order, finding_of
from relay.core.outcome import CannotMap, Obtained, Outcome, Result, Sent, Trouble, cause_of, name_of
from relay.core.trace import Trace, Tracer, links
from relay.dispatch.cancelling import Cancelling
from relay.dispatch.channel import Channel, Permits
from relay.dispatch.delivering import Delivering
from relay.dispatch.errand import Errand, Idle, Kept, Leave, Request
from relay.dispatch.fetching import Fetching
from relay.dispatch.governor import Governor
from relay.store import Attempt, Revived, Settled, Settlement, Store, StoreError, Taken

__all__ = ["Cancelling", "Channel", "Delivering", "Dispatcher", "Errand", "Fetching"]

_POLL_S = 15.0
"""How often the store is asked although nothing said that there is news: hints may be lost, the store is the truth."""
_WAKE_MAX = 256
_STORE_PAUSE_S = 1.0
_BEYOND_S = 60.0
"""Beyond the longest sleep there is, before a sleeper is taken for one that a clock's being set back has stranded."""
_CHOICE_S = 0.05
"""For so long at the full pace deliveries may be chosen ahead of their requests."""


class _Once:
    """Something that is done once, however often it is asked for."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do

    def __call__(self) -> None:
        do, self._do = self._do, None
        if do is not None:
            do()


@dataclass(frozen=True, slots=True)
class _Trail:
    """The places of one attempt's spans; none, where no traces are made."""

    sale: Trace | None = None
    attempt: Trace | None = None
    links: tuple[Trace, ...] = ()
    began_at: Instant = 0
    began: float = 0.0
    """On the monotonic clock."""


_NO_TRAIL = _Trail()


class _Withdrawn(Exception):
    """The channel was paused between two requests of one attempt: what follows is not sent."""


class Dispatcher:
    """Runs one errand with the orders of one channel's backlog."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        errand: Errand,
        clock: Clock,
        observe: Observer,
        jitter: Callable[[], float],
        onward: Callable[[Settled], None] | None = None,
    ) -> None:
        """``onward`` is told of an order that goes on on another channel than the one it was taken from."""
        self.channel = channel
        self._store = store
        self._errand = errand
        self._clock = clock
        self._observe = observe
        self._jitter = jitter
        self._onward = onward
        self.tracer: Tracer | None = None
        """Where traces are made."""
        self._governor = Governor(
            channel, store, clock, observe, errand.read_secrets, self._offered_again, self._awake_until
        )
        self._awake: Instant = 0
        self._permits = Permits(channel.pace, channel.mode)
        self._backlog = Backlog(channel.window)
        self._room = asyncio.Semaphore(channel.in_flight_max)
        # Between a permit and its request the store is asked, and that may take long. So few may be on this way that
        # choices stay fresh, and a second bucket at its end holds back what has piled up.
        self._choosing = asyncio.Semaphore(max(channel.pace.burst, ceil(_CHOICE_S * channel.ceiling)))
        self._gate = Permits(channel.pace, channel.mode)
        # And a third one for what was held up while it was being connected.
        self._at_the_wire = Permits(channel.pace, channel.mode)
        self._news = asyncio.Event()
        self._refill = asyncio.Event()
        self._slept = asyncio.Event()
        self._wakes_at: Instant | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._flights: dict[int, Instant] = {}

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def condition(self) -> Condition:
        """Tempo, circuit, pause and stopwatch, as of now."""
        return self._governor.condition

    @property
    def ceiling(self) -> float:
        """Requests per second that are configured."""
        return self.channel.ceiling

    @property
    def rate(self) -> float:
        """Requests per second that are allowed at present, when any are."""
        return self.channel.ceiling * self._governor.share()

    @property
    def rate_for_s(self) -> float | None:
        """For how many more seconds its rate for now holds; ``None`` without one, or until it is taken back."""
        said, now = self.condition.rate_for_now, self._clock.now()
        return None if said is None or said.until is None else instant.seconds_between(now, said.until)

    @property
    def in_flight(self) -> int:
        """Deliveries that are out of the window and not settled yet."""
        return len(self._sending)

    @property
    def flights(self) -> Mapping[int, Instant]:
        """When the request of each order began that is out, by the order's id."""
        return dict(self._flights)

    @property
    def trouble(self) -> Trouble | None:
        """What the latest attempts came to, if they did not get through; ``None`` when the last one did."""
        return self._governor.trouble

    @property
    def resting_s(self) -> float:
        """For how many more seconds a throttle keeps the channel from sending; 0 when it does not."""
        return self._governor.resting_s

    @property
    def probe_in_s(self) -> float | None:
        """Seconds until the next probe of a channel that is open or halted; ``None`` when it is closed."""
        return self._governor.probe_in_s

    # -- what it is told -------------------------------------------------------------------------------------------

    def offer(self, waiting: Waiting) -> None:
        """A delivery began to wait."""
        self._backlog.offer(waiting)
        if self._backlog.needs_refill:  # it may have left the window for a place beyond it, and the window empty
            self._refill.set()
        self._news.set()

    def asleep(self, due_at: Instant) -> None:
        """An order sleeps until then."""
        if self._wakes_at is None or due_at < self._wakes_at:
            self._slept.set()

    def _offered_again(self, revived: Revived) -> None:
        self.offer(revived.waiting)

    def _awake_until(self, due_at: Instant) -> None:
        self._awake = max(self._awake, due_at)
        self._slept.set()

    async def pause(self, by: str, why: str, token: str | None = None) -> None:
        """Send nothing until someone resumes; durable when this returns. Raises :class:`StoreError`."""
        await self._governor.pause(by, why, token)

    async def resume(self, by: str, why: str, token: str | None = None) -> None:
        """Go on: ends a pause, a rest, an open circuit and a halt, after reading the channel's secrets again.

        Raises :class:`ValueError` saying what is wrong with the secrets (then nothing is changed), or
        :class:`StoreError`.
        """
        await self._governor.resume(by, why, token)

    async def set_rate(
        self, rate: float | None, for_s: float | None, by: str, why: str, token: str | None = None
    ) -> None:
        """Send no faster than this for now: for so many seconds, or until someone takes it back (``rate`` is ``None``);
        durable when this returns.

        Raises :class:`ValueError` saying what is wrong with the rate (then nothing is changed), or
        :class:`StoreError`.
        """
        await self._governor.set_rate(rate, for_s, by, why, token)

    async def run(self) -> None:
        """Deliver until cancelled. What is in flight then is left to :meth:`finish`."""
        self._refill.set()
        await self._load()
        for bucket in (self._permits, self._gate, self._at_the_wire):
            await bucket.begin_spent()
        async with asyncio.TaskGroup() as loops:
            name = self.channel.name
            loops.create_task(self._dispatch(), name=f"dispatch-{name}")
            loops.create_task(self._fill_window(), name=f"window-{name}")
            loops.create_task(self._wake_sleepers(), name=f"wake-{name}")
            loops.create_task(self._governor.run(), name=f"condition-{name}")

    async def _load(self) -> None:
        while True:
            try:
                return await self._governor.load()
            except StoreError as error:
                await self._wait_for_store("reading the channel's condition", error)

    async def finish(self, grace_s: float) -> None:
        """Let what is in flight finish, for so long; hand the rest back to the backlog."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_s)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        try:
            await self._governor.keep()
        except StoreError as error:
            self._observe(StoreTrouble("keeping a channel's condition", str(error)))

    # -- the three loops -------------------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        while True:
            await self._room.acquire()
            await self._choosing.acquire()
            await self._something_waits()
            asked_at = self._clock.monotonic()
            await self._permits.take(self._governor.share)
            # Permit first, choice second: an order that arrived while we waited may still overtake.
            probe = self._governor.choose()
            head = None if probe is None else self._most_urgent()
            if probe is None or head is None:
                self._governor.unchosen(probe is True)
                self._choosing.release()
                self._room.release()
                continue
            self._observe(PermitTaken(self.channel.name, self._clock.monotonic() - asked_at))
            task = asyncio.create_task(self._deliver(head, probe), name=f"deliver-{head.order_id}")
            self._sending.add(task)
            task.add_done_callback(self._sent)

    async def _something_waits(self) -> None:
        """Return when something waits, and may be sent."""
        while not len(self._backlog):
            self._news.clear()
            await self._news.wait()
        await self._governor.ready()

    async def _fill_window(self) -> None:
        while True:
            await self._clock.until(self._refill, _POLL_S)
            self._refill.clear()
            asked = self._backlog.begin_refill()
            try:
                head = await self._store.head(self.channel.name, asked)
            except StoreError as error:
                self._backlog.abandon_refill()
                await self._wait_for_store("reading the backlog", error)
                self._refill.set()
                continue
            self._backlog.refill(head, asked=asked)
            self._news.set()

    async def _wake_sleepers(self) -> None:
        name = self.channel.name
        while True:
            self._slept.clear()
            self._wakes_at = None
            awake = self._awake
            try:
                due = await self._store.sleepers_due(name)
                now, beyond = self._awake_now(awake)
                if due is not None and (due[0] <= now or due[1] > beyond):
                    for waiting in await self._store.wake(name, now, _WAKE_MAX, beyond=beyond):
                        self.offer(waiting)
                    continue
            except StoreError as error:
                await self._wait_for_store("waking sleepers", error)
                continue
            if self._awake == awake:
                self._awake = 0
            now = self._clock.now()
            delay_s = _POLL_S if due is None else instant.seconds_between(now, due[0])
            delay_s = min(max(delay_s, 0.001), _POLL_S)
            self._wakes_at = instant.after(now, delay_s)
            await self._clock.until(self._slept, delay_s)

    def _awake_now(self, awake: Instant) -> tuple[Instant, Instant]:
        """Until when, and from when on, nothing needs to sleep. Where orders sleep before their turn comes at all, what
        is parked is woken, and not what has yet to sleep for so long."""
        now, wait_s = self._clock.now(), self.channel.wait_s
        if wait_s and awake > now:
            return now, instant.after(now, wait_s)
        now = max(now, awake)
        return now, instant.after(now, self.channel.sleep_max_s + _BEYOND_S)

    # -- one delivery ----------------------------------------------------------------------------------------------

    async def _deliver(self, head: Waiting | None, probe: bool) -> None:
        """Use one permit. A delivery that turns out to need no request leaves it to the next."""
        chosen = _Once(self._choosing.release)
        try:
            while head is not None:
                taken = await self._store.take(self.channel.name, [head.order_id])
                if taken is not None and await self._attempt(taken, chosen, probe):
                    return
                head = self._most_urgent()
        except StoreError as error:
            if head is not None:
                self._backlog.offer(head)
            await self._wait_for_store("taking a delivery", error)
        finally:
            if head is not None:
                self._flights.pop(head.order_id, None)
            chosen()
            self._governor.unchosen(probe)

    def _most_urgent(self) -> Waiting | None:
        tried = self._governor.tried
        head = self._backlog.most_urgent_but(tried) if tried else self._backlog.most_urgent()
        if self._backlog.needs_refill:
            self._refill.set()
        return head

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observe(Unexpected("dispatch", error))
            self._refill.set()

    async def _attempt(self, taken: Taken, chosen: "_Once", probe: bool) -> bool:
        """Run the errand with an order; whether the permit was used."""
        trail = _NO_TRAIL if self.tracer is None else await self._trail(self.tracer, taken)
        try:
            request = await self._errand.prepare(taken)
        except StoreError as error:
            await self._wait_for_store("preparing a request", error)
            await self._put_back(taken)
            return False
        if trail.sale is not None:
            self._prepared(taken.order, trail, trail.sale, to_be_sent=not isinstance(request, Idle))
        if isinstance(request, Idle):
            around = self._governor.condition.around()
            await self._settle(taken, request.outcome, around, request.kept, None, trail)
            return False
        await self._gate.take()
        number = self._governor.begin(probe)
        if number is None:
            await self._put_back(taken)
            return True
        chosen()
        self._flights[taken.order.id] = started_at = self._clock.now()
        try:
            done = await request.send(self._leaving(), trail.attempt)
        except _Withdrawn:
            await self._put_back(taken)
            return True
        except BaseException:
            await self._hand_back(taken, request, started_at, trail)
            raise
        judged = self._governor.judge(taken.order, number, done.result.outcome, probe=probe)
        attempt = self._recorded(taken.order.revision, started_at, replace(done.result, outcome=judged.outcome))
        await self._settle(taken, judged.outcome, judged.channel, done.kept, attempt, trail)
        return True

    async def _trail(self, tracer: Tracer, taken: Taken) -> "_Trail":
        """Where the order's spans have their places: they go on with the trace of the event that it is made of."""
        try:
            found = await self._store.traces(taken.order)
        except StoreError:  # a trace of its own is better than an order that waits for one
            found = ()
        above = found[0] if found else None
        attempt = tracer.begun(above)
        sale = tracer.begun(above or attempt)
        return _Trail(sale, attempt, links(above, found), self._clock.now(), self._clock.monotonic())

    def _prepared(self, order: Order, trail: "_Trail", trace: Trace, *, to_be_sent: bool) -> None:
        name, took_s = self.channel.name, self._clock.monotonic() - trail.began
        storefront, external_id = order.storefront, order.external_id
        self._observe(
            SaleMade(name, storefront, external_id, order.revision, trail.began_at, took_s, to_be_sent, trace)
        )

    def _leaving(self) -> Leave:
        """The last gate, for each request of an attempt. The permit of the first was waited for before its order was
        chosen; those that follow it wait here, also while the channel rests, and are not sent once it is paused."""
        follows = False

        async def leave() -> None:
            nonlocal follows
            if follows:
                await self._rest()
                await self._permits.take(self._governor.share)
            await self._at_the_wire.take()
            while self._governor.resting_s > 0:  # a throttle came while it waited for its turn
                await self._rest()
                await self._permits.take(self._governor.share)
            if follows and self._governor.condition.pause is not None:
                raise _Withdrawn
            follows = True

        return leave

    async def _rest(self) -> None:
        """While a throttle keeps the channel from sending."""
        while (resting_s := self._governor.resting_s) > 0:
            await self._clock.sleep(resting_s)

    async def _put_back(self, taken: Taken) -> None:
        """The order waits in its old place: the channel was paused after the choice was made, or the store fails."""
        order = taken.order
        settled = await self._until_settled(
            Settlement(
                order_id=order.id,
                token=order.token,
                after=order.delivery,
                now=self._clock.now(),
                head_starts=self.channel.head_starts,
                delivered_digest=order.delivered_digest,
            )
        )
        if settled is not None:
            self._go_on(settled)

    def _go_on(self, settled: Settled) -> None:
        """See to an order that is not in flight any more."""
        if settled.order.channel != self.channel.name:
            if self._onward is not None:
                self._onward(settled)
        elif settled.waiting is not None:
            self.offer(settled.waiting)
        elif settled.order.state is State.SLEEPING:
            self.asleep(settled.order.due_at)

    async def _settle(
        self,
        taken: Taken,
        outcome: Outcome,
        channel: ChannelNow,
        kept: Kept,
        attempt: Attempt | None,
        trail: "_Trail",
    ) -> None:
        order, now = taken.order, self._clock.now()
        after = order.delivery.after(
            outcome, now=now, policy=self.channel.retry, jitter=self._jitter(), channel=channel
        )
        settlement = Settlement(
            order_id=order.id,
            token=order.token,
            after=after,
            now=now,
            head_starts=self.channel.head_starts,
            delivered_digest=kept.delivered_digest,
            attempt=attempt,
            sale=kept.sale,
            finding=finding_of(outcome),
            may_be_there=kept.may_be_there,
            cancel_after_s=kept.cancel_after_s,
            brought=kept.brought if isinstance(outcome, Obtained) else None,
        )
        settled = await self._until_settled(settlement)
        if settled is None:
            return
        self._go_on(settled)
        self._tell(order, after, settled.order, outcome, attempt, now, trail)

    async def _until_settled(self, settlement: Settlement) -> Settled | None:
        """Record it however long the store is in trouble: what was sent must not be sent again for want of a note."""
        while True:
            try:
                return await self._store.settle(settlement)
            except StoreError as error:
                await self._wait_for_store("recording an attempt", error)

    async def _hand_back(self, taken: Taken, request: Request, started_at: int, trail: "_Trail") -> None:
        """We are stopping, and do not know what became of the request: the order waits in its old place."""
        order, now = taken.order, self._clock.now()
        attempt = Attempt(
            order.revision, started_at, instant.seconds_between(started_at, now), "handed_back",
            message="the relay stopped before an answer came: whether it worked is unknown",
        )  # fmt: skip
        kept = request.unanswered()
        settlement = Settlement(
            order_id=order.id, token=order.token, after=order.delivery, now=now,
            head_starts=self.channel.head_starts, delivered_digest=kept.delivered_digest,
            attempt=attempt, may_be_there=kept.may_be_there,
        )  # fmt: skip
        try:
            settled = await self._store.settle(settlement)
        except StoreError as error:
            self._observe(StoreTrouble("handing back a delivery", str(error)))
            return
        if settled is not None:
            self._tell_attempt(order, attempt, order.delivery, settled.order, trail)

    async def _wait_for_store(self, what: str, error: StoreError) -> None:
        self._observe(StoreTrouble(what, str(error)))
        await self._clock.sleep(_STORE_PAUSE_S)

    # -- telling ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _recorded(revision: int, started_at: int, result: Result) -> Attempt:
        cause = cause_of(result.outcome)
        return Attempt(
            revision=revision,
            started_at=started_at,
            duration_s=result.duration_s,
            outcome=name_of(result.outcome),
            status=result.status,
            code="" if cause is None else cause.code,
            message="" if cause is None else cause.message,
            excerpt=result.excerpt,
        )

    def _tell(
        self, order: Order, after: Delivery, settled: Order, outcome: Outcome, attempt: Attempt | None, now: int,
        trail: "_Trail",
    ) -> None:  # fmt: skip
        name = self.channel.name
        if isinstance(outcome, CannotMap) and outcome.defect is not None:
            self._observe(Unexpected(f"mapping order {order.id}", outcome.defect))
        found = finding_of(outcome)
        if found is not None:
            self._observe(
                EventFound(
                    name, order.storefront, order.external_id, order.reference, order.revision, found.disposition,
                    found.reasons, trace=trail.sale, order_id=order.id,
                )
            )  # fmt: skip
        if attempt is None:
            return
        waited_s = instant.seconds_between(order.accepted_at, now) if isinstance(outcome, Sent) else None
        self._tell_attempt(order, attempt, after, settled, trail, waited_s)

    def _tell_attempt(
        self, order: Order, attempt: Attempt, after: Delivery, settled: Order, trail: "_Trail",
        waited_s: float | None = None,
    ) -> None:  # fmt: skip
        cause = settled.cause if settled.state is State.DEAD else None  # of what was fetched, perhaps
        self._observe(
            AttemptMade(
                channel=self.channel.name, storefront=order.storefront, order_id=order.id, order=order.external_id,
                reference=order.reference, revision=order.revision, lane=order.lane, outcome=attempt.outcome,
                status=attempt.status, code=attempt.code or ("" if cause is None else cause.code),
                message=attempt.message or ("" if cause is None else cause.message), duration_s=attempt.duration_s,
                attempts=after.attempts, accepted_to_sent_s=waited_s, state=settled.state, due_at=settled.due_at,
                started_at=attempt.started_at, trace=trail.attempt, links=trail.links,
            )
        )  # fmt: skip
