import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.core import instant
from relay.core.sale import encode
from relay.core.signature import hmac_sha256
from relay.core.sources import (
    FETCHED_TOPIC,
    Authentic,
    Cancel,
    Fetch,
    Identified,
    Ignore,
    Mapped,
    NotUnderstood,
    Page,
    Request,
    Thin,
    Unauthentic,
    Unmappable,
    Upsert,
)
from relay.core.sources.squarespace import Squarespace, SquarespaceRules
from tests import mangled
from tests.fixtures import FOLDER, fixture, names, sample

NOW = 1_795_000_000_000_000
SECRET = "00FFA1" * 8
SITE = Squarespace((SECRET,))
THIN: Thin = SITE
SENT_ANYWAY = SquarespaceRules(test_orders="send", fallback_email="none@shop.example", custom_item_sku="CUSTOM")
ORDER: dict[str, Any] = json.loads(sample("squarespace-order.json"))
NOTIFICATION: dict[str, Any] = {
    "id": "n1",
    "websiteId": "w1",
    "subscriptionId": "s1",
    "topic": "order.update",
    "createdOn": "2026-11-21T05:00:08.000Z",
    "data": {"orderId": ORDER["id"], "update": "FULFILLED"},
}


def notification(**changes: Any) -> bytes:
    return json.dumps(NOTIFICATION | changes).encode()


def order(**changes: Any) -> bytes:
    return json.dumps(ORDER | changes).encode()


def line(position: int = 0, **changes: Any) -> bytes:
    lines = [dict(item) for item in ORDER["lineItems"]]
    lines[position] |= changes
    return order(lineItems=lines)


def identified(body: bytes) -> Identified:
    return SITE.identify(CIMultiDict(), body, now=NOW)


def fetched(body: bytes, rules: SquarespaceRules | None = None) -> Identified:
    return Squarespace((SECRET,), rules or SquarespaceRules()).identify_fetched(body, now=NOW)


def mapped(body: bytes, rules: SquarespaceRules | None = None) -> Mapped:
    made = Squarespace((SECRET,), rules or SquarespaceRules()).sale(body, FETCHED_TOPIC)
    assert isinstance(made, Mapped), made
    return made


def sent(body: bytes, rules: SquarespaceRules | None = None) -> Any:
    return json.loads(encode(mapped(body, rules).sale), parse_float=Decimal)


def noted(body: bytes, rules: SquarespaceRules | None = None) -> set[str]:
    return {note.pointer for note in mapped(body, rules).notes}


def refused(body: bytes, rules: SquarespaceRules | None = None) -> dict[str, str]:
    made = Squarespace((SECRET,), rules or SquarespaceRules()).sale(body, FETCHED_TOPIC)
    assert isinstance(made, Unmappable)
    return {reason.pointer: reason.message for reason in made.reasons}


# Signatures


def signed(body: bytes, secret: str = SECRET) -> CIMultiDict[str]:
    return CIMultiDict({"Squarespace-Signature": hmac_sha256(bytes.fromhex(secret), body).hex()})


def test_real_signatures_are_judged_as_squarespaces() -> None:
    for vector in json.loads(fixture("vectors/squarespace-signature.json"))["vectors"]:
        site = Squarespace((vector["secret_hex"],))
        headers = CIMultiDict({"squarespace-signature": vector["signature"]})
        verdict = site.verify(headers, vector["body"].encode(), now=NOW)
        assert isinstance(verdict, Authentic) == vector["valid"], vector["name"]


def test_real_notifications_are_genuine() -> None:
    real = json.loads(fixture("squarespace/webhooks-signed.json"))
    site = Squarespace((real["secret"],))
    for name, expected in (("orderCreate", Fetch), ("orderUpdate", Fetch), ("extensionUninstall", Ignore)):
        body = real[name]["body"].encode()
        assert (
            site.verify(CIMultiDict({"Squarespace-Signature": real[name]["signature"]}), body, now=NOW) == Authentic()
        )
        assert isinstance(site.identify(CIMultiDict(), body, now=NOW), expected)


