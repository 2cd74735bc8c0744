"""The channel's loop on simulated time: the real dispatcher and pace, the verified fake store, a scripted Jetti."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from relay.core.breaker import BreakerPolicy, Circuit
from relay.core.delivery import HeadStarts, State
from relay.core.events import AttemptMade, ChannelThrottled, CircuitMoved, EventFound, PersonActed, Warned
from relay.core.instant import SECOND
from relay.core.mapping import Maker
from relay.core.order import Arrival, Disposition, Order
from relay.core.outcome import Cause, Outcome, Result, Throttled
from relay.core.pace import Pace
from relay.core.retry import RetryPolicy
from relay.core.sale import Reason
from relay.core.sources import Mapped, Unmappable, Upsert
from relay.core.sources.native import Native
from relay.core.trace import Trace
from relay.dispatch import Channel, Delivering, Dispatcher
from relay.store import Receipt, Revival, Settled, Settlement, StoreFailed, Taken
from relay.store.memory import MemoryStore
from tests.builders import CHANNEL_WRONG, FAILED, NOW, REFUSED, SENT, THROTTLED
from tests.fakes import Happenings, manual_sale
from tests.simulated import LoopClock, simulate
from tests.test_pace import most_in_a_second

CHANNEL = Channel("main")
Script = Callable[[int], Awaitable[Outcome]]
"""What Jetti answers to the n-th request, counted from 1."""


class Source(Native):
    """Manual sales; a body that says so cannot be mapped."""

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        return Unmappable((Reason("/x", "cannot be mapped"),)) if body == b"bad" else super().sale(body, topic)


async def always_sent(_: int) -> Outcome:
    return SENT


def scripted(*outcomes: Outcome) -> Script:
    """These answers, one after the other; the last one for ever."""

    async def answer(n: int) -> Outcome:
        return outcomes[min(n, len(outcomes)) - 1]

    return answer


@dataclass
class Bench:
    """A dispatcher, what it sent and when (seconds from the start), and what it told."""

    script: Script = always_sent
    channel: Channel = CHANNEL
    store: MemoryStore = field(default_factory=MemoryStore)
    jitter: float = 1.0
    sent: list[tuple[float, str]] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    """The same times on the loop's clock."""
    happenings: Happenings = field(default_factory=Happenings)
    maker: Maker | None = field(default_factory=lambda: Maker(Source()))
    in_flight: int = 0
    in_flight_max: int = 0
    secrets_read: int = 0
    secrets_wrong: str = ""

    async def __aenter__(self) -> "Bench":
        self.clock = LoopClock()
        self.started = self.clock.monotonic()
        self.dispatcher = Dispatcher(
            self.channel,
            self.store,
            Delivering(self.store, lambda _: self.maker, self),
            self.clock,
            self.happenings,
            lambda: self.jitter,
        )
        self._running = asyncio.create_task(self.dispatcher.run())
        await self.clock.sleep(1.5 * self.channel.pace.spacing_s(self.channel.mode))  # until the first permit is there
        self.started = self.clock.monotonic()
        return self

    def stop(self) -> None:
        """No further request is begun."""
        self._running.cancel()

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.dispatcher.finish(0.0)

    async def order(self, name: str, *, body: bytes | None = None, old: bool = False, version: int = 1) -> Receipt:
        """An event arrives, and is handed on."""
        now = self.clock.now()
        created_at = NOW - 30 * 24 * 3600 * SECOND if old else now
        about = Upsert(name, version, f"{name}-{version}", "manual-sale", f"#{name}", created_at)
        sale = manual_sale(int(name), note=f"version {version}") if body is None else body
        receipt = await self.store.accept(Arrival("shop", "main", about, sale, now, self.channel.head_starts))
        if receipt.waiting is not None:
            self.dispatcher.offer(receipt.waiting)
        return receipt

    async def after(self, seconds: float) -> list[str]:
        """What has been sent so many seconds from now."""
        await self.clock.sleep(seconds)
        return self.names

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.sent]

    @property
    def times(self) -> list[float]:
        return [round(at, 2) for at, _ in self.sent]

    async def state(self, name: str) -> State:
        (order,) = await self.store.find(name)
        return order.state

    async def read_secrets(self) -> None:
        self.secrets_read += 1
        if self.secrets_wrong:
            raise ValueError(self.secrets_wrong)

    async def send(self, sale: bytes, leave: Callable[[], Awaitable[None]], trace: Trace | None) -> Result:
        await leave()
        self.sent_at.append(self.clock.monotonic())
        self.sent.append((self.clock.monotonic() - self.started, json.loads(sale)["externalId"]))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return Result(await self.script(len(self.sent)), 0.01, 200)
        finally:
            self.in_flight -= 1


# -- permit first, choice second -----------------------------------------------------------------------------------


