"""What every store promises: one suite, run on all of them, and a model of the rules that they are held against."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.breaker import Breaker, Circuit
from relay.core.condition import Condition, Pause
from relay.core.delivery import Delivery, Lane, State
from relay.core.events import Doing
from relay.core.instant import Instant
from relay.core.order import NOTHING_THERE, Disposition, Finding, Order
from relay.core.outcome import Cause, Obtained, Outcome, Refused
from relay.core.pace import Tempo
from relay.core.retry import RetryPolicy
from relay.core.sale import Reason
from relay.core.search import email_hash
from relay.core.sources import Cancel, Fetch, Identified, Upsert
from relay.core.trace import Trace
from relay.store import (
    EVERYTHING,
    NO_ORDER,
    Advanced,
    Attempt,
    Cutoffs,
    DeadGroup,
    Deed,
    Discarding,
    Event,
    EventSearch,
    HeldGroup,
    Receipt,
    Release,
    Released,
    Replay,
    Revival,
    Revived,
    Search,
    Selection,
    Sender,
    Settlement,
    Store,
    StoreFull,
    SweepPlace,
    Taken,
    Tally,
    Timeline,
    dead_place,
)
from relay.store.memory import MemoryStore
from relay.store.places import Place, of_event
from relay.store.sqlite import SqliteStore
from tests.builders import (
    CANNOT_MAP,
    CHANNEL_WRONG,
    DAY_S,
    FAILED,
    NOW,
    OUTCOMES,
    REFUSED,
    SENT,
    STARTS,
    THROTTLED,
    UNCHANGED,
    accept,
    arrival,
    at,
    attempt,
    cancel,
    cause,
    deliver,
    garbled,
    id_of,
    ignored,
    moved_to,
    order_of,
    settle,
    settlement,
    take,
    upsert,
)

T = TypeVar("T")


async def open_memory(_: Path) -> Store:
    return MemoryStore()


async def open_sqlite(folder: Path) -> Store:
    return await SqliteStore.open(folder / "relay.db")


STORES: dict[str, Callable[[Path], Coroutine[Any, Any, Store]]] = {"memory": open_memory, "sqlite": open_sqlite}
"""Every store there is; the suite runs on each."""


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await STORES[request.param](tmp_path)
    yield opened
    await opened.close()


async def events_of(store: Store, order_id: int) -> dict[int, Event]:
    timeline = await store.timeline(order_id)
    assert timeline is not None
    return {event.id: event for event in timeline.events}


async def pages_of_orders(store: Store, wanted: Search, limit: int) -> list[Order]:
    """All that a search finds, page by page."""
    page = await store.search(wanted, limit=limit)
    orders = [*page.orders]
    while page.next is not None:
        page = await store.search(wanted, limit=limit, after=page.next)
        assert len(page.orders) <= limit
        orders += page.orders
    return orders


async def pages_of_events(store: Store, wanted: EventSearch, limit: int) -> list[Event]:
    """The same of events."""
    page = await store.events(wanted, limit=limit)
    events = [*page.events]
    while page.next is not None:
        page = await store.events(wanted, limit=limit, after=page.next)
        assert len(page.events) <= limit
        events += page.events
    return events


async def pages_of_dead(store: Store, limit: int, selection: Selection = EVERYTHING) -> list[Order | Event]:
    """The same of dead letters."""
    letters = [*await store.dead_letters(limit, selection)]
    while letters and (page := await store.dead_letters(limit, selection, after=dead_place(letters[-1]))):
        letters += page
    return letters


async def places_of(store: Store, order_id: int) -> list[str]:
    timeline = await store.timeline(order_id)
    assert timeline is not None
    return [of_event(event, timeline).name for event in timeline.events]


# -- accepting: what becomes of an event -----------------------------------------------------------------------------


async def test_the_first_event_of_an_order_is_queued_as_its_first_revision(store: Store) -> None:
    receipt = await accept(store, upsert("1001", version=at(-5), reference="#1001", created_at=at(-9)))
    assert (receipt.disposition, receipt.revision) == (Disposition.QUEUED, 1)
    assert receipt.waiting == Waiting(at(-3600), id_of(receipt))
    order = await order_of(store, receipt)
    assert order == Order(
        id=id_of(receipt), storefront="shop", external_id="1001", channel="main", reference="#1001", version=at(-5),
        revision=1, event_id=receipt.event_id, cancelled_at=None, delivered_revision=0, delivered_digest=NOTHING_THERE,
        state=State.WAITING, lane=Lane.NEW, due_at=NOW, urgency=at(-3600), accepted_at=NOW, since=NOW,
    )  # fmt: skip


async def test_a_newer_event_of_a_waiting_order_is_merged_and_keeps_lane_and_place(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    second = await accept(store, upsert(version=2), received_at=at(60), body=b"newest")
    assert (second.disposition, second.revision, second.waiting) == (Disposition.MERGED, 2, None)
    assert await store.head("main", 10) == [first.waiting]
    taken = await take(store, first)
    assert (taken.body, taken.order.revision, taken.order.accepted_at) == (b"newest", 2, NOW)
    assert await places_of(store, id_of(first)) == ["superseded", "in flight"]


async def test_an_order_follows_its_storefront_to_another_channel_where_nothing_is_known_of_it(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    await deliver(store, first, SENT)
    await accept(store, upsert(version=2))
    second = await accept(store, upsert(version=3), channel="other", received_at=at(60))
    assert second.disposition is Disposition.MERGED
    assert second.waiting is not None, "the other channel has to hear of it"
    assert await store.head("main", 10) == []
    assert await store.head("other", 10) == [second.waiting]
    taken = await take(store, second, channel="other")
    assert taken.order.delivered_digest is None


async def test_a_newer_event_of_a_sleeping_order_is_merged_and_does_not_wake_it(store: Store) -> None:
    first = await accept(store)
    asleep = (await deliver(store, first, FAILED)).order
    second = await accept(store, upsert(), received_at=at(0.5))
    assert (second.disposition, second.revision, second.waiting) == (Disposition.MERGED, 2, None)
    now = await order_of(store, first)
    assert (now.state, now.due_at, now.attempts) == (State.SLEEPING, asleep.due_at, 1)


async def test_an_older_version_is_stale_kept_and_never_sent(store: Store) -> None:
    first = await accept(store, upsert(version=2), body=b"newest")
    stale = await accept(store, upsert(version=1), body=b"older")
    assert (stale.disposition, stale.revision, stale.waiting) == (Disposition.STALE, None, None)
    assert await store.body(stale.event_id) == b"older"
    assert (await take(store, first)).body == b"newest"
    assert await places_of(store, id_of(first)) == ["in flight", "stale"]


async def test_an_older_version_is_stale_also_after_the_newer_one_was_delivered(store: Store) -> None:
    first = await accept(store, upsert(version=2))
    await deliver(store, first)
    assert (await accept(store, upsert(version=1))).disposition is Disposition.STALE
    assert (await order_of(store, first)).state is State.SENT


async def test_the_same_webhook_again_is_a_duplicate_that_names_the_first(store: Store) -> None:
    first = await accept(store, upsert(key="k"), body=b"first")
    for _ in range(2):
        again = await accept(store, upsert(key="k"), body=b"again")
        assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, first.event_id)
        assert (again.order_id, again.revision, again.waiting) == (first.order_id, None, None)
    assert (await order_of(store, first)).revision == 1
    assert (await take(store, first)).body == b"first"
    events = await events_of(store, id_of(first))
    assert [event.duplicate_of for event in events.values()] == [None, first.event_id, first.event_id]


async def test_a_duplicate_is_one_also_after_its_order_was_delivered(store: Store) -> None:
    first = await accept(store, upsert(key="k", version=1))
    await deliver(store, first)
    again = await accept(store, upsert(key="k", version=1))
    assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, first.event_id)
    assert await store.head("main", 10) == []


async def test_two_storefronts_share_neither_dedupe_keys_nor_orders(store: Store) -> None:
    here = await accept(store, upsert("1001", key="k"))
    there = await accept(store, upsert("1001", key="k"), storefront="outlet")
    assert there.disposition is Disposition.QUEUED
    assert here.order_id != there.order_id


async def test_pings_and_garbled_events_are_deduplicated_too(store: Store) -> None:
    for event in (ignored(key="a"), garbled(key="b")):
        first, again = await accept(store, event), await accept(store, event)
        assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, first.event_id)


async def test_an_event_that_no_order_can_be_read_from_is_a_dead_letter(store: Store) -> None:
    receipt = await accept(store, garbled(), body=b"\xff")
    assert (receipt.disposition, receipt.order_id, receipt.waiting) == (Disposition.QUARANTINED, None, None)
    [letter] = await store.dead_letters()
    assert isinstance(letter, Event)
    assert (letter.id, [reason.pointer for reason in letter.reasons]) == (receipt.event_id, ["/id"])
    assert await store.lost_events() == 1
    assert await store.body(receipt.event_id) == b"\xff"


async def test_a_ping_is_ignored_and_is_no_dead_letter(store: Store) -> None:
    receipt = await accept(store, ignored())
    assert (receipt.disposition, receipt.order_id) == (Disposition.IGNORED, None)
    assert await store.dead_letters() == []
    assert await store.lost_events() == 0
    assert await store.tally() == {}


async def test_an_update_that_changes_nothing_is_found_unchanged_and_kept(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, digest=b"d" * 16)
    second = await accept(store, upsert())
    taken = await take(store, second)
    assert taken.order.delivered_digest == b"d" * 16
    settled = await settle(store, taken, UNCHANGED)
    assert (settled.order.state, settled.order.delivered_revision) == (State.SENT, 2)
    assert settled.order.delivered_digest == b"d" * 16
    assert (await events_of(store, id_of(first)))[second.event_id].disposition is Disposition.UNCHANGED
    assert await places_of(store, id_of(first)) == ["delivered", "unchanged"]


async def test_an_event_that_cannot_be_mapped_is_quarantined_with_the_reasons(store: Store) -> None:
    first = await accept(store)
    settled = await deliver(store, first, CANNOT_MAP)
    assert (settled.order.state, settled.order.attempts, settled.waiting) == (State.DEAD, 0, None)
    event = (await events_of(store, id_of(first)))[first.event_id]
    assert (event.disposition, event.reasons) == (Disposition.QUARANTINED, CANNOT_MAP.reasons)
    assert await store.dead_letters() == [settled.order]


async def test_a_finding_amends_its_own_event_only(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    taken = await take(store, first)
    duplicate_key = "k"
    second = await accept(store, upsert(version=2, key=duplicate_key))
    stale = await accept(store, upsert(version=0))
    again = await accept(store, upsert(version=2, key=duplicate_key))
    other = await accept(store, upsert("1002"))
    await settle(store, taken, CANNOT_MAP)
    events = await events_of(store, id_of(first)) | await events_of(store, id_of(other))
    assert {event.id: event.disposition for event in events.values()} == {
        first.event_id: Disposition.QUARANTINED,
        second.event_id: Disposition.QUEUED,
        stale.event_id: Disposition.STALE,
        again.event_id: Disposition.DUPLICATE,
        other.event_id: Disposition.QUEUED,
    }


TRACES = [Trace(f"{n:032x}", f"{n:016x}", sampled=n % 2 == 0, state="rojo=1" if n > 2 else "") for n in range(1, 6)]


async def traced(store: Store, trace: Trace | None, version: int) -> Receipt:
    return await store.accept(replace(arrival(upsert(version=version)), trace=trace))


async def test_a_delivery_goes_on_with_the_traces_of_what_it_carries_the_newest_first(store: Store) -> None:
    one, two, three, stale, after = TRACES
    receipt = await traced(store, one, 1)
    assert await store.traces(await order_of(store, receipt)) == [one]
    await traced(store, two, 2)
    await traced(store, None, 3)
    await traced(store, three, 4)
    assert (await traced(store, stale, 1)).disposition in (Disposition.STALE, Disposition.DUPLICATE)
    order = await order_of(store, receipt)
    assert await store.traces(order) == [three, two, one]
    assert await store.traces(order, 2) == [three], "its last event is stale"
    await deliver(store, receipt)
    assert await store.traces(await order_of(store, receipt)) == [three], "what is delivered, for a cancel call"
    await traced(store, after, 5)
    assert await store.traces(await order_of(store, receipt)) == [after]


async def test_where_no_traces_are_made_none_is_kept(store: Store) -> None:
    receipt = await accept(store)
    assert await store.traces(await order_of(store, receipt)) == []
    assert [event.trace for event in (await events_of(store, id_of(receipt))).values()] == [None]


async def test_of_equal_versions_the_later_arrival_wins(store: Store) -> None:
    first = await accept(store, upsert(version=7), body=b"one")
    second = await accept(store, upsert(version=7), body=b"two")
    assert (second.disposition, second.revision) == (Disposition.MERGED, 2)
    assert (await take(store, first)).body == b"two"


async def test_without_versions_the_order_of_arrival_decides(store: Store) -> None:
    first = await accept(store, upsert(version=None), body=b"one")
    second = await accept(store, upsert(version=None), body=b"two")
    assert second.disposition is Disposition.MERGED
    assert (await take(store, first)).body == b"two"


async def test_an_event_without_a_version_leaves_the_high_water_mark(store: Store) -> None:
    first = await accept(store, upsert(version=5))
    assert (await accept(store, upsert(version=None))).revision == 2
    assert (await order_of(store, first)).version == 5
    assert (await accept(store, upsert(version=4))).disposition is Disposition.STALE


# -- cancellations ---------------------------------------------------------------------------------------------------


async def test_a_cancellation_sticks_whatever_comes_after_it(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    await accept(store, cancel(version=2))
    await deliver(store, first)
    await accept(store, upsert(version=3))
    await accept(store, cancel(version=4))
    assert (await take(store, first)).order.cancelled_at == 2


async def test_a_cancellation_is_never_merged_away(store: Store) -> None:
    first = await accept(store, upsert(version=1), body=b"placed")
    merged = await accept(store, cancel(version=2), body=b"cancelled")
    assert merged.disposition is Disposition.MERGED
    assert (await accept(store, upsert(version=3), body=b"touched")).disposition is Disposition.MERGED
    taken = await take(store, first)
    assert (taken.body, taken.order.cancelled_at) == (b"touched", 2)


async def test_a_cancellation_without_a_version_is_as_of_its_arrival(store: Store) -> None:
    first = await accept(store, cancel(version=None), received_at=at(9))
    assert (await order_of(store, first)).cancelled_at == at(9)


async def test_a_deletion_that_only_names_its_order_leaves_the_last_whole_body(store: Store) -> None:
    first = await accept(store, upsert(version=1), body=b"whole")
    gone = await accept(store, cancel(version=2, complete=False), body=b"only an id")
    assert (gone.disposition, gone.revision) == (Disposition.MERGED, 2)
    taken = await take(store, first)
    assert (taken.body, taken.order.revision, taken.order.cancelled_at) == (b"whole", 2, 2)


async def test_a_deletion_of_an_order_never_seen_is_a_dead_letter(store: Store) -> None:
    gone = await accept(store, cancel(version=3, complete=False))
    assert (gone.disposition, gone.waiting) == (Disposition.QUARANTINED, None)
    [letter] = await store.dead_letters()
    assert isinstance(letter, Order)
    assert (letter.id, letter.cause is not None and letter.cause.code) == (gone.order_id, "never_seen")
    assert (await accept(store, cancel(version=4, complete=False))).disposition is Disposition.QUARANTINED
    assert await store.take("main", [id_of(gone)]) is None


async def test_an_order_deleted_before_it_was_seen_goes_out_cancelled_once_it_is_seen(store: Store) -> None:
    await accept(store, cancel(version=3, complete=False))
    seen = await accept(store, upsert(version=4), body=b"whole")
    assert (seen.disposition, seen.revision) == (Disposition.QUEUED, 2)
    assert seen.waiting is not None
    taken = await take(store, seen)
    assert (taken.body, taken.order.cancelled_at, taken.order.cause) == (b"whole", 3, None)
    assert await store.dead_letters() == []


# -- new or update ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "lane"),
    [(None, Lane.NEW), (0.0, Lane.NEW), (DAY_S, Lane.NEW), (DAY_S + 1, Lane.UPDATE), (-60.0, Lane.NEW)],
)
async def test_an_unknown_order_is_new_unless_it_was_created_before_the_window(
    store: Store, age_s: float | None, lane: Lane
) -> None:
    created_at = None if age_s is None else at(-age_s)
    receipt = await accept(store, upsert(created_at=created_at))
    order = await order_of(store, receipt)
    assert (order.lane, order.urgency) == (lane, STARTS.urgency(lane, NOW))


async def test_the_window_is_what_the_arrival_says(store: Store) -> None:
    receipt = await store.accept(arrival(upsert(created_at=at(-61)), new_order_window_s=60))
    assert (await order_of(store, receipt)).lane is Lane.UPDATE


async def test_an_order_is_an_update_from_its_first_delivery_on(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first)
    second = await accept(store, upsert(), received_at=at(5))
    assert second.waiting == Waiting(at(5), id_of(first))
    assert (await order_of(store, first)).lane is Lane.UPDATE


async def test_an_order_is_new_until_its_first_delivery_however_often_it_was_refused(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, REFUSED)
    await accept(store, upsert(), received_at=at(5))
    assert (await order_of(store, first)).lane is Lane.NEW


async def test_an_old_orders_update_stays_one_after_a_refusal(store: Store) -> None:
    first = await accept(store, upsert(created_at=at(-2 * DAY_S)))
    await deliver(store, first, REFUSED)
    await accept(store, upsert())
    assert (await order_of(store, first)).lane is Lane.UPDATE


# -- orders that are fetched -------------------------------------------------------------------------------------------

FETCHING = "fetch:shop"


async def announce(
    store: Store, *, received_at: Instant = NOW, fetch_after_s: float = 2.0, key: str | None = None
) -> Receipt:
    """A webhook that only names the order comes in."""
    hook = Fetch("1001", None, key or next(_hooks), "orders/changed")
    announced = arrival(hook, channel=FETCHING, received_at=received_at, body=b"hook")
    return await store.accept(replace(announced, fetch_after_s=fetch_after_s))


_hooks = (f"hook-{number}" for number in count(1))


def brought(taken: Taken, document: Identified, *, now: Instant, body: bytes = b"document") -> Settlement:
    """What a fetch is settled with that brought a document."""
    order = taken.order
    return Settlement(
        order_id=order.id,
        token=order.token,
        after=order.delivery.after(Obtained(200), now=now, policy=RetryPolicy(), jitter=1.0),
        now=now,
        head_starts=STARTS,
        delivered_digest=order.delivered_digest,
        attempt=Attempt(order.revision, now, 0.2, "fetched", 200),
        brought=arrival(document, received_at=now, body=body),
    )


async def begin_fetch(store: Store, receipt: Receipt, now: Instant) -> Taken:
    await store.wake(FETCHING, now, 10)
    return await take(store, receipt, channel=FETCHING)


async def fetch(store: Store, receipt: Receipt, document: Identified, *, now: Instant, body: bytes = b"d") -> Order:
    settled = await store.settle(brought(await begin_fetch(store, receipt, now), document, now=now, body=body))
    assert settled is not None
    return settled.order


async def test_what_is_only_named_sleeps_until_it_is_fetched_and_is_no_dead_letter(store: Store) -> None:
    first = await announce(store)
    assert (first.disposition, first.revision, first.waiting) == (Disposition.QUEUED, 1, None)
    order = await order_of(store, first)
    assert (order.state, order.due_at, order.event_id, order.version) == (State.SLEEPING, at(2), None, None)
    again = await announce(store, received_at=at(1))
    assert (again.disposition, again.revision) == (Disposition.MERGED, 2)
    assert (await order_of(store, first)).due_at == at(3), "no webhook is too near to the fetch"
    assert await store.sleepers_due(FETCHING) == (at(3), at(3))
    assert await store.wake(FETCHING, at(3), 10) == [Waiting(STARTS.urgency(Lane.NEW, NOW), id_of(first))]
    taken = await take(store, first, channel=FETCHING)
    assert (taken.topic, taken.body, taken.order.revision) == ("", b"", 2)
    assert await store.look(id_of(first)) is None
    assert await places_of(store, id_of(first)) == ["superseded", "in flight"]


async def test_what_was_fetched_is_an_event_of_the_order_which_then_waits_for_its_channel(store: Store) -> None:
    first = await announce(store)
    taken = await begin_fetch(store, first, at(3))
    settled = await store.settle(brought(taken, upsert(version=7, reference="#1"), now=at(3)))
    assert settled is not None
    order = settled.order
    assert settled.waiting == Waiting(STARTS.urgency(Lane.NEW, NOW), order.id), "in the place of its webhook"
    assert (order.channel, order.state, order.revision, order.version) == ("main", State.WAITING, 2, 7)
    assert (order.reference, order.lane, order.attempts, order.lease) == ("#1", Lane.NEW, 0, None)
    assert await places_of(store, order.id) == ["superseded", "waiting"]
    delivering = await take(store, first)
    assert (delivering.body, delivering.topic) == (b"document", "orders/updated")
    await settle(store, delivering, digest=b"d" * 16, now=at(4))
    assert await places_of(store, order.id) == ["superseded", "delivered"]
    assert await store.tally() == {("main", State.SENT, Lane.NEW): 1}
    assert await store.settle(brought(taken, upsert(version=9), now=at(5))) is None, "its lease has ended"


async def test_only_of_an_order_that_was_made_just_now_is_it_certain_that_jetti_has_nothing(store: Store) -> None:
    """An older one may have been delivered and forgotten: left unsent, its cancellation would be lost."""
    firsts: list[tuple[Identified, bool]] = [
        (upsert("1", created_at=at(-DAY_S)), True),
        (upsert("2", created_at=at(-DAY_S - 1)), False),
        (upsert("3"), False),
        (cancel("4"), False),
        (replace(cancel("5"), created_at=at(-5)), False),
    ]
    for first, certain in firsts:
        assert (await order_of(store, await accept(store, first))).certainly_unsent == certain
    late = arrival(upsert("6", created_at=at(-2 * DAY_S)), new_order_window_s=40 * DAY_S)
    assert not (await order_of(store, await store.accept(late))).certainly_unsent


@pytest.mark.parametrize(
    ("document", "certain"),
    [
        (upsert(created_at=at(-5)), True),
        (upsert(created_at=at(-2 * DAY_S)), False),
        (replace(cancel(), created_at=at(-5)), False),
    ],
)
async def test_of_a_fetched_order_its_document_says_whether_jetti_certainly_has_nothing(
    store: Store, document: Identified, certain: bool
) -> None:
    assert (await fetch(store, await announce(store), document, now=at(3))).certainly_unsent == certain


async def test_a_fetched_order_that_was_created_long_ago_is_an_update(store: Store) -> None:
    order = await fetch(store, await announce(store), upsert(created_at=at(-2 * DAY_S)), now=at(3))
    assert (order.lane, order.urgency) == (Lane.UPDATE, STARTS.urgency(Lane.UPDATE, NOW))


async def test_the_same_document_fetched_twice_lets_the_order_go_on(store: Store) -> None:
    first = await announce(store)
    document = upsert(version=7, key="the same")
    await fetch(store, first, document, now=at(3))
    await deliver(store, first, digest=b"d" * 16, now=at(4))
    await announce(store, received_at=at(10))
    order = await fetch(store, first, document, now=at(13))
    assert (order.channel, order.state, order.revision, order.delivered_digest) == (
        "main", State.WAITING, 4, b"d" * 16,
    )  # fmt: skip
    assert (await take(store, first)).body == b"d"


async def test_a_newer_webhook_during_a_fetch_leads_to_another_after_the_wait(store: Store) -> None:
    first = await announce(store)
    taken = await begin_fetch(store, first, at(3))
    behind = await announce(store, received_at=at(4))
    assert (behind.disposition, behind.waiting) == (Disposition.QUEUED, None)
    assert (await announce(store, received_at=at(5))).disposition is Disposition.MERGED
    settled = await store.settle(brought(taken, upsert(version=7), now=at(5)))
    assert settled is not None
    assert settled.waiting is None
    assert (settled.order.channel, settled.order.state, settled.order.due_at) == (FETCHING, State.SLEEPING, at(7))
    assert (settled.order.event_id, settled.order.version) == (None, None)
    assert (await fetch(store, first, upsert(version=8), now=at(7))).version == 8


async def test_an_order_of_which_webhooks_come_in_all_the_time_is_fetched_all_the_same(store: Store) -> None:
    first = await announce(store)
    for second in range(1, 20):
        await announce(store, received_at=at(second))
    assert (await order_of(store, first)).due_at == at(10)


async def test_what_looks_like_a_webhook_after_which_the_order_may_be_read_early_announces_it_again(
    store: Store,
) -> None:
    """Two changes of one second have webhooks that look the same; a reading between them has one of the changes."""
    first = await announce(store)
    for second in range(1, 9):
        await announce(store, received_at=at(second))
    same = [announce(store, received_at=at(9), key="ninth second") for _ in range(2)]
    assert [receipt.disposition for receipt in await asyncio.gather(*same)] == [Disposition.MERGED] * 2
    await fetch(store, first, upsert(version=9), now=at(10))
    again = await announce(store, received_at=at(11), key="ninth second")
    order = await order_of(store, first)
    assert (again.disposition, order.channel, order.due_at) == (Disposition.MERGED, FETCHING, at(13))
    once_more = await announce(store, received_at=at(12), key="ninth second")
    assert (once_more.disposition, once_more.duplicate_of) == (Disposition.DUPLICATE, again.event_id), (
        "it is read later"
    )
    assert (await order_of(store, first)).due_at == at(13)


async def test_a_webhook_of_an_order_that_is_about_to_be_fetched_again_after_a_failure_may_come_again(
    store: Store,
) -> None:
    first = await announce(store, key="once")
    due_at = at(3)
    for _ in range(6):
        settled = await settle(store, await begin_fetch(store, first, due_at), FAILED, now=due_at)
        due_at = settled.order.due_at
    soon = due_at - 1
    assert (await announce(store, received_at=soon, key="soon")).disposition is Disposition.MERGED
    assert (await order_of(store, first)).due_at == due_at, "it is not put off"
    assert (await announce(store, received_at=soon, key="soon")).disposition is Disposition.MERGED
    assert (await announce(store, received_at=soon, key="once")).disposition is Disposition.DUPLICATE


async def test_a_webhook_of_an_order_that_is_due_to_be_fetched_lets_it_sleep_once_more(store: Store) -> None:
    first = await announce(store)
    await store.wake(FETCHING, at(3), 10)
    assert (await announce(store, received_at=at(4))).disposition is Disposition.MERGED
    order = await order_of(store, first)
    assert (order.state, order.due_at, order.urgency) == (State.SLEEPING, at(6), STARTS.urgency(Lane.NEW, NOW))


async def test_a_webhook_during_a_delivery_is_fetched_after_it_whatever_came_of_it(store: Store) -> None:
    outcomes: tuple[Outcome, ...] = (SENT, FAILED, THROTTLED, REFUSED)
    for number, outcome in enumerate(outcomes):
        now = number * 100
        receipt = await announce(store, received_at=at(now))
        await fetch(store, receipt, upsert(version=None), now=at(now + 3))
        delivering = await take(store, receipt)
        await announce(store, received_at=at(now + 4))
        moved = await order_of(store, receipt)
        assert (moved.channel, moved.lease is not None) == (FETCHING, True)
        settled = await settle(store, delivering, outcome, now=at(now + 5))
        assert settled.waiting is None
        assert (settled.order.channel, settled.order.state, settled.order.due_at) == (
            FETCHING, State.SLEEPING, at(now + 6),
        )  # fmt: skip
        await fetch(store, receipt, upsert(version=None), now=at(now + 7))
        await deliver(store, receipt, now=at(now + 8))


async def test_a_webhook_takes_an_order_that_waits_back_to_be_fetched_and_its_place_is_kept(store: Store) -> None:
    first = await announce(store)
    before = await fetch(store, first, upsert(version=7), now=at(3))
    taken_back = await announce(store, received_at=at(600))
    order = await order_of(store, first)
    assert (taken_back.disposition, order.channel, order.state) == (Disposition.MERGED, FETCHING, State.SLEEPING)
    assert (order.urgency, order.lane, order.accepted_at) == (before.urgency, before.lane, NOW)
    assert await store.head("main", 9) == []
    after = await fetch(store, first, upsert(version=8), now=at(602))
    assert (after.urgency, after.lane, after.accepted_at) == (before.urgency, before.lane, NOW)


async def test_that_something_may_be_at_jetti_outlives_a_fetch(store: Store) -> None:
    first = await announce(store)
    await fetch(store, first, upsert(version=7), now=at(3))
    delivering = await take(store, first)
    failed = replace(settlement(delivering, FAILED, now=at(4)), may_be_there=True)
    assert await store.settle(failed) is not None
    await announce(store, received_at=at(5))
    order = await fetch(store, first, upsert(version=8), now=at(9))
    assert (order.attempts, order.may_be_there) == (0, True)


async def test_an_older_document_is_stale_and_the_newest_goes_on(store: Store) -> None:
    first = await announce(store)
    await fetch(store, first, upsert(version=7), now=at(3), body=b"seven")
    await announce(store, received_at=at(4))
    order = await fetch(store, first, upsert(version=6), now=at(7), body=b"six")
    assert (order.channel, order.state, order.version) == ("main", State.WAITING, 7)
    assert (await take(store, first)).body == b"seven"
    assert await places_of(store, order.id) == ["superseded", "superseded", "in flight", "stale"]


async def test_what_the_rules_do_not_want_is_finished_until_its_next_event(store: Store) -> None:
    first = await announce(store)
    order = await fetch(store, first, ignored(), now=at(3))
    assert (order.state, order.cause and order.cause.code) == (State.IGNORED, "ignored")
    assert await places_of(store, order.id) == ["superseded", "ignored"]
    assert await store.dead_letters() == []
    assert (await announce(store, received_at=at(9))).disposition is Disposition.QUEUED
    assert (await fetch(store, first, upsert(version=7), now=at(12))).state is State.WAITING
    assert await store.head("main", 9) != []


async def test_what_is_ignored_is_forgotten_like_what_is_sent(store: Store) -> None:
    order = await fetch(store, await announce(store), ignored(), now=at(3))
    cutoffs = Cutoffs(bodies=at(10), finished=at(10))
    swept = await store.sweep(cutoffs, SweepPlace(), limit=100)
    assert (swept.orders, await store.timeline(order.id)) == (1, None)
    assert sum((await store.tally()).values()) == 0


@pytest.mark.parametrize(
    ("document", "code"), [(garbled(), "not_understood"), (upsert("77"), "other_order"), (cancel("77"), "other_order")]
)
async def test_what_is_not_the_order_it_should_be_is_dead_and_is_fetched_again_when_replayed(
    store: Store, document: Identified, code: str
) -> None:
    first = await announce(store)
    order = await fetch(store, first, document, now=at(3))
    assert (order.state, order.cause and order.cause.code, order.channel) == (State.DEAD, code, FETCHING)
    timeline = await store.timeline(order.id)
    assert timeline is not None
    assert (timeline.events[-1].disposition, len(timeline.events[-1].reasons)) == (Disposition.QUARANTINED, 1)
    assert await store.body(timeline.events[-1].id) == b"d"
    assert await store.lost_events() == 0, "it is the order that is the dead letter"
    assert [group.code for group in await store.dead_groups()] == [code]
    (revived,) = await store.revive(Revival([order.id], at(9), {}))
    assert revived.channel == FETCHING
    assert (await fetch(store, first, upsert(version=1), now=at(10))).state is State.WAITING


async def test_a_bulk_replay_fetches_what_was_never_seen_whole(store: Store) -> None:
    first = await announce(store)
    gone = Refused(cause("order_gone", 404))
    await settle(store, await begin_fetch(store, first, at(3)), gone, now=at(3))
    replay = await store.begin_replay(Selection(code="order_gone"), Deed(at(5), "anna", "replay", "code", "back"))
    advanced = await store.advance_replay(replay.id, limit=9, now=at(6), head_starts={})
    assert advanced is not None
    assert [revived.channel for revived in advanced.revived] == [FETCHING]


async def test_what_names_an_order_and_is_understood_late_is_fetched_behind_live_traffic(store: Store) -> None:
    lost = await accept(store, garbled())
    hook = arrival(Fetch("1001", None, "late", "orders/changed"), channel=FETCHING, received_at=at(9))
    receipt = await store.understood(lost.event_id, replace(hook, fetch_after_s=2.0))
    assert receipt is not None
    order = await order_of(store, receipt)
    assert (order.state, order.lane) == (State.SLEEPING, Lane.REPLAY)
    assert order.urgency == STARTS.urgency(Lane.REPLAY, at(11))
    assert (await fetch(store, receipt, upsert(), now=at(11))).lane is Lane.REPLAY


async def test_a_cancellation_that_was_fetched_sticks(store: Store) -> None:
    first = await announce(store)
    await fetch(store, first, cancel(version=7), now=at(3))
    await announce(store, received_at=at(4))
    assert (await fetch(store, first, upsert(version=8), now=at(7))).cancelled_at == 7


async def test_a_fetch_that_failed_is_tried_again_and_a_webhook_keeps_its_place(store: Store) -> None:
    first = await announce(store)
    settled = await settle(store, await begin_fetch(store, first, at(3)), FAILED, now=at(3))
    due_at = settled.order.due_at
    assert (settled.order.state, settled.order.attempts, due_at > at(3)) == (State.SLEEPING, 1, True)
    await announce(store, received_at=at(3.1))
    order = await order_of(store, first)
    assert (order.due_at, order.attempts, order.failing_us) == (at(5.1), 1, None)


# -- in flight -------------------------------------------------------------------------------------------------------


async def test_what_arrives_behind_a_revision_in_flight_is_queued_and_sent_after_it(store: Store) -> None:
    first = await accept(store, body=b"one")
    in_flight = await take(store, first)
    second = await accept(store, upsert(), body=b"two", received_at=at(1))
    assert (second.disposition, second.revision, second.waiting) == (Disposition.QUEUED, 2, None)
    assert await store.take("main", [id_of(first)]) is None
    assert await places_of(store, id_of(first)) == ["in flight", "waiting"]
    settled = await settle(store, in_flight, now=at(2))
    assert settled.waiting == Waiting(at(2), id_of(first))
    assert (settled.order.delivered_revision, settled.order.state, settled.order.attempts) == (1, State.WAITING, 0)
    assert await places_of(store, id_of(first)) == ["delivered", "waiting"]
    next_one = await take(store, first)
    assert (next_one.body, next_one.order.revision, next_one.order.lane) == (b"two", 2, Lane.UPDATE)


async def test_the_second_of_two_behind_a_revision_in_flight_is_merged_into_the_first(store: Store) -> None:
    first = await accept(store)
    in_flight = await take(store, first)
    second, third = await accept(store, upsert()), await accept(store, upsert(), body=b"three")
    assert [second.disposition, third.disposition] == [Disposition.QUEUED, Disposition.MERGED]
    assert third.revision == 3
    assert await places_of(store, id_of(first)) == ["in flight", "superseded", "waiting"]
    await settle(store, in_flight)
    assert (await take(store, first)).body == b"three"


async def test_a_cancellation_behind_a_revision_in_flight_is_sent_after_it(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    in_flight = await take(store, first)
    assert in_flight.order.cancelled_at is None
    await accept(store, cancel(version=2))
    await settle(store, in_flight)
    assert (await take(store, first)).order.cancelled_at == 2


@pytest.mark.parametrize("outcome", [REFUSED, CANNOT_MAP])
async def test_a_refusal_of_an_older_revision_does_not_hold_up_the_newer(store: Store, outcome: Outcome) -> None:
    first = await accept(store)
    in_flight = await take(store, first)
    await accept(store, upsert(), body=b"mended")
    settled = await settle(store, in_flight, outcome, now=at(3))
    assert settled.waiting == Waiting(at(3 - 3600), id_of(first))
    assert (settled.order.state, settled.order.cause, settled.order.attempts) == (State.WAITING, None, 0)
    assert (await take(store, first)).body == b"mended"
    assert await store.dead_letters() == []


async def test_after_a_failure_the_newer_revision_goes_when_the_older_would_have(store: Store) -> None:
    first = await accept(store)
    in_flight = await take(store, first)
    await accept(store, upsert(), body=b"newest")
    settled = await settle(store, in_flight, FAILED, now=at(3))
    assert (settled.order.state, settled.order.due_at, settled.waiting) == (State.SLEEPING, at(4), None)
    assert settled.order.attempts == 1
    assert await store.wake("main", at(4), 10) == [Waiting(at(4 - 3600), id_of(first))]
    assert (await take(store, first)).body == b"newest"


async def test_an_order_that_was_throttled_waits_in_its_place_and_loses_no_attempt(store: Store) -> None:
    first = await accept(store)
    settled = await deliver(store, first, THROTTLED, now=at(3))
    assert settled.waiting == first.waiting
    assert (settled.order.attempts, settled.order.failing_us) == (0, None)
    assert await store.head("main", 10) == [first.waiting]


async def test_an_order_that_met_a_wrong_channel_waits_with_it_and_loses_no_attempt(store: Store) -> None:
    first = await accept(store)
    settled = await deliver(store, first, CHANNEL_WRONG, now=at(3))
    assert settled.waiting is None
    assert (settled.order.attempts, settled.order.failing_us) == (0, None)
    assert await store.head("main", 10) == []
    woken = await store.wake("main", at(33), 10)
    assert [waiting.order_id for waiting in woken] == [id_of(first)]


async def test_what_was_seen_before_an_attempt_ended_settles_nothing(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, SENT)
    await accept(store, upsert())
    looked = await store.look(id_of(first))
    assert looked is not None
    found = replace(settlement(looked, UNCHANGED), token=None)
    stale = (
        replace(found, delivered_digest=b"another sale 16 "),
        replace(found, after=replace(found.after, attempts=1)),
    )
    assert [await store.settle(outdated) for outdated in stale] == [None, None]
    assert await store.settle(found) is not None


async def test_an_order_that_is_put_back_waits_in_its_old_place(store: Store) -> None:
    first = await accept(store)
    taken = await take(store, first)
    unsent = replace(settlement(taken, SENT), after=taken.order.delivery, attempt=None, delivered_digest=None)
    settled = await store.settle(unsent)
    assert settled is not None
    assert settled.waiting == first.waiting
    assert await store.head("main", 10) == [first.waiting]


# -- how many leave before an order ----------------------------------------------------------------------------------


async def test_what_leaves_before_an_order_is_what_is_more_urgent_in_any_lane_and_not_in_flight(store: Store) -> None:
    updates = [await accept(store, upsert(str(number)), received_at=at(number)) for number in range(3)]
    for number, receipt in enumerate(updates):
        await deliver(store, receipt, now=at(number))
    waiting = [
        (await accept(store, upsert("0", version=2), received_at=at(10))).waiting,
        (await accept(store, upsert("1", version=2), received_at=at(11))).waiting,
        (await accept(store, upsert("8"), received_at=at(12))).waiting,
        (await accept(store, upsert("9"), received_at=at(13))).waiting,
    ]
    await accept(store, upsert("7"), channel="other")
    by_urgency = [place for place in (waiting[2], waiting[3], waiting[0], waiting[1]) if place is not None]
    assert [await store.ahead_of(place, "main", 9) for place in by_urgency] == [0, 1, 2, 3]
    assert [place.order_id for place in await store.head("main", 9)] == [place.order_id for place in by_urgency]
    assert await store.ahead_of(by_urgency[3], "other", 9) == 1

    taken = await store.take("main", [by_urgency[0].order_id])
    assert taken is not None
    assert [await store.ahead_of(place, "main", 9) for place in by_urgency[1:]] == [0, 1, 2]
    await settle(store, taken, FAILED, now=at(20))
    assert await store.ahead_of(by_urgency[3], "main", 9) == 2, "it sleeps"


async def test_what_came_first_goes_first_of_what_is_equally_urgent(store: Store) -> None:
    places = [(await accept(store, upsert(str(number)))).waiting for number in range(3)]
    assert [await store.ahead_of(place, "main", 9) for place in places if place is not None] == [0, 1, 2]


@pytest.mark.parametrize(("limit", "counted"), [(0, 0), (1, 1), (3, 3), (5, 5), (9, 5)])
async def test_what_leaves_before_an_order_is_counted_up_to_a_limit(store: Store, limit: int, counted: int) -> None:
    receipts = [await accept(store, upsert(str(number)), received_at=at(number)) for number in range(8)]
    await store.take("main", [id_of(receipts[0])])
    await store.take("main", [id_of(receipts[7])])
    place = receipts[6].waiting
    assert place is not None
    assert await store.ahead_of(place, "main", limit) == counted


# -- leases ----------------------------------------------------------------------------------------------------------


async def test_a_delivery_is_leased_once(store: Store) -> None:
    first = await accept(store)
    takes = await asyncio.gather(*(store.take("main", [id_of(first)]) for _ in range(8)))
    assert sum(taken is not None for taken in takes) == 1


async def test_the_first_candidate_that_can_be_taken_is(store: Store) -> None:
    ids = [id_of(await accept(store, upsert(str(number)))) for number in range(4)]
    await store.take("main", [ids[2]])
    taken = await store.take("main", [9999, ids[2], ids[3], ids[0]])
    assert taken is not None
    assert taken.order.id == ids[3]


async def test_another_channels_delivery_cannot_be_taken(store: Store) -> None:
    first = await accept(store, channel="other")
    assert await store.take("main", [id_of(first)]) is None
    assert await store.take("other", [id_of(first)]) is not None


@pytest.mark.parametrize("outcome", [SENT, REFUSED, FAILED])
async def test_what_does_not_wait_cannot_be_taken(store: Store, outcome: Outcome) -> None:
    first = await accept(store)
    await deliver(store, first, outcome)
    assert await store.take("main", [id_of(first)]) is None


async def test_a_settlement_needs_the_leases_token(store: Store) -> None:
    first = await accept(store)
    stale_lease = await take(store, first)
    await settle(store, stale_lease, THROTTLED)
    await store.wake("main", at(3600), 10)
    assert await store.settle(settlement(stale_lease, SENT)) is None, "no lease any more"
    lease = await take(store, first)
    assert await store.settle(settlement(stale_lease, SENT)) is None, "another lease"
    assert (await order_of(store, first)).lease == lease.order.lease
    await settle(store, lease, SENT)
    assert await store.settle(settlement(lease, REFUSED)) is None, "settled already"
    timeline = await store.timeline(id_of(first))
    assert timeline is not None
    assert [attempt.outcome for attempt in timeline.attempts] == ["throttled", "sent"]


async def test_a_settlement_of_an_unknown_order_is_dropped(store: Store) -> None:
    first = await accept(store)
    taken = await take(store, first)
    made = settlement(taken, SENT)
    assert await store.settle(Settlement(9999, made.token, made.after, NOW, STARTS, None)) is None


async def test_the_inspectors_settlement_needs_no_lease(store: Store) -> None:
    first = await accept(store)
    looked = await store.look(id_of(first))
    assert looked is not None
    assert looked.order.lease is None
    assert (await settle(store, looked, CANNOT_MAP)).order.state is State.DEAD
    assert await store.head("main", 10) == []


async def test_the_inspector_may_settle_what_sleeps(store: Store) -> None:
    found: list[tuple[Outcome, State]] = [(CANNOT_MAP, State.DEAD), (UNCHANGED, State.SENT)]
    for number, (outcome, state) in enumerate(found):
        first = await accept(store, upsert(str(number)))
        await deliver(store, first, FAILED)
        looked = await store.look(id_of(first))
        assert looked is not None
        assert (await settle(store, looked, outcome)).order.state is state
    assert await store.sleepers_due("main") is None


async def test_the_inspectors_settlement_is_dropped_if_the_order_was_leased_meanwhile(store: Store) -> None:
    first = await accept(store)
    looked = await store.look(id_of(first))
    lease = await take(store, first)
    assert looked is not None
    assert await store.settle(settlement(looked, CANNOT_MAP)) is None
    assert await store.look(id_of(first)) is None, "what is leased is not looked at"
    await settle(store, lease)
    assert await store.settle(settlement(looked, CANNOT_MAP)) is None
    assert (await order_of(store, first)).state is State.SENT


async def test_the_inspectors_settlement_is_dropped_if_the_order_moved_on_meanwhile(store: Store) -> None:
    first = await accept(store)
    looked = await store.look(id_of(first))
    assert looked is not None
    second = await accept(store, upsert())
    assert await store.settle(settlement(looked, CANNOT_MAP)) is None
    assert (await order_of(store, first)).state is State.WAITING
    assert (await events_of(store, id_of(first)))[second.event_id].disposition is Disposition.MERGED


async def test_what_does_not_wait_is_not_looked_at(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first)
    assert await store.look(id_of(first)) is None
    assert await store.look(9999) is None


# -- live again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [REFUSED, CANNOT_MAP])
async def test_a_dead_orders_next_event_makes_it_live_again(store: Store, outcome: Outcome) -> None:
    first = await accept(store)
    await deliver(store, first, outcome)
    second = await accept(store, upsert(), channel="other", received_at=at(5))
    assert (second.disposition, second.waiting) == (Disposition.QUEUED, Waiting(at(5 - 3600), id_of(first)))
    taken = await take(store, first, channel="other")
    assert (taken.order.attempts, taken.order.cause, taken.order.accepted_at) == (0, None, at(5))
    assert await store.dead_letters() == []


async def test_a_discarded_orders_next_event_makes_it_live_again(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, FAILED)
    looked = await store.look(id_of(first))
    assert looked is not None
    discarded = await store.settle(moved_to(looked, State.DISCARDED))
    assert discarded is not None
    assert (discarded.order.state, discarded.waiting) == (State.DISCARDED, None)
    second = await accept(store, upsert())
    assert (second.disposition, second.waiting is not None) == (Disposition.QUEUED, True)
    await take(store, first)


async def test_a_held_orders_next_event_sends_it(store: Store) -> None:
    first = await accept(store)
    held = await store.settle(moved_to(await take(store, first), State.HELD))
    assert held is not None
    assert held.waiting is None
    assert await store.head("main", 10) == []
    assert (await accept(store, upsert())).disposition is Disposition.QUEUED
    await take(store, first)


# -- what is held ----------------------------------------------------------------------------------------------------


async def held(store: Store, name: str = "1001", *, storefront: str = "shop", since: Instant = NOW) -> int:
    """The id of an order that is held."""
    receipt = await accept(store, upsert(name), storefront=storefront, received_at=since)
    settled = await store.settle(moved_to(await take(store, receipt), State.HELD, now=since))
    assert settled is not None
    assert settled.order.state is State.HELD
    return id_of(receipt)


async def known(store: Store, order_id: int) -> Order:
    timeline = await store.timeline(order_id)
    assert timeline is not None
    return timeline.order


def release(
    *order_ids: int, person: bool = True, now: Instant = NOW, lane: Lane | None = None, **channels: str
) -> Release:
    return Release(order_ids, now, {"main": STARTS}, channels, lane, deed("release", now=now) if person else None)


async def test_what_is_held_is_counted_by_storefront_with_the_longest_held(store: Store) -> None:
    assert await store.held_groups() == []
    first, _, outlet = await held(store, "1", since=at(1)), await held(store, "2", since=at(2)), await held(
        store, "1", storefront="outlet", since=at(3)
    )  # fmt: skip
    assert await store.held_groups() == [HeldGroup("outlet", 1, at(3)), HeldGroup("shop", 2, at(1))]
    await store.release(release(first))
    await store.discard(Discarding(deed(), [outlet]))
    assert await store.held_groups() == [HeldGroup("shop", 1, at(2))]


async def test_held_orders_are_found_those_held_longest_first_and_page_by_page(store: Store) -> None:
    since = {"a": 3, "b": 1, "c": 2, "d": 2}
    ids = {await held(store, name, storefront="shop" if name in "ab" else "outlet", since=at(seconds)): name
           for name, seconds in since.items()}  # fmt: skip

    async def found(limit: int = 9, **which: Any) -> str:
        return "".join(ids[order.id] for order in await store.held(limit, **which))

    assert await found() == "bcda"
    assert await found(2) == "bc"
    assert await found(storefront="outlet") == "cd"
    assert await found(storefront="none") == ""
    assert await found(until=at(2)) == "bcd"
    (second,) = [order_id for order_id, name in ids.items() if name == "c"]
    assert await found(after=(at(2), second)) == "da"
    assert await found(1, after=(at(2), second), storefront="outlet") == "d"
    whole = await store.held_whole("shop", after=(at(1), 0), limit=9)
    assert [(ids[taken.order.id], taken.body, taken.topic) for taken in whole] == [
        ("b", b'{"id": 1001}', "orders/updated"), ("a", b'{"id": 1001}', "orders/updated"),
    ]  # fmt: skip


async def test_an_order_that_is_held_again_has_been_held_all_along(store: Store) -> None:
    order_id = await held(store, since=at(1))
    later = await accept(store, upsert(), received_at=at(60))
    assert (await known(store, order_id)).held_since == at(1)
    assert await store.held_groups() == []
    put_back = await store.settle(moved_to(await take(store, later), State.WAITING, now=at(60)))
    assert put_back is not None
    again = await store.settle(moved_to(await take(store, later), State.HELD, now=at(61)))
    assert again is not None
    assert (again.order.held_since, again.order.since) == (at(1), at(61))
    await accept(store, upsert())
    sent = await deliver(store, later)
    assert sent.order.held_since is None


async def test_what_a_person_releases_waits_and_the_rule_is_not_asked_again(store: Store) -> None:
    order_id = await held(store)
    released = await store.release(release(order_id, now=at(7)))
    assert released == Released((Revived("main", Waiting(at(7 - 3600), order_id)),))
    order = await known(store, order_id)
    assert (order.state, order.lane, order.held_since, order.released_at, order.cause, order.accepted_at) == (
        State.WAITING, Lane.NEW, None, at(7), None, at(7),
    )  # fmt: skip
    assert [one.what for one in await store.deeds()] == ["release"]
    await accept(store, upsert(), received_at=at(9))
    assert (await known(store, order_id)).released_at == at(7), "also when a newer event comes"


async def test_what_the_rule_wants_now_is_released_in_the_lane_named_and_is_asked_about_again(store: Store) -> None:
    order_id = await held(store)
    released = await store.release(release(order_id, person=False, lane=Lane.REPLAY))
    assert released.order_ids == [order_id]
    order = await known(store, order_id)
    assert (order.state, order.lane, order.released_at) == (State.WAITING, Lane.REPLAY, None)
    assert order.urgency == at(3600)
    assert await store.deeds() == []


async def test_a_release_moves_an_order_to_the_channel_its_storefront_leads_to_now(store: Store) -> None:
    order_id = await held(store)
    released = await store.release(release(order_id, shop="other"))
    assert [revived.channel for revived in released.waiting] == ["other"]
    assert [waiting.order_id for waiting in await store.head("other", 9)] == [order_id]


async def test_what_is_released_twice_or_is_not_held_moves_once_or_not_at_all(store: Store) -> None:
    order_id = await held(store)
    assert (await store.release(release(order_id, order_id))).order_ids == [order_id]
    assert await store.release(release(order_id, now=at(5))) == Released(marked=(order_id,))
    assert (await known(store, order_id)).released_at == NOW
    waiting, sent = [await accept(store, upsert(name)) for name in ("2", "3")]
    await deliver(store, sent)
    deeds = len(await store.deeds())
    assert await store.release(release(id_of(waiting), id_of(sent), 9999)) == Released()
    assert (await order_of(store, waiting)).released_at is None
    assert len(await store.deeds()) == deeds


@pytest.mark.parametrize("leased", [False, True])
async def test_a_release_while_a_newer_event_is_asked_about_overrules_the_answer(store: Store, leased: bool) -> None:
    order_id = await held(store)
    second = await accept(store, upsert(), received_at=at(5))
    asked = await take(store, second) if leased else await store.look(order_id)
    assert asked is not None
    assert await store.release(release(order_id, now=at(6))) == Released(marked=(order_id,))
    settled = await store.settle(moved_to(asked, State.HELD, now=at(7)))
    assert (settled is not None) == leased, "whoever only looked has nothing to settle"
    order = await known(store, order_id)
    assert (order.state, order.released_at, order.held_since) == (State.WAITING, at(6), None)
    assert await store.held_groups() == []
    await take(store, second)


async def test_without_its_webhook_an_order_stays_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = await held(store)
    if isinstance(store, MemoryStore):
        store._bodies.clear()
    else:
        assert isinstance(store, SqliteStore)
        store._writer.execute("DELETE FROM bodies")
    assert await store.release(release(order_id)) == Released()
    assert (await known(store, order_id)).state is State.HELD
    assert [taken.body for taken in await store.held_whole("shop", after=None, limit=9)] == [b""]


async def test_a_discard_takes_a_release_back(store: Store) -> None:
    order_id = await held(store)
    await store.release(release(order_id))
    await store.discard(Discarding(deed(), [order_id]))
    order = await known(store, order_id)
    assert (order.state, order.released_at, order.held_since) == (State.DISCARDED, None, None)


# -- the backlog -----------------------------------------------------------------------------------------------------


async def test_the_head_is_the_most_urgent_first_and_first_in_first_out_in_a_lane(store: Store) -> None:
    old = at(-2 * DAY_S)
    stamps = [("a", 0, old), ("b", 10, None), ("c", 5, None), ("d", 5, None), ("e", -3601, old), ("f", -1, old)]
    ids = {}
    for name, received_s, created_at in stamps:
        receipt = await accept(store, upsert(name, created_at=created_at), received_at=at(received_s))
        ids[name] = id_of(receipt)
    head = await store.head("main", 10)
    assert [waiting.order_id for waiting in head] == [ids[name] for name in "ecdbfa"]
    assert head == sorted(head)
    assert await store.head("main", 3) == head[:3]


async def test_the_head_leaves_out_what_is_leased_and_still_fills_up(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number)), received_at=at(number)) for number in range(6)]
    for receipt in receipts[:3]:
        await take(store, receipt)
    assert await store.head("main", 2) == [receipts[3].waiting, receipts[4].waiting]


async def test_the_head_is_of_one_channel(store: Store) -> None:
    await accept(store, upsert("1"))
    other = await accept(store, upsert("2"), channel="other")
    assert await store.head("other", 10) == [other.waiting]


async def test_sleepers_wake_when_due_the_longest_due_first(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(4)]
    for receipt, failed_s in zip(receipts, (30, 10, 20, 50), strict=True):
        await deliver(store, receipt, FAILED, now=at(failed_s - 1))
    assert await store.head("main", 10) == []
    assert await store.sleepers_due("main") == (at(10), at(50))
    assert await store.sleepers_due("other") is None
    assert await store.wake("main", at(9.999), 10) == []
    assert await store.wake("other", at(99), 10) == []
    ids = [id_of(receipt) for receipt in receipts]
    assert [waiting.order_id for waiting in await store.wake("main", at(30), 2)] == [ids[1], ids[2]]
    assert [waiting.order_id for waiting in await store.wake("main", at(30), 2)] == [ids[0]]
    assert await store.sleepers_due("main") == (at(50), at(50))
    head = await store.head("main", 10)
    assert head == [Waiting(at(due - 3600), ids[i]) for due, i in ((10, 1), (20, 2), (30, 0))]


async def test_two_that_wake_at_once_do_not_share_a_sleeper(store: Store) -> None:
    receipt = await accept(store)
    await deliver(store, receipt, FAILED)
    woken = await asyncio.gather(*(store.wake("main", at(99), 10) for _ in range(4)))
    assert sum(len(one) for one in woken) == 1


async def test_the_oldest_due_is_told_by_channel_and_lane(store: Store) -> None:
    assert await store.oldest_due() == {}
    await accept(store, upsert("1"), received_at=at(5))
    await accept(store, upsert("2"), received_at=at(3))
    await accept(store, upsert("3", created_at=at(-2 * DAY_S)), received_at=at(1))
    await accept(store, upsert("4"), channel="other", received_at=at(9))
    asleep = await accept(store, upsert("5"), received_at=at(0))
    await deliver(store, asleep, FAILED)
    assert await store.oldest_due() == {
        ("main", Lane.NEW): at(3),
        ("main", Lane.UPDATE): at(1),
        ("other", Lane.NEW): at(9),
    }


async def recount(store: Store, order_ids: set[int]) -> Tally:
    tally: dict[tuple[str, State, Lane], int] = {}
    for order_id in order_ids:
        timeline = await store.timeline(order_id)
        assert timeline is not None
        where = (timeline.order.channel, timeline.order.state, timeline.order.lane)
        tally[where] = tally.get(where, 0) + 1
    return tally


async def test_the_tally_is_what_a_recount_gives_after_every_outcome(store: Store) -> None:
    assert await store.tally() == {}
    ids = set()
    for number, outcome in enumerate(OUTCOMES * 2):
        channel = "main" if number % 3 else "other"
        receipt = await accept(store, upsert(str(number), version=1), channel=channel)
        ids.add(id_of(receipt))
        taken = await take(store, receipt, channel=channel)
        if number >= len(OUTCOMES):
            await accept(store, upsert(str(number), version=2))
        await settle(store, taken, outcome)
        assert await store.tally() == await recount(store, ids)
        await accept(store, upsert(str(number), version=3), channel="third")
        assert await store.tally() == await recount(store, ids)
    await store.wake("main", at(99), 10)
    tally = await store.tally()
    assert tally == await recount(store, ids)
    assert sum(tally.values()) == len(ids)


async def test_a_sleeper_that_outlived_a_clock_set_back_wakes_at_once(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(3)]
    for receipt, failed_s in zip(receipts, (10, 5000, 9000), strict=True):
        await deliver(store, receipt, FAILED, now=at(failed_s - 1))
    assert await store.wake("main", at(20), 10, beyond=at(9000)) == [Waiting(at(10 - 3600), id_of(receipts[0]))]
    assert await store.wake("main", at(20), 10, beyond=at(8999)) == [Waiting(at(20 - 3600), id_of(receipts[2]))]
    woken = await order_of(store, receipts[2])
    assert (woken.state, woken.due_at, woken.since) == (State.WAITING, at(20), at(20))
    assert await store.sleepers_due("main") == (at(5000), at(5000))
    assert await store.wake("main", at(20), 10, beyond=at(6000)) == []
    assert await store.wake("main", at(6000), 10, beyond=at(20)) == [Waiting(at(5000 - 3600), id_of(receipts[1]))]


async def test_due_and_beyond_are_woken_together_the_longest_due_first(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(4)]
    for receipt, failed_s in zip(receipts, (90, 3, 80, 2), strict=True):
        await deliver(store, receipt, FAILED, now=at(failed_s - 1))
    ids = [id_of(receipt) for receipt in receipts]
    woken = await store.wake("main", at(10), 3, beyond=at(50))
    assert [waiting.order_id for waiting in woken] == [ids[3], ids[1], ids[2]]


async def test_an_order_says_since_when_it_is_in_its_state(store: Store) -> None:
    first = await accept(store)
    await accept(store, upsert(), received_at=at(5))
    assert (await order_of(store, first)).since == NOW, "it waits since then"
    asleep = await deliver(store, first, FAILED, now=at(10))
    assert asleep.order.since == at(10)
    await store.wake("main", at(20), 1)
    assert (await order_of(store, first)).since == at(20)
    assert (await deliver(store, first, REFUSED, now=at(30))).order.since == at(30)


# -- channels --------------------------------------------------------------------------------------------------------

CONDITION = Condition(
    tempo=Tempo(0.5, NOW, at(3), cause("http_429", 429), cut_at=7),
    breaker=Breaker(Circuit.HALTED, NOW, cause("http_401", 401), failed=(1, 2), probes=3, probe_at=at(9)),
    pause=Pause("anna", "stocktaking", NOW),
    running_us=123_456_789,
)


async def test_a_channels_condition_is_kept_with_who_changed_it(store: Store) -> None:
    assert await store.conditions() == {}
    await store.keep("main", CONDITION)
    assert await store.deeds() == []
    paused = Deed(at(1), "anna", "pause", "channel other", "žluťoučký 🐎")
    await store.keep("other", Condition(), paused)
    assert await store.conditions() == {"main": CONDITION, "other": Condition()}
    await store.keep("main", Condition(running_us=5), resumed := Deed(at(2), "ben", "resume", "channel main", "done"))
    assert await store.conditions() == {"main": Condition(running_us=5), "other": Condition()}
    assert await store.deeds() == [resumed, paused]
    assert await store.deeds(1) == [resumed]


# -- reviving and discarding -----------------------------------------------------------------------------------------


def deed(what: Doing = "discard", *, now: Instant = NOW) -> Deed:
    return Deed(now, "anna", what, "order 1", "a test order")


def revival(*receipts: Receipt, lane: Lane | None = Lane.REPLAY, code: str | None = None) -> Revival:
    return Revival([id_of(r) for r in receipts], at(60), {"main": STARTS}, lane=lane, code=code, deed=deed("replay"))


async def test_a_revived_order_waits_behind_live_traffic_with_a_fresh_budget(store: Store) -> None:
    first = await accept(store, upsert("1"), body=b"whole")
    await deliver(store, first, FAILED)
    await store.wake("main", at(9), 1)
    await deliver(store, first, REFUSED, now=at(10))
    live = await accept(store, upsert("2", created_at=at(-2 * DAY_S)), received_at=at(100))
    assert await store.revive(revival(first)) == [Revived("main", Waiting(at(60 + 3600), id_of(first)))]
    assert await store.head("main", 9) == [live.waiting, Waiting(at(60 + 3600), id_of(first))]
    taken = await take(store, first)
    order = taken.order
    assert (taken.body, order.lane, order.accepted_at, order.since) == (b"whole", Lane.REPLAY, at(60), at(60))
    assert (order.attempts, order.failing_us, order.cause) == (0, None, None)
    assert await store.deeds() == [deed("replay")]
    assert await store.revive(revival(first)) == [], "it is not dead any more"
    assert await store.deeds() == [deed("replay")], "and so nothing was done"


async def test_an_order_can_be_revived_in_the_lane_it_had(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, REFUSED)
    assert await store.revive(revival(first, lane=None)) == [Revived("main", Waiting(at(60 - 3600), id_of(first)))]


async def test_a_sent_order_waits_again_only_when_it_is_to_be_sent_again_and_then_nobody_says_that_it_is_unchanged(
    store: Store,
) -> None:
    first = await accept(store, upsert("1", version=1))
    await deliver(store, first, digest=b"what Jetti has")
    assert await store.revive(revival(first)) == []
    assert await store.deeds() == []
    again = replace(revival(first), again=True)
    assert [one.waiting.order_id for one in await store.revive(again)] == [id_of(first)]
    order = await order_of(store, first)
    assert (order.state, order.lane, order.delivered_revision) == (State.WAITING, Lane.REPLAY, 1)
    assert order.delivered_digest is None
    assert await store.deeds() == [deed("replay")]
    assert await store.revive(again) == [], "it is on its way"


async def test_an_event_that_is_read_again_by_a_person_is_on_record_with_it(store: Store) -> None:
    lost = await accept(store, garbled())
    assert await store.understood(lost.event_id, arrival(garbled()), deed("replay")) is None
    assert await store.deeds() == [], "nothing was done"
    assert await store.understood(lost.event_id, arrival(upsert("1001")), deed("replay")) is not None
    assert await store.deeds() == [deed("replay")]


async def test_only_what_died_of_the_named_cause_is_revived(store: Store) -> None:
    refused, garbage, sent = [await accept(store, upsert(str(number))) for number in range(3)]
    await deliver(store, refused, REFUSED)
    await deliver(store, garbage, CANNOT_MAP)
    await deliver(store, sent)
    revived = await store.revive(revival(refused, garbage, sent, code="http_422"))
    assert [one.waiting.order_id for one in revived] == [id_of(refused)]
    assert (await order_of(store, garbage)).state is State.DEAD


async def test_an_order_without_a_whole_webhook_is_not_revived(store: Store) -> None:
    never_seen = await accept(store, cancel(complete=False))
    assert await store.revive(revival(never_seen)) == []
    await store.discard(Discarding(deed(), [id_of(never_seen)]))
    assert await store.revive(revival(never_seen)) == []


async def test_a_discarded_order_can_be_revived_while_its_webhook_is_kept(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(2)]
    await store.discard(Discarding(deed(), [id_of(receipt) for receipt in receipts]))
    assert len(await store.revive(revival(receipts[0]))) == 1
    await swept(store, bodies=at(1))
    assert await store.revive(revival(receipts[1])) == []
    assert (await order_of(store, receipts[1])).state is State.DISCARDED


async def test_a_live_event_moves_a_replayed_order_to_a_live_lane(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    await deliver(store, first, REFUSED)
    await store.revive(revival(first))
    second = await accept(store, upsert(version=2), received_at=at(70))
    assert (second.disposition, second.waiting) == (Disposition.MERGED, Waiting(at(70 - 3600), id_of(first)))
    assert await store.head("main", 9) == [second.waiting]
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}


async def test_what_a_named_person_discards_says_so(store: Store) -> None:
    waiting, asleep, dead, held = [await accept(store, upsert(str(number))) for number in range(4)]
    await deliver(store, asleep, FAILED)
    await deliver(store, dead, REFUSED)
    await store.settle(moved_to(await take(store, held), State.HELD))
    ids = [id_of(receipt) for receipt in (held, dead, asleep, waiting)]
    assert await store.discard(Discarding(deed(now=at(9)), ids)) == (ids, [])
    for receipt in (waiting, asleep, dead, held):
        order = await order_of(store, receipt)
        assert (order.state, order.since) == (State.DISCARDED, at(9))
        assert order.cause is not None
        assert order.cause.message == "by anna: a test order"
        assert await places_of(store, order.id) == ["discarded"]
    assert await store.deeds() == [deed(now=at(9))]
    assert await store.head("main", 9) == []
    assert await store.dead_letters() == []
    assert await store.tally() == {("main", State.DISCARDED, Lane.NEW): 4}


async def test_what_is_in_flight_or_finished_cannot_be_discarded(store: Store) -> None:
    in_flight, sent = await accept(store, upsert("1")), await accept(store, upsert("2"))
    await deliver(store, sent)
    taken = await take(store, in_flight)
    assert await store.discard(Discarding(deed(), [id_of(in_flight), id_of(sent), 9999], [in_flight.event_id])) == (
        [], [],
    )  # fmt: skip
    assert await store.deeds() == []
    assert (await settle(store, taken)).order.state is State.SENT


async def test_a_lost_event_can_be_discarded_and_is_then_no_dead_letter(store: Store) -> None:
    lost, ping = await accept(store, garbled(), body=b"?"), await accept(store, ignored())
    discarding = Discarding(deed(), event_ids=[lost.event_id, ping.event_id, 9999])
    assert await store.discard(discarding) == ([], [lost.event_id])
    assert await store.discard(discarding) == ([], [])
    assert await store.deeds() == [deed()]
    assert (await store.dead_letters(), await store.lost_events()) == ([], 0)
    assert await store.body(lost.event_id) == b"?", "until its retention ends"
    assert await store.understood(lost.event_id, arrival()) is None


def test_a_discarded_event_says_by_whom_and_why() -> None:
    reasons = (Reason("/id", "there is none"), Reason("", "discarded by anna: a test order"))
    event = Event(1, "shop", "t", NOW, Disposition.DISCARDED, None, None, None, None, reasons)
    assert of_event(event, None) == Place("discarded", "there is none; discarded by anna: a test order")


# -- events that are understood at last ------------------------------------------------------------------------------

HEADERS = {"X-Shopify-Topic": "orders/create", "x-other": "žluťoučký 🐎"}


async def test_only_orders_in_the_states_that_were_named_are_discarded(store: Store) -> None:
    waiting = await store.accept(arrival(upsert("1")))
    only_dead = Discarding(deed(), [id_of(waiting)], states=frozenset({State.DEAD}))

    assert await store.discard(only_dead) == ([], [])
    assert await store.deeds() == []


async def test_a_deed_of_which_no_order_tells_is_kept(store: Store) -> None:
    await store.record(deed())

    assert await store.deeds() == [deed()]


async def test_a_lost_event_is_kept_with_what_is_needed_to_read_it_again(store: Store) -> None:
    here = [
        await store.accept(replace(arrival(garbled(), body=b"%d" % n, received_at=at(n)), headers=HEADERS))
        for n in range(3)
    ]
    there = await accept(store, garbled(), storefront="outlet", received_at=at(9))
    await accept(store, ignored())
    lost = await store.lost(after=0, limit=9)
    assert [(one.event.id, one.body, one.headers) for one in lost[:3]] == [
        (receipt.event_id, b"%d" % number, HEADERS) for number, receipt in enumerate(here)
    ]
    assert (lost[3].event.id, dict(lost[3].headers), len(lost)) == (there.event_id, {}, 4)
    again = await store.lost(after=here[0].event_id, limit=2)
    assert [one.event.id for one in again] == [here[1].event_id, here[2].event_id]
    outlet = await store.lost(after=0, limit=9, selection=Selection(storefront="outlet", code=NO_ORDER))
    assert [one.event.id for one in outlet] == [there.event_id]
    old = await store.lost(after=0, limit=9, selection=Selection(since=at(1), until=at(2)))
    assert [one.event.id for one in old] == [here[1].event_id, here[2].event_id]
    assert await store.lost(after=0, limit=9, selection=Selection(channel="main")) == []


async def test_an_event_that_is_understood_does_what_it_would_have_done_in_the_lane_of_replays(store: Store) -> None:
    lost = await accept(store, garbled(key="k"), body=b"whole", received_at=at(1))
    receipt = await store.understood(lost.event_id, arrival(upsert("1001", version=7), received_at=at(60)))
    assert receipt is not None
    assert receipt == Receipt(
        lost.event_id, Disposition.QUEUED, receipt.order_id, 1, waiting=Waiting(at(60 + 3600), id_of(receipt))
    )
    event = (await events_of(store, id_of(receipt)))[lost.event_id]
    assert (event.received_at, event.disposition, event.version, event.reasons) == (at(1), Disposition.QUEUED, 7, ())
    assert await store.lost(after=0, limit=9) == []
    taken = await take(store, receipt)
    assert (taken.body, taken.topic, taken.order.lane) == (b"whole", "orders/updated", Lane.REPLAY)
    again = await accept(store, garbled(key="k"))
    assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, lost.event_id)
    assert await store.understood(lost.event_id, arrival(upsert("1001", version=7))) is None


async def test_an_event_that_is_understood_leaves_an_order_that_waits_in_its_place(store: Store) -> None:
    lost = await accept(store, garbled(), body=b"newer")
    first = await accept(store, upsert(version=1), body=b"older")
    receipt = await store.understood(lost.event_id, arrival(upsert(version=2), received_at=at(60)))
    assert receipt is not None
    assert (receipt.disposition, receipt.revision, receipt.waiting) == (Disposition.MERGED, 2, None)
    assert await store.head("main", 9) == [first.waiting]
    assert (await take(store, first)).body == b"newer"


async def test_an_event_that_is_understood_leaves_a_replayed_order_in_its_lane(store: Store) -> None:
    lost = await accept(store, garbled())
    first = await accept(store, upsert(version=1))
    await deliver(store, first, REFUSED)
    [revived] = await store.revive(revival(first))
    receipt = await store.understood(lost.event_id, arrival(upsert(version=2), received_at=at(90)))
    assert receipt is not None
    assert (receipt.disposition, receipt.waiting) == (Disposition.MERGED, None)
    assert await store.head("main", 9) == [revived.waiting]


async def test_an_event_that_is_understood_sends_a_delivered_order_again_behind_live_traffic(store: Store) -> None:
    lost = await accept(store, garbled())
    first = await accept(store, upsert(version=1))
    await deliver(store, first)
    receipt = await store.understood(lost.event_id, arrival(upsert(version=2), received_at=at(60)))
    assert receipt is not None
    assert (receipt.disposition, receipt.waiting) == (Disposition.QUEUED, Waiting(at(60 + 3600), id_of(first)))


async def test_an_event_that_is_understood_too_late_is_stale(store: Store) -> None:
    lost = await accept(store, garbled())
    first = await accept(store, upsert(version=3))
    receipt = await store.understood(lost.event_id, arrival(upsert(version=2)))
    assert receipt == Receipt(lost.event_id, Disposition.STALE, first.order_id)
    assert await places_of(store, id_of(first)) == ["stale", "waiting"]


@pytest.mark.parametrize("version", [None, 3])
async def test_where_versions_do_not_decide_an_event_is_as_old_as_its_arrival(
    store: Store, version: Instant | None
) -> None:
    lost = await accept(store, garbled(), body=b"older")
    first = await accept(store, upsert(version=version), body=b"newer")
    receipt = await store.understood(lost.event_id, arrival(upsert(version=version)))
    assert receipt == Receipt(lost.event_id, Disposition.STALE, first.order_id)
    assert (await take(store, first)).body == b"newer"


async def test_a_cancellation_that_is_understood_sticks_and_the_newer_body_is_sent(store: Store) -> None:
    lost = await accept(store, garbled(), body=b"cancelled", received_at=at(1))
    first = await accept(store, upsert(), body=b"newer", received_at=at(2))
    receipt = await store.understood(lost.event_id, arrival(cancel(), received_at=at(60)))
    assert receipt is not None
    assert (receipt.disposition, receipt.revision) == (Disposition.MERGED, 2)
    taken = await take(store, first)
    assert (taken.body, taken.order.cancelled_at) == (b"newer", at(1))


async def test_what_is_understood_to_be_nothing_is_ignored(store: Store) -> None:
    lost = await accept(store, garbled())
    assert await store.understood(lost.event_id, arrival(garbled())) is None
    assert await store.lost_events() == 1
    assert await store.understood(lost.event_id, arrival(ignored())) == Receipt(lost.event_id, Disposition.IGNORED)
    assert await store.lost_events() == 0
    assert await store.understood(9999, arrival()) is None
    first = await accept(store)
    assert await store.understood(first.event_id, arrival()) is None, "it never was lost"


# -- dead letters ----------------------------------------------------------------------------------------------------


async def several_dead(store: Store) -> dict[str, int]:
    """Dead letters of every kind, dead since 10 s, 20 s … after noon; ids by name."""
    ids: dict[str, int] = {}
    dead: list[tuple[str, str, str, Outcome]] = [
        ("a", "shop", "main", REFUSED), ("b", "outlet", "main", REFUSED), ("c", "shop", "other", CANNOT_MAP),
        ("e", "shop", "main", Refused(Cause("http_422", "the newest"))),
    ]  # fmt: skip
    for name, storefront, channel, outcome in reversed(dead):  # not in the order of their ids
        receipt = await accept(store, upsert(name), storefront=storefront, channel=channel)
        died_at = at({"a": 10, "b": 20, "c": 30, "e": 50}[name])
        await settle(store, await take(store, receipt, channel=channel), outcome, now=died_at)
        ids[name] = id_of(receipt)
    ids["d"] = (await accept(store, garbled(), received_at=at(40))).event_id
    ids["f"] = (await accept(store, garbled(), storefront="outlet", received_at=at(60))).event_id
    await deliver(store, await accept(store, upsert("sent")))
    return ids


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (EVERYTHING, "fedcba"),
        (Selection(code="http_422"), "eba"),
        (Selection(code=NO_ORDER), "fd"),
        (Selection(channel="main"), "eba"),
        (Selection(channel="main", code=NO_ORDER), ""),
        (Selection(storefront="shop"), "edca"),
        (Selection(storefront="outlet", code="http_422", channel="main"), "b"),
        (Selection(since=at(30)), "fedc"),
        (Selection(until=at(40)), "dcba"),
        (Selection(since=at(20), until=at(30), code="http_422"), "b"),
        (Selection(code="unheard of"), ""),
    ],
)
async def test_dead_letters_are_selected_and_told_newest_first(store: Store, selection: Selection, names: str) -> None:
    ids = await several_dead(store)
    letters = await store.dead_letters(selection=selection)
    assert [letter.id for letter in letters] == [ids[name] for name in names]
    assert [isinstance(letter, Event) for letter in letters] == [name in "df" for name in names]
    assert [await store.dead_letters(limit, selection) for limit in (1, 2)] == [letters[:1], letters[:2]]
    replay = await store.begin_replay(selection, deed("replay", now=at(99)))
    assert replay.total == len(names)


async def test_dead_letters_are_grouped_by_cause_the_largest_group_first(store: Store) -> None:
    assert await store.dead_groups() == []
    await several_dead(store)
    assert await store.dead_groups() == [
        DeadGroup("http_422", "main", "shop", 2, at(10), at(50), "the newest"),
        DeadGroup("http_422", "main", "outlet", 1, at(20), at(20), "it came to http_422"),
        DeadGroup(NO_ORDER, None, "outlet", 1, at(60), at(60), "there is none"),
        DeadGroup(NO_ORDER, None, "shop", 1, at(40), at(40), "there is none"),
        DeadGroup("unmappable", "other", "shop", 1, at(30), at(30), "it came to unmappable"),
    ]


# -- bulk replays ----------------------------------------------------------------------------------------------------


async def test_a_bulk_replay_revives_what_it_selects_in_steps_and_remembers_how_far_it_is(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(5)]
    never_seen = await accept(store, cancel("gone", complete=False))
    for receipt in receipts:
        await deliver(store, receipt, REFUSED, now=at(10))
    replay = await store.begin_replay(Selection(channel="main"), deed("replay", now=at(20)))
    selection = Selection(channel="main", until=at(20))
    (begun,) = await store.deeds()
    assert begun == deed("replay", now=at(20))
    assert replay == Replay(replay.id, selection, at(20), "anna", "a test order", total=6, deed_id=begun.id)
    late = await accept(store, upsert("late"))
    await deliver(store, late, REFUSED, now=at(30))

    first = await store.advance_replay(replay.id, limit=2, now=at(40), head_starts={"main": STARTS})
    assert first is not None
    assert (first.replay, first.more) == (replace(replay, revived=2, order_id=id_of(receipts[1])), True)
    assert first.revived == [Revived("main", Waiting(at(40 + 3600), id_of(receipt))) for receipt in receipts[:2]]
    await deliver(store, receipts[0], REFUSED, now=at(41))
    await store.discard(Discarding(deed(), [id_of(receipts[2])]))
    second = await store.advance_replay(replay.id, limit=2, now=at(50), head_starts={})
    assert second is not None
    assert [one.waiting.order_id for one in second.revived] == [id_of(receipt) for receipt in receipts[3:]]
    assert second.more
    third = await store.advance_replay(replay.id, limit=2, now=at(60), head_starts={})
    assert third is not None
    assert (third.replay.revived, third.replay.left, third.revived, third.more) == (4, 1, [], False)
    assert third.replay.order_id == id_of(never_seen)
    assert third.replay.ended_at is None, "events may be left"
    nothing = await store.advance_replay(replay.id, limit=2, now=at(70), head_starts={})
    assert nothing == Advanced(third.replay, [], more=False)
    assert {order.external_id for order in await store.dead_letters() if isinstance(order, Order)} == {
        "0", "late", "gone",
    }, "what died again, or later, is not replayed"  # fmt: skip
    told = [await store.deeds(about=f"order:{id_of(receipt)}") for receipt in (*receipts, never_seen, late)]
    discarded = await store.deeds(1)
    assert told == [[begun], [begun], discarded, [begun], [begun], [], []], "each says who had it replayed"


async def test_a_bulk_replay_ends_when_it_is_said_to(store: Store) -> None:
    first = await store.begin_replay(Selection(code=NO_ORDER, until=at(5)), deed("replay", now=at(9)))
    assert first.selection.until == at(5), "the earlier of both"
    second = await store.begin_replay(EVERYTHING, deed("replay", now=at(9)))
    assert first.id < second.id
    noted = await store.note_replay(first.id, event_id=17, revived=3, left=2, ended_at=None)
    assert noted == replace(first, event_id=17, revived=3, left=2)
    ended = await store.note_replay(first.id, event_id=18, revived=1, left=0, ended_at=at(10))
    assert ended == replace(first, event_id=18, revived=4, left=2, ended_at=at(10))
    assert await store.note_replay(first.id, event_id=19, revived=1, left=0, ended_at=None) is None
    assert await store.advance_replay(first.id, limit=9, now=at(11), head_starts={}) is None
    assert await store.replays() == [second, ended]
    assert await store.replays(1) == [second]
    assert await store.replays(running=True) == [second]
    assert await store.note_replay(9999, event_id=1, revived=0, left=0, ended_at=None) is None
    assert await store.advance_replay(9999, limit=9, now=at(11), head_starts={}) is None


async def test_a_replay_of_lost_events_revives_no_orders(store: Store) -> None:
    await several_dead(store)
    replay = await store.begin_replay(Selection(code=NO_ORDER), deed("replay", now=at(99)))
    assert replay.total == 2
    advanced = await store.advance_replay(replay.id, limit=9, now=at(100), head_starts={})
    assert advanced == Advanced(replay, [], more=False)


# -- housekeeping ----------------------------------------------------------------------------------------------------


async def swept(
    store: Store, *, bodies: Instant = NOW, finished: Instant = NOW, limit: int = 100
) -> tuple[int, int, int, int, int]:
    """A sweep from beginning to end: how many events, bodies, attempts, orders and sales went."""
    steps = [await store.sweep(Cutoffs(bodies, finished), SweepPlace(), limit=limit)]
    while (place := steps[-1].place) is not None:
        steps.append(await store.sweep(Cutoffs(bodies, finished), place, limit=limit))
    assert all(step.held_s >= 0 for step in steps)
    return (
        sum(step.events for step in steps), sum(step.bodies for step in steps), sum(step.attempts for step in steps),
        sum(step.orders for step in steps), sum(step.sales for step in steps),
    )  # fmt: skip


NOTHING = (0, 0, 0, 0, 0)


async def test_personal_data_of_what_is_finished_goes_first(store: Store) -> None:
    first = await accept(store)
    await settle(store, await take(store, first), now=at(10), sale=b"sale")
    assert await swept(store, bodies=NOW) == NOTHING, "received at, not before"
    assert await swept(store, bodies=at(1)) == (0, 1, 0, 0, 0), "the sale is younger"
    assert await swept(store, bodies=at(11)) == (0, 0, 0, 0, 1)
    assert (await store.body(first.event_id), await store.sale(id_of(first))) == (None, None)
    assert await places_of(store, id_of(first)) == ["delivered"]
    assert await swept(store, bodies=at(11)) == NOTHING
    again = await accept(store, upsert(), body=b"again", received_at=at(20))
    assert (await take(store, again)).body == b"again"


@pytest.mark.parametrize("state", ["waiting", "leased", "sleeping", "held", "dead"])
async def test_nothing_goes_that_an_unfinished_order_needs(store: Store, state: str) -> None:
    await accept(store, upsert(version=1), body=b"superseded")
    first = await accept(store, upsert(version=2), body=b"newest")
    await accept(store, cancel(version=3, complete=False), body=b"only an id")
    await accept(store, upsert(version=1), body=b"stale")
    match state:
        case "leased":
            await take(store, first)
        case "sleeping":
            await deliver(store, first, FAILED)
        case "held":
            await store.settle(moved_to(await take(store, first), State.HELD))
        case "dead":
            await deliver(store, first, REFUSED)
    before = await order_of(store, first)
    assert await swept(store, bodies=at(9), finished=at(9)) == (2, 3, 0, 0, 0)
    assert await order_of(store, first) == before
    timeline = await store.timeline(id_of(first))
    assert timeline is not None
    assert [event.revision for event in timeline.events] == [2, 3], "what it is made from, and what it came to"
    assert len(timeline.attempts) == (state in ("sleeping", "dead"))
    assert await store.body(first.event_id) == b"newest"


async def test_a_finished_order_goes_with_all_that_is_known_of_it(store: Store) -> None:
    sent, discarded, waits = [await accept(store, upsert(name, key=name)) for name in ("sent", "discarded", "waits")]
    await settle(store, await take(store, sent), now=at(10), sale=b"sale")
    await deliver(store, discarded, FAILED, now=at(1))
    await store.discard(Discarding(deed(now=at(2)), [id_of(discarded)]))
    await accept(store, upsert("sent", key="sent"), received_at=at(20))
    assert await swept(store, finished=at(9)) == (2, 2, 1, 1, 0), "the one that is finished since then, and old events"
    assert await store.timeline(id_of(discarded)) is None
    assert await swept(store, finished=at(15)) == (0, 0, 1, 0, 0), "an event of it is younger"
    assert await swept(store, finished=at(20)) == NOTHING, "or just as old"
    assert await swept(store, finished=at(21)) == (1, 0, 0, 1, 1)
    assert await store.timeline(id_of(sent)) is None
    assert await store.find("sent") == []
    assert await store.sale(id_of(sent)) is None
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 1}
    assert await store.head("main", 9) == [waits.waiting]
    anew = await accept(store, upsert("sent", key="sent"), received_at=at(30))
    assert (anew.disposition, anew.revision) == (Disposition.QUEUED, 1)
    assert id_of(anew) > id_of(waits), "an id is given once"


async def test_an_order_leaves_nothing_behind_whatever_the_clock_said(store: Store) -> None:
    first = await accept(store)
    later = replace(settlement(await take(store, first), SENT, now=at(1)), attempt=attempt(1, SENT, started_at=at(99)))
    assert await store.settle(later) is not None
    step = await store.sweep(Cutoffs(at(9), at(9)), SweepPlace(event_id=first.event_id), limit=9)
    assert (step.place, step.events, step.bodies, step.attempts, step.orders) == (None, 1, 1, 1, 1)
    assert (await accept(store)).order_id != first.order_id
    assert await swept(store, finished=at(9)) == NOTHING, "the new one waits"


async def test_of_events_about_no_order_only_those_go_that_need_nobody(store: Store) -> None:
    lost, discarded = await accept(store, garbled(key="lost"), body=b"?"), await accept(store, garbled())
    ping = await accept(store, ignored())
    duplicate = await accept(store, garbled(key="lost"))
    await store.discard(Discarding(deed(), event_ids=[discarded.event_id]))
    assert await swept(store, bodies=at(1)) == (0, 2, 0, 0, 0)
    assert (await store.body(discarded.event_id), await store.body(ping.event_id)) == (None, None)
    assert await swept(store, finished=at(1)) == (3, 0, 0, 0, 0)
    assert await store.body(lost.event_id) == b"?"
    assert [one.event.id for one in await store.lost(after=0, limit=9)] == [lost.event_id]
    again = await accept(store, garbled(key="lost"))
    assert (again.disposition, again.duplicate_of) == (Disposition.DUPLICATE, lost.event_id)
    assert again.event_id > duplicate.event_id


async def test_what_was_deleted_of_a_sent_order_leaves_it_able_to_go_on(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    await deliver(store, first, now=at(50), digest=b"d" * 16)
    assert await swept(store, bodies=at(9), finished=at(9)) == (1, 1, 0, 0, 0)
    assert await places_of(store, id_of(first)) == []
    gone = await accept(store, cancel(version=2, complete=False), received_at=at(60))
    assert gone.disposition is Disposition.QUEUED
    assert await store.look(id_of(first)) is None
    taken = await take(store, first)
    assert (taken.body, taken.topic, taken.order.delivered_digest) == (b"", "", b"d" * 16)


@pytest.mark.parametrize("limit", [1, 7, 64])
async def test_a_sweep_goes_in_steps_of_a_limited_size(store: Store, limit: int) -> None:
    receipts = [await accept(store, upsert(str(number), version=1)) for number in range(30)]
    for receipt in receipts[:20]:
        await settle(store, await take(store, receipt), sale=b"sale")
    await accept(store, upsert("29", version=2))
    place: SweepPlace | None = SweepPlace()
    events = orders = 0
    while place is not None:
        step = await store.sweep(Cutoffs(at(1), at(1)), place, limit=limit)
        assert max(step.events, step.bodies, step.attempts, step.orders, step.sales) <= limit
        events, orders, place = events + step.events, orders + step.orders, step.place
    assert (events, orders) == (21, 20)
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 10}


async def test_a_sweep_goes_on_where_it_was_while_events_come_in(store: Store) -> None:
    receipts = [await accept(store, upsert(str(number))) for number in range(6)]
    for receipt in receipts:
        await deliver(store, receipt)
    place: SweepPlace | None = SweepPlace()
    steps = 0
    while place is not None:
        place = (await store.sweep(Cutoffs(at(1), at(1)), place, limit=2)).place
        await accept(store, upsert(f"later {steps}"), received_at=at(2))
        steps += 1
        assert steps < 50, "it ends"
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): steps}


# -- look-ups --------------------------------------------------------------------------------------------------------


async def test_orders_are_found_by_reference_and_by_external_id_newest_first(store: Store) -> None:
    a = await accept(store, upsert("1", reference="#1001"))
    b = await accept(store, upsert("2", reference="#1001"), storefront="outlet")
    c = await accept(store, upsert("#1001"))
    await accept(store, upsert("3", reference="#1002"))
    found = await store.find("#1001")
    assert [order.id for order in found] == [id_of(c), id_of(b), id_of(a)]
    assert [order.id for order in await store.find("#1001", limit=1)] == [id_of(c)]
    assert [order.id for order in await store.find("1")] == [id_of(a)]
    assert await store.find("unheard of") == []


async def test_an_order_keeps_its_reference_when_an_event_does_not_name_it(store: Store) -> None:
    await accept(store, upsert("1", reference="#1001"))
    await accept(store, upsert("1"))
    await accept(store, Fetch("1", None, "thin", "orders/changed"))
    assert [order.reference for order in await store.find("1")] == ["#1001"]


async def test_the_timeline_tells_everything_oldest_first(store: Store) -> None:
    first = await accept(store, upsert("1", version=1, key="k"), received_at=at(0))
    await deliver(store, first, FAILED, now=at(1))
    second = await accept(store, upsert("1", version=2), received_at=at(2))
    await store.wake("main", at(99), 1)
    await deliver(store, first, REFUSED, now=at(3))
    again = await accept(store, upsert("1", version=1, key="k"), received_at=at(4))
    timeline = await store.timeline(id_of(first))
    assert timeline is not None
    assert [(e.id, e.disposition, e.version, e.revision, e.received_at) for e in timeline.events] == [
        (first.event_id, Disposition.QUEUED, 1, 1, at(0)),
        (second.event_id, Disposition.MERGED, 2, 2, at(2)),
        (again.event_id, Disposition.DUPLICATE, 1, None, at(4)),
    ]
    assert timeline.attempts == [
        Attempt(1, at(1), 0.25, "failed", 500, "http_500", "it came to http_500", "{}"),
        Attempt(2, at(3), 0.25, "refused", 422, "http_422", "it came to http_422", "{}"),
    ]
    assert timeline.order.cause == cause("http_422", 422)
    newest = await store.timeline(id_of(first), limit=1)
    assert newest is not None
    assert ([e.id for e in newest.events], [a.revision for a in newest.attempts]) == ([again.event_id], [2])
    assert await store.timeline(9999) is None


# -- looking for something -------------------------------------------------------------------------------------------


async def found(store: Store, **wanted: Any) -> list[str]:
    return [order.external_id for order in (await store.search(Search(**wanted))).orders]


async def test_an_order_is_found_as_it_is_typed_with_or_without_the_number_sign(store: Store) -> None:
    for name, reference in (("a", "#1001"), ("b", "1001"), ("#1001", None), ("c", "#10010"), ("10", "x"), ("d", "#2")):
        await accept(store, upsert(name, reference=reference))
    assert await found(store, text="1001") == await found(store, text="#1001") == ["#1001", "b", "a", "c"]
    assert await found(store, text=" 10 ") == ["10", "c", "#1001", "b", "a"], "what is exactly it comes first"
    assert await found(store, text="1") == ["10", "c", "#1001", "b", "a"]
    assert await found(store, text="#") == ["d", "c", "#1001", "a"]
    assert await found(store, text="001") == await found(store, text="B") == await found(store, text="\ud800") == []
    assert await found(store, text=" ") == await found(store) == ["d", "10", "c", "#1001", "b", "a"]


async def test_what_is_looked_for_may_be_narrowed_by_all_that_is_known(store: Store) -> None:
    for number in range(8):
        storefront, channel = ("outlet", "other") if number % 2 else ("shop", "main")
        receipt = await accept(store, upsert(str(number), reference="#5"), storefront=storefront, channel=channel)
        if number >= 4:
            taken = await take(store, receipt, channel=channel)
            await settle(store, taken, REFUSED if number < 6 else SENT, sale=b'{"customer": {"email": "a@b.c"}}')
    assert await found(store, storefront="shop") == await found(store, channel="main") == ["6", "4", "2", "0"]
    assert await found(store, states=frozenset([State.DEAD])) == ["5", "4"]
    assert await found(store, states=frozenset([State.DEAD, State.SENT])) == ["7", "6", "5", "4"]
    assert await found(store, states=frozenset([State.WAITING]), channel="other") == ["3", "1"]
    assert await found(store, states=frozenset([State.HELD])) == await found(store, channel="unheard of") == []
    assert await found(store, text="5", storefront="shop", states=frozenset([State.WAITING])) == ["2", "0"]
    assert await found(store, text="5") == ["7", "6", "5", "4", "3", "2", "1", "0"], "one is it by id, all by reference"
    everything = Search("5", email_hash("a@b.c"), frozenset([State.SENT]), "outlet", "other")
    assert [order.external_id for order in (await store.search(everything)).orders] == ["7"]


async def test_who_bought_is_known_by_the_newest_sale_and_forgotten_with_it(store: Store) -> None:
    first, second = [await accept(store, upsert(name), received_at=at(-9)) for name in "ab"]
    assert await found(store, email=email_hash("jo@example.com")) == [], "no sale was made yet"
    for receipt in (first, second):
        await settle(
            store, await take(store, receipt), sale=b'{"customer":{"email":" Jo@Example.COM "},"lineItems":[]}'
        )
    assert await found(store, email=email_hash("jo@example.com")) == ["b", "a"]
    await accept(store, upsert("a"))
    await settle(store, await take(store, first), sale=b'{"customer":{"email":"eve@example.com"}}')
    assert await found(store, email=email_hash("JO@example.com ")) == ["b"]
    assert await found(store, email=email_hash("eve@example.com")) == ["a"]
    assert (await swept(store, bodies=at(1), finished=at(-99)))[-1] == 2
    assert await found(store, email=email_hash("jo@example.com")) == []
    assert await found(store) == ["b", "a"]


async def test_a_search_goes_on_where_it_was_while_orders_come_and_go(store: Store) -> None:
    receipts = [await accept(store, upsert(f"1{number}")) for number in range(4)]
    exact = await accept(store, upsert("1"))
    await accept(store, upsert("19"))
    wanted = Search(text="1")
    first = await store.search(wanted, limit=2)
    assert [order.external_id for order in first.orders] == ["1", "19"]
    await accept(store, upsert("18"))
    for receipt in (exact, receipts[3]):
        await deliver(store, receipt, now=at(-9))
    await swept(store, bodies=at(9), finished=at(9))
    assert first.next is not None
    second = await store.search(wanted, limit=2, after=first.next)
    assert [order.external_id for order in second.orders] == ["12", "11"]
    assert second.next is not None
    third = await store.search(wanted, limit=2, after=second.next)
    assert ([order.external_id for order in third.orders], third.next) == (["10"], None)


async def test_those_that_are_exactly_it_are_paged_before_the_others(store: Store) -> None:
    for number in range(3):
        await accept(store, upsert(f"1{number}", reference="#1"))
    for number in range(3, 6):
        await accept(store, upsert(f"1{number}"))
    for limit in range(1, 8):
        names = [order.external_id for order in await pages_of_orders(store, Search(text="1"), limit)]
        assert names == ["12", "11", "10", "15", "14", "13"]


async def test_an_event_is_known_by_its_id_whatever_it_is_about(store: Store) -> None:
    about, ping, lost = (
        await accept(store, upsert(key="k")),
        await accept(store, ignored()),
        await accept(store, garbled()),
    )
    again = await accept(store, upsert(key="k"))
    known = [await store.event(receipt.event_id) for receipt in (about, ping, lost, again)]
    assert [(e.event.disposition, e.event.order_id, e.has_body) for e in known if e is not None] == [
        (Disposition.QUEUED, about.order_id, True),
        (Disposition.IGNORED, None, True),
        (Disposition.QUARANTINED, None, True),
        (Disposition.DUPLICATE, about.order_id, False),
    ]
    await deliver(store, about)
    await swept(store, bodies=at(1), finished=at(-1))
    kept = await store.event(about.event_id)
    assert kept is not None
    assert not kept.has_body
    assert await store.event(99) is None


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (EventSearch(), [6, 5, 4, 3, 2, 1]),
        (EventSearch(storefront="shop"), [6, 4, 3, 1]),
        (EventSearch(order_id=1), [4, 3, 1]),
        (EventSearch(order_id=1, dispositions=frozenset([Disposition.DUPLICATE])), [4]),
        (EventSearch(dispositions=frozenset([Disposition.QUEUED, Disposition.IGNORED])), [6, 2, 1]),
        (EventSearch(since=at(3), until=at(5)), [5, 4, 3]),
        (EventSearch(until=at(0)), []),
        (EventSearch(since=at(9)), []),
        (EventSearch(order_id=9), []),
        (EventSearch("shop", frozenset([Disposition.MERGED]), 1, at(3), at(3)), [3]),
    ],
)
async def test_events_are_found_those_accepted_last_first(store: Store, wanted: EventSearch, ids: list[int]) -> None:
    coming: list[tuple[Identified, str]] = [
        (upsert("1", key="k"), "shop"), (upsert("2"), "outlet"), (upsert("1"), "shop"), (upsert("1", key="k"), "shop"),
        (garbled(), "outlet"), (ignored(), "shop"),
    ]  # fmt: skip
    for second, (event, storefront) in enumerate(coming, start=1):
        await accept(store, event, storefront=storefront, received_at=at(second))
    assert [event.id for event in (await store.events(wanted)).events] == ids
    for limit in (1, 2):
        assert [event.id for event in await pages_of_events(store, wanted, limit)] == ids


async def test_events_are_found_by_when_they_came_also_where_the_clock_was_a_little_off(store: Store) -> None:
    came = [0, 60, 30, 3000, 20, 90, 2000, 7000, 3600, 9000]
    for second in came:
        await accept(store, garbled(), received_at=at(second))
    for since in (0, 25, 61, 2500, 8000):
        for until in (29, 2000, 3599, 9000):
            wanted = EventSearch(since=at(since), until=at(until))
            found_at = [event.received_at for event in await pages_of_events(store, wanted, 3)]
            assert found_at == [at(second) for second in reversed(came) if since <= second <= until]


async def test_what_a_storefront_sent_is_remembered_whatever_is_deleted(store: Store) -> None:
    assert await store.storefronts() == {}
    first = await accept(store, upsert("1", key="k"), received_at=at(1))
    await accept(store, upsert("1", key="k"), received_at=at(2))
    await accept(store, ignored(), received_at=at(3))
    await accept(store, garbled(), storefront="outlet", received_at=at(9))
    await accept(store, garbled(), storefront="outlet", received_at=at(4))
    assert await store.storefronts() == {"shop": Sender(3, at(3)), "outlet": Sender(2, at(4))}, "the clock was set back"
    await deliver(store, first)
    await swept(store, bodies=at(99), finished=at(99))
    assert (await store.events(EventSearch(storefront="shop"))).events == []
    assert await store.storefronts() == {"shop": Sender(3, at(3)), "outlet": Sender(2, at(4))}


async def test_what_was_fetched_is_no_webhook_that_was_sent(store: Store) -> None:
    await fetch(store, await announce(store), upsert(), now=at(3))
    assert len((await store.events(EventSearch())).events) == 2
    assert {name: sender.accepted for name, sender in (await store.storefronts()).items()} == {"shop": 1}


async def test_what_persons_did_is_paged_and_found_by_what_it_is_about(store: Store) -> None:
    deeds = [Deed(at(n), "anna", "discard", f"order:{n % 2}", "why", token="desk" if n else None) for n in range(5)]
    for one in deeds:
        await store.record(one)
    newest = await store.deeds(2)
    assert newest == deeds[:-3:-1]
    assert [one.token for one in await store.deeds()] == ["desk"] * 4 + [None]
    await store.record(Deed(at(9), "ben", "pause", "channel main", "why"))
    assert newest[-1].id is not None
    assert await store.deeds(2, after=newest[-1].id) == deeds[2:0:-1]
    assert await store.deeds(after=1) == []
    assert await store.deeds(about="order:1") == [deeds[3], deeds[1]]
    assert await store.deeds(1, about="order:0", after=5) == [deeds[2]]
    assert await store.deeds(about="order") == []


async def test_what_was_done_to_several_at_once_is_found_by_each_and_by_nothing_that_was_left(store: Store) -> None:
    dead = [await accept(store, upsert(str(n))) for n in range(3)]
    for one in dead:
        await deliver(store, one, REFUSED)
    lost, other = await accept(store, garbled()), await accept(store, garbled())
    asleep = await held(store, "9")
    ids = [id_of(one) for one in dead]
    assert len(await store.revive(revival(*dead[:2]))) == 2
    await store.discard(Discarding(deed(), ids, [lost.event_id], states=frozenset({State.DEAD})))
    await store.release(release(asleep, ids[0]))
    await store.understood(other.event_id, arrival(upsert("10")), deed("replay"))

    async def found(about: str) -> list[str]:
        return [one.what for one in await store.deeds(about=about)]

    assert [await found(f"order:{one}") for one in (*ids, asleep)] == [["replay"], ["replay"], ["discard"], ["release"]]
    assert [await found(f"event:{one.event_id}") for one in (lost, other, dead[0])] == [["discard"], [], []]
    assert await found(f"order:{id_of(await accept(store, upsert('10', version=9)))}") == ["replay"], "it was read from"
    assert await found("order 1") == ["replay", "release", "discard", "replay"], "as its words say"
    assert len(await store.deeds()) == 4
    (newest,) = await store.deeds(1, about="order 1")
    assert [one.what for one in await store.deeds(2, about="order 1", after=newest.id)] == ["release", "discard"]
    assert await store.deeds(about=f"order:{ids[2]}", after=1) == []


async def test_what_was_done_to_one_is_found_once(store: Store) -> None:
    first = await accept(store)
    await deliver(store, first, REFUSED)
    once = replace(deed(), about=f"order:{id_of(first)}")
    await store.discard(Discarding(once, [id_of(first)]))
    assert await store.deeds(about=once.about) == [once]


async def test_dead_letters_are_paged_while_some_come_and_others_go(store: Store) -> None:
    ids = await several_dead(store)
    at_once = await accept(store, garbled(), received_at=at(10))
    letters = await store.dead_letters()
    assert [letter.id for letter in letters] == [*(ids[name] for name in "fedcb"), at_once.event_id, ids["a"]]
    for limit in range(1, 9):
        assert await pages_of_dead(store, limit) == letters
    for code in ("http_422", NO_ORDER):
        selection = Selection(code=code)
        assert await pages_of_dead(store, 1, selection) == await store.dead_letters(selection=selection)
    first = await store.dead_letters(3)
    await store.discard(Discarding(deed(), [ids["e"], ids["c"]], [ids["d"]]))
    await deliver(store, await accept(store, upsert("g")), REFUSED, now=at(99))
    assert await store.dead_letters(2, after=dead_place(first[-1])) == [letters[4], letters[5]]
    assert await store.dead_letters(2, after=dead_place(letters[5])) == [letters[6]]
    assert await store.dead_letters(2, after=dead_place(letters[6])) == []


async def test_dead_letters_are_counted_by_channel_and_cause_whatever_becomes_of_them(store: Store) -> None:
    assert await store.dead_tally() == {}
    ids = await several_dead(store)
    counted = {("main", "http_422"): 3, ("other", "unmappable"): 1, (None, NO_ORDER): 2}
    assert await store.dead_tally() == counted
    await store.discard(Discarding(deed(), [ids["a"], ids["c"]], [ids["d"]]))
    assert await store.dead_tally() == {("main", "http_422"): 2, (None, NO_ORDER): 1}
    await store.revive(Revival([ids["b"]], at(99), {}))
    await store.understood(ids["f"], arrival(upsert("f"), storefront="outlet"))
    assert await store.dead_tally() == {("main", "http_422"): 1}
    assert await store.take("main", [ids["b"]]) is not None
    await accept(store, upsert("e"))
    assert await store.dead_tally() == {}


async def test_replays_are_paged_and_looked_up(store: Store) -> None:
    begun = [await store.begin_replay(EVERYTHING, deed("replay", now=at(n))) for n in range(4)]
    newest = await store.replays(2)
    assert newest == begun[:1:-1]
    await store.begin_replay(EVERYTHING, deed("replay", now=at(9)))
    await store.note_replay(begun[1].id, event_id=0, revived=0, left=0, ended_at=at(9))
    assert [one.id for one in await store.replays(2, after=newest[-1].id)] == [begun[1].id, begun[0].id]
    assert await store.replays(running=True, after=begun[2].id) == [begun[0]]
    assert await store.replay(begun[3].id) == begun[3]
    assert await store.replay(99) is None


async def test_lost_events_are_counted_up_to_a_limit(store: Store) -> None:
    for _ in range(3):
        await accept(store, garbled())
    assert await store.lost_events() == 3
    assert await store.lost_events(limit=2) == 2


async def test_bodies_and_sales_come_back_byte_for_byte(store: Store) -> None:
    bodies = [b"", b"\x00\xff", "žluťoučký 🐎".encode(), bytes(range(256)) * 400]
    for number, body in enumerate(bodies):
        receipt = await accept(store, upsert(str(number)), body=body)
        assert await store.body(receipt.event_id) == body
        taken = await take(store, receipt)
        assert taken.body == body
        assert await store.sale(id_of(receipt)) is None
        await settle(store, taken, THROTTLED, sale=b"older")
        await store.wake("main", at(3600), 10)
        await settle(store, await take(store, receipt), sale=body)
        assert await store.sale(id_of(receipt)) == body
    assert await store.body(9999) is None
    assert await store.sale(9999) is None


async def test_a_settlement_without_a_sale_leaves_the_newest(store: Store) -> None:
    first = await accept(store)
    await settle(store, await take(store, first), sale=b"sale")
    await accept(store, upsert())
    await deliver(store, first, UNCHANGED)
    assert await store.sale(id_of(first)) == b"sale"


async def test_a_taken_delivery_has_the_topic_of_the_event_its_body_is_from(store: Store) -> None:
    first = await accept(store, upsert(version=1))
    await accept(store, cancel(version=2, complete=False))
    assert (await take(store, first)).topic == "orders/updated"
    other = await accept(store, upsert("2", version=1))
    await accept(store, cancel("2", version=2))
    assert (await take(store, other)).topic == "orders/cancelled"


async def test_many_at_once_are_each_answered_with_their_own(store: Store) -> None:
    about = [upsert(str(number % 40), version=number, key=str(number % 150)) for number in range(200)]
    receipts = await asyncio.gather(*(accept(store, one, body=one.dedupe_key.encode()) for one in about))
    assert sum(receipt.disposition is Disposition.DUPLICATE for receipt in receipts) == 50
    assert sum(receipt.disposition is Disposition.QUEUED for receipt in receipts) == 40
    for one, receipt in zip(about, receipts, strict=True):
        found = await store.find(one.external_id)
        assert [order.id for order in found] == [receipt.order_id]
    assert len({receipt.event_id for receipt in receipts}) == 200
    assert await store.tally() == {("main", State.WAITING, Lane.NEW): 40}


async def test_a_store_that_is_well_says_so(store: Store) -> None:
    await accept(store)
    assert store.failure() is None


async def test_new_events_are_refused_when_the_queue_is_full_and_settlements_are_not(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "relay.db", queue_max=1)
    first = await accept(store)
    taken = await take(store, first)
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer cannot begin its next transaction until this ends
        stuck = asyncio.ensure_future(accept(store, upsert("2")))
        settling = asyncio.ensure_future(settle(store, taken))
        done, _ = await asyncio.wait({stuck, settling}, timeout=0)
        assert not done
        with pytest.raises(StoreFull):
            await accept(store, upsert("3", key="k"))
        assert not stuck.done()
        other.execute("ROLLBACK")
    assert (await stuck).disposition is Disposition.QUEUED
    assert (await settling).order.state is State.SENT
    assert await store.find("3") == [], "what was refused was not kept"
    assert (await accept(store, upsert("3", key="k"))).disposition is Disposition.QUEUED, "and may come again"
    await store.close()


async def test_an_arrival_is_refused_when_its_share_of_the_queue_is_in_use(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "relay.db", queue_max=4)
    with closing(sqlite3.connect(tmp_path / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.ensure_future(accept(store, upsert(str(number)))) for number in range(2)]
        await asyncio.wait(waiting, timeout=0)
        with pytest.raises(StoreFull):
            await store.accept(arrival(), share=0.5)
        waiting.append(asyncio.ensure_future(store.accept(arrival(), share=0.75)))
        await asyncio.wait(waiting, timeout=0)
        with pytest.raises(StoreFull):
            await store.accept(arrival(), share=0.75)
        waiting.append(asyncio.ensure_future(store.accept(arrival())))
        await asyncio.wait(waiting, timeout=0)
        other.execute("ROLLBACK")
    await asyncio.gather(*waiting)
    with pytest.raises(StoreFull):
        await store.accept(arrival(), share=0.0)
    await store.close()


async def test_a_memory_store_can_be_found_as_a_new_process_would_find_it() -> None:
    store = MemoryStore()
    in_flight, sent = await accept(store, upsert("1", version=1)), await accept(store, upsert("2"))
    lost = await store.accept(replace(arrival(garbled(key="k")), headers=HEADERS))
    await settle(store, await take(store, sent), digest=b"d" * 16, sale=b"sale")
    await deliver(store, in_flight, digest=b"d" * 16)
    await accept(store, upsert("1", version=2), body=b"newest")
    lease = await take(store, in_flight)
    await store.keep("main", CONDITION, deed("pause"))
    replay = await store.begin_replay(EVERYTHING, deed("replay"))

    again = store.restarted()
    assert await again.settle(settlement(lease, SENT)) is None
    assert (await order_of(again, in_flight)).delivered_digest is None, "Jetti may or may not have taken the newest"
    assert (await order_of(again, sent)).delivered_digest == b"d" * 16
    assert (await again.conditions(), await again.sale(id_of(sent))) == ({"main": CONDITION}, b"sale")
    assert (await again.deeds(), await again.replays()) == ([deed("replay"), deed("pause")], [replay])
    assert await again.lost(after=0, limit=9) == await store.lost(after=0, limit=9)
    assert (await take(again, in_flight)).body == b"newest"
    duplicate = await accept(again, garbled(key="k"))
    assert (duplicate.duplicate_of, duplicate.event_id > lost.event_id + 1) == (lost.event_id, True)
    new = await accept(again, upsert("3"))
    assert id_of(new) > id_of(sent)

    assert await store.find("3") == [], "they share nothing"
    assert (await settle(store, lease)).order.state is State.SENT
    assert (await order_of(again, in_flight)).lease is not None


async def test_a_store_without_a_disk_takes_and_returns_no_space() -> None:
    store = MemoryStore()
    assert await store.size() is None
    assert await store.shrink(1_000_000) == 0
    await store.probe()


# -- any interleaving: the stores against a model --------------------------------------------------------------------
#
# The model is written from the design, 5.1 to 5.3, with none of the product's rules: plain records, changed in place.

DUE_LATER_S = (0.5, 1.0, 60.0)
HEAD_STARTS_S = {"new": 3600, "update": 0, "replay": -3600}
FINISHED = ("sent", "discarded", "ignored")
THIN = ("T1", "T2")
"""Orders that webhooks only name."""
FETCH_AFTER_S = 2.0
BY_ANNA = Deed(NOW, "anna", "discard", "what was chosen", "of no use")


@dataclass
class Known:
    """An order, as the model sees it."""

    id: int
    channel: str
    lane: str
    state: str
    due: Instant
    version: int | None
    since: Instant
    revision: int = 1
    event_id: int | None = None
    """The newest event that is the whole order."""
    cancelled: bool = False
    delivered: int = 0
    digest: bytes | None = NOTHING_THERE
    attempts: int = 0
    failing: int | None = None
    code: str | None = None
    """Of the cause."""
    lease: tuple[int, int] | None = None
    """Token and revision."""
    leased_on: str = ""
    placed: Instant = 0
    """What it became due at, for its place; an order that is fetched keeps that."""
    sent: set[int] = field(default_factory=set)
    held_since: Instant | None = None
    released: Instant | None = None
    """By a person."""

    @property
    def place(self) -> Waiting:
        return Waiting(self.placed - HEAD_STARTS_S[self.lane] * 1_000_000, self.id)

    @property
    def live(self) -> bool:
        """Whether anything is still to be done for it."""
        return self.state not in FINISHED

    @property
    def under_way(self) -> bool:
        return self.state in ("waiting", "sleeping") and self.lease is None

    def wait_afresh(self, now: Instant) -> None:
        self.state, self.due, self.attempts, self.failing, self.since, self.code = "waiting", now, 0, None, now, None
        self.placed = now
        self.lane = "update" if self.delivered > 0 or self.lane == "update" else "new"

    def is_overruled(self, now: Instant) -> bool:
        """It has come to its state: whether that is ``held``, although a person released it meanwhile."""
        overruled = self.state == "held" and self.released is not None
        if self.state == "held" and not overruled:
            self.held_since = now if self.held_since is None else self.held_since
        elif self.state != "waiting" and not (self.state == "sleeping" and self.to_be_fetched):
            self.held_since = None
        return overruled

    def release(self, lane: str | None, channel: str, now: Instant, *, person: bool) -> None:
        self.channel = channel
        self.wait_afresh(now)
        self.lane = lane or self.lane
        self.held_since, self.released = None, now if person else self.released

    @property
    def to_be_fetched(self) -> bool:
        return self.channel == FETCHING

    def sleep(self, until: Instant) -> None:
        self.state, self.due = "sleeping", until

    def revive(self, lane: str | None, now: Instant) -> None:
        lane = lane or self.lane
        self.wait_afresh(now)
        self.lane = lane


@dataclass
class Webhook:
    """An event, as the model sees it."""

    name: str | None
    """Of its order."""
    disposition: str
    revision: int | None
    received: Instant
    key: str | None
    """``None`` for a duplicate: the key is the earlier event's; and where the same key may announce something newer."""

    @property
    def lost(self) -> bool:
        return self.name is None and self.disposition == "quarantined"