def test_any_of_the_secrets_may_have_signed() -> None:
    site = Squarespace((SECRET, "ab" * 32))
    for secret in (SECRET, "ab" * 32):
        assert site.verify(signed(b"{}", secret), b"{}", now=NOW) == Authentic()
    assert isinstance(site.verify(signed(b"{}", "cd" * 32), b"{}", now=NOW), Unauthentic)
    assert isinstance(site.verify(signed(b"{}"), b"{ }", now=NOW), Unauthentic)
    assert isinstance(site.verify(signed(b""), b"", now=NOW), Unauthentic)


def test_a_signature_has_one_spelling_only() -> None:
    genuine = signed(b"{}")["Squarespace-Signature"]
    for spelling in (genuine.upper(), genuine[:-1], genuine + "0", "0x" + genuine, "", "é" * 64, "\udcff" * 64):
        headers = CIMultiDict({"Squarespace-Signature": spelling})
        assert isinstance(SITE.verify(headers, b"{}", now=NOW), Unauthentic)


@pytest.mark.parametrize("secrets", [(), ("",), ("ab", ""), ("  ",), ("not hexadecimal",), ("abc",)])
def test_a_site_without_a_hexadecimal_secret_is_not_configured(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="Squarespace") as raised:
        Squarespace(secrets)
    assert "not hexadecimal" not in str(raised.value)


def test_secrets_are_never_printed() -> None:
    assert SECRET not in repr(SITE)


# What a notification is about

_REAL: dict[str, type[Any]] = {
    "notification-order-create.json": Fetch,
    "notification-order-create-inline-order.json": Fetch,
    "notification-order-update-refunded.json": Fetch,
    "order-docs-sample.json": Ignore,
    "order-refunded-null-shipping.json": Upsert,
    "webhooks-signed.json": NotUnderstood,
}


def test_every_real_payload_has_an_expectation() -> None:
    if not (FOLDER / "squarespace").is_dir():
        pytest.skip(f"the third-party payloads are missing; set RELAY_FIXTURES to a folder like {FOLDER}")
    assert names("squarespace") == sorted(_REAL)


@pytest.mark.parametrize("name", sorted(_REAL))
def test_every_real_payload_has_its_disposition(name: str) -> None:
    body = fixture(f"squarespace/{name}")
    event = fetched(body) if name.startswith("order-") else identified(body)
    assert isinstance(event, _REAL[name])


def test_a_real_notification_asks_to_fetch_its_order() -> None:
    assert identified(fixture("squarespace/notification-order-update-refunded.json")) == Fetch(
        "64f0a1000000000000000009", None, "5c2ba184b63ed3cb411ce2b2", "order.update"
    )


def test_an_order_in_a_notification_is_not_believed() -> None:
    event = identified(fixture("squarespace/notification-order-create-inline-order.json"))
    assert isinstance(event, Fetch)
    assert event.external_id == "sq-order-fixture-001"


@pytest.mark.parametrize("topic", ["extension.uninstall", "order.of_tomorrow", "inventory.update"])
def test_other_topics_are_ignored_by_name(topic: str) -> None:
    event = identified(notification(topic=topic, data={}))
    assert isinstance(event, Ignore)
    assert event.reason.startswith(f"{topic}: ")


def test_a_notification_without_an_id_is_told_apart_by_all_there_is() -> None:
    dated, undated = notification(id=None), notification(id=None, createdOn=None)
    later = SITE.identify(CIMultiDict(), dated, now=NOW + 1), SITE.identify(CIMultiDict(), undated, now=NOW + 1)
    assert identified(dated).dedupe_key == later[0].dedupe_key
    assert identified(undated).dedupe_key != later[1].dedupe_key