def test_promise_5_a_new_order_that_arrives_while_everything_waits_for_the_pace_is_the_next_one_sent() -> None:
    async def run() -> None:
        async with Bench() as bench:
            for number in range(1, 31):
                await bench.order(str(number), old=True)
            before = len(await bench.after(1.05))
            await bench.order("999")
            assert (await bench.after(0.2))[before] == "999"

    simulate(run())


def test_promise_5_nothing_starves_when_new_orders_arrive_faster_than_the_pace() -> None:
    """Two new orders for every request allowed, for two hours; an update leaves once it has waited the head start."""

    async def run() -> None:
        channel = replace(CHANNEL, head_starts=HeadStarts(new_s=600.0, update_s=0.0), pace=Pace(1.0, 1.0))
        async with Bench(channel=channel) as bench:
            await bench.order("1", old=True)
            for number in range(2, 2402):
                await bench.order(str(number))
                await bench.clock.sleep(0.5)
            left_at = next(at for at, name in bench.sent if name == "1")
            assert 590 <= left_at <= 1210

    simulate(run())


def test_first_in_first_out_inside_a_lane() -> None:
    async def run() -> None:
        async with Bench() as bench:
            for number in range(1, 21):
                await bench.order(str(number))
                await bench.clock.sleep(0.001)
            assert await bench.after(3.0) == [str(number) for number in range(1, 21)]

    simulate(run())


def test_promise_6_under_saturation_requests_leave_evenly_at_the_whole_pace() -> None:
    async def run() -> None:
        async with Bench() as bench:
            for number in range(1, 101):
                await bench.order(str(number))
            await bench.after(20.0)
            assert len(bench.sent) == 100
            assert 9.8 <= bench.times[-1] <= 9.92

    simulate(run())


def test_promise_6_restarts_in_quick_succession_do_not_exceed_the_pace() -> None:
    async def run() -> None:
        store, loop, times = MemoryStore(), asyncio.get_running_loop(), list[float]()
        async with Bench(store=store) as first:
            for number in range(1, 201):
                await first.order(str(number))
        for _ in range(40):
            async with Bench(store=store) as bench:
                await bench.clock.sleep(0.26)
                times += bench.sent_at
        assert loop.time() > 10
        assert len(times) > 40
        assert most_in_a_second(times) <= 11

    simulate(run())


def test_a_backlog_larger_than_the_window_is_delivered_whole_and_in_order() -> None:
    async def run() -> None:
        channel = replace(CHANNEL, window=8, pace=Pace(100.0, 1.0))
        async with Bench(channel=channel) as bench:
            for number in range(1, 201):
                await bench.order(str(number))
                await bench.clock.sleep(0.0001)
            assert await bench.after(10.0) == [str(number) for number in range(1, 201)]

    simulate(run())


def test_what_waited_before_the_start_is_delivered() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with Bench(store=store, script=scripted(THROTTLED)) as earlier:
            for number in range(1, 6):
                await earlier.order(str(number))
        async with Bench(store=store) as bench:
            assert sorted(await bench.after(10.0)) == ["1", "2", "3", "4", "5"]

    simulate(run())


# -- one request per order ------------------------------------------------------------------------------------------


def test_promise_3_a_newer_revision_waits_for_the_one_in_flight() -> None:
    async def run() -> None:
        async def slow(_: int) -> Outcome:
            await asyncio.sleep(2.0)  # noqa: TID251 - simulated
            return SENT

        async with Bench(script=slow) as bench:
            await bench.order("1", version=1)
            await bench.after(0.5)
            for version in (2, 3, 4):
                receipt = await bench.order("1", version=version)
                assert receipt.waiting is None
            assert bench.in_flight == 1
            await bench.after(10.0)
            assert bench.in_flight_max == 1
            assert len(bench.sent) == 2
            (order,) = await bench.store.find("1")
            assert order.delivered_revision == 4

    simulate(run())


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    async def run() -> None:
        async def stuck(_: int) -> Outcome:
            await asyncio.sleep(50.0)  # noqa: TID251 - simulated
            return SENT

        async with Bench(script=stuck, channel=replace(CHANNEL, in_flight_max=3)) as bench:
            for number in range(1, 11):
                await bench.order(str(number))
            assert len(await bench.after(20.0)) == 3
            assert len(await bench.after(200.0)) == 10
            assert bench.in_flight_max == 3

    simulate(run())


# -- outcomes ---------------------------------------------------------------------------------------------------------


def test_what_fails_is_sent_again_after_a_growing_delay() -> None:
    async def run() -> None:
        async with Bench(script=scripted(FAILED, FAILED, FAILED, SENT)) as bench:
            await bench.order("1")
            await bench.after(60.0)
            gaps = [after - before for before, after in pairwise(bench.times)]
            assert [round(gap) for gap in gaps] == [1, 2, 4]
            assert await bench.state("1") is State.SENT
            attempts = [made.outcome for made in bench.happenings.of(AttemptMade)]
            assert attempts == ["failed", "failed", "failed", "sent"]

    simulate(run())