@dataclass
class Tried:
    """An attempt, as the model sees it."""

    name: str
    order_id: int
    revision: int
    started: Instant


@dataclass
class Model:
    """Everything that was accepted, and what must have become of it."""

    orders: dict[str, Known] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    events: dict[int, Webhook] = field(default_factory=dict)
    bodies: set[int] = field(default_factory=set)
    attempts: list[Tried] = field(default_factory=list)
    sales: set[int] = field(default_factory=set)
    """Ids of orders."""
    deeds: int = 0

    def by_id(self, order_id: int) -> Known:
        return next(order for order in self.orders.values() if order.id == order_id)

    def accept(
        self, event_id: int, key: str, name: str | None, kind: str, version: int | None, *, channel: str, old: bool,
        young: bool, now: Instant,
    ) -> tuple[str, int | None, bool]:  # fmt: skip
        """Disposition, revision, and whether the order began to wait where nobody knew of it."""
        if key in self.seen:
            return "duplicate", None, False
        if name is None:
            return ("ignored" if kind == "ping" else "quarantined"), None, False
        return self.apply(event_id, name, kind, version, channel=channel, old=old, young=young, now=now, late=False)

    def apply(  # noqa: PLR0911 - the table of the design, 5.1, row by row
        self, event_id: int, name: str, kind: str, version: int | None, *, channel: str, old: bool, now: Instant,
        late: bool, young: bool = False,
    ) -> tuple[str, int | None, bool]:  # fmt: skip
        """``late``: the event was accepted long ago, and is understood only now. ``old`` and ``young``: the order was
        made long ago, or certainly not."""
        if kind == "fetch":
            return self.announce(name, now)
        whole, cancels = kind != "delete", kind in ("cancel", "delete")
        order = self.orders.get(name)
        if order is None:
            order = Known(0, channel, "update" if old else "new", "waiting" if whole else "dead", now, version, now)
            order.event_id, order.cancelled = event_id if whole else None, cancels
            order.placed, order.digest = now, NOTHING_THERE if young and not cancels else None
            order.lane = "replay" if late and whole else order.lane
            order.code = None if whole else "never_seen"
            self.orders[name] = order
            return ("queued" if whole else "quarantined"), 1, whole
        if version is not None and order.version is not None and version < order.version:
            return "stale", None, False
        decided = version is not None and order.version is not None and version > order.version
        if late and not decided and order.event_id is not None and order.event_id > event_id:
            if not cancels:
                return "stale", None, False
            whole = False
        order.version = version if version is not None else order.version
        order.revision += 1
        order.event_id = event_id if whole else order.event_id
        order.cancelled = order.cancelled or cancels
        if order.event_id is None:
            return "quarantined", order.revision, False
        if order.lease is not None:
            return ("queued" if order.revision - order.lease[1] == 1 else "merged"), order.revision, False
        moved, order.channel = order.channel != channel, channel
        if order.under_way and (late or order.lane != "replay"):
            order.failing = None
            return "merged", order.revision, moved and order.state == "waiting"
        was_under_way = order.under_way
        order.wait_afresh(now)
        if late:
            order.lane = "replay"
        return ("merged" if was_under_way else "queued"), order.revision, True

    def announce(self, name: str, now: Instant) -> tuple[str, int | None, bool]:
        """A webhook only names the order, which is fetched once it has been quiet for a while."""
        due = instant.after(now, FETCH_AFTER_S)
        order = self.orders.get(name)
        if order is None:
            order = self.orders[name] = Known(0, FETCHING, "new", "sleeping", due, None, now, placed=now)
            return "queued", 1, False
        order.revision += 1
        was_fetched, order.channel = order.to_be_fetched, FETCHING
        if order.lease is not None:
            order.due = due
            return ("queued" if order.revision - order.lease[1] == 1 else "merged"), order.revision, False
        was_under_way = order.under_way
        if not was_under_way or order.lane == "replay":
            order.wait_afresh(now)
            order.sleep(due)
            return ("merged" if was_under_way else "queued"), order.revision, False
        if not was_fetched:
            order.attempts, order.code = 0, None
        elif order.state == "sleeping":
            due = max(order.due, min(due, instant.after(order.since, 5 * FETCH_AFTER_S)))
        order.since = order.since if order.state == "sleeping" and was_fetched else now
        order.failing = None
        order.sleep(due)
        return "merged", order.revision, False

    def forget(self, *, bodies: Instant, finished: Instant) -> None:
        """What is finished and older than it has to be kept. Nothing that is lost or still to be sent depends on it."""
        for event_id, event in list(self.events.items()):
            order = None if event.name is None else self.orders.get(event.name)
            sale_is_made_from_it = order is not None and order.live and order.event_id == event_id
            tells_of_it = order is not None and order.live and event.revision == order.revision
            if event.lost or sale_is_made_from_it:
                continue
            if event.received < bodies:
                self.bodies.discard(event_id)
            if event.received < finished and not tells_of_it:
                self.forget_event(event_id)
        for name, order in list(self.orders.items()):
            mine = [event_id for event_id, event in self.events.items() if event.name == name]
            young = [event_id for event_id in mine if self.events[event_id].received >= finished]
            if not order.live and order.since < finished and not young:
                for event_id in mine:
                    self.forget_event(event_id)
                self.attempts = [tried for tried in self.attempts if tried.order_id != order.id]
                self.sales.discard(order.id)
                del self.orders[name]
            elif not order.live and order.since < bodies:
                self.sales.discard(order.id)
        live = {order.id for order in self.orders.values() if order.live}
        self.attempts = [tried for tried in self.attempts if tried.started >= finished or tried.order_id in live]

    def forget_event(self, event_id: int) -> None:
        event = self.events.pop(event_id)
        self.bodies.discard(event_id)
        if event.key is not None:
            del self.seen[event.key]

    def place_of(self, event_id: int) -> str:
        """Where an event is: exactly one place."""
        event = self.events[event_id]
        if event.name is None or event.revision is None or event.disposition == "unchanged":
            return event.disposition
        order = self.orders[event.name]
        if any((t.order_id, t.revision) == (order.id, event.revision) and event.revision in order.sent
               for t in self.attempts):  # fmt: skip
            return "delivered"
        if order.lease is not None and event.revision == order.lease[1]:
            return "in flight"
        if event.revision < order.revision:
            return "superseded"
        return "delivered" if order.state == "sent" else order.state

    def dead(self, code: str | None, until: Instant) -> list[Known]:
        """Dead orders that a selection names, in the order of their ids."""
        dead = [o for o in self.orders.values() if o.state == "dead" and o.since <= until]
        return sorted((o for o in dead if code in (None, o.code)), key=lambda order: order.id)

    def may_go_on(self, order: Known) -> bool:
        return order.to_be_fetched or self.is_whole(order)

    def is_whole(self, order: Known) -> bool:
        return order.event_id is not None and order.event_id in self.bodies


