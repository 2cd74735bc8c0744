import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.core import instant
from relay.core.sale import encode
from relay.core.sources import (
    Authentic,
    Cancel,
    Identified,
    Ignore,
    Mapped,
    NotUnderstood,
    Unauthentic,
    Unmappable,
    Upsert,
)
from relay.core.sources.elasticpath import ElasticPath, ElasticPathRules
from tests import mangled
from tests.fixtures import FOLDER, fixture, names, sample

NOW = 1_795_000_000_000_000
SECRET = "hush-or-be-heard"
STORE = ElasticPath((SECRET,))
WHOLE_REMEDY = " in the storefront's table, restart, then change the order in the shop so that it sends a new webhook"
SHIPPING = ElasticPathRules(shipping_skus=("SHIP-EXPRESS",))
SENT_ANYWAY = replace(
    SHIPPING, send_from="created", fallback_email="none@shop.example", custom_item_sku="CUSTOM", discounts="net"
)
EVENT: dict[str, Any] = json.loads(sample("elasticpath-event.json"))
ORDER: dict[str, Any] = EVENT["payload"]["data"]
ITEMS: list[dict[str, Any]] = EVENT["payload"]["included"]["items"]
ORDER_ID = ORDER["id"]


def event(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes).encode()


def order(*, items: Any = ITEMS, trigger: str = "order.paid", **changes: Any) -> bytes:
    return event(triggered_by=trigger, payload={"data": ORDER | changes, "included": {"items": items}})


def item(position: int = 0, **changes: Any) -> bytes:
    items = [dict(each) for each in ITEMS]
    items[position] |= changes
    return order(items=items)


def identified(body: bytes, rules: ElasticPathRules | None = None, now: int = NOW, **headers: str) -> Identified:
    named = CIMultiDict({f"X-MOLTIN-{name.replace('_', '-')}": value for name, value in headers.items()})
    store = ElasticPath((SECRET,), rules or ElasticPathRules())
    return store.identify(named, store.strip(body), now=now)


def made_of(body: bytes, rules: ElasticPathRules | None = None) -> Mapped | Unmappable:
    store = ElasticPath((SECRET,), rules or SHIPPING)
    return store.sale(store.strip(body), identified(body).topic)


def mapped(body: bytes, rules: ElasticPathRules | None = None) -> Mapped:
    made = made_of(body, rules)
    assert isinstance(made, Mapped), made
    return made


def sent(body: bytes, rules: ElasticPathRules | None = None) -> Any:
    return json.loads(encode(mapped(body, rules).sale), parse_float=Decimal)


def noted(body: bytes, rules: ElasticPathRules | None = None) -> set[str]:
    return {note.pointer for note in mapped(body, rules).notes}


def refused(body: bytes, rules: ElasticPathRules | None = None) -> dict[str, str]:
    made = made_of(body, rules)
    assert isinstance(made, Unmappable)
    return {reason.pointer: reason.message for reason in made.reasons}


# The secret in the header


def test_any_of_the_secrets_lets_an_event_in() -> None:
    store = ElasticPath(("current", "previous"))
    for secret in ("current", "previous"):
        assert store.verify(CIMultiDict({"x-moltin-secret-key": secret}), b"", now=NOW) == Authentic()


@pytest.mark.parametrize(
    "shown", ["", "hush", SECRET + "x", SECRET.upper(), f" {SECRET}", "\udcff", "é" * 9, "x" * 100_000]
)
def test_anything_else_does_not(shown: str) -> None:
    assert isinstance(STORE.verify(CIMultiDict({"X-MOLTIN-SECRET-KEY": shown}), event(), now=NOW), Unauthentic)


def test_a_secret_in_the_body_proves_nothing() -> None:
    assert isinstance(STORE.verify(CIMultiDict(), event(), now=NOW), Unauthentic)


def test_a_secret_may_have_any_characters() -> None:
    headers = CIMultiDict({"X-MOLTIN-SECRET-KEY": "s\u00e9cret ☂"})
    assert ElasticPath(("s\u00e9cret ☂",)).verify(headers, b"", now=NOW) == Authentic()