@pytest.mark.parametrize("order_id", [None, 7, "", ".", "..", "a/b", "a b", "a%2Fb", "a?b", "x" * 101, "é", [], "a\n"])
def test_an_id_that_would_be_another_address_is_not_asked_for(order_id: object) -> None:
    assert isinstance(identified(notification(data={"orderId": order_id})), NotUnderstood)


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"null", b"7", b"{}", b'{"topic":7}', b'{"topic":"\\ud800"}', b'{"topic":"\xff"}',
     b'{"topic":"order.create"}', b'{"topic":"order.create","data":[]}', b'{"z":' + b"[" * 100_000],
)  # fmt: skip
def test_an_authentic_body_without_an_order_is_not_understood_and_never_an_accident(body: bytes) -> None:
    event = identified(body)
    assert isinstance(event, NotUnderstood)
    assert event.reasons
    assert isinstance(fetched(body), NotUnderstood)


# What is asked of the API


def test_an_order_is_read_in_one_request() -> None:
    request = SITE.first_request("64f0a1000000000000000a01")
    assert request == Request("1.0/commerce/orders/64f0a1000000000000000a01")
    pages = [Page(request, order())]
    assert SITE.next_request(pages) is None
    assert SITE.assemble(pages) == order()


def test_a_429_costs_a_minute() -> None:
    assert SITE.asks_to_wait_s(CIMultiDict()) == 60.0


# Which state of the order


def test_a_fetched_order_is_its_state_as_of_its_last_change() -> None:
    event = fetched(order())
    assert isinstance(event, Upsert)
    assert (event.external_id, event.reference, event.topic) == (ORDER["id"], "2001", "order/fetched")
    assert event.version == instant.parse("2026-11-21T05:00:07.123Z")
    assert event.created_at == instant.parse("2026-11-21T04:59:59Z")


def test_the_same_state_is_the_same_event_and_another_state_is_not() -> None:
    assert fetched(order()).dedupe_key == fetched(order()).dedupe_key
    assert fetched(order()).dedupe_key != fetched(order(modifiedOn="2026-11-21T05:00:07.124Z")).dedupe_key
    undated = order(modifiedOn=None)
    assert fetched(undated).dedupe_key != SITE.identify_fetched(undated, now=NOW + 1).dedupe_key


@pytest.mark.parametrize(
    ("changes", "rules", "expected"),
    [
        ({"fulfillmentStatus": "CANCELED"}, {}, Cancel),
        ({"fulfillmentStatus": "FULFILLED"}, {}, Upsert),
        ({"paymentState": "REFUNDED"}, {}, Upsert),
        ({"testmode": True}, {}, Ignore),
        ({"testmode": True}, {"test_orders": "send"}, Upsert),
        ({"testmode": True, "fulfillmentStatus": "CANCELED"}, {"test_orders": "send"}, Cancel),
        ({"id": None}, {}, NotUnderstood),
        ({"id": "a/b"}, {}, NotUnderstood),
        ({"modifiedOn": "soon"}, {}, Upsert),
    ],
)
def test_the_body_decides_as_configured(changes: dict[str, Any], rules: dict[str, Any], expected: type[Any]) -> None:
    assert isinstance(fetched(order(**changes), SquarespaceRules(**rules)), expected)


def test_a_cancellation_says_so_in_the_sale() -> None:
    defaults = sent(order(fulfillmentStatus="CANCELED"))["saleDefaults"]
    assert (defaults["cancelled"], defaults["cancelReason"]) == (True, "other")
    assert defaults["cancelledAt"] == "2026-11-21T05:00:07.123Z"


# The sale