def test_what_failed_for_too_long_becomes_a_dead_letter_with_its_cause() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return FAILED if bench.names[-1] == "1" else SENT

        channel = replace(CHANNEL, retry=RetryPolicy(max_age_s=600.0))
        async with Bench(script=answer, channel=channel) as bench:
            await bench.order("1")
            await bench.after(100.0)
            for number in range(2, 100):
                await bench.order(str(number))
                await bench.after(30.0)
            (dead,) = await bench.store.dead_letters()
            assert isinstance(dead, Order)
            assert dead.cause is not None
            assert dead.cause.message.startswith("gave up after")

    simulate(run())


def test_a_refusal_is_a_dead_letter_and_is_not_sent_again() -> None:
    async def run() -> None:
        async with Bench(script=scripted(REFUSED)) as bench:
            await bench.order("1")
            assert len(await bench.after(4000.0)) == 1
            assert await bench.state("1") is State.DEAD

    simulate(run())


def test_a_throttled_channel_waits_as_long_as_it_was_asked_to_and_no_attempt_counts() -> None:
    async def run() -> None:
        throttled = replace(THROTTLED, retry_after_s=7.0)
        async with Bench(script=scripted(throttled, SENT)) as bench:
            await bench.order("1")
            await bench.clock.sleep(0.01)
            await bench.order("2")
            await bench.after(20.0)
            assert bench.times[1] >= 7.0
            assert bench.names == ["1", "2", "1"], "another order is tried first: it may have been this one's fault"
            assert [made.attempts for made in bench.happenings.of(AttemptMade)] == [0, 1, 1]

    simulate(run())


def test_a_wrong_credential_stops_the_channel_loudly_and_costs_no_order() -> None:
    async def run() -> None:
        async with Bench(script=scripted(*[CHANNEL_WRONG] * 5, SENT)) as bench:
            for number in range(1, 4):
                await bench.order(str(number))
                await bench.clock.sleep(0.01)
            await bench.after(600.0)
            assert {await bench.state(name) for name in "123"} == {State.SENT}
            moves = [(move.before, move.after) for move in bench.happenings.of(CircuitMoved)]
            assert moves == [(Circuit.CLOSED, Circuit.HALTED), (Circuit.HALTED, Circuit.CLOSED)]
            assert len(bench.sent) == 8
            assert bench.secrets_read == 5, "before every probe: perhaps someone mended them"
            attempts = [made.attempts for made in bench.happenings.of(AttemptMade) if made.outcome != "sent"]
            assert attempts == [0] * 5

    simulate(run())


def test_an_order_that_alone_is_refused_like_a_wrong_channel_does_not_stop_the_others() -> None:
    """A firewall before Jetti that dislikes a customer's note answers 403; for that one order, for ever."""

    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return CHANNEL_WRONG if bench.names[-1] == "1" else SENT

        channel = replace(CHANNEL, retry=RetryPolicy(max_age_s=3600.0))
        async with Bench(script=answer, channel=channel) as bench:
            for number in range(1, 200):
                await bench.order(str(number))
            await bench.after(120.0)
            assert len(set(bench.names)) == 199
            for number in range(200, 600):
                await bench.order(str(number))
                await bench.after(30.0)
            assert await bench.state("1") is State.DEAD
            halts = [move for move in bench.happenings.of(CircuitMoved) if move.after is Circuit.HALTED]
            assert len(halts) <= 2

    simulate(run())


def test_an_order_that_alone_is_throttled_does_not_stop_the_others() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return THROTTLED if bench.names[-1] == "1" else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, 100):
                await bench.order(str(number))
            await bench.after(60.0)
            assert len(set(bench.names)) == 99

    simulate(run())


def test_promise_6_a_stalled_store_does_not_save_up_permits() -> None:
    async def run() -> None:
        store = Moody()
        async with Bench(store=store) as bench:
            for number in range(1, 200):
                await bench.order(str(number))
            await bench.clock.sleep(1.0)
            store.stall_s = 3.0
            await bench.clock.sleep(4.0)
            store.stall_s = 0.0
            await bench.clock.sleep(12.0)
            assert len(bench.sent_at) > 100
            assert most_in_a_second(bench.sent_at) <= 11

    simulate(run())


def test_a_pause_holds_back_what_was_chosen_before_it() -> None:
    async def run() -> None:
        store = Moody()
        async with Bench(script=scripted(replace(THROTTLED, retry_after_s=60.0), SENT), store=store) as bench:
            store.stall_s = 0.5
            for number in range(1, 50):
                await bench.order(str(number))
            await bench.after(30.0)
            assert len(bench.sent) <= 2

    simulate(run())