@pytest.mark.parametrize("secrets", [(), ("",), ("one", "")])
def test_a_store_without_a_secret_is_not_configured(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        ElasticPath(secrets)


def test_secrets_are_never_printed_and_the_header_that_has_one_is_never_kept() -> None:
    assert SECRET not in repr(STORE)
    assert STORE.reads == ("X-MOLTIN-INTEGRATION-TRIGGER",)


# The secret in the body


def test_the_configuration_is_removed_and_all_else_stays_as_it_was() -> None:
    stripped = STORE.strip(event())
    assert json.loads(stripped) == {name: value for name, value in EVENT.items() if name != "configuration"}
    assert SECRET.encode() not in stripped


def test_a_body_without_a_secret_stays_byte_for_byte_what_it_was() -> None:
    body = json.dumps({name: value for name, value in EVENT.items() if name != "configuration"}, indent=7).encode()
    assert STORE.strip(body) == body


@pytest.mark.parametrize("name", ["event-order-paid-2019.json", "event-product-deleted.json"])
def test_a_real_event_loses_its_secret(name: str) -> None:
    store, body = ElasticPath(("secret_squirrel",)), fixture(f"elasticpath/{name}")
    assert b"secret_squirrel" in body
    assert b"secret" not in store.strip(body)


_CONFIGURED = b'"configuration":{"secret_key":"hush-or-be-heard","url":"x"}'


@pytest.mark.parametrize(
    "body",
    [
        b"{" + _CONFIGURED + b"}",
        b'{"a":1,' + _CONFIGURED + b',"configuration":{"secret_key":"hush-or-be-heard"},"b":2}',
        b'{"\\u0063onfiguration":{"secret_key":"hush-or-be-heard"}}',
        b'{"configuration":"hush-or-be-heard"}',
        b'{"note":"my hush-or-be-heard","x":{"deep":["hush-or-be-heard"]}}',
        b'{"resources":"{\\"secret_key\\":\\"hush-or-be-heard\\"}"}',
        b"[{" + _CONFIGURED + b"}]",
        b'{"id":1,' + _CONFIGURED,
        b'{"id":1,"configuration":{"secret_key":"hush-or-be-heard',
        b"hush-or-be-heard",
        b"\xff\xfehush-or-be-heard\x00",
        b'{"z":' + b"[" * 100_000 + b"hush-or-be-heard",
    ],
)
def test_no_byte_of_the_secret_is_left_in_whatever_comes(body: bytes) -> None:
    stripped = STORE.strip(body)
    assert SECRET.encode() not in stripped
    assert STORE.strip(stripped) == stripped


@pytest.mark.parametrize("secret", ['qu"ote', "back\\slash", "sl/ash/ed", "s\u00e9cret", "new\nline", "☂"])
def test_a_secret_is_found_however_json_spells_it(secret: str) -> None:
    store, quoted = ElasticPath((secret,)), json.dumps(secret)
    for spelled in (quoted, json.dumps(secret, ensure_ascii=False), quoted.replace("/", "\\/"), json.dumps(quoted)):
        broken = f'{{"x":{spelled}'.encode()
        assert spelled.strip('"\\').encode() not in store.strip(broken)
        whole = f'{{"id":1,"configuration":{{"secret_key":{quoted}}}}}'.encode()
        assert store.strip(whole) == b'{"id":1}'


def test_a_rotated_secret_that_is_not_known_any_more_is_removed_all_the_same() -> None:
    for body in (
        b'{"configuration":{"secret_key":"older"}}',
        b'{"configuration":{"secret_key" : "older"',
        b'["secret_key":"older',
    ):
        assert b"older" not in STORE.strip(body)


@pytest.mark.parametrize("secret", ["order", "id", "e", "paid"])
def test_a_secret_that_is_a_word_of_every_event_spoils_none(secret: str) -> None:
    store = ElasticPath((secret,))
    assert json.loads(store.strip(event())) == {name: EVENT[name] for name in EVENT if name != "configuration"}


def test_a_stripped_event_is_the_same_event() -> None:
    for body in (event(), event(id=None), order(status="cancelled"), event(payload=None), b"not json hush-or-be-heard"):
        assert STORE.identify(CIMultiDict(), body, now=NOW) == STORE.identify(CIMultiDict(), STORE.strip(body), now=NOW)


# What an event is about


def _as_event(name: str, trigger: str) -> bytes:
    """A fixture that is an order of the REST API, as the payload that an event would have."""
    found: dict[str, Any] = json.loads(fixture(f"elasticpath/{name}"))
    included: dict[str, Any] = {"items": json.loads(fixture("elasticpath/order-items.json"))["data"]}
    return event(
        triggered_by=trigger, payload={"data": found["data"], "included": found.get("included", {}) | included}
    )


_WOODSY = "eb9f1a75-c438-457d-b474-e2286e81b94b"
# Every real payload as it is, if it is an event: what it is and the order it names.
_REAL: dict[str, tuple[type[Any], str | None]] = {
    "event-order-created-resources-array.json": (NotUnderstood, None),
    "event-order-fulfilled-thin.json": (NotUnderstood, None),
    "event-order-paid-2019.json": (Upsert, "1d67160d-dacb-43ed-80ef-c3c4e7ddf764"),
    "event-product-deleted.json": (Ignore, None),
    "order-custom-discounts.json": (NotUnderstood, None),
    "order-custom-fields.json": (NotUnderstood, None),
    "order-incomplete-unpaid.json": (NotUnderstood, None),
    "order-items.json": (NotUnderstood, None),
    "order-resource-updated.json": (NotUnderstood, None),
    "order-resource.json": (NotUnderstood, None),
}
# Every real order, with the items of the one fixture that has some: its id, and what the sale says.
_ORDERS = {
    "order-custom-discounts.json": ("a51a680e-9570-4f8d-9bbc-bd3c9fcd9ea3", "Andy", 15),
    "order-custom-fields.json": ("e4d2899e-5ce3-479c-96bf-523bd27b5e2f", "Leslie", None),
    "order-incomplete-unpaid.json": ("a4a83c8b-c71d-4eec-8f0a-30c562bd5f3e", "John", None),
    "order-resource-updated.json": ("369ad4a4-ee67-48b0-x347-t50a6e61d83d", "John", None),
    "order-resource.json": ("369ad4a4-ee67-48b0-x347-t50a6e61d83d", "John", None),
}


def test_every_real_payload_has_an_expectation() -> None:
    if not (FOLDER / "elasticpath").is_dir():
        pytest.skip(f"the third-party payloads are missing; set RELAY_FIXTURES to a folder like {FOLDER}")
    assert names("elasticpath") == sorted(_REAL)


@pytest.mark.parametrize("name", sorted(_REAL))
def test_every_real_payload_has_its_disposition(name: str) -> None:
    found = identified(fixture(f"elasticpath/{name}"))
    disposition, external_id = _REAL[name]
    assert isinstance(found, disposition)
    assert getattr(found, "external_id", None) == external_id


@pytest.mark.parametrize("name", sorted(_ORDERS))
def test_every_real_order_is_ignored_until_it_is_paid_and_then_has_its_sale(name: str) -> None:
    external_id, first_name, discounts = _ORDERS[name]
    assert isinstance(identified(_as_event(name, "order.created")), Ignore)
    paid = _as_event(name, "order.paid")
    found = identified(paid)
    assert isinstance(found, Upsert)
    assert found.external_id == external_id
    sale = sent(paid)
    assert (sale["externalId"], sale["customer"]["firstName"]) == (external_id, first_name)
    assert sale["saleDefaults"].get("discounts") == discounts
    assert sale["lineItems"] == [
        {
            "externalId": f"{external_id}_{_WOODSY}",
            "name": "Woodsy",
            "quantity": 1,
            "price": 400,
            "taxable": True,
            "variant": {"externalId": "bf8a9d62-6ca9-45f6-85eb-f0d1d9ae7fdd"},
        }
    ]


def test_a_real_event_becomes_this_sale() -> None:
    address = {
        "FirstName": "Jack",
        "LastName": "Macdowall",
        "AddressLineOne": "Second Floor, British India House",
        "AddressLineTwo": "15 Carliol Square",
        "City": "Newcastle upon Tyne",
        "State": "Tyne and Wear",
        "Zip": "NE1 6UF",
        "Country": "GB",
    }
    external_id = "1d67160d-dacb-43ed-80ef-c3c4e7ddf764"
    assert sent(fixture("elasticpath/event-order-paid-2019.json")) == {
        "externalId": external_id,
        "customer": {
            "email": "ron.swanson@moltin.com",
            "firstName": "Jack",
            "lastName": "Macdowall",
            "phone": "123456789",
        },
        "lineItems": [
            {
                "externalId": f"{external_id}_395763ee-1878-4aa0-a7a2-8d4877310d6b",
                "name": "Spam Fritters",
                "quantity": 1,
                "price": 100,
                "taxable": False,
                "variant": {"externalId": "4f28f222-aa5b-442c-9ce9-c223dc7cf15a"},
            }
        ],
        "saleDefaults": {
            "reference": external_id,
            "dateOrdered": "2019-07-04T11:12:23.000Z",
            "notes": "Leave in porch",
            **{f"billing{column}": value for column, value in address.items()},
            **{f"shipping{column}": value for column, value in address.items()},
        },
    }


def _resources(body: bytes, shape: str) -> bytes:
    """An event of older times: its order in ``resources`` only."""
    found: dict[str, Any] = json.loads(body)
    whole: dict[str, Any] = found.pop("payload")
    shapes = {"text": json.dumps(whole), "object": whole, "list": [whole]}
    return json.dumps(found | {"resources": shapes[shape]}).encode()


@pytest.mark.parametrize("shape", ["text", "object", "list"])
def test_an_order_is_read_from_every_shape_that_resources_has_had(shape: str) -> None:
    now, then = identified(event()), identified(_resources(event(), shape))
    assert isinstance(then, Upsert)
    assert then == now
    assert mapped(_resources(event(), shape)).sale == mapped(event()).sale
    root = "/resources/0" if shape == "list" else "/resources"
    assert f"{root}/data/shipping_address/company_name" in noted(_resources(event(), shape))


def test_the_payload_goes_before_resources_and_the_whole_order_before_its_name() -> None:
    other = json.dumps({"data": ORDER | {"id": "other"}, "included": {"items": ITEMS}})
    assert isinstance(both := identified(event(resources=other)), Upsert)
    assert both.external_id == ORDER_ID
    assert isinstance(named := identified(event(resources=other, payload={"data": ORDER})), Upsert)
    assert named.external_id == "other"


_NAMES: list[dict[str, Any]] = [
    {"payload": {"data": ORDER}},
    {"payload": {"data": ORDER, "included": {}}},
    {"payload": {"data": ORDER, "included": {"items": None}}},
    {"payload": {"type": "order", "id": "o-1"}},
    {"payload": None, "resources": {"type": "order", "id": "o-1"}},
    {"payload": None, "resources": [{"type": "order", "id": "o-1"}]},
    {"payload": None, "resources": '{"data":{"type":"order","id":"o-1"}}'},
]


@pytest.mark.parametrize("thin", _NAMES)
@pytest.mark.parametrize("trigger", ["order.created", "order.updated", "order.fulfilled"])
def test_an_event_that_only_names_its_order_says_what_to_configure(thin: dict[str, Any], trigger: str) -> None:
    found = identified(event(triggered_by=trigger, **thin))
    assert isinstance(found, NotUnderstood)
    assert "payload.included.items" in found.reasons[0].message
    assert "fetches nothing" in found.reasons[0].message
    assert isinstance(made_of(event(**thin)), Unmappable)


@pytest.mark.parametrize("thin", _NAMES)
def test_a_cancellation_may_only_name_its_order(thin: dict[str, Any]) -> None:
    found = identified(event(triggered_by="order.cancelled", **thin))
    assert isinstance(found, Cancel)
    assert not found.complete
    assert found.external_id in (ORDER_ID, "o-1")


@pytest.mark.parametrize(
    "trigger", ["authorized", "paid", "fulfilled", "refunded", "updated", "created", "of_tomorrow"]
)
def test_an_order_under_any_trigger_is_its_latest_state(trigger: str) -> None:
    assert identified(order(trigger=f"order.{trigger}")) == Upsert(
        ORDER_ID,
        instant.parse("2026-11-21T05:00:07.25Z"),
        f"order.{trigger}:{EVENT['id']}",
        f"order.{trigger}",
        "E-2001",
        instant.parse("2026-11-21T04:59:59.715Z"),
    )


@pytest.mark.parametrize("trigger", ["product.deleted", "customer.created", "order-of-magnitude", "x"])
def test_other_triggers_are_ignored_by_name(trigger: str) -> None:
    found = identified(order(trigger=trigger))
    assert isinstance(found, Ignore)
    assert found.reason.startswith(f"{trigger}: ")


def test_an_unknown_order_event_without_an_order_is_ignored() -> None:
    assert isinstance(
        identified(event(triggered_by="order.of_tomorrow", payload=None, resources=_NAMES[4]["resources"])), Ignore
    )


def test_the_header_tells_the_trigger_where_the_body_does_not() -> None:
    untold = event(triggered_by=None)
    assert identified(untold, INTEGRATION_TRIGGER="order.updated").topic == "order.updated"
    assert isinstance(identified(untold, INTEGRATION_TRIGGER="product.updated"), Ignore)
    assert identified(event(), INTEGRATION_TRIGGER="product.updated").topic == "order.paid"
    assert isinstance(identified(untold), Upsert)
    assert isinstance(identified(untold, INTEGRATION_TRIGGER="x" * 100_000), Upsert)


@pytest.mark.parametrize("attempt", [1, "1", "7", None, []])
def test_attempts_of_one_event_are_one_webhook_in_any_spelling(attempt: object) -> None:
    assert identified(event(attempt=attempt)).dedupe_key == identified(event()).dedupe_key


def test_events_are_told_apart_by_id_and_trigger() -> None:
    keys = {
        identified(event(id=n, triggered_by=t)).dedupe_key for n in ("a", "b") for t in ("order.paid", "order.updated")
    }
    assert len(keys) == 4


@pytest.mark.parametrize("event_id", [None, "", "x" * 300, "a\x00b", "é", [], {}])
def test_an_event_without_an_id_is_told_apart_by_what_is_in_it(event_id: object) -> None:
    keys = {identified(event(id=event_id, note=note)).dedupe_key for note in ("a", "b", "a")}
    assert len(keys) == 2
    assert all(key.startswith("sha256:") for key in keys)
    undated = {identified(order(meta=None, id="o"), now=NOW + later).dedupe_key for later in (0, 1)}
    assert len(undated) == 1
    undated = {
        identified(order(meta=None).replace(EVENT["id"].encode(), b""), now=NOW + later).dedupe_key for later in (0, 1)
    }
    assert len(undated) == 2


@pytest.mark.parametrize("meta", [None, {}, [], {"timestamps": None}, {"timestamps": {"updated_at": "soon"}}])
def test_an_order_without_a_date_goes_by_its_arrival(meta: object) -> None:
    found = identified(order(meta=meta))
    assert isinstance(found, Upsert)
    assert (found.version, found.created_at) == (None, None)


# Which orders are wanted

_STATES = [
    ("incomplete", "unpaid", "order.created", "created"),
    ("incomplete", "unpaid", "order.updated", "created"),
    ("processing", "unpaid", "order.updated", "authorized"),
    ("processing", "authorized", "order.updated", "authorized"),
    ("incomplete", "authorized", "order.created", "authorized"),
    ("incomplete", "partially_paid", "order.updated", "authorized"),
    ("incomplete", "unpaid", "order.authorized", "authorized"),
    ("complete", "paid", "order.updated", "paid"),
    ("processing", "paid", "order.updated", "paid"),
    ("complete", "refunded", "order.refunded", "paid"),
    ("incomplete", "unpaid", "order.paid", "paid"),
    ("processing", "authorized", "order.fulfilled", "paid"),
    (None, None, "order.updated", "paid"),
    ("of_tomorrow", 7, "order.updated", "paid"),
]
_LEVELS = ["created", "authorized", "paid"]


@pytest.mark.parametrize(("status", "payment", "trigger", "level"), _STATES)
@pytest.mark.parametrize("wanted", _LEVELS)
def test_an_order_is_sent_from_the_state_that_the_operator_wants(
    status: object, payment: object, trigger: str, level: str, wanted: Any
) -> None:
    found = identified(order(status=status, payment=payment, trigger=trigger), ElasticPathRules(send_from=wanted))
    expected = Upsert if _LEVELS.index(level) >= _LEVELS.index(wanted) else Ignore
    assert isinstance(found, expected)
    if isinstance(found, Ignore):
        assert "send_from" in found.reason


@pytest.mark.parametrize(
    ("status", "trigger"),
    [("cancelled", "order.updated"), ("canceled", "order.updated"), ("complete", "order.cancelled")],
)
def test_a_cancellation_is_one_by_the_order_or_by_what_happened_to_it(status: str, trigger: str) -> None:
    body = order(status=status, trigger=trigger, payment="unpaid")
    found = identified(body)
    assert isinstance(found, Cancel)
    assert found.complete
    defaults = sent(body)["saleDefaults"]
    assert (defaults["cancelled"], defaults["cancelReason"]) == (True, "other")
    assert defaults["cancelledAt"] == "2026-11-21T05:00:07.250Z"


def test_a_refund_is_a_state_like_any_other_or_a_cancellation_as_configured() -> None:
    body = order(payment="refunded", trigger="order.refunded")
    assert isinstance(identified(body), Upsert)
    assert "cancelled" not in sent(body)["saleDefaults"]
    cancel = ElasticPathRules(refunded="cancel")
    assert isinstance(identified(body, cancel), Cancel)
    assert sent(body, cancel)["saleDefaults"]["cancelled"] is True
    assert isinstance(identified(order(payment="partially_refunded"), cancel), Upsert)


# What is not an order


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"null", b"7", b'"text"', b"{}", b'{"triggered_by":"order.paid"}', b"\xef\xbb\xbf{}",
     b'{"triggered_by":"order.paid","payload":[]}', b'{"triggered_by":"order.paid","payload":"x"}',
     b'{"triggered_by":"order.paid","resources":"not json"}', b'{"triggered_by":"order.paid","resources":"{broken"}',
     b'{"triggered_by":"order.paid","resources":"\\ud800"}',
     b'{"triggered_by":"order.paid","payload":{"data":{"type":"order"},"included":{"items":[]}}}',
     b'{"triggered_by":"order.paid","payload":{"data":{"id":""},"included":{"items":[]}}}',
     b'{"triggered_by":"order.paid","payload":{"data":{"id":[1]},"included":{"items":[]}}}',
     b'{"triggered_by":"order.paid","payload":{"data":{"id":"a\\u0000b"},"included":{"items":[]}}}',
     b'{"triggered_by":"order.paid","payload":{"data":{"type":"cart","id":"c"},"included":{"items":[]}}}',
     b'{"payload":{"data":{"id":"x"},"included":{"items":[]}}}', b'{"payload":' + b"[" * 100_000,
     b'{"id":"\xff"}', b'{"id":1e999999}'],
)  # fmt: skip
def test_an_event_without_an_order_is_not_understood_and_never_an_accident(body: bytes) -> None:
    found = identified(body)
    assert isinstance(found, NotUnderstood)
    assert found.reasons
    made = made_of(body)
    assert isinstance(made, Unmappable)
    assert made.reasons


