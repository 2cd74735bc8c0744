"""From a raw event to the bytes that are sent, or to what comes of it without sending anything."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.core.breaker import Breaker, BreakerPolicy
from relay.core.delivery import TRANSITIONS, Delivery, Lane, State
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import NOTHING_THERE, Disposition, Finding, Order, finding_of, known_at_jetti, newer, settled
from relay.core.outcome import CannotMap, Failed, NotWanted, Outcome, Unchanged, cause_of, name_of
from relay.core.recipe import compile_criterion, compile_override
from relay.core.retry import RetryPolicy
from relay.core.sale import Reason, encode, parse
from relay.core.shaping import PLAIN, compiled
from relay.core.sources import Mapped, Unmappable
from relay.core.sources.native import Native
from relay.store.memory import MemoryStore
from tests.builders import NOW, STARTS, accept, arrival, at, order, order_of, settle, take, upsert
from tests.fakes import manual_sale

PAID = compile_criterion("paymentStatus == 'paid'", "accept_when").holds_for
LINES = [{"externalId": "L1", "quantity": 2, "price": 5, "variant": {"sku": "MUG"}}]


class Source(Native):
    """Manual sales, and one body that a mapping of ours has a defect with."""

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        if body == b'"defect"':
            raise ZeroDivisionError
        return super().sale(body, topic)


def maker(accept_when: Callable[[object], bool | Reason] | None = None, **shape: Any) -> Maker:
    return Maker(Source(), shape=compiled(shape), accept_when=accept_when)


def concluded(of: Maker, body: bytes, about: Order | None = None, last: bytes | None = None) -> Made | Outcome:
    return conclude(of, about or order(), "manual-sale", body, last)


def made(of: Maker, body: bytes, about: Order | None = None, last: bytes | None = None) -> Made:
    found = concluded(of, body, about, last)
    assert isinstance(found, Made), found
    return found


def after(before: Delivery, outcome: Outcome) -> Delivery:
    return before.after(outcome, now=at(7), policy=RetryPolicy(), jitter=1.0)


# -- what is made ----------------------------------------------------------------------------------------------------


def test_without_a_shape_the_sale_is_sent_as_the_source_made_it() -> None:
    assert Maker(Source()).shape is PLAIN
    body = manual_sale(1)
    mapped = Source().sale(body, "manual-sale")
    assert isinstance(mapped, Mapped)
    assert made(Maker(Source()), body).sale == encode(mapped.sale)


def test_a_shape_is_put_on_what_the_source_made_and_its_notes_are_told() -> None:
    body = manual_sale(1, lineItems=LINES, saleDefaults={})
    found = made(maker(reference="IT-{reference}", split_lines=True), body)
    sale = json.loads(found.sale)
    assert sale["saleDefaults"]["reference"] == "IT-1"
    assert [line["externalId"] for line in sale["lineItems"]] == ["L1_1", "L1_2"]
    assert [note.pointer for note in found.notes] == ["/saleDefaults/reference"]


def test_a_line_that_jetti_could_not_connect_is_noted_unless_the_option_is_set() -> None:
    by_sku = [{"externalId": "1", "quantity": 1, "price": 1, "variant": {"sku": "MUG"}}]
    body = manual_sale(1, lineItems=by_sku, options={})
    (note,) = made(Maker(Source()), body).notes
    assert (note.pointer, "find_or_create_channel_variant" in note.message) == ("/lineItems", True)
    by_id = [{**by_sku[0], "variant": {"sku": "MUG", "externalId": "v1"}}]
    assert made(Maker(Source()), manual_sale(1, lineItems=by_id, options={})).notes == ()
    assert (
        made(Maker(Source()), manual_sale(1, lineItems=by_sku, options={"findOrCreateChannelVariant": True})).notes
        == ()
    )
    assert made(maker(find_or_create_channel_variant=True), body).notes == ()


def overriding(table: dict[str, Any], **keys: Any) -> Maker:
    return Maker(Source(), override=compile_override(table), **keys)


def test_an_override_changes_what_the_source_made_before_it_is_shaped() -> None:
    body = manual_sale(1, lineItems=LINES, saleDefaults={"notes": "soft"})
    notes = {"template": "{upper(order.saleDefaults.notes)} {sale.externalId}"}
    lines = {"name": {"const": "Cup"}, "orderRouting": {"const": "ignore"}}
    of = overriding({"sale": {"reference": {"const": "R1"}, "notes": notes}, "line_items": lines})
    plain = json.loads(made(of, body).sale)
    assert (plain["saleDefaults"]["notes"], plain["saleDefaults"]["reference"]) == ("SOFT 1", "R1")
    assert plain["lineItems"][0]["name"] == "Cup"
    shaped = replace(of, shape=compiled({"reference": "IT-{reference}", "split_lines": True}))
    sale = json.loads(made(shaped, body).sale)
    assert sale["saleDefaults"]["reference"] == "IT-R1"
    assert [line["name"] for line in sale["lineItems"]] == ["Cup", "Cup"]


def test_an_override_cannot_bring_a_cancelled_order_back_to_life() -> None:
    of = overriding({"sale": {"cancelled": {"const": False}}})
    sale = made(of, manual_sale(1), replace(order(), cancelled_at=at(5)))
    assert json.loads(sale.sale)["saleDefaults"]["cancelled"] is True


def test_an_override_that_makes_no_sale_says_why() -> None:
    found = concluded(overriding({"sale": {"tax": "order.externalId == `5` && 'x' || 'much'"}}), manual_sale(1))
    assert isinstance(found, CannotMap)
    assert "override" in found.cause.message


def test_what_the_source_cannot_map_is_not_overridden() -> None:
    assert isinstance(concluded(overriding({"sale": {"notes": "'x'"}}), b"[]"), CannotMap)


def test_the_sale_that_was_sent_last_tells_which_units_there_were() -> None:
    of = maker(split_lines=True)
    two = made(of, manual_sale(1, lineItems=LINES))
    one = made(of, manual_sale(1, lineItems=[LINES[0] | {"quantity": 1}]), last=two.sale)
    assert [line["quantity"] for line in json.loads(one.sale)["lineItems"]] == [1, 0]


def test_the_same_sale_again_is_unchanged_also_when_it_is_split() -> None:
    of, body = maker(split_lines=True), manual_sale(1, lineItems=LINES)
    first = made(of, body)
    delivered = replace(order(), delivered_revision=1, delivered_digest=first.digest)
    assert concluded(of, body, delivered, first.sale) == Unchanged()
    assert isinstance(concluded(replace(of, skip_unchanged=False), body, delivered, first.sale), Made)


def test_a_cancellation_sticks_and_conditions_see_it() -> None:
    of = maker(routing=[{"when": "sale.saleDefaults.cancelled", "route": "ignore"}])
    body = manual_sale(1, lineItems=LINES)
    alive, gone = (made(of, body, replace(order(), cancelled_at=when)) for when in (None, NOW))
    assert "orderRouting" not in json.loads(alive.sale)["lineItems"][0]
    sale = json.loads(gone.sale)
    assert (sale["saleDefaults"]["cancelled"], sale["lineItems"][0]["orderRouting"]) == (True, "ignore")


def test_a_routing_condition_sees_the_storefronts_own_document() -> None:
    of = maker(routing=[{"when": "order.lineItems[0].price == `5`", "route": "ignore"}])
    assert json.loads(made(of, manual_sale(1, lineItems=LINES)).sale)["lineItems"][0]["orderRouting"] == "ignore"


# -- what is not -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_shaped_is_a_dead_letter_with_its_reasons() -> None:
    body = manual_sale(1, lineItems=[LINES[0] | {"quantity": 5000}])
    found = concluded(maker(split_lines=True), body)
    assert isinstance(found, CannotMap)
    assert [reason.pointer for reason in found.reasons] == ["/lineItems/0/quantity"]
    assert found.cause.code == "unmappable"


def test_what_is_no_json_is_a_dead_letter_before_it_is_asked_whether_it_is_wanted() -> None:
    for body in (b"{", b"\xff", b"[" * 100_000, b'{"a": 1e9999}'):
        found = concluded(maker(PAID), body)
        assert isinstance(found, CannotMap)
        assert found.cause.code == "unmappable"


def test_what_there_is_nothing_to_make_of_says_what_to_do() -> None:
    assert isinstance(conclude(None, order(), "", b"{}"), Failed)
    gone = concluded(maker(PAID), b"")
    assert isinstance(gone, CannotMap)
    assert gone.cause.code == "body_gone"


@pytest.mark.parametrize("of", [maker(), maker(lambda _: 1 / 0 > 0)])
def test_a_defect_costs_one_dead_letter(of: Maker) -> None:
    found = concluded(of, b'"defect"')
    assert isinstance(found, CannotMap)
    assert (found.cause.code, type(found.defect)) == ("defect", ZeroDivisionError)


# -- what is not wanted yet ------------------------------------------------------------------------------------------


def test_what_the_rule_is_not_true_of_is_held_without_mapping_it() -> None:
    found = concluded(maker(PAID), b'{"paymentStatus": "pending", "lineItems": "not even a sale"}')
    assert isinstance(found, NotWanted)
    assert found.cause.code == "not_wanted"
    assert name_of(found) == "held"
    assert cause_of(found) == found.cause
    assert isinstance(concluded(maker(PAID), manual_sale(1, paymentStatus="paid")), Made)


def test_what_the_rule_cannot_be_asked_about_is_held_and_says_why() -> None:
    cannot_tell = concluded(maker(lambda _: Reason("/x", "a rule that has no value")), manual_sale(1))
    assert isinstance(cannot_tell, NotWanted)
    assert cannot_tell.cause.message.endswith("; a rule that has no value")


def test_numbers_are_exact_for_the_rule() -> None:
    rule = compile_criterion("total >= `19.90`", "accept_when").holds_for
    assert isinstance(concluded(maker(rule), manual_sale(1, total=19.9)), Made)
    assert isinstance(concluded(maker(rule), manual_sale(1, total=19.89)), NotWanted)


@pytest.mark.parametrize(
    "about",
    [
        replace(order(), delivered_revision=1),
        order(attempts=1, failing_us=0),
        order(State.SLEEPING, attempts=3, failing_us=0),
    ],
)
def test_what_jetti_may_have_goes_on_whatever_the_rule_says(about: Order) -> None:
    """A refund or a cancellation must not stay behind because the order is no longer paid."""
    body = manual_sale(1, paymentStatus="refunded")
    assert isinstance(concluded(maker(PAID), body), NotWanted)
    assert isinstance(concluded(maker(PAID), body, about), Made)


def test_what_a_person_released_goes_on_whatever_the_rule_says() -> None:
    body = manual_sale(1, paymentStatus="pending")
    released = replace(order(), released_at=at(5))
    assert isinstance(concluded(maker(PAID), body, released), Made)


def test_an_order_is_wanted_if_its_rule_is_true_of_it_or_is_not_asked() -> None:
    body, held_one = manual_sale(1, paymentStatus="pending"), order(State.HELD)
    assert not maker(PAID).wants(held_one, body)
    assert not maker(lambda _: Reason("/x", "a rule that has no value")).wants(held_one, body)
    assert maker(PAID).wants(held_one, manual_sale(1, paymentStatus="paid"))
    assert maker().wants(held_one, body)
    assert maker(PAID).wants(replace(held_one, released_at=at(5)), body)
    assert maker(PAID).wants(replace(held_one, delivered_revision=1), body)
    assert maker(PAID).wants(held_one, b"{"), "what is no JSON is a dead letter, and not held"


HELD = NotWanted(concluded(maker(PAID), manual_sale(1)).cause)  # type: ignore[union-attr]


@pytest.mark.parametrize("state", [State.WAITING, State.SLEEPING])
def test_a_held_order_loses_nothing_but_its_turn(state: State) -> None:
    before = order(state, attempts=0)
    delivery = after(before.delivery, HELD)
    assert delivery == replace(before.delivery, state=State.HELD, cause=HELD.cause)
    assert State.HELD in TRANSITIONS[state]
    held = settled(before, delivery, delivered_digest=None, now=at(7), head_starts=STARTS)
    assert (held.state, held.since, held.delivered_revision, held.lease) == (State.HELD, at(7), 0, None)


def test_a_newer_event_of_a_held_order_makes_it_wait_to_be_mapped_anew() -> None:
    held = replace(order(State.HELD), cause=HELD.cause)
    event = upsert("1001")
    accepted = newer(held, arrival(event, received_at=at(9)), event, event_id=2)
    assert accepted.disposition is Disposition.QUEUED
    again = accepted.order
    assert (again.state, again.lane, again.due_at, again.event_id, again.revision, again.cause) == (
        State.WAITING, Lane.NEW, at(9), 2, 2, None)  # fmt: skip


def test_a_newer_event_that_came_while_the_older_one_was_looked_at_is_not_held_with_it() -> None:
    before = replace(order(), revision=2, event_id=2)
    went_on = settled(
        before, after(replace(before.delivery, revision=1), HELD), delivered_digest=None, now=at(7), head_starts=STARTS
    )
    assert (went_on.state, went_on.due_at) == (State.WAITING, at(7))


async def test_an_order_is_held_in_a_store_until_an_event_comes_that_the_rule_is_true_of() -> None:
    store, of = MemoryStore(), maker(PAID)
    receipt = await accept(store, upsert("1", created_at=at(-1)), body=manual_sale(1, paymentStatus="pending"))
    taken = await take(store, receipt)
    found = concluded(of, taken.body, taken.order)
    assert isinstance(found, NotWanted)
    held = (await settle(store, taken, found)).order
    assert (held.state, held.attempts, held.delivered_digest) == (State.HELD, 0, NOTHING_THERE)
    timeline = await store.timeline(held.id)
    assert timeline is not None
    assert [(event.disposition, bool(event.reasons)) for event in timeline.events] == [(Disposition.HELD, True)]
    assert timeline.attempts == []

    later = await accept(store, upsert("1"), body=manual_sale(1, paymentStatus="paid"))
    assert (later.disposition, (await order_of(store, later)).state) == (Disposition.QUEUED, State.WAITING)
    taken = await take(store, later)
    assert isinstance(concluded(of, taken.body, taken.order), Made)


def test_what_is_held_is_said_of_its_event_and_changes_nothing_that_is_known_of_jetti() -> None:
    assert finding_of(HELD) == Finding(Disposition.HELD, (Reason("", HELD.cause.message),))
    known = replace(order(), delivered_digest=b"x" * 16)
    assert known_at_jetti(known, HELD, None) == b"x" * 16


def test_what_is_held_says_nothing_of_its_channel() -> None:
    for breaker in (Breaker(), Breaker(failed=(1, 2), refused=(3,), refusal="x")):
        assert breaker.after(HELD, order_id=9, own_fault=False, now=NOW, policy=BreakerPolicy()) == breaker
        assert breaker.probed(HELD, now=NOW, policy=BreakerPolicy()) == breaker


def test_a_sale_that_is_shaped_is_still_a_sale() -> None:
    found = made(maker(external_id_prefix="it-", split_lines={"ids": "sku"}), manual_sale(1))
    assert not isinstance(parse(json.loads(found.sale, parse_float=str)), tuple)