def test_a_pause_holds_back_the_further_requests_of_an_attempt() -> None:
    class Paged(Bench):
        async def send(self, sale: bytes, leave: Callable[[], Awaitable[None]], trace: Trace | None) -> Result:
            await super().send(sale, leave, trace)
            await self.clock.sleep(2.0)
            return await super().send(sale, leave, trace)

    async def run() -> None:
        async with Paged() as bench:
            await bench.order("1")
            assert await bench.after(1.0) == ["1"]
            await bench.dispatcher.pause("ada", "stock is being counted")
            assert await bench.after(60.0) == ["1"]
            (order,) = await bench.store.find("1")
            assert (order.state, order.lease, order.attempts) == (State.WAITING, None, 0)
            await bench.dispatcher.resume("ada", "")
            assert await bench.after(60.0) == ["1", "1", "1"], "it begins anew"
            assert await bench.state("1") is State.SENT

    simulate(run())


def test_what_cannot_be_mapped_is_a_dead_letter_and_uses_no_permit() -> None:
    async def run() -> None:
        async with Bench() as bench:
            await bench.order("1", body=b"bad")
            await bench.order("2")
            await bench.after(0.05)
            assert bench.names == ["2"]
            (found,) = bench.happenings.of(EventFound)
            assert found.disposition is Disposition.QUARANTINED
            assert await bench.state("1") is State.DEAD

    simulate(run())


def test_an_update_that_changes_nothing_is_not_sent() -> None:
    async def run() -> None:
        async with Bench() as bench:
            await bench.order("1", body=manual_sale(1), version=1)
            await bench.after(1.0)
            await bench.order("1", body=manual_sale(1), version=2)
            assert await bench.after(1.0) == ["1"]
            (found,) = bench.happenings.of(EventFound)
            assert found.disposition is Disposition.UNCHANGED

    simulate(run())


def test_an_update_that_changes_nothing_is_sent_when_what_jetti_has_is_not_certain() -> None:
    """A, then B with an unknown outcome, then A again: Jetti may have B, so the second A must go."""

    async def run() -> None:
        async with Bench(script=scripted(SENT, FAILED, SENT)) as bench:
            await bench.order("1", body=manual_sale(1, note="A"), version=1)
            await bench.after(0.5)
            await bench.order("1", body=manual_sale(1, note="B"), version=2)
            await bench.after(0.3)
            await bench.order("1", body=manual_sale(1, note="A"), version=3)
            assert await bench.after(30.0) == ["1", "1", "1"]

    simulate(run())


def test_an_update_back_to_what_was_delivered_is_sent_after_one_that_failed_for_good() -> None:
    async def run(*between: Outcome, policy: RetryPolicy) -> None:
        outcomes = iter((SENT, *between, SENT))

        async def answer(_: int) -> Outcome:
            return next(outcomes) if bench.names[-1] == "1" else SENT

        channel = replace(CHANNEL, retry=policy)
        async with Bench(script=answer, channel=channel) as bench:
            await bench.order("1", body=manual_sale(1, note="A"), version=1)
            await bench.after(0.5)
            await bench.order("1", body=manual_sale(1, note="B"), version=2)
            await bench.after(0.15)
            for number in range(2, 60):
                await bench.order(str(number))
                await bench.after(0.5)
            assert await bench.state("1") is State.DEAD
            await bench.order("1", body=manual_sale(1, note="A"), version=3)
            assert (await bench.after(10.0)).count("1") == 2 + len(between)

    simulate(run(REFUSED, policy=RetryPolicy()))
    simulate(run(*[FAILED] * 8, policy=RetryPolicy(base_s=0.3, cap_s=0.3, max_age_s=0.01)))


def test_an_update_back_to_what_was_delivered_is_sent_after_one_that_was_handed_back() -> None:
    async def run() -> None:
        async def second_hangs(n: int) -> Outcome:
            await asyncio.sleep(1e6 if n == 2 else 0.0)  # noqa: TID251 - simulated
            return SENT

        store = MemoryStore()
        async with Bench(script=second_hangs, store=store) as bench:
            await bench.order("1", body=manual_sale(1, note="A"), version=1)
            await bench.after(0.5)
            await bench.order("1", body=manual_sale(1, note="B"), version=2)
            await bench.after(0.5)
            bench.stop()
            await bench.dispatcher.finish(0.1)
            await bench.order("1", body=manual_sale(1, note="A"), version=3)
        async with Bench(store=store) as again:
            assert await again.after(10.0) == ["1"]

    simulate(run())


def test_an_update_back_to_what_was_delivered_is_sent_after_a_503_that_may_have_worked() -> None:
    async def run() -> None:
        busy = Throttled(5.0, Cause("http_503", "come again", 503))
        async with Bench(script=scripted(SENT, busy, SENT)) as bench:
            await bench.order("1", body=manual_sale(1, note="A"), version=1)
            await bench.after(0.5)
            await bench.order("1", body=manual_sale(1, note="B"), version=2)
            await bench.after(0.5)
            await bench.order("1", body=manual_sale(1, note="A"), version=3)
            assert await bench.after(20.0) == ["1", "1", "1"]

    simulate(run())


# -- the channel ------------------------------------------------------------------------------------------------------