# The sale


def test_an_order_becomes_this_sale() -> None:
    assert sent(event()) == {
        "externalId": ORDER_ID,
        "customer": {"email": "orders@buyer.example", "firstName": "Ada", "lastName": "Buyer", "phone": "+1 555 0100"},
        "lineItems": [
            {
                "externalId": f"{ORDER_ID}_item-1",
                "name": "Mug - Blue",
                "quantity": 3,
                "price": Decimal("12.35"),
                "taxable": True,
                "variant": {"externalId": "product-1"},
                "properties": [{"key": "Engraving", "value": "A & B"}, {"key": "count", "value": "2"}],
            },
            {
                "externalId": f"{ORDER_ID}_item-2",
                "name": "Poster",
                "quantity": 1,
                "price": 20,
                "variant": {"sku": "POSTER"},
            },
        ],
        "saleDefaults": {
            "reference": "E-2001",
            "dateOrdered": "2026-11-21T04:59:59.715Z",
            "notes": "Ring twice.",
            "discounts": 3,
            "billingFirstName": "Ada",
            "billingLastName": "Buyer",
            "billingAddressLineOne": "1 Ledger Lane",
            "billingCity": "Toronto",
            "billingState": "ON",
            "billingZip": "M5V 2T6",
            "billingCountry": "CA",
            "shippingFirstName": "Grace",
            "shippingLastName": "Receiver",
            "shippingAddressLineOne": "2 Parcel Place",
            "shippingAddressLineTwo": "Unit 5",
            "shippingCity": "Montréal",
            "shippingState": "Quebec",
            "shippingZip": "H2Y 1C6",
            "shippingCountry": "CA",
        },
        "shipping": [{"code": "SHIP-EXPRESS", "name": "Express", "price": Decimal("4.99")}],
        "options": {"findOrCreateChannelVariant": True},
    }