def test_the_documentations_order_becomes_this_sale() -> None:
    body = fixture("squarespace/order-docs-sample.json")
    assert sent(body, SENT_ANYWAY) == {
        "externalId": "585d498fdee9f31a60284a37",
        "customer": {"email": "bob@example.com", "firstName": "Bob", "lastName": "Loblaw", "phone": "5553334444"},
        "lineItems": [
            {
                "externalId": "585d4975dee9f31a60284a16",
                "name": "Product",
                "quantity": 1,
                "price": Decimal("49.99"),
                "variant": {"externalId": "88c16ee4-547b-445e-a392-bded9991ae30"},
                "properties": [
                    {"key": "Size", "value": "Large"},
                    {"key": "How did you hear about us?", "value": "Facebook"},
                ],
            }
        ],
        "saleDefaults": {
            "reference": "3",
            "dateOrdered": "2016-12-23T15:58:07.187Z",
            "notes": "How did you hear about us?: Facebook",
            "discounts": Decimal("49.99"),
            "billingFirstName": "Bob",
            "billingLastName": "Loblaw",
            "billingAddressLineOne": "459 Broadway",
            "billingAddressLineTwo": "address2",
            "billingCity": "New York",
            "billingState": "NY",
            "billingZip": "10003",
            "billingCountry": "US",
            "shippingFirstName": "Bob",
            "shippingLastName": "Loblaw",
            "shippingAddressLineOne": "459 Broadway",
            "shippingAddressLineTwo": "address2",
            "shippingCity": "New York",
            "shippingState": "NY",
            "shippingZip": "10003",
            "shippingCountry": "US",
        },
        "shipping": [{"code": "FEDEX_GROUND", "name": "UPS Ground", "price": Decimal("49.99")}],
    }


def test_a_real_refund_of_a_part_is_no_cancellation_and_a_service_goes_nowhere() -> None:
    body = fixture("squarespace/order-refunded-null-shipping.json")
    sale = sent(body)
    assert "cancelled" not in sale["saleDefaults"]
    assert sale["lineItems"][0]["orderRouting"] == "ignore"
    assert not [column for column in sale["saleDefaults"] if column.startswith("shipping")]
    assert noted(body) == {"/refundedTotal", "/taxTotal"}


def test_an_order_becomes_this_sale() -> None:
    sale = sent(order())
    assert sale["lineItems"] == [
        {
            "externalId": "64f0a1000000000000000b01",
            "name": "Mug",
            "quantity": 3,
            "price": Decimal("12.34"),
            "variant": {"externalId": "88c16ee4-547b-445e-a392-000000000001"},
            "properties": [{"key": "Colour", "value": "Blue"}, {"key": "Engraving", "value": "A & B"}],
        },
        {
            "externalId": "64f0a1000000000000000b02",
            "name": "Gift card",
            "quantity": 1,
            "price": 25,
            "variant": {"sku": "GIFT"},
            "orderRouting": "ignore",
        },
    ]
    assert sale["shipping"] == [{"code": "UPS_GROUND", "name": "UPS Ground", "price": Decimal("7.5")}]
    assert sale["options"] == {"findOrCreateChannelVariant": True}
    assert sale["saleDefaults"]["discounts"] == Decimal("4.5")
    assert sale["saleDefaults"]["notes"] == "Gate code: 1234"
    assert noted(order()) == {"/taxTotal"}


@pytest.mark.parametrize(
    ("value", "exact"), [("12.3400", "12.34"), (12.34, "12.34"), (7, "7"), ("0.1", "0.1"), (0.1, "0.1"), (5900, "5900")]
)
def test_amounts_are_exact_whether_text_or_number(value: object, exact: str) -> None:
    body = line(unitPricePaid={"value": value, "currency": "USD"})
    assert sent(body)["lineItems"][0]["price"] == Decimal(exact)


@pytest.mark.parametrize("value", ["", None, "1,5", "NaN", "1e999999", True, [], {}, "9" * 400])
def test_a_price_that_is_none_is_refused_by_its_pointer(value: object) -> None:
    assert list(refused(line(unitPricePaid={"value": value}))) == ["/lineItems/0/unitPricePaid/value"]
    assert list(refused(line(unitPricePaid=None))) == ["/lineItems/0/unitPricePaid/value"]


@pytest.mark.parametrize("quantity", [-1, 1.5, "x", None, True, 2**31])
def test_a_quantity_that_is_none_is_refused(quantity: object) -> None:
    assert list(refused(line(quantity=quantity))) == ["/lineItems/0/quantity"]


def test_taxes_are_jettis_to_calculate_unless_configured_otherwise() -> None:
    assert not {"tax", "taxIncluded"} & set(sent(order())["saleDefaults"])
    assert sent(order(priceTaxInterpretation="INCLUSIVE"))["saleDefaults"]["taxIncluded"] is True
    defaults = sent(order(), SquarespaceRules(taxes="send"))["saleDefaults"]
    assert (defaults["tax"], defaults["taxIncluded"], defaults["taxCalculation"]) == (Decimal("3.1"), False, "custom")