def test_a_throttle_halves_the_rate_and_success_brings_it_back_but_never_above_the_ceiling() -> None:
    async def run() -> None:
        async with Bench(script=scripted(replace(THROTTLED, retry_after_s=2.0), SENT)) as bench:
            for number in range(1, 700):
                await bench.order(str(number))
            await bench.clock.sleep(0.05)
            assert bench.dispatcher.rate == 5.0
            assert bench.dispatcher.ceiling == 10.0
            assert len(bench.happenings.of(ChannelThrottled)) == 1
            before = len(await bench.after(3.0))
            slow = len(await bench.after(2.0)) - before
            assert 10 <= slow <= 13
            await bench.after(20.0)
            assert bench.dispatcher.rate == 10.0
            assert most_in_a_second(bench.sent_at) <= 11
            before = len(bench.sent)
            assert len(await bench.after(10.0)) - before in (99, 100, 101)

    simulate(run())


def test_many_throttled_at_once_slow_the_channel_down_once() -> None:
    async def run() -> None:
        async def slowly(n: int) -> Outcome:
            await asyncio.sleep(2.0)  # noqa: TID251 - simulated
            return replace(THROTTLED, retry_after_s=1.0) if n <= 10 else SENT

        async with Bench(script=slowly) as bench:
            for number in range(1, 40):
                await bench.order(str(number))
            await bench.after(3.2)
            assert bench.dispatcher.rate == 5.0

    simulate(run())


def test_an_outage_opens_the_circuit_costs_no_attempts_and_is_over_when_a_probe_gets_through() -> None:
    """A thousand orders wait through six hours of outage, and come back at the channel's pace, most urgent first."""

    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return FAILED if bench.clock.monotonic() - bench.started < 6 * 3600 else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, 1001):
                await bench.order(str(number))
                await bench.clock.sleep(0.0001)
            await bench.after(1800.0)
            assert bench.dispatcher.condition.breaker.circuit is Circuit.OPEN
            during = len(bench.sent)
            assert len(await bench.after(3600.0)) - during <= 61, "one probe a minute"
            running_us = bench.dispatcher.condition.running_us
            await bench.after(5 * 3600.0)
            assert await bench.store.dead_letters() == []
            assert len({name for at, name in bench.sent if at >= 6 * 3600}) == 1000
            counted = [made.attempts for made in bench.happenings.of(AttemptMade) if made.outcome == "failed"]
            assert sum(attempts > 0 for attempts in counted) <= BreakerPolicy().failures
            assert running_us < 10 * SECOND, "the clock of the maximum age stands still"
            after_it = [int(name) for at, name in bench.sent if at >= 6 * 3600 + 120]
            assert sum(a > b for a, b in pairwise(after_it)) <= 8, "most urgent first, but for what slept"
            assert most_in_a_second(bench.sent_at) <= 11

    simulate(run())


def test_one_order_that_always_fails_does_not_open_the_circuit() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return FAILED if bench.names[-1] == "1" else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, 30):
                await bench.order(str(number))
            await bench.after(3600.0)
            assert len(set(bench.names)) == 29
            assert bench.happenings.of(CircuitMoved) == []

    simulate(run())


def test_an_order_that_fails_alone_is_not_given_up_before_another_was_taken() -> None:
    """At night one order waits, and Jetti is down for three days: it may not be the order."""

    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return FAILED if bench.clock.monotonic() - bench.started < 72 * 3600 else SENT

        async with Bench(script=answer) as bench:
            await bench.order("1")
            await bench.after(71 * 3600.0)
            assert await bench.state("1") is State.SLEEPING
            await bench.after(2 * 3600.0)
            assert await bench.state("1") is State.SENT

    simulate(run())


def test_one_refusal_for_order_after_order_halts_the_channel_and_none_of_them_stays_dead() -> None:
    """A new product goes on sale and is unknown to Jetti until someone acknowledges it."""

    async def run() -> None:
        mended = False

        async def answer(_: int) -> Outcome:
            return SENT if mended else REFUSED

        async with Bench(script=answer) as bench:
            for number in range(1, 101):
                await bench.order(str(number))
            await bench.after(60.0)
            assert bench.dispatcher.condition.breaker.circuit is Circuit.HALTED
            assert await bench.store.dead_letters() == []
            assert len(bench.sent) < 20
            mended = True
            await bench.after(700.0)
            assert {await bench.state(str(number)) for number in range(1, 101)} == {State.SENT}

    simulate(run())


def test_orders_that_are_refused_by_their_own_fault_become_dead_letters_however_many_came_in_a_row() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return REFUSED if int(bench.names[-1]) <= 15 else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, 31):
                await bench.order(str(number))
            await bench.after(4 * 3600.0)
            assert {await bench.state(str(number)) for number in range(16, 31)} == {State.SENT}
            assert {await bench.state(str(number)) for number in range(1, 16)} == {State.DEAD}
            assert bench.dispatcher.condition.breaker.circuit is Circuit.CLOSED

    simulate(run())