def test_what_a_sale_leaves_out_or_assumes_is_noted() -> None:
    assert noted(event()) == {
        "/payload/data/customer/name",
        "/payload/data/shipping_address/company_name",
        "/payload/data/meta/display_price/tax",
        "/payload/included/items",
    }
    assert "/payload/included/items/0/components" in noted(item(components={"a": {"options": []}}))


# Money


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [(1999, "USD", "19.99"), ("1999", "usd", "19.99"), (5900, "JPY", "5900"), (1999, "KWD", "1.999"),
     (1, "CLF", "0.0001"), (10**13, "EUR", "100000000000"), (1999.0, "EUR", "19.99"), (0, "", "0"), (0, None, "0")],
)  # fmt: skip
def test_amounts_are_in_the_currencys_smallest_unit(amount: object, currency: object, expected: str) -> None:
    price = {"amount": amount, "currency": currency, "formatted": "$2,175.00"}
    assert sent(item(unit_price=price))["lineItems"][0]["price"] == Decimal(expected)


def test_a_currency_has_the_decimals_that_the_store_gives_it() -> None:
    price = {"amount": 1999, "currency": "HUF"}
    rules = replace(SHIPPING, currency_decimals={"HUF": 0})
    assert sent(item(unit_price=price), rules)["lineItems"][0]["price"] == 1999


