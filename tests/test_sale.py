import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import exact, instant
from relay.core.sale import PHONE_MAX_CHARACTERS, Reason, Sale, cancelled, encode, parse
from tests.fixtures import sample

_decode = msgspec.json.Decoder(float_hook=exact.number).decode


def a_sale(**changes: Any) -> dict[str, Any]:
    return {
        "externalId": "1",
        "customer": {"email": "a@b.example"},
        "lineItems": [{"externalId": "l1", "name": "Mug", "quantity": 1, "price": 20, "variant": {"sku": "MUG"}}],
    } | changes


def a_line(**changes: Any) -> dict[str, Any]:
    return a_sale(lineItems=[{"externalId": "l1", "quantity": 1, "price": 20} | changes])


def accepted(payload: object) -> Sale:
    made = parse(payload)
    assert isinstance(made, Sale), made
    return made


def sent(payload: object, **options: Any) -> Any:
    return json.loads(encode(accepted(payload), **options))


def refused(payload: object) -> dict[str, str]:
    reasons = parse(payload)
    assert isinstance(reasons, tuple)
    return {reason.pointer: reason.message for reason in reasons}


def test_a_complete_body_is_sent_with_everything_in_it() -> None:
    given_body = json.loads(sample("native-sale.json"))
    body = sent(_decode(sample("native-sale.json")))

    lines = given_body["lineItems"]
    assert body == given_body | {
        "externalId": "5001",
        "saleDefaults": given_body["saleDefaults"]
        | {"reference": "1001", "billingZip": "10115", "locked": False, "resellerId": 1233},
        "lineItems": [
            lines[0]
            | {
                "variant": {"externalId": "123", "sku": "MUG"},
                "properties": [{"key": "engraving", "value": "A"}, {"key": "gift note", "value": "B"}],
                "warehouseId": "7",
            },
            lines[1] | {"quantity": 1, "price": 0.1},
        ],
        "shipping": [given_body["shipping"]],
    }


def test_numbers_keep_every_digit_even_in_fields_nobody_knows() -> None:
    body = encode(accepted(_decode(sample("native-sale.json"))))
    assert b'"exchangeRate":1.100000000000000088817841970012523' in body
    assert b'"deep":[1.1,null]' in body


@pytest.mark.parametrize("text", ["20", "20.0", "20.00", "2e1", "2E+1", '"20.00"', "200e-1"])
def test_one_amount_has_one_form_however_it_is_written(text: str) -> None:
    body = encode(accepted(a_line(price=_decode(text), unknown=_decode(text.strip('"')))))
    assert b'"price":20,' in body
    assert b'"unknown":20}' in body


@pytest.mark.parametrize(
    ("text", "written"), [("0.0001", "0.0001"), ("-0.0", "0"), ("1e5", "100000"), ("19.990000000000002", None)]
)
def test_amounts_are_exact(text: str, written: str | None) -> None:
    assert f'"price":{written or text},'.encode() in encode(accepted(a_line(price=_decode(text))))


@given(st.decimals(-(10**14), 10**14, places=4))
def test_money_round_trips_exactly(amount: Decimal) -> None:
    body = encode(accepted(a_line(price=str(amount))))
    price = json.loads(body, parse_float=Decimal, parse_int=Decimal)["lineItems"][0]["price"]
    assert price == amount
    assert encode(accepted(_decode(body))) == body


