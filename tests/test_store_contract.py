"""What every store promises: one suite, run on all of them, and a model of the rules that they are held against."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.core import instant
from relay.core.backlog import Waiting
from relay.core.delivery import Delivery, Lane, State
from relay.core.instant import Instant
from relay.core.order import Disposition, Finding, Order
from relay.core.outcome import Cause, Outcome
from relay.core.sources import Cancel, Fetch, Identified, Upsert
from relay.store import Attempt, Event, Settlement, Store, StoreFull, Tally, Timeline
from relay.store.memory import MemoryStore
from relay.store.places import of_event
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


async def places_of(store: Store, order_id: int) -> list[str]:
    timeline = await store.timeline(order_id)
    assert timeline is not None
    return [of_event(event, timeline).name for event in timeline.events]


# -- accepting: what becomes of an event -----------------------------------------------------------------------------


async def test_the_first_event_of_an_order_is_queued_as_its_first_revision(store: Store) -> None:
    receipt = await accept(store, upsert("1001", version=at(-5), reference="#1001"))
    assert (receipt.disposition, receipt.revision) == (Disposition.QUEUED, 1)
    assert receipt.waiting == Waiting(at(-3600), id_of(receipt))
    order = await order_of(store, receipt)
    assert order == Order(
        id=id_of(receipt), storefront="shop", external_id="1001", channel="main", reference="#1001", version=at(-5),
        revision=1, event_id=receipt.event_id, cancelled_at=None, delivered_revision=0, delivered_digest=None,
        state=State.WAITING, lane=Lane.NEW, due_at=NOW, urgency=at(-3600), accepted_at=NOW,
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


@pytest.mark.parametrize("outcome", [THROTTLED, CHANNEL_WRONG])
async def test_an_order_that_met_a_troubled_channel_waits_with_it_and_loses_no_attempt(
    store: Store, outcome: Outcome
) -> None:
    first = await accept(store)
    settled = await deliver(store, first, outcome, now=at(3))
    assert settled.waiting is None
    assert (settled.order.attempts, settled.order.first_attempt_at) == (0, None)
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
    assert await store.next_due("main") is None


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
    assert await store.next_due("main") == at(10)
    assert await store.next_due("other") is None
    assert await store.wake("main", at(9.999), 10) == []
    assert await store.wake("other", at(99), 10) == []
    ids = [id_of(receipt) for receipt in receipts]
    assert [waiting.order_id for waiting in await store.wake("main", at(30), 2)] == [ids[1], ids[2]]
    assert [waiting.order_id for waiting in await store.wake("main", at(30), 2)] == [ids[0]]
    assert await store.next_due("main") == at(50)
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


async def test_dead_letters_are_told_newest_first_and_at_most_so_many(store: Store) -> None:
    orders = [await accept(store, upsert(str(number))) for number in range(3)]
    for receipt in orders:
        await deliver(store, receipt, REFUSED)
    lost = [await accept(store, garbled()) for _ in range(2)]
    letters = await store.dead_letters()
    assert [letter.id for letter in letters if isinstance(letter, Order)] == [id_of(r) for r in reversed(orders)]
    assert [letter.id for letter in letters if isinstance(letter, Event)] == [r.event_id for r in reversed(lost)]
    assert len(await store.dead_letters(limit=4)) == 4
    assert await store.lost_events() == 2
    assert await store.lost_events(limit=1) == 1


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


# -- any interleaving: the stores against a model --------------------------------------------------------------------
#
# The model is written from the design, 5.1 to 5.3, with none of the product's rules: plain records, changed in place.

DUE_LATER_S = (0.5, 1.0, 60.0)


@dataclass
class Known:
    """An order, as the model sees it."""

    id: int
    channel: str
    lane: str
    state: str
    due: Instant
    version: int | None
    revision: int = 1
    whole: bool = True
    cancelled: bool = False
    delivered: int = 0
    digest: bytes | None = None
    attempts: int = 0
    first_attempt: Instant | None = None
    lease: tuple[int, int] | None = None
    """Token and revision."""
    sent: set[int] = field(default_factory=set)

    @property
    def place(self) -> Waiting:
        return Waiting(self.due - {"new": 3600, "update": 0}[self.lane] * 1_000_000, self.id)

    def wait_afresh(self, now: Instant) -> None:
        self.state, self.due, self.attempts, self.first_attempt = "waiting", now, 0, None
        if self.delivered > 0:
            self.lane = "update"


@dataclass
class Model:
    """Everything that was accepted, and what must have become of it."""

    orders: dict[str, Known] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    events: dict[int, tuple[str | None, str, int | None]] = field(default_factory=dict)
    """By event id: the order's name, the disposition, the revision."""

    def by_id(self, order_id: int) -> Known:
        return next(order for order in self.orders.values() if order.id == order_id)

    def accept(  # noqa: PLR0911 - the table of the design, 5.1, row by row
        self, key: str, name: str | None, kind: str, version: int | None, *, channel: str, old: bool, now: Instant
    ) -> tuple[str, int | None, bool]:
        """Disposition, revision, and whether the order began to wait."""
        if key in self.seen:
            return "duplicate", None, False
        if name is None:
            return ("ignored" if kind == "ping" else "quarantined"), None, False
        whole, cancels = kind != "delete", kind in ("cancel", "delete")
        order = self.orders.get(name)
        if order is None:
            order = Known(0, channel, "update" if old else "new", "waiting" if whole else "dead", now, version)
            order.whole, order.cancelled = whole, cancels
            self.orders[name] = order
            return ("queued" if whole else "quarantined"), 1, whole
        if version is not None and order.version is not None and version < order.version:
            return "stale", None, False
        order.version = version if version is not None else order.version
        order.revision += 1
        order.whole = order.whole or whole
        order.cancelled = order.cancelled or cancels
        if not order.whole:
            return "quarantined", order.revision, False
        if order.lease is not None:
            return ("queued" if order.revision - order.lease[1] == 1 else "merged"), order.revision, False
        moved, order.channel = order.channel != channel, channel
        if moved:
            order.digest = None
        if order.state in ("waiting", "sleeping"):
            order.first_attempt = None
            return "merged", order.revision, moved and order.state == "waiting"
        order.wait_afresh(now)
        return "queued", order.revision, True

    def place_of(self, event_id: int) -> str:
        """Where an event is: exactly one place."""
        name, disposition, revision = self.events[event_id]
        if name is None or revision is None or disposition == "unchanged":
            return disposition
        order = self.orders[name]
        if revision in order.sent:
            return "delivered"
        if order.lease is not None and revision == order.lease[1]:
            return "in flight"
        if revision < order.revision:
            return "superseded"
        return "delivered" if order.state == "sent" else order.state


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
        kind=st.sampled_from(["upsert", "upsert", "upsert", "cancel", "delete", "fetch"]),
        version=st.one_of(st.none(), st.integers(0, 4)),
        channel=st.sampled_from(["main", "main", "other"]),
        age_s=st.sampled_from([None, 5.0, 2 * DAY_S]),
    )
    def webhook(self, name: str, kind: str, version: int | None, channel: str, age_s: float | None) -> None:
        key = f"k{len(self.webhooks)}"
        created_at = None if age_s is None else instant.after(self.now, -age_s)
        match kind:
            case "upsert":
                about: Identified = Upsert(name, version, key, "t", None, created_at)
            case "fetch":
                about = Fetch(name, version, key, "t")
            case _:
                about = Cancel(name, version, key, "t", None, created_at, complete=kind == "cancel")
        self.arrive(about, channel, key.encode())
        self.webhooks.append((about, channel, key.encode()))

    @precondition(lambda self: any(order.lease for order in self.model.orders.values()))
    @rule(data=st.data(), kind=st.sampled_from(["upsert", "cancel", "delete"]))
    def webhook_behind_one_in_flight(self, data: st.DataObject, kind: str) -> None:
        leased = sorted(name for name, order in self.model.orders.items() if order.lease is not None)
        self.newest(data.draw(st.sampled_from(leased)), kind)

    def newest(self, name: str, kind: str) -> None:
        """A webhook that is never stale."""
        key = f"k{len(self.webhooks)}"
        about = (
            Upsert(name, None, key, "t")
            if kind == "upsert"
            else Cancel(name, None, key, "t", complete=kind == "cancel")
        )
        self.arrive(about, "main", key.encode())
        self.webhooks.append((about, "main", key.encode()))

    @rule(kind=st.sampled_from(["ping", "garbled"]))
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
        name, kind, version, old = None, "garbled", None, False
        if isinstance(about, Upsert | Cancel | Fetch):
            name, version, kind = about.external_id, about.version, "upsert"
            if isinstance(about, Cancel):
                kind = "cancel" if about.complete else "delete"
            created_at = None if isinstance(about, Fetch) else about.created_at
            old = created_at is not None and self.now - created_at > DAY_S * 1_000_000
        elif about.topic == "ping":
            kind = "ping"
        disposition, revision, waits = self.model.accept(
            about.dedupe_key, name, kind, version, channel=channel, old=old, now=self.now
        )
        receipt = self.run(accept(self.store, about, channel=channel, received_at=self.now, body=body))
        assert (receipt.disposition, receipt.revision) == (disposition, revision)
        assert receipt.event_id not in self.model.events
        assert receipt.duplicate_of == (self.model.seen[about.dedupe_key] if disposition == "duplicate" else None)
        self.model.seen.setdefault(about.dedupe_key, receipt.event_id)
        self.model.events[receipt.event_id] = (name, disposition, revision)
        if name is not None:
            order = self.model.orders[name]
            order.id = order.id or id_of(receipt)
            assert receipt.order_id == order.id
            assert receipt.waiting == (order.place if waits else None)
            self.touched.add(name)

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data(), channel=st.sampled_from(["main", "main", "other"]))
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
            expected.lease = (lease.token, lease.revision)
            self.touched |= set(self.model.orders)

    @precondition(lambda self: any(o.state == "waiting" and o.lease is None for o in self.model.orders.values()))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Take and settle at once: what happens most."""
        free = [n for n, o in self.model.orders.items() if o.state == "waiting" and o.lease is None]
        name = data.draw(st.sampled_from(sorted(free)))
        order = self.model.orders[name]
        taken = self.run(self.store.take(order.channel, [order.id]))
        assert taken is not None
        assert taken.order.lease is not None
        self.tokens.add(taken.order.lease.token)
        self.conclude(name, taken.order.lease.token, order.revision, "sent", 0.0)

    @precondition(lambda self: any(order.lease for order in self.model.orders.values()))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["sent", "sent", "unchanged", "refused", "failed", "throttled", "cannot_map"]),
        delay_s=st.sampled_from(DUE_LATER_S),
        token_is_wrong=st.sampled_from([False, False, False, True]),
    )
    def settle(self, data: st.DataObject, outcome: str, delay_s: float, token_is_wrong: bool) -> None:
        leased = sorted(name for name, order in self.model.orders.items() if order.lease is not None)
        name = data.draw(st.sampled_from(leased))
        order = self.model.orders[name]
        assert order.lease is not None
        token, revision = order.lease
        if token_is_wrong:
            assert self.run(self.store.settle(self.made(order, token + 1_000_000, revision, outcome, delay_s))) is None
        else:
            self.conclude(name, token, revision, outcome, delay_s)

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data(), outcome=st.sampled_from(["unchanged", "cannot_map"]), looked_at=st.integers(0, 1))
    def inspect(self, data: st.DataObject, outcome: str, looked_at: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.orders)))
        order = self.model.orders[name]
        revision = order.revision - looked_at
        looked = self.run(self.store.look(order.id))
        can_be_looked_at = order.state in ("waiting", "sleeping") and order.lease is None
        assert (looked is not None) == can_be_looked_at
        if can_be_looked_at and looked_at == 0:
            self.conclude(name, None, revision, outcome, 0.0)
        else:
            assert self.run(self.store.settle(self.made(order, None, revision, outcome, 0.0))) is None

    def made(self, order: Known, token: int | None, revision: int, outcome: str, delay_s: float) -> Settlement:
        counts = outcome in ("sent", "refused", "failed")
        state = {
            "sent": State.SENT, "unchanged": State.SENT, "refused": State.DEAD, "cannot_map": State.DEAD,
            "failed": State.SLEEPING, "throttled": State.WAITING,
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
                self.now if counts and order.first_attempt is None else order.first_attempt,
                None if state is State.SENT else Cause(outcome, outcome),
            ),
            now=self.now,
            head_starts=STARTS,
            delivered_digest=self.digest_after(order, revision, outcome),
            attempt=Attempt(revision, self.now, 0.1, outcome) if counts or outcome == "throttled" else None,
            finding=None if finding is None else Finding(finding),
        )

    @staticmethod
    def digest_after(order: Known, revision: int, outcome: str) -> bytes | None:
        return {"sent": b"%16d" % revision, "failed": None}.get(outcome, order.digest)

    def conclude(self, name: str, token: int | None, revision: int, outcome: str, delay_s: float) -> None:
        order = self.model.orders[name]
        settlement = self.made(order, token, revision, outcome, delay_s)
        settled = self.run(self.store.settle(settlement))
        assert settled is not None
        order.lease = None
        order.digest = settlement.delivered_digest
        order.attempts, order.first_attempt = settlement.after.attempts, settlement.after.first_attempt_at
        order.state, order.due = settlement.after.state.value, settlement.after.due_at
        if order.state == "sent":
            order.delivered = revision
        if outcome == "sent":
            order.sent.add(revision)
        if settlement.finding is not None:
            for event_id, (of, _, became) in self.model.events.items():
                if of == name and became == revision:
                    self.model.events[event_id] = (of, settlement.finding.disposition.value, became)
        if order.revision > revision and order.state in ("sent", "dead"):
            order.wait_afresh(self.now)
        assert settled.waiting == (order.place if order.state == "waiting" else None)
        self.touched.add(name)

    @rule(channel=st.sampled_from(["main", "other"]), limit=st.integers(1, 3))
    def wake(self, channel: str, limit: int) -> None:
        sleepers = [o for o in self.model.orders.values() if o.state == "sleeping" and o.channel == channel]
        due = sorted((o.due, o.id) for o in sleepers if o.due <= self.now)[:limit]
        woken = self.run(self.store.wake(channel, self.now, limit))
        assert [waiting.order_id for waiting in woken] == [order_id for _, order_id in due]
        for waiting in woken:
            order = self.model.by_id(waiting.order_id)
            order.state = "waiting"
            assert waiting == order.place
        self.touched |= set(self.model.orders)

    @rule(seconds=st.sampled_from([0.25, 1.0, 61.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now = instant.after(self.now, seconds)

    # -- what must be true -----------------------------------------------------------------------------------------

    @invariant()
    def the_backlog_is_the_models(self) -> None:
        orders = self.model.orders.values()
        for channel in ("main", "other"):
            waiting = sorted(
                o.place for o in orders if (o.channel, o.state) == (channel, "waiting") and o.lease is None
            )
            assert self.run(self.store.head(channel, 10)) == waiting
            assert self.run(self.store.head(channel, 1)) == waiting[:1]
            sleeping = [o.due for o in orders if (o.channel, o.state) == (channel, "sleeping")]
            assert self.run(self.store.next_due(channel)) == min(sleeping, default=None)

    @invariant()
    def the_tally_is_the_models(self) -> None:
        tally: dict[tuple[str, str, str], int] = {}
        oldest: dict[tuple[str, str], Instant] = {}
        for o in self.model.orders.values():
            tally[o.channel, o.state, o.lane] = tally.get((o.channel, o.state, o.lane), 0) + 1
            if o.state == "waiting":
                oldest[o.channel, o.lane] = min(oldest.get((o.channel, o.lane), o.due), o.due)
        assert self.run(self.store.tally()) == tally
        assert self.run(self.store.oldest_due()) == oldest

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
        assert (order.channel, order.lane, order.state) == (known.channel, known.lane, known.state)
        assert (order.version, order.revision, order.delivered_revision) == (
            known.version, known.revision, known.delivered,
        )  # fmt: skip
        assert (order.cancelled_at is not None, order.event_id is not None) == (known.cancelled, known.whole)
        assert (order.due_at, order.urgency) == (known.due, known.place.urgency)
        assert (order.attempts, order.first_attempt_at) == (known.attempts, known.first_attempt)
        assert (None if order.lease is None else (order.lease.token, order.lease.revision)) == known.lease
        assert order.delivered_digest == known.digest

    def never_backwards(self, timeline: Timeline) -> None:
        order = timeline.order
        assert self.delivered.get(order.id, 0) <= order.delivered_revision <= order.revision
        self.delivered[order.id] = order.delivered_revision
        sent = [attempt.revision for attempt in timeline.attempts if attempt.outcome == "sent"]
        assert sent == sorted(set(sent))

    def every_event_is_in_one_place(self, name: str, timeline: Timeline) -> None:
        mine = [event_id for event_id, (of, _, _) in self.model.events.items() if of == name]
        assert [event.id for event in timeline.events] == mine
        for event in timeline.events:
            assert of_event(event, timeline).name == self.model.place_of(event.id)

    @invariant()
    def every_lost_event_is_a_dead_letter(self) -> None:
        lost = [i for i, (name, what, _) in self.model.events.items() if name is None and what == "quarantined"]
        dead = [order.id for order in self.model.orders.values() if order.state == "dead"]
        letters = self.run(self.store.dead_letters())
        assert [letter.id for letter in letters] == [*reversed(lost), *sorted(dead, reverse=True)]


class SqliteStores(Stores):
    """The same, and the process may die at any time."""

    opener = "sqlite"

    @rule(orderly=st.booleans())
    def die_and_open_again(self, orderly: bool) -> None:
        """Without settling. A crash leaves the files as they are at that moment; nothing is checkpointed or closed."""
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
        self.tokens.clear()  # who held one is gone
        for order in self.model.orders.values():
            order.lease = None
            if order.state in ("waiting", "sleeping"):
                order.digest = None  # it may have been in flight: what Jetti has is uncertain
        self.touched |= set(self.model.orders)


_PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
TestMemoryAgainstTheModel = Stores.TestCase
TestMemoryAgainstTheModel.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=_PATIENT
)
TestSqliteAgainstTheModel = SqliteStores.TestCase
TestSqliteAgainstTheModel.settings = settings(
    max_examples=80, stateful_step_count=35, deadline=None, suppress_health_check=_PATIENT
)