@pytest.mark.parametrize("amount", ["free", "", True, [], {}, 19.99, "NaN", "1e999999", 10**16])
def test_an_amount_that_is_none_is_refused_by_its_pointer(amount: object) -> None:
    body = item(unit_price={"amount": amount, "currency": "CAD"})
    assert list(refused(body)) == ["/payload/included/items/0/unit_price/amount"]


@pytest.mark.parametrize("price", [None, {}, {"amount": None}])
def test_a_missing_price_is_refused(price: object) -> None:
    assert list(refused(item(unit_price=price))) == ["/payload/included/items/0/unit_price"]


@pytest.mark.parametrize("currency", [None, "", "CANADIAN", 7, []])
def test_an_amount_without_a_currency_is_refused_and_never_guessed(currency: object) -> None:
    body = item(unit_price={"amount": 100, "currency": currency})
    assert list(refused(body)) == ["/payload/included/items/0/unit_price/currency"]


def test_an_order_in_another_currency_is_refused_where_the_operator_says_so() -> None:
    assert "/payload/included/items/0/unit_price/currency" in refused(event(), replace(SHIPPING, currency="USD"))
    assert sent(event(), replace(SHIPPING, currency="cad"))


def test_net_prices_have_the_lines_discounts_taken_off_and_the_rest_beside_them() -> None:
    net = replace(SHIPPING, discounts="net")
    sale = sent(event(), net)
    assert sale["lineItems"][0]["price"] == Decimal("11.35")
    assert "discounts" not in sale["saleDefaults"]
    more = ORDER["meta"]["display_price"] | {"discount": {"amount": -500, "currency": "CAD"}}
    assert sent(order(meta={"display_price": more}), net)["saleDefaults"]["discounts"] == 2