def test_resuming_reads_the_secrets_again_and_goes_on_at_once() -> None:
    async def run() -> None:
        async with Bench(script=scripted(*[CHANNEL_WRONG] * 8, SENT)) as bench:
            for number in range(1, 21):
                await bench.order(str(number))
            await bench.after(1000.0)
            assert bench.dispatcher.condition.breaker.circuit is Circuit.HALTED
            before = len(bench.sent)
            read = bench.secrets_read
            bench.secrets_wrong = "there is no such file"
            with pytest.raises(ValueError, match="no such file"):
                await bench.dispatcher.resume("ada", "mended")
            assert bench.dispatcher.condition.breaker.circuit is Circuit.HALTED
            bench.secrets_wrong = ""
            await bench.dispatcher.resume("ada", "mended")
            assert bench.secrets_read == read + 2
            assert len(await bench.after(1.0)) - before >= 9
            assert [(act.by, act.what) for act in bench.happenings.of(PersonActed)] == [("ada", "resume")]

    simulate(run())


def test_a_pause_survives_a_restart_and_accepting_goes_on() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with Bench(store=store) as bench:
            await bench.order("1")
            await bench.after(1.0)
            await bench.dispatcher.pause("ada", "stock is being counted")
            await bench.order("2")
            assert await bench.after(100.0) == ["1"]
        async with Bench(store=store.restarted()) as again:
            await again.order("3")
            assert await again.after(1000.0) == []
            pause = again.dispatcher.condition.pause
            assert pause is not None
            assert (pause.by, pause.why) == ("ada", "stock is being counted")
            await again.dispatcher.resume("bob", "counted")
            assert sorted(await again.after(1.0)) == ["2", "3"]

    simulate(run())


def test_a_rate_for_now_holds_at_once_over_a_restart_and_until_its_time_is_over() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with Bench(store=store) as bench:
            for number in range(1, 1000):
                await bench.order(str(number))
            await bench.after(1.0)
            await bench.dispatcher.set_rate(2.0, 60.0, "ann", "Jetti asked for it")
            assert (bench.dispatcher.rate, bench.dispatcher.ceiling) == (2.0, 10.0)
            before = len(bench.sent)
            assert 19 <= len(await bench.after(10.0)) - before <= 21
            (deed,) = await store.deeds()
            assert (deed.by, deed.what, deed.why) == ("ann", "rate", "Jetti asked for it")
            assert deed.about.startswith("channel main: 2/s until ")
        later = store.restarted()
        async with Bench(store=later) as again:
            assert 19 <= len(await again.after(10.0)) <= 21
            assert again.dispatcher.rate_for_s == pytest.approx(51.0, abs=1.0), "its wall clock began anew"
            (warned,) = again.happenings.of(Warned)
            assert "2/s at the most, by ann until " in warned.what
            await again.after(55.0)
            assert (again.dispatcher.rate, again.dispatcher.condition.rate_for_now) == (10.0, None)
            before = len(again.sent)
            assert len(await again.after(10.0)) - before in (99, 100, 101)
            assert most_in_a_second(again.sent_at) <= 11
        assert (await later.conditions())["main"].rate_for_now is None

    simulate(run())


def test_a_rate_for_now_is_taken_back_at_once() -> None:
    async def run() -> None:
        async with Bench() as bench:
            for number in range(1, 1000):
                await bench.order(str(number))
            await bench.dispatcher.set_rate(0.01, None, "ann", "a look")
            before = len(await bench.after(50.0))
            assert before <= 2
            await bench.dispatcher.set_rate(None, None, "bob", "")
            assert len(await bench.after(10.0)) - before in (98, 99, 100, 101)
            assert [deed.about for deed in await bench.store.deeds()] == [
                "channel main: as configured again",
                "channel main: 0.01/s for now",
            ]

    simulate(run())


def test_a_throttle_cuts_from_the_rate_for_now_which_does_not_cut_from_the_pace() -> None:
    async def run() -> None:
        throttled = replace(THROTTLED, retry_after_s=1.0)
        async with Bench(script=scripted(throttled, SENT)) as bench:
            await bench.dispatcher.set_rate(4.0, None, "ann", "a look")
            for number in range(1, 1000):
                await bench.order(str(number))
            await bench.after(0.4)
            assert bench.dispatcher.rate == 2.0
            (told,) = bench.happenings.of(ChannelThrottled)
            assert told.rate == 2.0
            await bench.after(60.0)
            assert bench.dispatcher.rate == 4.0, "it finds its way back"
            await bench.dispatcher.set_rate(None, None, "ann", "")
            assert bench.dispatcher.rate == 10.0

    simulate(run())


@pytest.mark.parametrize("rate", [0.0, 0.009, 10.0, 11.0])
def test_no_rate_for_now_is_above_what_is_configured_nor_a_pause(rate: float) -> None:
    async def run() -> None:
        async with Bench() as bench:
            with pytest.raises(ValueError, match=r"from 0\.01 to below 10 requests a second"):
                await bench.dispatcher.set_rate(rate, None, "ann", "faster")
            assert bench.dispatcher.condition.rate_for_now is None

    simulate(run())