class Stores(RuleBasedStateMachine):
    """Any sequence of what can happen, on a store and on the model; they must agree at every step."""

    opener = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="relay-contract-"))
        self.openings = 0
        self.now = NOW
        self.model = Model()
        self.tokens: set[int] = set()
        self.touched: set[str] = set()
        self.delivered: dict[int, int] = {}
        self.webhooks: list[tuple[Identified, str, bytes]] = []
        self.events_ever: set[int] = set()
        self.orders_ever: set[int] = set()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    @initialize()
    def open(self) -> None:
        self.store = self.run(STORES[self.opener](self.home))

    @property
    def home(self) -> Path:
        home = self.folder / str(self.openings)
        home.mkdir(exist_ok=True)
        return home

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    # -- what can happen -----------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(["1", "1", "2", "3"]),
        kind=st.sampled_from(["upsert", "upsert", "upsert", "cancel", "delete"]),
        version=st.one_of(st.none(), st.integers(0, 4)),
        channel=st.sampled_from(["main", "main", "other"]),
        age_s=st.sampled_from([None, 5.0, 2 * DAY_S]),
    )
    def webhook(self, name: str, kind: str, version: int | None, channel: str, age_s: float | None) -> None:
        about = self.about(name, kind, version, age_s)
        self.arrive(about, channel, about.dedupe_key.encode())
        self.webhooks.append((about, channel, about.dedupe_key.encode()))

    def about(self, name: str, kind: str, version: int | None, age_s: float | None = None) -> Upsert | Fetch | Cancel:
        key = f"k{len(self.webhooks)}"
        created_at = None if age_s is None else instant.after(self.now, -age_s)
        match kind:
            case "upsert":
                return Upsert(name, version, key, "t", None, created_at)
            case "fetch":
                return Fetch(name, version, key, "t")
            case _:
                return Cancel(name, version, key, "t", None, created_at, complete=kind == "cancel")

    @rule(name=st.sampled_from(THIN))
    def hook(self, name: str) -> None:
        """A webhook that only names its order."""
        about = self.about(name, "fetch", None)
        self.arrive(about, FETCHING, b"hook")
        self.webhooks.append((about, FETCHING, b"hook"))

    @precondition(lambda self: any(order.lease for order in self.model.orders.values()))
    @rule(data=st.data(), kind=st.sampled_from(["upsert", "cancel", "delete"]))
    def webhook_behind_one_in_flight(self, data: st.DataObject, kind: str) -> None:
        """It is never stale."""
        leased = sorted(name for name, order in self.model.orders.items() if order.lease is not None)
        name = data.draw(st.sampled_from(leased))
        if name in THIN:
            self.hook(name=name)
        else:
            self.webhook_now(name, kind)

    @precondition(lambda self: any(order.lane == "replay" for order in self.model.orders.values()))
    @rule(data=st.data())
    def webhook_of_one_that_is_replayed(self, data: st.DataObject) -> None:
        replayed = sorted(name for name, order in self.model.orders.items() if order.lane == "replay")
        name = data.draw(st.sampled_from(replayed))
        if name in THIN:
            self.hook(name=name)
        else:
            self.webhook_now(name, "upsert")

    def webhook_now(self, name: str, kind: str) -> None:
        about = self.about(name, kind, None)
        self.arrive(about, "main", b"newest")
        self.webhooks.append((about, "main", b"newest"))

    @rule(kind=st.sampled_from(["ping", "garbled", "garbled"]))
    def about_no_order(self, kind: str) -> None:
        key = f"k{len(self.webhooks)}"
        about = ignored(key=key) if kind == "ping" else garbled(key=key)
        self.arrive(about, "main", b"?")
        self.webhooks.append((about, "main", b"?"))

    @precondition(lambda self: self.webhooks)
    @rule(data=st.data())
    def webhook_again(self, data: st.DataObject) -> None:
        about, channel, body = data.draw(st.sampled_from(self.webhooks))
        self.arrive(about, channel, body)

    def arrive(self, about: Identified, channel: str, body: bytes) -> None:
        name, kind, version, old = self.read(about)
        young = isinstance(about, Upsert) and about.created_at is not None and not old
        earlier = self.model.seen.get(about.dedupe_key)
        came = arrival(about, channel=channel, received_at=self.now, body=body)
        receipt = self.run(self.store.accept(replace(came, fetch_after_s=FETCH_AFTER_S)))
        disposition, revision, waits = self.model.accept(
            receipt.event_id, about.dedupe_key, name, kind, version, channel=channel, old=old, young=young, now=self.now
        )
        assert (receipt.disposition, receipt.revision) == (disposition, revision)
        assert receipt.event_id not in self.events_ever, "an id is given once"
        self.events_ever.add(receipt.event_id)
        assert receipt.duplicate_of == (earlier if disposition == "duplicate" else None)
        key = None if disposition == "duplicate" or self.is_early(name, kind) else about.dedupe_key
        if key is not None:
            self.model.seen[key] = receipt.event_id
        if disposition == "duplicate":
            name = name if name in self.model.orders else None
        else:
            self.model.bodies.add(receipt.event_id)
        self.model.events[receipt.event_id] = Webhook(name, disposition, revision, self.now, key)
        self.is_about(name, receipt, waits)

    def is_early(self, name: str | None, kind: str) -> bool:
        """The order may be read before the second of the webhook that has just announced it is over."""
        return (
            name is not None and kind == "fetch" and self.model.orders[name].due < self.now + FETCH_AFTER_S * 1_000_000
        )

    def is_about(self, name: str | None, receipt: Receipt, waits: bool) -> None:
        if name is None:
            assert (receipt.order_id, receipt.waiting) == (None, None)
            return
        order = self.model.orders[name]
        order.id = order.id or id_of(receipt)
        self.orders_ever.add(order.id)
        assert receipt.order_id == order.id
        assert receipt.waiting == (order.place if waits else None)
        self.touched.add(name)

    def read(self, about: Identified) -> tuple[str | None, str, int | None, bool]:
        """Name, kind, version, and whether the order was created long ago."""
        match about:
            case Upsert(name, version):
                return name, "upsert", version, self.is_old(about.created_at)
            case Cancel(name, version):
                return name, "cancel" if about.complete else "delete", version, self.is_old(about.created_at)
            case Fetch(name, version):
                return name, "fetch", version, False
            case _:
                return None, "ping" if about.topic == "ping" else "garbled", None, False

    def is_old(self, created_at: Instant | None) -> bool:
        return created_at is not None and self.now - created_at > DAY_S * 1_000_000

    @precondition(lambda self: any(event.lost for event in self.model.events.values()))
    @rule(
        data=st.data(),
        name=st.sampled_from(["1", "2", "3"]),
        kind=st.sampled_from(["upsert", "upsert", "cancel", "delete", "ping", "garbled"]),
        version=st.one_of(st.none(), st.integers(0, 4)),
        channel=st.sampled_from(["main", "main", "other"]),
    )
    def understand(self, data: st.DataObject, name: str, kind: str, version: int | None, channel: str) -> None:
        event_id = data.draw(st.sampled_from(sorted(i for i, event in self.model.events.items() if event.lost)))
        event = self.model.events[event_id]
        no_order: dict[str, Identified] = {"ping": ignored(), "garbled": garbled()}
        about = no_order.get(kind) or self.about(name, kind, version)
        read_again = arrival(about, channel=channel, received_at=self.now)
        receipt = self.run(self.store.understood(event_id, read_again))
        if kind == "garbled":
            assert receipt is None
            return
        assert receipt is not None
        if kind == "ping":
            event.disposition = "ignored"
            assert receipt == Receipt(event_id, Disposition.IGNORED)
            return
        became = self.model.apply(event_id, name, kind, version, channel=channel, old=False, now=self.now, late=True)
        event.name, event.disposition, event.revision = name, became[0], became[1]
        assert (receipt.event_id, receipt.disposition, receipt.revision) == (event_id, *became[:2])
        self.is_about(name, receipt, became[2])
        assert self.run(self.store.understood(event_id, read_again)) is None, "it is lost no more"

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data(), channel=st.sampled_from(["main", "main", "other", FETCHING]))
    def take(self, data: st.DataObject, channel: str) -> None:
        ids = [order.id for order in self.model.orders.values()]
        candidates = data.draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))
        free = (self.model.by_id(order_id) for order_id in candidates)
        expected = next((o for o in free if o.state == "waiting" and o.lease is None and o.channel == channel), None)
        taken = self.run(self.store.take(channel, candidates))
        assert (None if taken is None else taken.order.id) == (None if expected is None else expected.id)
        if taken is not None and expected is not None:
            lease = taken.order.lease
            assert lease is not None
            assert lease.revision == expected.revision
            assert lease.token not in self.tokens, "a token is given once"
            self.tokens.add(lease.token)
            expected.lease, expected.leased_on = (lease.token, lease.revision), channel
            self.touched |= set(self.model.orders)

    @precondition(lambda self: any(o.state == "waiting" and o.lease is None for o in self.model.orders.values()))
    @rule(data=st.data(), outcome=st.sampled_from(["sent", "sent", "refused"]))
    def deliver(self, data: st.DataObject, outcome: str) -> None:
        """Take and settle at once: what happens most."""
        free = [n for n, o in self.model.orders.items() if o.state == "waiting" and o.lease is None]
        name = data.draw(st.sampled_from(sorted(free)))
        order = self.model.orders[name]
        taken = self.run(self.store.take(order.channel, [order.id]))
        assert taken is not None
        assert taken.order.lease is not None
        self.tokens.add(taken.order.lease.token)
        order.leased_on = order.channel
        if order.to_be_fetched and outcome == "sent":
            self.brings(name, taken.order.lease.token, order.revision, "upsert", None)
        else:
            self.conclude(name, taken.order.lease.token, order.revision, outcome, 0.0)

    @precondition(lambda self: any(order.lease for order in self.model.orders.values()))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["sent", "sent", "unchanged", "refused", "failed", "throttled", "cannot_map", "held"]),
        delay_s=st.sampled_from(DUE_LATER_S),
        token_is_wrong=st.sampled_from([False, False, False, True]),
    )
    def settle(self, data: st.DataObject, outcome: str, delay_s: float, token_is_wrong: bool) -> None:
        leased = sorted(name for name, order in self.model.orders.items() if order.lease is not None)
        name = data.draw(st.sampled_from(leased))
        order = self.model.orders[name]
        assert order.lease is not None
        token, revision = order.lease
        if order.leased_on == FETCHING and outcome in ("sent", "unchanged", "cannot_map", "held"):
            outcome = "failed"
        if outcome == "held" and revision < order.revision:
            outcome = "throttled"  # what is held is what the newest revision says
        if token_is_wrong:
            assert self.run(self.store.settle(self.made(order, token + 1_000_000, revision, outcome, delay_s))) is None
        else:
            self.conclude(name, token, revision, outcome, delay_s)

    @precondition(lambda self: any(o.under_way and o.to_be_fetched for o in self.model.orders.values()))
    @rule(data=st.data(), seconds=st.sampled_from([2.0, 2.5, 12.0]))
    def begin_fetch(self, data: st.DataObject, seconds: float) -> None:
        """Its time has come: the order is woken and taken."""
        orders = self.model.orders.items()
        name = data.draw(st.sampled_from(sorted(n for n, o in orders if o.under_way and o.to_be_fetched)))
        order = self.model.orders[name]
        self.now = max(instant.after(self.now, seconds), order.due)
        self.wake(channel=FETCHING, limit=9, longest_s=None)
        taken = self.run(self.store.take(FETCHING, [order.id]))
        assert taken is not None
        assert taken.order.lease is not None
        self.tokens.add(taken.order.lease.token)
        order.lease, order.leased_on = (taken.order.lease.token, taken.order.lease.revision), FETCHING
        self.touched.add(name)

    @precondition(lambda self: any(o.lease and o.leased_on == FETCHING for o in self.model.orders.values()))
    @rule(
        data=st.data(),
        kind=st.sampled_from(["upsert", "upsert", "cancel", "ping", "garbled", "another"]),
        version=st.one_of(st.none(), st.integers(0, 4)),
        hooked=st.sampled_from([False, False, True]),
    )
    def fetch(self, data: st.DataObject, kind: str, version: int | None, hooked: bool) -> None:
        orders = self.model.orders.items()
        name = data.draw(st.sampled_from(sorted(n for n, o in orders if o.lease and o.leased_on == FETCHING)))
        order = self.model.orders[name]
        assert order.lease is not None
        if hooked:
            self.hook(name=name)
        self.brings(name, *order.lease, kind, version)

    def brings(self, name: str, token: int, revision: int, kind: str, version: int | None) -> None:
        """A fetch ends that brought a document."""
        order = self.model.orders[name]
        documents: dict[str, Identified] = {"ping": ignored(), "garbled": garbled(), "another": upsert("another")}
        document = documents.get(kind) or self.about(name, kind, version)
        settled = self.run(
            self.store.settle(
                Settlement(
                    order_id=order.id,
                    token=token,
                    after=Delivery(revision, Lane(order.lane), State.WAITING, order.due),
                    now=self.now,
                    head_starts=STARTS,
                    delivered_digest=order.digest,
                    attempt=Attempt(revision, self.now, 0.1, "fetched"),
                    brought=arrival(document, received_at=self.now, body=b"document"),
                )
            )
        )
        assert settled is not None
        self.model.attempts.append(Tried(name, order.id, revision, self.now))
        order.lease, order.attempts, order.failing, order.code = None, 0, None, None
        self.touched.add(name)
        if order.revision > revision:  # it is fetched again, once it has been quiet for a while
            state = "sleeping" if order.due > self.now else "waiting"
            order.since = order.since if order.state == state else self.now
            order.state = state
        else:
            disposition, became = self.reads(order, kind, version)
            timeline = self.run(self.store.timeline(order.id))
            assert timeline is not None
            event_id = timeline.events[-1].id
            assert event_id not in self.events_ever
            self.events_ever.add(event_id)
            self.model.bodies.add(event_id)
            self.model.events[event_id] = Webhook(name, disposition, became, self.now, None)
            if disposition == "queued":
                order.event_id = event_id
            assert timeline.events[-1].disposition == disposition
        assert settled.waiting == (order.place if order.state == "waiting" else None)

    def reads(self, order: Known, kind: str, version: int | None) -> tuple[str, int | None]:
        """What a document does to its order: the event's disposition and revision."""
        order.since = self.now
        if kind in ("ping", "garbled", "another"):
            order.state, order.held_since = "ignored" if kind == "ping" else "dead", None
            order.code = {"ping": "ignored", "garbled": "not_understood", "another": "other_order"}[kind]
            order.revision += 1
            return ("ignored" if kind == "ping" else "quarantined"), order.revision
        order.channel, order.state = "main", "waiting"
        order.due = order.placed = min(self.now, order.placed)
        if order.event_id is None:
            order.digest = None  # the document does not say when the order was made
        if version is not None and order.version is not None and version < order.version:
            return "stale", None
        order.version = order.version if version is None else version
        order.revision += 1
        order.cancelled = order.cancelled or kind == "cancel"
        return "queued", order.revision

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data(), outcome=st.sampled_from(["unchanged", "cannot_map", "held"]), looked_at=st.integers(0, 1))
    def inspect(self, data: st.DataObject, outcome: str, looked_at: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.orders)))
        order = self.model.orders[name]
        revision = order.revision - looked_at
        looked = self.run(self.store.look(order.id))
        assert (looked is not None) == (order.under_way and self.model.is_whole(order))
        if order.to_be_fetched:
            return  # the inspector leaves it alone
        overruled = outcome == "held" and order.released is not None
        if order.under_way and looked_at == 0 and not overruled:
            self.conclude(name, None, revision, outcome, 0.0)
        else:
            assert self.run(self.store.settle(self.made(order, None, revision, outcome, 0.0))) is None

    def made(self, order: Known, token: int | None, revision: int, outcome: str, delay_s: float) -> Settlement:
        counts = outcome in ("sent", "refused", "failed")
        state = {
            "sent": State.SENT, "unchanged": State.SENT, "refused": State.DEAD, "cannot_map": State.DEAD,
            "failed": State.SLEEPING, "throttled": State.WAITING, "held": State.HELD,
        }[outcome]  # fmt: skip
        finding = {"unchanged": Disposition.UNCHANGED, "cannot_map": Disposition.QUARANTINED}.get(outcome)
        return Settlement(
            order_id=order.id,
            token=token,
            after=Delivery(
                revision,
                Lane(order.lane),
                state,
                instant.after(self.now, delay_s) if outcome == "failed" else order.due,
                order.attempts + counts,
                revision * 1000 if counts and order.failing is None else order.failing,
                None if state is State.SENT else Cause(outcome, outcome),
            ),
            now=self.now,
            head_starts=STARTS,
            delivered_digest=self.digest_after(order, revision, outcome),
            attempt=Attempt(revision, self.now, 0.1, outcome) if counts or outcome == "throttled" else None,
            sale=b"%d" % revision if counts else None,
            finding=None if finding is None else Finding(finding),
        )

    @staticmethod
    def digest_after(order: Known, revision: int, outcome: str) -> bytes | None:
        return {"sent": b"%16d" % revision, "failed": None}.get(outcome, order.digest)

    def conclude(  # noqa: C901 - what an outcome does, column by column
        self, name: str, token: int | None, revision: int, outcome: str, delay_s: float
    ) -> None:
        order = self.model.orders[name]
        settlement = self.made(order, token, revision, outcome, delay_s)
        settled = self.run(self.store.settle(settlement))
        assert settled is not None
        moved = order.lease is not None and order.leased_on != order.channel
        due = order.due
        order.lease = None
        order.digest = settlement.delivered_digest
        order.attempts, order.failing = settlement.after.attempts, settlement.after.failing_us
        order.code = None if settlement.after.cause is None else outcome
        if order.state != settlement.after.state:
            order.since = self.now
        order.state, order.due = settlement.after.state.value, settlement.after.due_at
        if not order.to_be_fetched or order.due != due:
            order.placed = order.due
        if order.state == "sent":
            order.delivered = revision
        if outcome == "sent":
            order.sent.add(revision)
        if settlement.attempt is not None:
            self.model.attempts.append(Tried(name, order.id, revision, self.now))
        if settlement.sale is not None:
            self.model.sales.add(order.id)
        if settlement.finding is not None:
            for event in self.model.events.values():
                if (event.name, event.revision) == (name, revision):
                    event.disposition = settlement.finding.disposition.value
        overruled = order.is_overruled(self.now)
        if order.revision > revision or overruled:
            self.goes_on(order, due, moved=moved or overruled)
        assert settled.waiting == (order.place if order.state == "waiting" else None)
        self.touched.add(name)

    def goes_on(self, order: Known, due: Instant, *, moved: bool) -> None:
        """A newer revision came in meanwhile; if it is to be fetched, then not before it is ``due``."""
        if moved or order.state in ("sent", "dead"):
            order.wait_afresh(self.now)
        if order.to_be_fetched and due > max(self.now, order.due):
            order.sleep(due)

    @rule(
        channel=st.sampled_from(["main", "other", FETCHING]),
        limit=st.integers(1, 3),
        longest_s=st.sampled_from([None, 0.75, 30.0]),
    )
    def wake(self, channel: str, limit: int, longest_s: float | None) -> None:
        beyond = None if longest_s is None else instant.after(self.now, longest_s)
        sleepers = sorted(
            (o.due, o.id) for o in self.model.orders.values() if (o.state, o.channel) == ("sleeping", channel)
        )
        due = [at for at in sleepers if at[0] <= self.now or (beyond is not None and at[0] > beyond)][:limit]
        woken = self.run(self.store.wake(channel, self.now, limit, beyond=beyond))
        assert [waiting.order_id for waiting in woken] == [order_id for _, order_id in due]
        for waiting in woken:
            order = self.model.by_id(waiting.order_id)
            order.placed -= max(0, order.due - self.now)
            order.state, order.due, order.since = "waiting", min(order.due, self.now), self.now
            assert waiting == order.place
        self.touched |= set(self.model.orders)

    @rule(seconds=st.sampled_from([0.25, 1.0, 61.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now = instant.after(self.now, seconds)

    # -- what a person does --------------------------------------------------------------------------------------

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        order_ids = data.draw(st.lists(st.sampled_from(sorted(self.orders_ever) or [77]), max_size=2, unique=True))
        event_ids = data.draw(st.lists(st.sampled_from(sorted(self.events_ever) or [77]), max_size=2, unique=True))
        known = {order.id: order for order in self.model.orders.values()}
        orders = [i for i in order_ids if i in known and known[i].live and known[i].lease is None]
        events = [i for i in event_ids if i in self.model.events and self.model.events[i].lost]
        deed = replace(BY_ANNA, at=self.now)
        assert self.run(self.store.discard(Discarding(deed, order_ids, event_ids))) == (orders, events)
        for order_id in orders:
            known[order_id].state, known[order_id].since, known[order_id].code = "discarded", self.now, "discarded"
            known[order_id].held_since = known[order_id].released = None
        for event_id in events:
            self.model.events[event_id].disposition = "discarded"
        self.model.deeds += bool(orders or events)
        self.touched |= set(self.model.orders)

    @precondition(lambda self: any(o.held_since or o.released for o in self.model.orders.values()))
    @rule(
        data=st.data(),
        lane=st.sampled_from([None, None, Lane.REPLAY]),
        channels=st.sampled_from([{}, {"shop": "main"}, {"shop": "other"}]),
        person=st.booleans(),
    )
    def release(self, data: st.DataObject, lane: Lane | None, channels: dict[str, str], person: bool) -> None:
        order_ids = data.draw(st.lists(st.sampled_from(sorted(self.orders_ever)), min_size=1, unique=True))
        known = {order.id: order for order in self.model.orders.values()}
        waiting, marked = [], []
        for order in [known[i] for i in order_ids if i in known and self.model.is_whole(known[i])]:
            if order.state == "held":
                order.release(lane, channels.get("shop", order.channel), self.now, person=person)
                waiting.append(order)
            elif person and order.state in ("waiting", "sleeping") and not order.delivered:
                if order.held_since is not None:
                    order.held_since, order.released = None, self.now
                if order.released is not None:
                    marked.append(order.id)
        deed = replace(BY_ANNA, at=self.now, what="release") if person else None
        asked = Release(order_ids, self.now, {"main": STARTS}, channels, lane, deed)
        released = self.run(self.store.release(asked))
        assert released == Released(tuple(Revived(order.channel, order.place) for order in waiting), tuple(marked))
        self.model.deeds += person and bool(waiting or marked)
        self.touched |= set(self.model.orders)

    @precondition(lambda self: any(o.state in ("dead", "discarded") for o in self.model.orders.values()))
    @rule(
        data=st.data(),
        lane=st.sampled_from([None, Lane.REPLAY, Lane.REPLAY, Lane.NEW]),
        code=st.sampled_from([None, None, "refused", "discarded"]),
    )
    def revive(self, data: st.DataObject, lane: Lane | None, code: str | None) -> None:
        order_ids = data.draw(st.lists(st.sampled_from(sorted(self.orders_ever)), min_size=1, unique=True))
        known = {order.id: order for order in self.model.orders.values()}
        deed = replace(BY_ANNA, at=self.now, what="replay")
        revived = self.run(
            self.store.revive(Revival(order_ids, self.now, {"main": STARTS}, lane=lane, code=code, deed=deed))
        )
        expected = [
            known[i]
            for i in order_ids
            if i in known and known[i].state in ("dead", "discarded") and self.model.may_go_on(known[i])
            and code in (None, known[i].code)
        ]  # fmt: skip
        for order in expected:
            order.revive(lane, self.now)
        assert revived == [Revived(order.channel, order.place) for order in expected]
        self.model.deeds += bool(expected)
        self.touched |= set(self.model.orders)

    @precondition(lambda self: any(o.state == "dead" for o in self.model.orders.values()))
    @rule(code=st.sampled_from([None, None, "refused", "never_seen", NO_ORDER]), limit=st.integers(1, 2))
    def replay(self, code: str | None, limit: int) -> None:
        """From its beginning to its end, with nothing in between."""
        deed = replace(BY_ANNA, at=self.now, what="replay")
        replay = self.run(self.store.begin_replay(Selection(code=code), deed))
        self.model.deeds += 1
        dead = self.model.dead(code, self.now)
        lost = [e for e in self.model.events.values() if e.lost and code in (None, NO_ORDER)]
        assert (replay.total, replay.selection) == (len(dead) + len(lost), Selection(code=code, until=self.now))
        revived, left, more, now = 0, 0, True, replay
        while more:
            step, dead = dead[:limit], dead[limit:]
            advanced = self.run(
                self.store.advance_replay(replay.id, limit=limit, now=self.now, head_starts={"main": STARTS})
            )
            assert advanced is not None
            whole = [order for order in step if self.model.may_go_on(order)]
            for order in whole:
                order.revive("replay", self.now)
            assert advanced.revived == [Revived(order.channel, order.place) for order in whole]
            revived, left, more = revived + len(whole), left + len(step) - len(whole), bool(dead)
            now = advanced.replay
            assert (now.revived, now.left, advanced.more) == (revived, left, more)
        ended = self.run(self.store.note_replay(replay.id, event_id=0, revived=0, left=0, ended_at=self.now))
        assert ended == replace(now, ended_at=self.now)
        assert self.run(self.store.replays(1)) == [ended]
        assert self.run(self.store.advance_replay(replay.id, limit=9, now=self.now, head_starts={})) is None
        self.touched |= set(self.model.orders)

    # -- housekeeping --------------------------------------------------------------------------------------------

    @rule(
        bodies_s=st.sampled_from([-1, 0, 1, 62, 3800]),
        finished_s=st.sampled_from([-1, 0, 2, 63, 3900]),
        limit=st.integers(1, 5),
    )
    def sweep(self, bodies_s: float, finished_s: float, limit: int) -> None:
        """From beginning to end. What is left is exactly what has to be."""
        cutoffs = Cutoffs(bodies=instant.after(self.now, -bodies_s), finished=instant.after(self.now, -finished_s))
        before = self.counts()
        self.model.forget(bodies=cutoffs.bodies, finished=cutoffs.finished)
        swept = [self.run(self.store.sweep(cutoffs, SweepPlace(), limit=limit))]
        while (place := swept[-1].place) is not None:
            swept.append(self.run(self.store.sweep(cutoffs, place, limit=limit)))
            assert len(swept) < 500
        counted = [(step.events, step.bodies, step.attempts, step.orders, step.sales) for step in swept]
        totals = [sum(column) for column in zip(*counted, strict=True)]
        assert totals == [was - now for was, now in zip(before, self.counts(), strict=True)]
        for event_id in self.events_ever:
            assert (self.run(self.store.body(event_id)) is not None) == (event_id in self.model.bodies)
        known = {order.id for order in self.model.orders.values()}
        for order_id in self.orders_ever:
            assert (self.run(self.store.timeline(order_id)) is not None) == (order_id in known)
            assert (self.run(self.store.sale(order_id)) is not None) == (order_id in self.model.sales)
        self.touched = set(self.model.orders)

    def counts(self) -> tuple[int, int, int, int, int]:
        model = self.model
        return len(model.events), len(model.bodies), len(model.attempts), len(model.orders), len(model.sales)

    # -- the process -----------------------------------------------------------------------------------------------

    @rule(orderly=st.booleans())
    def die_and_open_again(self, orderly: bool) -> None:
        """Without settling."""
        self.reopen(orderly)
        self.tokens.clear()  # who held one is gone
        for order in self.model.orders.values():
            order.lease = None
            if order.state in ("waiting", "sleeping"):
                order.digest = None  # it may have been in flight: what Jetti has is uncertain
        self.touched |= set(self.model.orders)

    def reopen(self, _orderly: bool) -> None:
        assert isinstance(self.store, MemoryStore)
        self.store = self.store.restarted()

    # -- what must be true -----------------------------------------------------------------------------------------

    @invariant()
    def the_backlog_is_the_models(self) -> None:
        orders = self.model.orders.values()
        for channel in ("main", "other", FETCHING):
            waiting = sorted(
                o.place for o in orders if (o.channel, o.state) == (channel, "waiting") and o.lease is None
            )
            assert self.run(self.store.head(channel, 10)) == waiting
            assert self.run(self.store.head(channel, 1)) == waiting[:1]
            due = [o.due for o in orders if (o.channel, o.state) == (channel, "sleeping")]
            assert self.run(self.store.sleepers_due(channel)) == ((min(due), max(due)) if due else None)

    @invariant()
    def the_tally_is_the_models(self) -> None:
        tally: dict[tuple[str, str, str], int] = {}
        oldest: dict[tuple[str, str], Instant] = {}
        for o in sorted(self.model.orders.values(), key=lambda o: (o.place.urgency, o.id), reverse=True):
            tally[o.channel, o.state, o.lane] = tally.get((o.channel, o.state, o.lane), 0) + 1
            if o.state == "waiting":
                oldest[o.channel, o.lane] = o.due  # of the most urgent, which is not the first due where it is fetched
        assert self.run(self.store.tally()) == tally
        assert self.run(self.store.oldest_due()) == oldest
        held = sorted((o.held_since or 0, o.id) for o in self.model.orders.values() if o.state == "held")
        groups = [HeldGroup("shop", len(held), held[0][0])] if held else []
        assert self.run(self.store.held_groups()) == groups
        assert [(o.held_since, o.id) for o in self.run(self.store.held())] == held

    @invariant()
    def every_order_is_the_models(self) -> None:
        for name in sorted(self.touched):
            known = self.model.orders[name]
            timeline = self.run(self.store.timeline(known.id))
            assert timeline is not None
            self.order_is(timeline.order, known)
            self.never_backwards(timeline)
            self.every_event_is_in_one_place(name, timeline)
        self.touched.clear()

    def order_is(self, order: Order, known: Known) -> None:
        assert (order.channel, order.lane, order.state, order.since) == (
            known.channel, known.lane, known.state, known.since,
        )  # fmt: skip
        assert (order.version, order.revision, order.delivered_revision) == (
            known.version, known.revision, known.delivered,
        )  # fmt: skip
        assert (order.cancelled_at is not None, order.event_id) == (known.cancelled, known.event_id)
        if known.state in ("waiting", "sleeping"):
            assert (order.due_at, order.urgency) == (known.due, known.place.urgency)
        assert (order.attempts, order.failing_us) == (known.attempts, known.failing)
        assert (None if order.cause is None else order.cause.code) == known.code
        assert (None if order.lease is None else (order.lease.token, order.lease.revision)) == known.lease
        assert order.delivered_digest == known.digest
        assert (order.held_since, order.released_at) == (known.held_since, known.released)

    def never_backwards(self, timeline: Timeline) -> None:
        order = timeline.order
        assert self.delivered.get(order.id, 0) <= order.delivered_revision <= order.revision
        self.delivered[order.id] = order.delivered_revision
        sent = [attempt.revision for attempt in timeline.attempts if attempt.outcome == "sent"]
        assert sent == sorted(sent)

    def every_event_is_in_one_place(self, name: str, timeline: Timeline) -> None:
        mine = [event_id for event_id, event in sorted(self.model.events.items()) if event.name == name]
        assert [event.id for event in timeline.events] == mine
        for event in timeline.events:
            assert event.received_at == self.model.events[event.id].received
            assert of_event(event, timeline).name == self.model.place_of(event.id)
        tried = [attempt for attempt in self.model.attempts if attempt.order_id == timeline.order.id]
        assert [(a.revision, a.started_at) for a in timeline.attempts] == [(t.revision, t.started) for t in tried]

    @invariant()
    def dead_letters_are_what_needs_a_person(self) -> None:
        lost = [(e.received, True, i) for i, e in self.model.events.items() if e.lost]
        dead = [(o.since, False, o.id) for o in self.model.orders.values() if o.state == "dead"]
        newest_first = sorted([*lost, *dead], reverse=True)
        letters = self.run(self.store.dead_letters())
        assert [(isinstance(letter, Event), letter.id) for letter in letters] == [at[1:] for at in newest_first]
        assert self.run(self.store.lost_events()) == len(lost)
        told = {(group.code, group.channel): group.count for group in self.run(self.store.dead_groups())}
        causes: list[tuple[str | None, str | None]] = [(NO_ORDER, None)] * len(lost)
        causes += [(o.code, o.channel) for o in self.model.orders.values() if o.state == "dead"]
        assert told == Counter(causes)
        assert self.run(self.store.dead_tally()) == Counter((channel, code) for code, channel in causes)
        paged = self.run(pages_of_dead(self.store, 2))
        assert paged == letters

    @invariant()
    def every_order_and_every_event_is_found(self) -> None:
        orders = sorted((order.id for order in self.model.orders.values()), reverse=True)
        assert [order.id for order in self.run(pages_of_orders(self.store, Search(), 3))] == orders
        for state in State:
            found = self.run(pages_of_orders(self.store, Search(states=frozenset([state])), 3))
            assert [order.id for order in found] == [i for i in orders if self.model.by_id(i).state == state]
        events = sorted(self.model.events, reverse=True)
        assert [event.id for event in self.run(pages_of_events(self.store, EventSearch(), 3))] == events

    @invariant()
    def what_persons_did_is_remembered(self) -> None:
        assert len(self.run(self.store.deeds(1000))) == self.model.deeds


class SqliteStores(Stores):
    """The same, on a disk."""

    opener = "sqlite"

    def reopen(self, orderly: bool) -> None:
        """A crash leaves the files as they are at that moment; nothing is checkpointed or closed."""
        image = self.home
        if orderly:
            self.run(self.store.close())
        self.openings += 1
        for file in image.iterdir():
            if file.name in ("relay.db", "relay.db-wal"):
                shutil.copy(file, self.home)
        if not orderly:
            self.run(self.store.close())
        self.store = self.run(STORES[self.opener](self.home))


_PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
TestMemoryAgainstTheModel = Stores.TestCase
TestMemoryAgainstTheModel.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=_PATIENT
)
TestSqliteAgainstTheModel = SqliteStores.TestCase
TestSqliteAgainstTheModel.settings = settings(
    max_examples=80, stateful_step_count=45, deadline=None, suppress_health_check=_PATIENT
)