def test_a_net_price_that_is_no_round_number_is_rounded_and_noted() -> None:
    net, display = replace(SHIPPING, discounts="net"), {"discount": {"value": {"amount": -100, "currency": "CAD"}}}
    body = item(meta={"display_price": display})
    assert sent(body, net)["lineItems"][0]["price"] == Decimal("12.016667")
    assert "/payload/included/items/0/unit_price" in noted(body, net)
    too_much = item(meta={"display_price": {"discount": {"value": {"amount": -9999, "currency": "CAD"}}}})
    assert list(refused(too_much, net)) == ["/payload/included/items/0/meta/display_price/discount"]


def test_promotions_are_counted_once_and_count_where_nothing_else_says_so() -> None:
    assert sent(event())["saleDefaults"]["discounts"] == 3
    plain = [each | {"meta": None} for each in ITEMS]
    assert sent(order(items=plain, meta=None))["saleDefaults"]["discounts"] == 3
    named = [*plain[:3], plain[3] | {"type": "custom_item", "sku": "PROMO", "quantity": 2}]
    assert sent(order(items=named, meta=None))["saleDefaults"]["discounts"] == 6
    by_sku = replace(SHIPPING, promotion_skus=("POSTER",))
    assert [each["externalId"] for each in sent(event(), by_sku)["lineItems"]] == [f"{ORDER_ID}_item-1"]


def test_shipping_is_what_the_operator_says_it_is_and_what_the_shipping_groups_cost() -> None:
    goods = sent(event(), ElasticPathRules())
    assert "shipping" not in goods
    assert [each["variant"] for each in goods["lineItems"]][2] == {"sku": "SHIP-EXPRESS"}
    twice = item(2, quantity=2)
    assert sent(twice)["shipping"] == [{"code": "SHIP-EXPRESS", "name": "Express", "price": Decimal("9.98")}]
    prices = ORDER["meta"]["display_price"] | {"shipping": {"amount": 700, "currency": "CAD"}}
    assert sent(order(meta={"display_price": prices}))["shipping"][1] == {"code": "shipping", "price": 7}


def test_prices_that_include_tax_say_so_unless_they_differ() -> None:
    taxed = [each | {"unit_price": each["unit_price"] | {"includes_tax": True}} for each in ITEMS]
    assert sent(order(items=taxed))["saleDefaults"]["taxIncluded"] is True
    assert {each["taxable"] for each in sent(order(items=taxed))["lineItems"]} == {True}
    mixed = [taxed[0], *ITEMS[1:]]
    assert "taxIncluded" not in sent(order(items=mixed))["saleDefaults"]
    assert any("include tax" in note.message for note in mapped(order(items=mixed)).notes)


def test_taxes_are_jettis_to_calculate_unless_configured_otherwise() -> None:
    assert not {"tax", "taxIncluded", "taxCalculation"} & set(sent(event())["saleDefaults"])
    defaults = sent(event(), replace(SHIPPING, taxes="send"))["saleDefaults"]
    assert (defaults["tax"], defaults["taxIncluded"], defaults["taxCalculation"]) == (Decimal("3.1"), False, "custom")


# Lines


@pytest.mark.parametrize("quantity", [-1, 1.5, "x", None, True, 2**31])
def test_a_quantity_that_is_none_is_refused(quantity: object) -> None:
    assert list(refused(item(quantity=quantity))) == ["/payload/included/items/0/quantity"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("id", {"externalId": "product-1"}), ("sku", {"sku": "MUG-BLUE"}),
     ("both", {"externalId": "product-1", "sku": "MUG-BLUE"})],
)  # fmt: skip
def test_a_line_is_connected_as_configured(rule: Any, expected: dict[str, str]) -> None:
    assert sent(event(), replace(SHIPPING, variant=rule))["lineItems"][0]["variant"] == expected


