"""An order's way to its cancel call, in every store: after its newest state, durably, and never instead of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core import instant
from relay.core.breaker import Breaker, BreakerPolicy, Circuit
from relay.core.delivery import Lane, State
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import NOTHING_THERE, Disposition, Order
from relay.core.outcome import Ignored, Outcome
from relay.core.sources.native import Native
from relay.store import Receipt, Revival, Settled, Settlement, Store
from relay.store.sqlite import SqliteStore
from tests.builders import (
    CANCELLED,
    CHANNEL_WRONG,
    FAILED,
    NOT_YET,
    NOW,
    REFUSED,
    SENT,
    UNCHANGED,
    accept,
    at,
    cancel,
    id_of,
    order,
    settlement,
    take,
    upsert,
)
from tests.fakes import manual_sale
from tests.test_store_contract import STORES

CANCEL = "cancel:main"


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await STORES[request.param](tmp_path)
    yield opened
    await opened.close()


async def settled(
    store: Store,
    receipt: Receipt,
    outcome: Outcome = SENT,
    *,
    channel: str = "main",
    after_s: float | None = 60.0,
    digest: bytes | None = b"d" * 16,
) -> Settled:
    """The order is taken from a channel, and what is done there comes to an outcome."""
    taken = await take(store, receipt, channel=channel)
    made: Settlement = replace(settlement(taken, outcome, digest=digest), cancel_after_s=after_s)
    found = await store.settle(made)
    assert found is not None
    return found


def where(order: Order) -> tuple[str, State, int]:
    return order.channel, order.state, order.delivered_revision


async def now_of(store: Store, receipt: Receipt) -> Order:
    timeline = await store.timeline(id_of(receipt))
    assert timeline is not None
    return timeline.order


async def to_be_cancelled(store: Store) -> Receipt:
    """An order whose only state is delivered, and which waits to be cancelled."""
    receipt = await accept(store, cancel("1", version=at(1)))
    assert where((await settled(store, receipt, after_s=0.0)).order) == (CANCEL, State.WAITING, 1)
    return receipt


async def test_a_cancelled_order_goes_on_to_be_cancelled_once_it_is_delivered(store: Store) -> None:
    receipt = await accept(store, cancel("1"))
    found = await settled(store, receipt)
    assert where(found.order) == (CANCEL, State.SLEEPING, 1)
    assert (found.order.due_at, found.order.lane, found.order.attempts) == (instant.after(NOW, 60), Lane.UPDATE, 0)
    assert await store.sleepers_due("main") is None
    assert await store.sleepers_due(CANCEL) == (instant.after(NOW, 60), instant.after(NOW, 60))


async def test_what_says_nothing_new_goes_on_too(store: Store) -> None:
    receipt = await accept(store, cancel("1"))
    found = await settled(store, receipt, UNCHANGED, after_s=0.0)
    assert where(found.order) == (CANCEL, State.WAITING, 1)
    assert found.waiting is not None
    assert list(await store.head(CANCEL, 10)) == [found.waiting]


async def test_an_order_that_is_not_cancelled_or_whose_sale_says_it_does_not(store: Store) -> None:
    assert where((await settled(store, await accept(store, upsert("1")))).order) == ("main", State.SENT, 1)
    said = await settled(store, await accept(store, cancel("2")), after_s=None)
    assert where(said.order) == ("main", State.SENT, 1)


@pytest.mark.parametrize("outcome", [FAILED, REFUSED, CHANNEL_WRONG])
async def test_what_was_not_delivered_is_not_cancelled(store: Store, outcome: Outcome) -> None:
    found = await settled(store, await accept(store, cancel("1")), outcome)
    assert (found.order.channel, found.order.delivered_revision) == ("main", 0)


async def test_a_state_that_came_meanwhile_is_delivered_before(store: Store) -> None:
    receipt = await accept(store, cancel("1", version=at(1)))
    taken = await take(store, receipt)
    await accept(store, upsert("1", version=at(2)))
    found = await store.settle(replace(settlement(taken, SENT), cancel_after_s=0.0))
    assert found is not None
    assert where(found.order) == ("main", State.WAITING, 1)
    assert where((await settled(store, receipt, after_s=0.0)).order) == (CANCEL, State.WAITING, 2)


async def test_a_newer_state_of_an_order_that_waits_to_be_cancelled_is_delivered_first_and_at_once(
    store: Store,
) -> None:
    receipt = await accept(store, cancel("1", version=at(1)))
    await settled(store, receipt, after_s=3600.0)
    again = await accept(store, upsert("1", version=at(2)))
    assert again.disposition is Disposition.QUEUED
    assert again.waiting is not None, "nobody was told that it waits"
    assert where(await now_of(store, receipt)) == ("main", State.WAITING, 1)
    assert await store.take(CANCEL, [id_of(receipt)]) is None
    assert where((await settled(store, receipt, after_s=0.0)).order) == (CANCEL, State.WAITING, 2)


@pytest.mark.parametrize("outcome", [CANCELLED, FAILED, NOT_YET, REFUSED, CHANNEL_WRONG])
async def test_a_newer_state_that_comes_while_it_is_being_cancelled_is_delivered_next_whatever_that_came_to(
    store: Store, outcome: Outcome
) -> None:
    receipt = await to_be_cancelled(store)
    taken = await take(store, receipt, channel=CANCEL)
    await accept(store, upsert("1", version=at(2)))
    found = await store.settle(settlement(taken, outcome))
    assert found is not None
    assert where(found.order) == ("main", State.WAITING, 1)
    assert (found.order.attempts, found.order.due_at) == (0, NOW)
    assert found.waiting is not None


async def test_when_it_is_cancelled_it_is_done(store: Store) -> None:
    receipt = await to_be_cancelled(store)
    found = await settled(store, receipt, CANCELLED, channel=CANCEL, after_s=None)
    assert where(found.order) == (CANCEL, State.SENT, 1)
    assert found.waiting is None


async def test_what_could_not_be_cancelled_is_a_dead_letter_of_its_channel(store: Store) -> None:
    receipt = await to_be_cancelled(store)
    found = await settled(store, receipt, REFUSED, channel=CANCEL, after_s=None)
    assert where(found.order) == (CANCEL, State.DEAD, 1)


async def test_a_sale_that_is_not_there_yet_is_tried_again_and_says_nothing_bad_of_the_channel(store: Store) -> None:
    receipt = await to_be_cancelled(store)
    found = await settled(store, receipt, NOT_YET, channel=CANCEL, after_s=None)
    assert (*where(found.order), found.order.attempts) == (CANCEL, State.SLEEPING, 1, 1)
    breaker, policy = Breaker(), BreakerPolicy(failures=2)
    outcomes: list[Outcome] = [FAILED, NOT_YET, FAILED, *[NOT_YET] * 20]
    for order_id, outcome in enumerate(outcomes):
        breaker = breaker.after(outcome, order_id=order_id, own_fault=False, now=NOW, policy=policy)
        assert breaker.circuit is Circuit.CLOSED
    down = replace(breaker, circuit=Circuit.OPEN)
    assert down.probed(NOT_YET, now=NOW, policy=policy).circuit is Circuit.CLOSED


async def test_who_looked_at_it_before_it_went_on_to_be_cancelled_does_not_send_it_elsewhere(store: Store) -> None:
    """The inspector finds "unchanged" what the dispatcher found "unchanged" a moment before."""
    receipt = await accept(store, upsert("1", version=at(1)))
    await settled(store, receipt)
    await accept(store, cancel("1", version=at(2)))
    looked = await store.look(id_of(receipt))
    assert looked is not None
    assert where((await settled(store, receipt, UNCHANGED, after_s=0.0)).order) == (CANCEL, State.WAITING, 2)
    late = replace(settlement(looked, UNCHANGED), cancel_after_s=0.0)
    assert await store.settle(late) is None
    assert where(await now_of(store, receipt)) == (CANCEL, State.WAITING, 2)


# -- what was certainly never sent -------------------------------------------------------------------------------------

LEAVING = Maker(Native(), calls_off=True, leaves_cancelled=True)
GONE = replace(order(), cancelled_at=NOW, delivered_digest=NOTHING_THERE)


def test_only_what_jetti_certainly_has_nothing_of_is_left_unsent() -> None:
    def came_to(known: Order, maker: Maker = LEAVING) -> type[object]:
        return type(conclude(maker, known, "sale", manual_sale(1)))

    assert came_to(GONE) is Ignored
    assert came_to(replace(GONE, cancelled_at=None)) is Made
    assert came_to(replace(GONE, delivered_digest=None)) is Made
    assert came_to(replace(GONE, may_be_there=True)) is Made
    assert came_to(GONE, replace(LEAVING, leaves_cancelled=False)) is Made


async def test_a_new_order_is_certainly_unsent_until_a_request_for_it_may_have_left_something(store: Store) -> None:
    receipt = await accept(store, upsert("1", created_at=at(-1)))
    assert (await now_of(store, receipt)).certainly_unsent
    await settled(store, receipt, CHANNEL_WRONG)
    assert (await now_of(store, receipt)).certainly_unsent
    await store.wake("main", at(3600), 10)
    await settled(store, receipt, FAILED)
    assert not (await now_of(store, receipt)).certainly_unsent


async def test_what_was_waiting_when_the_process_died_may_have_been_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    first = await SqliteStore.open(path)
    receipt = await accept(first, upsert("1", created_at=at(-1)))
    assert (await now_of(first, receipt)).certainly_unsent
    await first.close()
    again = await SqliteStore.open(path)
    try:
        assert not (await take(again, receipt)).order.certainly_unsent
    finally:
        await again.close()


async def test_what_was_cancelled_by_a_call_is_not_cancelled_again_by_who_has_it_sent_again(store: Store) -> None:
    receipt = await to_be_cancelled(store)
    called = await settled(store, receipt, CANCELLED, channel=CANCEL, after_s=None)
    assert where(called.order) == (CANCEL, State.SENT, 1)
    assert await store.revive(Revival([id_of(receipt)], at(99), {}, again=True)) == []