def test_a_rate_for_now_that_cannot_be_kept_is_none() -> None:
    async def run() -> None:
        class Full(MemoryStore):
            async def keep(self, channel: str, condition: Any, deed: Any = None) -> None:
                if deed is not None:
                    raise StoreFailed("disk I/O error")
                await super().keep(channel, condition, deed)

        async with Bench(store=Full()) as bench:
            with pytest.raises(StoreFailed):
                await bench.dispatcher.set_rate(2.0, None, "ann", "why")
            assert bench.dispatcher.rate == 10.0

    simulate(run())


@pytest.mark.parametrize(("outcome", "odd"), [(CHANNEL_WRONG, 2), (FAILED, 5)])
def test_orders_that_can_never_be_taken_are_not_every_probe(outcome: Outcome, odd: int) -> None:
    """Two new orders that a firewall dislikes, five that Jetti fails at, and updates that could go."""

    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return outcome if int(bench.names[-1]) <= odd else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, odd + 1):
                await bench.order(str(number))
            for number in range(10, 20):
                await bench.order(str(number), old=True)
            await bench.after(60.0)
            assert {await bench.state(str(number)) for number in range(10, 20)} == {State.SENT}

    simulate(run())


def test_an_order_that_alone_is_told_to_come_again_does_not_let_the_channel_rest_for_ever() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return replace(THROTTLED, retry_after_s=300.0) if bench.names[-1] == "1" else SENT

        async with Bench(script=answer) as bench:
            await bench.order("1")
            for number in range(2, 52):
                await bench.order(str(number), old=True)
            await bench.after(1500.0)
            assert len(set(bench.names)) == 51

    simulate(run())


def test_a_long_outage_of_few_orders_kills_none_at_its_first_failure_after_it() -> None:
    """A small shop's weekend: three orders, too few to open the circuit; then Jetti is back, and stumbles once."""

    async def run() -> None:
        stumbles = iter([FAILED])

        async def answer(_: int) -> Outcome:
            if bench.clock.monotonic() - bench.started < 60 * 3600:
                return FAILED
            return next(stumbles, SENT) if bench.names[-1] == "2" else SENT

        async with Bench(script=answer) as bench:
            for number in range(1, 4):
                await bench.order(str(number))
            await bench.after(60 * 3600.0)
            await bench.order("4")
            await bench.after(3600.0)
            assert {await bench.state(name) for name in "1234"} == {State.SENT}

    simulate(run())


def test_what_is_judged_while_stopping_is_kept_and_who_was_refused_for_the_channel_waits_again() -> None:
    async def run() -> None:
        async def slowly(_: int) -> Outcome:
            await asyncio.sleep(5.0)  # noqa: TID251 - simulated
            return REFUSED

        store = MemoryStore()
        async with Bench(script=slowly, store=store) as bench:
            for number in range(1, 13):
                await bench.order(str(number))
            await bench.after(3.0)
            bench.stop()
            await bench.dispatcher.finish(30.0)
            assert await store.dead_letters() == []
            kept = (await store.conditions())["main"]
            assert kept.breaker.circuit is Circuit.HALTED

    simulate(run())