def test_a_custom_item_without_a_sku_is_refused_or_connected_as_configured() -> None:
    body = item(1, sku="")
    assert refused(body)["/payload/included/items/1/product_id"].endswith("set custom_item_sku" + WHOLE_REMEDY)
    assert sent(body, replace(SHIPPING, custom_item_sku="CUSTOM"))["lineItems"][1]["variant"] == {"sku": "CUSTOM"}
    created = sent(body, replace(SHIPPING, find_or_create_channel_variant=True))
    assert created["lineItems"][1]["variant"] == {"externalId": "line-item-2"}


def test_the_option_jetti_requires_to_connect_by_sku_can_be_withheld() -> None:
    never = replace(SHIPPING, find_or_create_channel_variant=False)
    assert "options" not in sent(event(), never)
    assert any("find_or_create" in note.message for note in mapped(event(), never).notes)


def test_lines_without_an_id_or_with_an_earlier_ones_are_refused() -> None:
    assert list(refused(item(0, id=None))) == ["/payload/included/items/0/id"]
    assert list(refused(item(0, id="x" * 250))) == ["/payload/included/items/0/id"]
    assert list(refused(item(1, id="item-1"))) == ["/payload/included/items/1/id"]


def test_an_order_of_nothing_but_charges_is_refused() -> None:
    for items in ([], ITEMS[2:]):
        assert list(refused(order(items=items))) == ["/payload/included/items"]


@pytest.mark.parametrize("inputs", [None, {}, [], "x", 7])
def test_custom_inputs_may_be_missing(inputs: object) -> None:
    assert "properties" not in sent(item(custom_inputs=inputs))["lineItems"][0]


# People


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Ada King Buyer", {"firstName": "Ada King", "lastName": "Buyer"}), ("Cher", {"firstName": "Cher"}),
     ("  Ada   Buyer ", {"firstName": "Ada", "lastName": "Buyer"}), ("", {}), (None, {})],
)  # fmt: skip
def test_a_name_in_one_piece_is_split_only_where_no_address_has_one(name: object, expected: dict[str, str]) -> None:
    nameless = {"first_name": "", "last_name": None}
    body = order(
        customer=ORDER["customer"] | {"name": name},
        billing_address=ORDER["billing_address"] | nameless,
        shipping_address=ORDER["shipping_address"] | nameless,
    )
    customer = sent(body)["customer"]
    assert {part: customer[part] for part in ("firstName", "lastName") if part in customer} == expected
    assert ("/payload/data/customer/name" in noted(body)) == bool(expected)


def test_an_order_without_an_e_mail_is_refused_or_has_the_contacts_or_the_fallback() -> None:
    body = order(customer=None)
    assert refused(body)["/payload/data/customer/email"].endswith("set fallback_email" + WHOLE_REMEDY)
    assert sent(body, SENT_ANYWAY)["customer"]["email"] == "none@shop.example"
    business = order(customer=None, contact={"name": "Ada", "email": "ada@buyer.example"})
    assert sent(business)["customer"]["email"] == "ada@buyer.example"


def test_a_missing_address_stays_missing() -> None:
    defaults = sent(order(shipping_address=None))["saleDefaults"]
    assert not [column for column in defaults if column.startswith("shipping")]
    assert "notes" not in defaults


def test_county_and_region_are_one_column() -> None:
    body = order(billing_address=ORDER["billing_address"] | {"county": "York", "region": "ON"})
    assert sent(body)["saleDefaults"]["billingState"] == "ON"
    assert sent(body, replace(SHIPPING, state="county"))["saleDefaults"]["billingState"] == "York"
    assert "/payload/data/billing_address/county" in noted(body)


def test_a_phone_number_jetti_cannot_take_is_left_out_and_noted() -> None:
    body = order(billing_address=ORDER["billing_address"] | {"phone_number": "+1 555 0100 extension 12345678901"})
    assert "phone" not in sent(body)["customer"]
    assert "/payload/data/billing_address/phone_number" in noted(body)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "E-2001"), ({"web_order_id": "", "external_ref": "X-1"}, "X-1"),
     ({"web_order_id": None, "order_number": 77}, "77"), ({"web_order_id": None}, ORDER_ID)],
)  # fmt: skip
def test_the_reference_is_what_the_customer_sees_or_else_the_id(changes: dict[str, Any], expected: str) -> None:
    assert sent(order(**changes))["saleDefaults"]["reference"] == expected
    found = identified(order(**changes))
    assert isinstance(found, Upsert)
    assert found.reference == (expected if expected != ORDER_ID else None)


# The whole


def test_every_reason_is_found_at_once() -> None:
    body = order(customer=None, items=[{"id": None, "quantity": "x"}])
    assert set(refused(body)) == {
        "/payload/data/customer/email",
        *(f"/payload/included/items/0/{name}" for name in ("id", "quantity", "unit_price", "product_id")),
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [(order(items={}), "/payload/included/items"), (order(items=[1]), "/payload/included/items/0"),
     (order(customer="x"), "/payload/data/customer"), (order(billing_address=[]), "/payload/data/billing_address"),
     (item(unit_price=7), "/payload/included/items/0/unit_price")],
)  # fmt: skip
def test_a_part_of_the_wrong_shape_is_refused_by_its_pointer(body: bytes, pointer: str) -> None:
    assert isinstance(identified(body), Upsert)
    assert list(refused(body)) == [pointer]


def test_an_order_of_five_hundred_lines_is_mapped_whole() -> None:
    body = order(items=[ITEMS[0] | {"id": f"item-{n}"} for n in range(500)])
    sale = sent(body)
    assert len(sale["lineItems"]) == 500
    assert sale["saleDefaults"]["discounts"] == 1500


