"""One loop per channel: wait for the permit, choose the most urgent delivery, send it, record what came of it.

Permit first, choice second. Taken the other way round, an update that is already out of the queue would block a
checkout that arrives a moment later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import ceil, floor

from aiolimiter import AsyncLimiter

from relay.clock import Clock
from relay.core import instant
from relay.core.backlog import Backlog, Waiting
from relay.core.delivery import Delivery, HeadStarts, State
from relay.core.events import (
    AttemptMade,
    ChannelPaused,
    EventFound,
    Observer,
    PermitTaken,
    StoreTrouble,
    Unexpected,
)
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import Order, finding_of, known_at_jetti
from relay.core.outcome import (
    CannotMap,
    Cause,
    ChannelWrong,
    Failed,
    Outcome,
    Result,
    Sent,
    Throttled,
    Trouble,
    cause_of,
    name_of,
    pause_s,
    troubled,
)
from relay.core.pace import Mode, Pace
from relay.core.retry import RetryPolicy
from relay.store import Attempt, Settled, Settlement, Store, StoreError, Taken

_POLL_S = 15.0
"""How often the store is asked although nothing said that there is news: hints may be lost, the store is the truth."""
_WAKE_MAX = 256
_STORE_PAUSE_S = 1.0
_SUSPECTS_MAX = 1000
_CHOICE_S = 0.05
"""For so long at the full pace deliveries may be chosen ahead of their requests."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What the operator decides about one channel."""

    name: str
    mode: Mode = Mode.ASYNC
    pace: Pace = field(default_factory=Pace)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    head_starts: HeadStarts = field(default_factory=HeadStarts)
    in_flight_max: int = 32
    """Requests in flight at the most."""
    window: int = 1024
    """Deliveries of the backlog's head that are kept in memory at the most."""


def permits(pace: Pace, mode: Mode) -> AsyncLimiter:
    """The leaky bucket that spaces a channel's requests.

    A bucket of ``burst`` drops that leaks at the ceiling. Timers fire up to a millisecond late, and what is lost at
    every request would add up to one percent of the pace; so the bucket is a fraction larger than the burst, by less
    than one request in any second: ``rate + burst`` is still what no one-second window exceeds.
    """
    rate = pace.ceiling(mode)
    whole = rate + pace.burst
    slack = min(0.25, 0.9 * (floor(whole) + 1 - whole))
    size = pace.burst + slack
    return AsyncLimiter(size, size / rate)