def test_discounts_are_the_total_or_the_sum_of_the_lines() -> None:
    assert sent(order(discountTotal=None))["saleDefaults"]["discounts"] == Decimal("4.5")
    assert "discounts" not in sent(order(discountTotal=None, discountLines=None))["saleDefaults"]
    assert sent(order(), SquarespaceRules(promo_tags=True))["saleDefaults"]["tags"] == ["SUMMER"]


def test_shipping_may_be_of_several_lines_or_only_a_total() -> None:
    two = ORDER["shippingLines"] * 2
    assert [item.get("code") for item in sent(order(shippingLines=two))["shipping"]] == [None, None]
    assert sent(order(shippingLines=[]))["shipping"] == [{"code": "UPS_GROUND", "price": Decimal("7.5")}]
    assert "shipping" not in sent(order(shippingLines=None, shippingTotal=None))


def test_what_is_not_shipped_is_not_routed_unless_configured_otherwise() -> None:
    assert "orderRouting" not in sent(order(), SquarespaceRules(not_physical="send"))["lineItems"][1]
    dropped = SquarespaceRules(not_physical="drop")
    assert len(sent(order(), dropped)["lineItems"]) == 1
    assert "/lineItems" in noted(order(), dropped)
    for kind in ("CUSTOM", None):
        assert "orderRouting" not in sent(line(1, lineItemType=kind))["lineItems"][1]


def test_goods_without_an_address_are_noted() -> None:
    assert "/shippingAddress" in noted(order(shippingAddress=None))


def test_an_order_of_the_point_of_sale_is_refused_or_has_the_fallback() -> None:
    body = order(customerEmail=None)
    assert "fallback_email" in refused(body)["/customerEmail"]
    assert sent(body, SENT_ANYWAY)["customer"]["email"] == "none@shop.example"


def test_a_phone_number_jetti_cannot_take_is_left_out_and_noted() -> None:
    body = order(billingAddress=ORDER["billingAddress"] | {"phone": "+1 555 0100 extension 12345678901"})
    assert "phone" not in sent(body)["customer"]
    assert "/billingAddress/phone" in noted(body)


@pytest.mark.parametrize(
    ("number", "reference"), [(2001, "2001"), ("A-7", "A-7"), (None, ORDER["id"]), ("", ORDER["id"])]
)
def test_the_reference_is_the_orders_number(number: object, reference: str) -> None:
    assert sent(order(orderNumber=number))["saleDefaults"]["reference"] == reference


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("id", {"externalId": "88c16ee4-547b-445e-a392-000000000001"}), ("sku", {"sku": "MUG-BLUE"}),
     ("both", {"externalId": "88c16ee4-547b-445e-a392-000000000001", "sku": "MUG-BLUE"})],
)  # fmt: skip
def test_a_line_is_connected_as_configured(rule: Any, expected: dict[str, str]) -> None:
    assert sent(order(), SquarespaceRules(variant=rule))["lineItems"][0]["variant"] == expected


def test_a_custom_item_is_refused_or_connected_as_configured() -> None:
    body = line(1, sku=None)
    assert "custom_item_sku" in refused(body)["/lineItems/1/variantId"]
    assert sent(body, SENT_ANYWAY)["lineItems"][1]["variant"] == {"sku": "CUSTOM"}


def test_lines_without_or_with_one_id_are_refused() -> None:
    assert list(refused(line(1, id=ORDER["lineItems"][0]["id"]))) == ["/lineItems/1/id"]
    assert list(refused(line(1, id=None))) == ["/lineItems/1/id"]
    assert list(refused(order(lineItems=[]))) == ["/lineItems"]