def test_the_same_order_is_the_same_bytes() -> None:
    shuffled = event(payload=dict(reversed(EVENT["payload"].items())))
    assert encode(mapped(event()).sale) == encode(mapped(shuffled).sale)
    assert identified(event()) == identified(shuffled)


# Nothing raises

_RULES = [
    ElasticPathRules(),
    SENT_ANYWAY,
    replace(SENT_ANYWAY, taxes="send", variant="both", currency="CAD", refunded="cancel", state="county"),
]


def _never_raises(body: bytes, headers: dict[str, str], rules: ElasticPathRules) -> None:
    store = ElasticPath((SECRET,), rules)
    named = CIMultiDict(headers)
    store.verify(named, body, now=NOW)
    stripped = store.strip(body)
    assert SECRET.encode() not in stripped
    assert store.strip(stripped) == stripped
    found = store.identify(named, stripped, now=NOW)
    found.dedupe_key.encode()
    found.topic.encode()
    made = store.sale(stripped, found.topic)
    assert store.identify(named, stripped, now=NOW) == found
    assert store.sale(stripped, found.topic) == made
    if isinstance(made, Mapped) and isinstance(found, Upsert | Cancel):
        assert made.sale.external_id == found.external_id
        assert encode(made.sale)


@given(
    st.sampled_from(mangled.paths(EVENT)), mangled.values | st.just(SECRET), st.sampled_from(mangled.paths(EVENT)),
    mangled.values, st.sampled_from(_RULES), st.sampled_from([None, "text", "object", "list"]),
)  # fmt: skip
def test_no_event_however_mangled_raises(
    first: tuple[Any, ...], one: Any, second: tuple[Any, ...], two: Any, rules: ElasticPathRules, shape: str | None
) -> None:
    made = mangled.put(EVENT, first, one)
    with suppress(AttributeError, IndexError, KeyError, TypeError):  # the second place may have been in the first
        made = mangled.put(made, second, two)
    body = json.dumps(made).encode()
    if shape is not None and isinstance(made, dict) and "payload" in made:
        body = _resources(body, shape)
    _never_raises(body, {}, rules)


_cut: Callable[[int, int, bytes], bytes] = lambda at, n, put: event()[:at] + put + event()[at + n :]  # noqa: E731


@given(
    st.binary(max_size=60) | st.builds(_cut, st.integers(0, 4000), st.integers(0, 30), st.binary(max_size=4)),
    st.dictionaries(st.sampled_from(["X-MOLTIN-SECRET-KEY", "X-MOLTIN-INTEGRATION-TRIGGER"]), st.text()),
)
def test_no_bytes_and_no_headers_raise(body: bytes, headers: dict[str, str]) -> None:
    _never_raises(body, headers, SENT_ANYWAY)


@pytest.mark.parametrize("levels", [60, 200, 400, 700, 900, 2_000, 100_000])
def test_nesting_at_any_depth_is_an_outcome(levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    for place in (
        b'"resources": ""',
        b'"count": 2',
        b'"status": "complete"',
        b'"relationships": {"items": {"data": []}}',
    ):
        name = place.partition(b":")[0]
        _never_raises(event().replace(place, name + b": " + deep, 1), {}, SENT_ANYWAY)


def test_refunds_taxes_and_goods_with_nowhere_to_go_are_noted() -> None:
    for payment in ("refunded", "partially_refunded"):
        assert "/payload/data/payment" in noted(order(payment=payment))
    assert "/payload/data/payment" not in noted(order(payment="paid"))
    assert "/payload/data/shipping_address" in noted(order(shipping_address=None))
    assert "/payload/data/meta/display_price/tax" not in noted(order(), ElasticPathRules(taxes="send"))
    assert len(mapped(order()).origins) == len(mapped(order()).sale.line_items)


@pytest.mark.parametrize(
    ("total", "changes", "told"),
    [
        ({"amount": 6214, "currency": "CAD"}, {}, False),
        ({"amount": 5214, "currency": "CAD"}, {}, True),
        ({"amount": 5904, "currency": "CAD"}, {"includes_tax": True}, False),
        ({"amount": "x", "currency": "CAD"}, {}, False),
        ({"amount": None}, {}, False),
        (None, {}, False),
    ],
)
@pytest.mark.parametrize("discounts", ["gross", "net"])
@pytest.mark.parametrize("shipping_skus", [(), ("SHIP-EXPRESS",)])
def test_a_total_that_is_another_than_that_of_its_parts_is_noted(
    total: object, changes: dict[str, Any], told: bool, discounts: Any, shipping_skus: tuple[str, ...]
) -> None:
    given = json.loads(event())
    items = [item | {"unit_price": item["unit_price"] | changes} for item in ITEMS]
    given["payload"]["included"]["items"] = items
    given["payload"]["data"]["meta"]["display_price"]["with_tax"] = total
    rules = ElasticPathRules(discounts=discounts, shipping_skus=shipping_skus)
    assert ("/payload/data/meta/display_price/with_tax" in noted(json.dumps(given).encode(), rules)) is told


def test_a_tax_that_is_left_to_jetti_refuses_no_order_whatever_it_is() -> None:
    given = json.loads(event())
    given["payload"]["data"]["meta"]["display_price"]["tax"] = {"amount": "example string", "currency": "CAD"}
    assert "/payload/data/meta/display_price/tax" in noted(json.dumps(given).encode())