def test_a_store_in_trouble_does_not_forget_whom_a_halt_has_to_take_back() -> None:
    class Failing(MemoryStore):
        failures = 2

        async def revive(self, revival: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise StoreFailed("database is locked")
            return await super().revive(revival)

    async def run() -> None:
        mended = False

        async def answer(_: int) -> Outcome:
            return SENT if mended else REFUSED

        async with Bench(script=answer, store=Failing()) as bench:
            for number in range(1, 31):
                await bench.order(str(number))
            await bench.after(5.0)
            mended = True
            await bench.after(700.0)
            assert {await bench.state(str(number)) for number in range(1, 31)} == {State.SENT}

    simulate(run())


def test_replayed_dead_letters_that_are_refused_again_do_not_halt_live_traffic() -> None:
    async def run() -> None:
        async def answer(_: int) -> Outcome:
            return REFUSED if int(bench.names[-1]) <= 30 else SENT

        store = MemoryStore()
        async with Bench(script=answer, store=store) as bench:
            for number in range(1, 31):
                await bench.order(str(number))
                await bench.order(str(100 + number))
                await bench.after(0.5)
            await bench.after(600.0)
            assert len(await store.dead_letters()) == 30
        again = store.restarted()
        dead = [letter.id for letter in await again.dead_letters()]
        async with Bench(script=answer, store=again) as bench:
            for revived in await again.revive(Revival(dead, bench.clock.now(), {})):
                bench.dispatcher.offer(revived.waiting)
            await bench.after(2.0)
            await bench.order("999")
            await bench.after(0.3)
            assert "999" in bench.names[-4:]
            await bench.after(60.0)
            assert bench.happenings.of(CircuitMoved) == []
            assert len(await again.dead_letters()) == 30

    simulate(run())


def test_a_pause_is_not_lost_that_comes_before_the_channel_has_begun() -> None:
    async def run() -> None:
        store = Moody()
        store.stall_s = 2.0
        bench = Bench(store=store)
        async with bench:
            await bench.dispatcher.pause("ada", "not yet")
            store.stall_s = 0.0
            await bench.order("1")
            assert await bench.after(100.0) == []

    simulate(run())


def test_after_a_halt_nothing_sleeps_on_until_the_next_probe_would_have_been_due() -> None:
    async def run() -> None:
        async with Bench(script=scripted(*[CHANNEL_WRONG] * 6, SENT)) as bench:
            for number in range(1, 4):
                await bench.order(str(number))
            await bench.after(600.0)
            assert len(bench.sent) == 6
            await bench.dispatcher.resume("ada", "mended")
            await bench.after(1.0)
            assert {await bench.state(name) for name in "123"} == {State.SENT}

    simulate(run())


def test_a_halt_survives_a_restart_and_a_restart_is_worth_a_probe() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with Bench(store=store, script=scripted(CHANNEL_WRONG)) as bench:
            for number in range(1, 9):
                await bench.order(str(number))
            await bench.after(3600.0)
        async with Bench(store=store.restarted(), script=scripted(CHANNEL_WRONG)) as again:
            assert again.dispatcher.condition.breaker.circuit is Circuit.HALTED
            assert len(await again.after(2.0)) == 1

    simulate(run())


def test_a_clock_that_is_set_back_strands_no_sleeper() -> None:
    async def run() -> None:
        async with Bench(script=scripted(FAILED, SENT)) as bench:
            await bench.order("1")
            await bench.after(0.2)
            bench.clock.set_back(6 * 3600.0)
            assert await bench.after(60.0) == ["1", "1"]

    simulate(run())


def test_a_storefront_that_is_no_longer_configured_costs_no_order_at_once() -> None:
    async def run() -> None:
        async with Bench(maker=None) as bench:
            await bench.order("1")
            await bench.after(5.0)
            assert await bench.state("1") is State.SLEEPING
            bench.maker = Maker(Source())
            assert await bench.after(600.0) == ["1"]

    simulate(run())


# -- trouble ----------------------------------------------------------------------------------------------------------


class Moody(MemoryStore):
    """A store that fails so many times before it works again."""

    failures = 0
    stall_s = 0.0

    async def _maybe_fail(self) -> None:
        if self.stall_s:
            await asyncio.sleep(self.stall_s)  # noqa: TID251 - simulated
        if self.failures:
            self.failures -= 1
            raise StoreFailed("disk I/O error")

    async def conditions(self) -> Any:
        await self._maybe_fail()
        return await super().conditions()

    async def take(self, channel: str, candidates: Any) -> Taken | None:
        await self._maybe_fail()
        return await super().take(channel, candidates)

    async def settle(self, settlement: Settlement) -> Settled | None:
        await self._maybe_fail()
        return await super().settle(settlement)

    async def head(self, channel: str, limit: int) -> Any:
        await self._maybe_fail()
        return await super().head(channel, limit)


def test_a_store_in_trouble_costs_no_order_and_sends_nothing_twice() -> None:
    async def run() -> None:
        store = Moody()
        async with Bench(store=store) as bench:
            for number in range(1, 11):
                await bench.order(str(number))
                store.failures += 2
                await bench.clock.sleep(0.25)
            assert sorted(await bench.after(25.0), key=int) == [str(number) for number in range(1, 11)]
            await bench.after(60.0)
            assert {await bench.state(str(number)) for number in range(1, 11)} == {State.SENT}

    simulate(run())


def test_stopping_lets_what_is_in_flight_finish() -> None:
    async def run() -> None:
        async def slow(_: int) -> Outcome:
            await asyncio.sleep(2.0)  # noqa: TID251 - simulated
            return SENT

        async with Bench(script=slow) as bench:
            await bench.order("1")
            await bench.after(0.5)
            bench.stop()
            await bench.dispatcher.finish(5.0)
            assert await bench.state("1") is State.SENT

    simulate(run())


def test_stopping_hands_back_what_does_not_finish_in_time() -> None:
    async def run() -> None:
        async def endless(_: int) -> Outcome:
            await asyncio.sleep(1e6)  # noqa: TID251 - simulated
            return SENT

        async with Bench(script=endless) as bench:
            await bench.order("1")
            await bench.after(0.5)
            bench.stop()
            await bench.dispatcher.finish(1.0)
            (order,) = await bench.store.find("1")
            assert order.state is State.WAITING
            assert order.lease is None
            timeline = await bench.store.timeline(order.id)
            assert timeline is not None
            assert [attempt.outcome for attempt in timeline.attempts] == ["handed_back"]
            (made,) = bench.happenings.of(AttemptMade)
            assert (made.outcome, made.state, made.attempts, made.status) == ("handed_back", State.WAITING, 0, None)

    simulate(run())