def test_notes_are_as_configured() -> None:
    silent = SquarespaceRules(form_submission=False)
    assert "notes" not in sent(order(), silent)["saleDefaults"]
    assert "/formSubmission" in noted(order(), silent)
    internal = SquarespaceRules(internal_notes=True)
    assert sent(order(), internal)["saleDefaults"]["internalNotes"] == "A good customer."


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"lineItems": {}}, "/lineItems"), ({"lineItems": [1]}, "/lineItems/0"),
     ({"billingAddress": "x"}, "/billingAddress"), ({"discountTotal": 4.5}, "/discountTotal"),
     ({"shippingLines": "x"}, "/shippingLines")],
)  # fmt: skip
def test_a_part_of_the_wrong_shape_is_refused_by_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    assert list(refused(order(**changes))) == [pointer]


# Nothing raises

_RULES = [
    SquarespaceRules(),
    SENT_ANYWAY,
    SquarespaceRules("send", "send", "both", "C", None, "drop", "n@shop.example", False, True, True),
]


def _never_raises(body: bytes, rules: SquarespaceRules) -> None:
    site = Squarespace((SECRET,), rules)
    site.verify(signed(body), body, now=NOW)
    for event in (site.identify(CIMultiDict(), body, now=NOW), site.identify_fetched(body, now=NOW)):
        event.dedupe_key.encode()
        event.topic.encode()
        made = site.sale(body, event.topic)
        if isinstance(made, Mapped):
            assert encode(made.sale)
            if isinstance(event, Upsert | Cancel):
                assert made.sale.external_id == event.external_id
                assert made.sale.sale_defaults.cancelled == isinstance(event, Cancel)
    assert site.assemble([Page(site.first_request("x"), body)]) == body


@given(
    st.sampled_from(mangled.paths(ORDER)),
    mangled.values,
    st.sampled_from(mangled.paths(ORDER)),
    mangled.values,
    st.sampled_from(_RULES),
)
def test_no_order_however_mangled_raises(
    first: tuple[Any, ...], one: Any, second: tuple[Any, ...], two: Any, rules: SquarespaceRules
) -> None:
    made = mangled.put(ORDER, first, one)
    with suppress(AttributeError, IndexError, KeyError, TypeError):  # the second place may have been in the first
        made = mangled.put(made, second, two)
    _never_raises(json.dumps(made).encode(), rules)


@given(st.sampled_from(mangled.paths(NOTIFICATION)), mangled.values)
def test_no_notification_however_mangled_raises(path: tuple[Any, ...], put: Any) -> None:
    _never_raises(json.dumps(mangled.put(NOTIFICATION, path, put)).encode(), SquarespaceRules())


@given(st.integers(0, len(order()) - 1), st.integers(0, 30), st.binary(max_size=6), st.sampled_from(_RULES))
def test_no_bytes_however_mangled_raise(at: int, length: int, put: bytes, rules: SquarespaceRules) -> None:
    body = order()
    _never_raises(body[:at] + put + body[at + length :], rules)


@given(st.text(max_size=80), st.binary(max_size=30))
def test_no_signature_however_mangled_raises(given_signature: str, body: bytes) -> None:
    headers = CIMultiDict({"Squarespace-Signature": given_signature})
    assert isinstance(SITE.verify(headers, body, now=NOW), Authentic | Unauthentic)


def test_the_tax_that_is_left_to_jetti_is_noted_and_each_line_says_where_it_comes_from() -> None:
    assert "/taxTotal" in noted(order())
    assert "/taxTotal" not in noted(order(), SquarespaceRules(taxes="send"))
    assert len(mapped(order()).origins) == len(mapped(order()).sale.line_items)


@pytest.mark.parametrize(
    ("total", "changes", "told"),
    [
        ("68.12", {}, False),
        (68.12, {}, False),
        ("58.12", {}, True),
        ("65.02", {"priceTaxInterpretation": "INCLUSIVE"}, False),
        ("68.12", {"shippingLines": []}, False),
        ("example string", {}, False),
        (None, {}, False),
    ],
)
def test_a_total_that_is_another_than_that_of_its_parts_is_noted(
    total: object, changes: dict[str, Any], told: bool
) -> None:
    body = order(grandTotal={"value": total, "currency": "USD"}, **changes)
    assert ("/grandTotal" in noted(body)) is told