@pytest.mark.parametrize(
    "price",
    ["NaN", "Infinity", "1_000", "1,000.00", " 20", "٢٠", "1e999999999", "0x10", "", "9" * 500, 10**15, -(10**15),
     1.5, float("nan"), True, None, [], {}, Decimal("NaN"), Decimal("Infinity"), Decimal("1E+5000"), 10**40,
     Decimal(1).scaleb(-40)],
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused(price: object) -> None:
    assert list(refused(a_line(price=price))) == ["/lineItems/0/price"]


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ([], ""),
        (None, ""),
        ("text", ""),
        ({k: v for k, v in a_sale().items() if k != "externalId"}, "/externalId"),
        (a_sale(externalId=""), "/externalId"),
        (a_sale(externalId=True), "/externalId"),
        (a_sale(externalId=[1]), "/externalId"),
        (a_sale(externalId="a\x00b"), "/externalId"),
        (a_sale(externalId="9" * 256), "/externalId"),
        (a_sale(customer={}), "/customer/email"),
        (a_sale(customer={"email": ""}), "/customer/email"),
        (a_sale(customer={"email": None}), "/customer/email"),
        (a_sale(customer=None), "/customer"),
        (a_sale(customer={"email": "a@b.example", "phone": "1" * (PHONE_MAX_CHARACTERS + 1)}), "/customer/phone"),
        (a_sale(lineItems=[]), "/lineItems"),
        (a_sale(lineItems={}), "/lineItems"),
        (a_sale(lineItems=["x"]), "/lineItems/0"),
        (a_line(quantity=1.5), "/lineItems/0/quantity"),
        (a_line(quantity=Decimal("1.5")), "/lineItems/0/quantity"),
        (a_line(quantity=-1), "/lineItems/0/quantity"),
        (a_line(quantity=2**31), "/lineItems/0/quantity"),
        (a_line(taxable="perhaps"), "/lineItems/0/taxable"),
        (a_line(variant={}), "/lineItems/0/variant"),
        (a_line(variant={"sku": ""}), "/lineItems/0/variant"),
        (a_line(properties=[{"value": "x"}]), "/lineItems/0/properties/0/key"),
        (a_line(properties="x"), "/lineItems/0/properties"),
        (a_line(orderRouting="perhaps"), "/lineItems/0/orderRouting"),
        (a_line(manualRouting="fulfill", warehouseId=1), "/lineItems/0/orderRouting"),
        (a_line(manualRouting="fulfill", orderRouting="manual"), "/lineItems/0/warehouseId"),
        (a_line(manualRouting="dropship", orderRouting="manual"), "/lineItems/0/dropshipProviderId"),
        (a_line(manualRouting="carry", orderRouting="manual"), "/lineItems/0/manualRouting"),
        (a_sale(saleDefaults=[]), "/saleDefaults"),
        (a_sale(saleDefaults={"dateOrdered": "yesterday"}), "/saleDefaults/dateOrdered"),
        (a_sale(saleDefaults={"paymentStatus": "perhaps"}), "/saleDefaults/paymentStatus"),
        (a_sale(saleDefaults={"resellerId": "x"}), "/saleDefaults/resellerId"),
        (a_sale(saleDefaults={"notes": ["x"]}), "/saleDefaults/notes"),
        (a_sale(saleDefaults={"tags": [{}]}), "/saleDefaults/tags/0"),
        (a_sale(shipping={"price": "x"}), "/shipping/price"),
        (a_sale(shipping=[{"price": 1}, {"price": "x"}]), "/shipping/1/price"),
        (a_sale(options={"findOrCreateChannelVariant": "x"}), "/options/findOrCreateChannelVariant"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(payload: object, pointer: str) -> None:
    assert list(refused(payload)) == [pointer]


def test_every_wrong_field_has_its_own_reason_with_a_remedy() -> None:
    assert refused({"lineItems": [{"externalId": "1", "quantity": "ten", "price": "free", "orderRouting": "x"}]}) == {
        "/externalId": "required, but not given",
        "/customer": "required, but not given",
        "/lineItems/0/quantity": "expected a number such as 19.90, found 'ten'",
        "/lineItems/0/price": "expected a number such as 19.90, found 'free'",
        "/lineItems/0/orderRouting": "expected 'automated', 'manual' or 'ignore', found 'x'",
    }


def test_two_lines_with_one_id_are_refused() -> None:
    lines = [{"externalId": 7, "quantity": 1, "price": 1}, {"externalId": "7", "quantity": 1, "price": 1}]
    assert list(refused(a_sale(lineItems=lines))) == ["/lineItems/1/externalId"]


def test_pointers_escape_what_the_standard_says() -> None:
    assert list(refused(a_sale(saleDefaults={"tags": [None]}))) == ["/saleDefaults/tags/0"]


def test_a_client_may_send_what_the_vendors_own_samples_do() -> None:
    body = sent(a_sale(saleDefaults={"locked": 0, "resellerId": 1233, "billingCountry": "IT"}, options={}))
    assert body["saleDefaults"] == {"locked": False, "resellerId": 1233, "billingCountry": "IT"}
    assert body["options"] == {}


def test_a_snake_case_field_is_an_unknown_field_and_passes_through() -> None:
    assert sent(a_sale(external_id="other"))["external_id"] == "other"
    assert sent(a_sale(external_id="other"))["externalId"] == "1"


@pytest.mark.parametrize("shape", [{"price": 1}, [{"price": 1}]])
def test_shipping_may_be_one_line_or_many(shape: object) -> None:
    assert sent(a_sale(shipping=shape))["shipping"] == [{"price": 1}]


def test_what_was_never_set_is_not_sent_and_an_explicit_null_is() -> None:
    assert set(sent(a_sale())) == {"externalId", "customer", "lineItems"}
    body = sent(a_sale(saleDefaults={"notes": None, "new": None}, unknown=None, options=None, shipping=None))
    assert body["saleDefaults"] == {"notes": None, "new": None}
    assert body["unknown"] is None
    assert (body["options"], body["shipping"]) == ({}, [])


def test_properties_are_accepted_in_either_style_and_sent_in_the_configured_one() -> None:
    payload = a_line(
        properties=[{"key": "a", "value": 1, "x": 2}, {"name": "b", "value": "2"}, {"key": "c", "name": "C"}]
    )
    as_key = [{"key": "a", "value": 1, "x": 2}, {"key": "b", "value": "2"}, {"key": "c", "name": "C"}]
    as_name = [{"name": "a", "value": 1, "x": 2}, {"name": "b", "value": "2"}, {"key": "c", "name": "C"}]
    assert sent(payload)["lineItems"][0]["properties"] == as_key
    assert sent(payload, property_style="name")["lineItems"][0]["properties"] == as_name


@pytest.mark.parametrize(
    "routing",
    [
        {"manualRouting": "fulfill", "warehouseId": "7"},
        {"manualRouting": "dropship", "dropshipProviderId": "9"},
        {"manualRouting": {"dropship": {"dropshipProviderId": 9}}},
    ],
)
def test_manual_routing_goes_through_as_it_was_given(routing: dict[str, object]) -> None:
    line = sent(a_line(orderRouting="manual", **routing))["lineItems"][0]
    assert {name: line[name] for name in routing} == routing


def test_equal_sales_are_equal_bytes_whatever_the_order_of_their_fields() -> None:
    payload = _decode(sample("native-sale.json"))

    def reversed_fields(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reversed_fields(value[name]) for name in reversed(value)}
        return [reversed_fields(item) for item in value] if isinstance(value, list) else value

    assert encode(accepted(reversed_fields(payload))) == encode(accepted(payload))


def test_a_cancelled_sale_says_so_and_keeps_what_it_already_said() -> None:
    at = instant.parse("2026-11-21T10:00:00Z")
    plain = cancelled(accepted(a_sale(saleDefaults={"reference": "#1", "cancelled": False})), at=at, reason="fraud")
    assert json.loads(encode(plain))["saleDefaults"] == {
        "reference": "#1",
        "cancelled": True,
        "cancelledAt": "2026-11-21T10:00:00.000Z",
        "channelCancelledAt": "2026-11-21T10:00:00.000Z",
        "cancelReason": "fraud",
    }
    told = {"cancelledAt": "2026-01-01T00:00:00Z", "cancelReason": "customer"}
    kept = cancelled(accepted(a_sale(saleDefaults=told)), at=at, reason="fraud").sale_defaults
    assert (kept.cancelled_at, kept.cancel_reason) == ("2026-01-01T00:00:00Z", "customer")
    assert encode(cancelled(plain, at=0, reason="other")) == encode(plain)


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(-100, 100, places=3) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("externalId", "saleDefaults", "customer", "lineItems", "shipping", "options", "unknown")


@given(st.dictionaries(st.sampled_from(_FIELDS), _json_values), st.dictionaries(_text, _json_values))
def test_no_payload_raises_and_what_is_accepted_is_stable(changes: dict[str, Any], defaults: dict[str, Any]) -> None:
    as_sent = msgspec.json.Encoder(decimal_format="number").encode(a_sale(saleDefaults=defaults) | changes)
    made = parse(_decode(as_sent))
    if isinstance(made, Sale):
        body = encode(made)
        assert encode(accepted(_decode(body))) == body
    else:
        assert made
        assert all(isinstance(reason, Reason) for reason in made)