class _Once:
    """Something that is done once, however often it is asked for."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do

    def __call__(self) -> None:
        do, self._do = self._do, None
        if do is not None:
            do()


class Dispatcher:
    """Delivers one channel's backlog."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        makers: Callable[[str], Maker | None],
        send: Callable[[bytes], Awaitable[Result]],
        clock: Clock,
        observe: Observer,
        jitter: Callable[[], float],
    ) -> None:
        self.channel = channel
        self._store = store
        self._makers = makers
        self._send = send
        self._clock = clock
        self._observe = observe
        self._jitter = jitter
        self._limiter = permits(channel.pace, channel.mode)
        self._backlog = Backlog(channel.window)
        self._room = asyncio.Semaphore(channel.in_flight_max)
        # Between a permit and its request the store is asked, and that may take long. So few may be on this way that
        # choices stay fresh, and a second bucket at its end holds back what has piled up.
        self._choosing = asyncio.Semaphore(max(channel.pace.burst, ceil(_CHOICE_S * self.rate)))
        self._gate = permits(channel.pace, channel.mode)
        self._suspects: dict[int, int] = {}
        self._taken_by_jetti = 0
        self._news = asyncio.Event()
        self._refill = asyncio.Event()
        self._slept = asyncio.Event()
        self._paused_until = 0.0
        self._paused_cause = ""
        self._trouble: Trouble | None = None
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def paused_cause(self) -> str:
        """Why the channel sends nothing at present; empty when it sends."""
        return self._paused_cause if self.paused_s else ""

    @property
    def rate(self) -> float:
        """Requests per second that are allowed at present."""
        return self.channel.pace.ceiling(self.channel.mode)

    def offer(self, waiting: Waiting) -> None:
        """A delivery began to wait."""
        self._backlog.offer(waiting)
        self._news.set()

    @property
    def in_flight(self) -> int:
        """Deliveries that are out of the window and not settled yet."""
        return len(self._sending)

    @property
    def trouble(self) -> Trouble | None:
        """What the latest attempts came to, if they did not get through; ``None`` when the last one did."""
        return self._trouble

    @property
    def paused_s(self) -> float:
        """For how many more seconds the channel sends nothing; 0 when it sends."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    async def run(self) -> None:
        """Deliver until cancelled. What is in flight then is left to :meth:`finish`."""
        self._refill.set()
        # Begin with the bucket spent: whoever had it before may have spent it this very second (a restart).
        for bucket in (self._limiter, self._gate):
            await bucket.acquire(bucket.max_rate)
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._dispatch(), name=f"dispatch-{self.channel.name}")
            loops.create_task(self._fill_window(), name=f"window-{self.channel.name}")
            loops.create_task(self._wake_sleepers(), name=f"wake-{self.channel.name}")

    async def finish(self, grace_s: float) -> None:
        """Let what is in flight finish, for so long; hand the rest back to the backlog."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_s)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    # -- the three loops -------------------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        while True:
            await self._room.acquire()
            await self._choosing.acquire()
            await self._something_waits()
            asked_at = self._clock.monotonic()
            await self._limiter.acquire()
            # Permit first, choice second: an order that arrived while we waited may still overtake.
            head = self._most_urgent() if self.paused_s == 0 else None
            if head is None:
                self._choosing.release()
                self._room.release()
                continue
            self._observe(PermitTaken(self.channel.name, self._clock.monotonic() - asked_at))
            task = asyncio.create_task(self._deliver(head), name=f"deliver-{head.order_id}")
            self._sending.add(task)
            task.add_done_callback(self._sent)

    async def _something_waits(self) -> None:
        while True:
            if (pause_s := self.paused_s) > 0:
                await self._clock.sleep(pause_s)
                continue
            if len(self._backlog):
                return
            self._news.clear()
            await self._news.wait()

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
            try:
                due_at = await self._store.next_due(name)
                if due_at is not None and due_at <= self._clock.now():
                    for waiting in await self._store.wake(name, self._clock.now(), _WAKE_MAX):
                        self.offer(waiting)
                    continue
            except StoreError as error:
                await self._wait_for_store("waking sleepers", error)
                continue
            delay_s = _POLL_S if due_at is None else instant.seconds_between(self._clock.now(), due_at)
            await self._clock.until(self._slept, min(max(delay_s, 0.001), _POLL_S))

    # -- one delivery ----------------------------------------------------------------------------------------------

    async def _deliver(self, head: Waiting | None) -> None:
        """Use one permit. A delivery that turns out to need no request leaves it to the next."""
        chosen = _Once(self._choosing.release)
        try:
            while head is not None:
                taken = await self._store.take(self.channel.name, [head.order_id])
                if taken is not None and await self._attempt(taken, chosen):
                    return
                head = self._most_urgent()
        except StoreError as error:
            if head is not None:
                self._backlog.offer(head)
            await self._wait_for_store("taking a delivery", error)
        finally:
            chosen()

    def _most_urgent(self) -> Waiting | None:
        head = self._backlog.most_urgent()
        if self._backlog.needs_refill:
            self._refill.set()
        return head

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observe(Unexpected("dispatch", error))
            self._refill.set()

    async def _attempt(self, taken: Taken, chosen: "_Once") -> bool:
        """Make the sale and send it; whether the permit was used."""
        order = taken.order
        made = conclude(self._makers(order.storefront), order, taken.topic, taken.body)
        if not isinstance(made, Made):
            await self._settle(taken, made, None, None)
            return False
        await self._gate.acquire()
        if self.paused_s:
            await self._put_back(taken)
            return True
        chosen()
        started_at = self._clock.now()
        try:
            result = await self._send(made.sale)
        except BaseException:
            await self._hand_back(taken, started_at)
            raise
        outcome = self._suspect(order, result.outcome)
        self._mind(outcome)
        attempt = self._recorded(order.revision, started_at, replace(result, outcome=outcome))
        await self._settle(taken, outcome, made, attempt)
        return True

    def _suspect(self, order: Order, outcome: Outcome) -> Outcome:
        """Is it the channel that is wrong, or this order? If Jetti took others since it last refused this one, then
        it is the order: its attempts count, so that it cannot stop the channel again and again."""
        if isinstance(outcome, Sent):
            self._taken_by_jetti += 1
        if not isinstance(outcome, ChannelWrong):
            self._suspects.pop(order.id, None)
            return outcome
        taken_before = self._suspects.setdefault(order.id, self._taken_by_jetti)
        if len(self._suspects) > _SUSPECTS_MAX:
            self._suspects.pop(next(iter(self._suspects)))
        return outcome if taken_before == self._taken_by_jetti else Failed(outcome.cause)

    async def _put_back(self, taken: Taken) -> None:
        """The channel was paused after the choice was made: the order waits in its old place."""
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
        if settled is not None and settled.waiting is not None:
            self.offer(settled.waiting)

    async def _settle(self, taken: Taken, outcome: Outcome, made: Made | None, attempt: Attempt | None) -> None:
        order, now = taken.order, self._clock.now()
        after = order.delivery.after(outcome, now=now, policy=self.channel.retry, jitter=self._jitter())
        settlement = Settlement(
            order_id=order.id,
            token=order.token,
            after=after,
            now=now,
            head_starts=self.channel.head_starts,
            delivered_digest=known_at_jetti(order, outcome, None if made is None else made.digest),
            attempt=attempt,
            sale=None if made is None else made.sale,
            finding=finding_of(outcome),
        )
        settled = await self._until_settled(settlement)
        if settled is None:
            return
        if settled.waiting is not None:
            self.offer(settled.waiting)
        elif settled.order.state is State.SLEEPING:
            self._slept.set()
        self._tell(order, after, settled.order, outcome, attempt, now)

    async def _until_settled(self, settlement: Settlement) -> Settled | None:
        """Record it however long the store is in trouble: what was sent must not be sent again for want of a note."""
        while True:
            try:
                return await self._store.settle(settlement)
            except StoreError as error:
                await self._wait_for_store("recording an attempt", error)

    async def _hand_back(self, taken: Taken, started_at: int) -> None:
        """We are stopping, and do not know what became of the request: the order waits in its old place."""
        order, now = taken.order, self._clock.now()
        attempt = Attempt(
            order.revision, started_at, instant.seconds_between(started_at, now), "handed_back",
            message="the relay stopped before an answer came: whether it worked is unknown",
        )  # fmt: skip
        settlement = Settlement(
            order_id=order.id, token=order.token, after=order.delivery, now=now,
            head_starts=self.channel.head_starts, delivered_digest=None, attempt=attempt,
        )  # fmt: skip
        try:
            await self._store.settle(settlement)
        except StoreError as error:
            self._observe(StoreTrouble("handing back a delivery", str(error)))

    # -- the channel -----------------------------------------------------------------------------------------------

    def _mind(self, outcome: Outcome) -> None:
        """What an outcome means for the channel as a whole."""
        self._trouble = troubled(self._trouble, outcome, now=self._clock.now())
        if isinstance(outcome, Throttled | ChannelWrong):
            self._pause(pause_s(outcome), outcome.cause, is_wrong=isinstance(outcome, ChannelWrong))

    def _pause(self, seconds: float, cause: Cause, *, is_wrong: bool) -> None:
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)
        self._paused_cause = f"{cause.code}: {cause.message}"
        self._observe(ChannelPaused(self.channel.name, seconds, self._paused_cause, is_wrong))

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
        self, order: Order, after: Delivery, settled: Order, outcome: Outcome, attempt: Attempt | None, now: int
    ) -> None:
        name = self.channel.name
        if isinstance(outcome, CannotMap) and outcome.defect is not None:
            self._observe(Unexpected(f"mapping order {order.id}", outcome.defect))
        found = finding_of(outcome)
        if found is not None:
            self._observe(
                EventFound(
                    name, order.storefront, order.external_id, order.reference, order.revision, found.disposition,
                    found.reasons,
                )
            )  # fmt: skip
        if attempt is None:
            return
        waited_s = instant.seconds_between(order.accepted_at, now) if isinstance(outcome, Sent) else None
        self._observe(
            AttemptMade(
                channel=name, storefront=order.storefront, order_id=order.id, order=order.external_id,
                reference=order.reference, revision=order.revision, lane=order.lane, outcome=attempt.outcome,
                status=attempt.status, code=attempt.code, message=attempt.message, duration_s=attempt.duration_s,
                attempts=after.attempts, accepted_to_sent_s=waited_s, state=settled.state, due_at=settled.due_at,
            )
        )  # fmt: skip
