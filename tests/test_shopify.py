import base64
import hmac
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
from relay.core.sources.shopify import Shopify, ShopifyRules
from tests.fixtures import FOLDER, fixture, names, sample

NOW = 1_795_000_000_000_000
SHOP = Shopify(("hush",))
WHOLE_REMEDY = " in the storefront's table, restart, then change the order in the shop so that it sends a new webhook"
SENT_ANYWAY = ShopifyRules(test_orders="send", fallback_email="none@shop.example", custom_item_sku="CUSTOM")
ORDER: dict[str, Any] = json.loads(sample("shopify-order.json"))


def order(**changes: Any) -> bytes:
    return json.dumps(ORDER | changes).encode()


def line(position: int = 0, **changes: Any) -> bytes:
    lines = [dict(item) for item in ORDER["line_items"]]
    lines[position] |= changes
    return order(line_items=lines)


def identified(
    body: bytes, topic: str | None = "orders/updated", *, shop: Shopify = SHOP, **headers: str
) -> Identified:
    named = CIMultiDict({f"X-Shopify-{name.replace('_', '-')}": value for name, value in headers.items()})
    if topic is not None:
        named["X-Shopify-Topic"] = topic
    return shop.identify(named, body, now=NOW)


def mapped(body: bytes, topic: str = "orders/updated", rules: ShopifyRules | None = None) -> Mapped:
    made = Shopify(("hush",), rules or ShopifyRules()).sale(body, topic)
    assert isinstance(made, Mapped), made
    return made


def sent(body: bytes, topic: str = "orders/updated", rules: ShopifyRules | None = None) -> Any:
    return json.loads(encode(mapped(body, topic, rules).sale), parse_float=Decimal)


def noted(body: bytes, topic: str = "orders/updated", rules: ShopifyRules | None = None) -> set[str]:
    return {note.pointer for note in mapped(body, topic, rules).notes}


def refused(body: bytes, rules: ShopifyRules | None = None) -> dict[str, str]:
    made = Shopify(("hush",), rules or ShopifyRules()).sale(body, "orders/updated")
    assert isinstance(made, Unmappable)
    return {reason.pointer: reason.message for reason in made.reasons}


# Signatures


def signed(body: bytes, *, by: str = "hush") -> str:
    return base64.b64encode(hmac.digest(by.encode(), body, "sha256")).decode()


def test_the_vendors_libraries_own_signatures_are_judged_as_they_judge_them() -> None:
    for vector in json.loads(fixture("vectors/shopify-hmac.json"))["vectors"]:
        headers = CIMultiDict({"X-Shopify-Hmac-Sha256": vector["hmac"]} if vector["hmac"] else {})
        verdict = Shopify((vector["secret"],)).verify(headers, vector["body"].encode(), now=NOW)
        assert isinstance(verdict, Authentic) == vector["valid"], vector["name"]


@pytest.mark.parametrize("name", ["X-Shopify-Hmac-Sha256", "x-shopify-hmac-sha256", "shopify-hmac-sha256"])
def test_every_spelling_of_the_header_is_read(name: str) -> None:
    assert SHOP.verify(CIMultiDict({name: signed(b"{}")}), b"{}", now=NOW) == Authentic()


def test_any_of_the_secrets_may_have_signed() -> None:
    shop = Shopify(("current", "previous"))
    for secret in ("current", "previous"):
        headers = CIMultiDict({"X-Shopify-Hmac-Sha256": signed(b"{}", by=secret)})
        assert shop.verify(headers, b"{}", now=NOW) == Authentic()
    other = CIMultiDict({"X-Shopify-Hmac-Sha256": signed(b"{}", by="other")})
    assert isinstance(shop.verify(other, b"{}", now=NOW), Unauthentic)


def test_a_signature_has_one_spelling_only() -> None:
    genuine = signed(b"{}")
    digest = base64.b64decode(genuine)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    alias = genuine[:-2] + alphabet[alphabet.index(genuine[-2]) ^ 1] + "="
    assert base64.b64decode(alias) == digest
    for spelling in (alias, genuine.rstrip("="), genuine + "=", genuine.replace("=", "\u00e9"), "\udcff" * 44, ""):
        headers = CIMultiDict({"X-Shopify-Hmac-Sha256": spelling})
        assert isinstance(SHOP.verify(headers, b"{}", now=NOW), Unauthentic)


@pytest.mark.parametrize("secrets", [(), ("",), ("one", "")])
def test_a_shop_without_a_secret_is_not_configured(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        Shopify(secrets)


def test_secrets_are_never_printed() -> None:
    assert "hush" not in repr(SHOP)


# What a webhook is about

_TOPICS = {
    "appjs-refund-resource.json": "refunds/create",
    "docs-2025-01-fulfillments-create.json": "fulfillments/create",
    "docs-2025-01-orders-cancelled.json": "orders/cancelled",
    "docs-2025-01-orders-create.json": "orders/create",
    "docs-2025-01-orders-delete.json": "orders/delete",
    "docs-2025-01-orders-edited.json": "orders/edited",
    "docs-2025-01-orders-risk-assessment.json": "orders/risk_assessment_changed",
    "docs-2025-01-refunds-create.json": "refunds/create",
    "docs-2026-04-orders-cancelled.json": "orders/cancelled",
    "docs-2026-04-orders-create.json": "orders/create",
    "docs-2026-04-orders-edited.json": "orders/edited",
    "docs-2026-04-orders-link-requested.json": "orders/link_requested",
    "real-anonymised-order-edit.json": "orders/edited",
    "real-anonymised-refund.json": "refunds/create",
}
_IPODS = [("466157049", "39072856"), ("518995019", "49148385"), ("703073504", "457924702")]


def _ipods(*quantities: int) -> list[tuple[str, int, str, dict[str, str]]]:
    return [(id_, n, "199", {"externalId": v}) for (id_, v), n in zip(_IPODS, quantities, strict=True)]


_NO_EMAIL, _NO_VARIANT = {"/email"}, "/line_items/{}/variant_id"
_TRIMMED = {"/line_items"}
# What every real payload is, and for orders what comes of it: the lines of the sale, or the pointers of the reasons.
_REAL: dict[str, tuple[type[Any], str | None, Any]] = {
    "appjs-cancelled-refunded.json": (Cancel, "450789469", _ipods(0, 0, 0)),
    "appjs-customer-deleted-but-addresses.json": (Upsert, "450789469", _ipods(0, 1, 0)),
    "appjs-discount-code.json": (Upsert, "1073459981", [("1071823193", 1, "199", {"externalId": "447654529"})]),
    "appjs-email-changed-by-merchant.json": (Upsert, "450789469", _ipods(0, 1, 0)),
    "appjs-eur-null-customer.json": (Upsert, "1073459976", {_NO_VARIANT.format(0), *_NO_EMAIL}),
    "appjs-fields-subset-include-fields.json": (Upsert, "450789469", _TRIMMED),
    "appjs-fields-subset-line-items-only.json": (Upsert, "450789469", _NO_EMAIL),
    "appjs-guest-no-customer-no-address.json": (Upsert, "1073459969", _NO_EMAIL),
    "appjs-paid-fulfilled-no-addresses.json": (
        Upsert, "1073459972", [("1071823184", 1, "199", {"externalId": "447654529"})],
    ),
    "appjs-pending-customer-no-addresses.json": (
        Upsert, "1073459983", [("1071823195", 1, "199", {"externalId": "447654529"})],
    ),
    "appjs-refund-resource.json": (Ignore, None, None),
    "appjs-three-items-taxes-null-customer.json": (
        Upsert, "1073459963", {*(_NO_VARIANT.format(i) for i in range(3)), *_NO_EMAIL},
    ),
    "appjs-updated-authorized.json": (Upsert, "450789469", _ipods(0, 1, 0)),
    "appjs-with-note.json": (Upsert, "450789469", _ipods(0, 1, 0)),
    "docs-2025-01-fulfillments-create.json": (Ignore, None, None),
    "docs-2025-01-orders-cancelled.json": (Ignore, None, None),
    "docs-2025-01-orders-create.json": (Ignore, None, None),
    "docs-2025-01-orders-delete.json": (Cancel, "820982911946154500", _TRIMMED),
    "docs-2025-01-orders-edited.json": (Ignore, None, None),
    "docs-2025-01-orders-risk-assessment.json": (Ignore, None, None),
    "docs-2025-01-refunds-create.json": (Ignore, None, None),
    "docs-2026-04-orders-cancelled.json": (Ignore, None, None),
    "docs-2026-04-orders-create.json": (Ignore, None, None),
    "docs-2026-04-orders-edited.json": (Ignore, None, None),
    "docs-2026-04-orders-link-requested.json": (Ignore, None, None),
    "go-shopify-order.json": (Ignore, None, None),
    "jpy-cjk-2-items.json": (Upsert, "4216042061977", _NO_EMAIL),
    "lineitem-properties-empty-object.json": (NotUnderstood, None, None),
    "lineitem-properties-invalid0.BROKEN.json": (NotUnderstood, None, None),
    "lineitem-properties-invalid1.json": (NotUnderstood, None, None),
    "lineitem-properties-object.json": (NotUnderstood, None, None),
    "lineitem-properties-ommited.json": (NotUnderstood, None, None),
    "lineitem-valid.json": (NotUnderstood, None, None),
    "minimal-64bit-id.json": (Upsert, "820982911946154508", _TRIMMED),
    "pyapi-order-rest-wrapped.json": (Upsert, "450789469", _ipods(1, 1, 1)),
    "pyapi-order.json": (Upsert, "450789469", _ipods(1, 1, 1)),
    "real-anonymised-47-properties.json": (
        Upsert, "123",
        {"/line_items/0/price", "/line_items/1/price", "/line_items/1/id", "/shipping_lines/0/discounted_price"},
    ),
    "real-anonymised-6-properties.json": (
        Upsert, "123",
        {"/line_items/0/price", "/line_items/1/price", "/line_items/1/id", "/shipping_lines/0/discounted_price"},
    ),
    "real-anonymised-fulfilled.json": (
        Upsert, "123", {"/line_items/0/price", "/shipping_lines/0/discounted_price"},
    ),
    "real-anonymised-no-shipping-lines.json": (Upsert, "123", {"/line_items/0/price", *_NO_EMAIL}),
    "real-anonymised-order-edit.json": (Ignore, None, None),
    "real-anonymised-refund.json": (Ignore, None, None),
    "webhookdb-redacted-no-customer-no-billing.json": (Ignore, None, None),
}  # fmt: skip


def test_every_real_payload_has_an_expectation() -> None:
    if not (FOLDER / "shopify").is_dir():
        pytest.skip(f"the third-party payloads are missing; set RELAY_FIXTURES to a folder like {FOLDER}")
    assert names("shopify") == sorted(_REAL)


def _lines(made: Mapped) -> list[tuple[str, int, str, dict[str, str]]]:
    lines = json.loads(encode(made.sale), parse_float=str, parse_int=str)["lineItems"]
    return [(item["externalId"], int(item["quantity"]), item["price"], item["variant"]) for item in lines]


@pytest.mark.parametrize("name", sorted(_REAL))
def test_every_real_payload_has_its_disposition_and_every_order_its_sale(name: str) -> None:
    body, topic = fixture(f"shopify/{name}"), _TOPICS.get(name, "orders/updated")
    disposition, external_id, expected = _REAL[name]
    event = identified(body, topic, Webhook_Id="w1")
    assert isinstance(event, disposition)
    if isinstance(event, Upsert | Cancel):
        assert (event.external_id, event.dedupe_key, event.topic) == (external_id, "w1", topic)
        made = SHOP.sale(body, topic)
        found = _lines(made) if isinstance(made, Mapped) else {reason.pointer for reason in made.reasons}
        assert found == expected


def test_a_real_order_becomes_this_sale() -> None:
    assert sent(fixture("shopify/appjs-discount-code.json")) == {
        "externalId": "1073459981",
        "customer": {"email": "jane@example.com", "firstName": "John", "lastName": "Smith", "phone": "+18885551234"},
        "lineItems": [
            {
                "externalId": "1071823193",
                "name": "IPod Touch 8GB - Black",
                "quantity": 1,
                "price": 199,
                "taxable": True,
                "variant": {"externalId": "447654529"},
            }
        ],
        "saleDefaults": {
            "reference": "#1002",
            "dateOrdered": "2025-04-02T16:31:38.000Z",
            "discounts": Decimal("17.91"),
            "billingFirstName": "John",
            "billingLastName": "Smith",
            "billingName": "John Smith",
            "billingAddressLineOne": "123 Fake Street",
            "billingCity": "Fakecity",
            "billingState": "ON",
            "billingZip": "K2P 1L4",
            "billingCountry": "CA",
            "shippingFirstName": "Jane",
            "shippingLastName": "Smith",
            "shippingName": "Jane Smith",
            "shippingAddressLineOne": "123 Fake Street",
            "shippingCity": "Fakecity",
            "shippingState": "ON",
            "shippingZip": "K2P 1L4",
            "shippingCountry": "CA",
        },
    }


def test_a_discount_that_only_the_allocations_know_is_taken_off_the_net_price() -> None:
    body = sent(fixture("shopify/appjs-discount-code.json"), rules=ShopifyRules(discounts="net"))
    assert body["lineItems"][0]["price"] == Decimal("181.09")
    assert "discounts" not in body["saleDefaults"]


def test_the_merchants_correction_of_the_e_mail_wins() -> None:
    assert sent(fixture("shopify/appjs-email-changed-by-merchant.json"))["customer"]["email"] == "a-different@email.com"


def test_a_real_cancellation_says_so_in_the_sale() -> None:
    assert (
        sent(fixture("shopify/appjs-cancelled-refunded.json"))["saleDefaults"]
        | {
            "cancelled": True,
            "cancelledAt": "2025-04-02T16:31:21.000Z",
            "channelCancelledAt": "2025-04-02T16:31:21.000Z",
            "cancelReason": "other",
        }
        == sent(fixture("shopify/appjs-cancelled-refunded.json"))["saleDefaults"]
    )


def test_yen_have_no_decimals_and_names_keep_their_script() -> None:
    first = sent(fixture("shopify/jpy-cjk-2-items.json"), rules=SENT_ANYWAY)["lineItems"][0]
    assert (first["price"], first["quantity"]) == (5900, 2)
    assert first["name"].endswith(" / XS")
    assert first["name"].startswith("女款")


def test_the_documents_test_orders_are_mapped_where_they_are_wanted() -> None:
    body = fixture("shopify/docs-2026-04-orders-create.json")
    assert isinstance(identified(body, "orders/create", shop=Shopify(("s",), SENT_ANYWAY)), Cancel)
    sale = sent(body, "orders/create", SENT_ANYWAY)
    assert [item["variant"]["sku"] for item in sale["lineItems"]][:2] == ["SKU2006-001", "LENS-PROTECT-2YR"]
    assert sale["options"] == {"findOrCreateChannelVariant": True}
    assert sale["saleDefaults"]["cancelReason"] == "customer"


def test_a_wrapped_order_is_the_same_order() -> None:
    wrapped = fixture("shopify/pyapi-order-rest-wrapped.json")
    bare = fixture("shopify/pyapi-order.json")
    assert mapped(wrapped).sale == mapped(bare).sale
    assert identified(wrapped, Webhook_Id="w") == identified(bare, Webhook_Id="w")
    assert [note.pointer for note in mapped(wrapped).notes] == ["/order/note_attributes", "/order/total_tax"]


@pytest.mark.parametrize(
    "topic", ["create", "updated", "paid", "partially_fulfilled", "fulfilled", "cancelled"]
)  # "cancelled" on a body that is alive is a replay under another, unsigned topic
def test_an_order_under_any_order_topic_is_its_latest_state(topic: str) -> None:
    event = identified(order(), f"orders/{topic}", Webhook_Id="w")
    assert event == Upsert(
        "9007199254740993",
        instant.parse("2026-11-21T05:00:07Z"),
        "w",
        f"orders/{topic}",
        "#2001",
        instant.parse("2026-11-21T04:59:59Z"),
    )


@pytest.mark.parametrize(
    "topic",
    ["orders/edited", "orders/link_requested", "orders/risk_assessment_changed", "refunds/create",
     "orders/shopify_protect_eligibility_changed", "fulfillments/create", "fulfillments/update",
     "customers/data_request", "customers/redact", "shop/redact", "products/update", "orders/of_tomorrow"],
)  # fmt: skip
def test_other_topics_are_ignored_by_name_even_where_the_body_has_an_orders_shape(topic: str) -> None:
    event = identified(order(), topic)
    assert isinstance(event, Ignore)
    assert event.reason.startswith(f"{topic}: ")


def test_an_order_without_a_topic_is_kept() -> None:
    assert isinstance(identified(order(), None), Upsert)
    assert isinstance(identified(order(), "x" * 100_000), Upsert)
    assert isinstance(identified(order(), "\udcff"), Upsert)
    assert isinstance(identified(b'{"id":1}', None), NotUnderstood)


def test_headers_without_the_prefix_are_read() -> None:
    headers = CIMultiDict({"shopify-topic": "orders/paid", "shopify-webhook-id": "w9"})
    event = SHOP.identify(headers, order(), now=NOW)
    assert isinstance(event, Upsert)
    assert (event.topic, event.dedupe_key) == ("orders/paid", "w9")


@pytest.mark.parametrize("topic", ["orders/updated", "orders/create", "orders/cancelled", "refunds/x", None])
def test_what_cancels_an_order_is_in_its_body(topic: str | None) -> None:
    event = identified(order(cancelled_at="2026-11-22T00:00:00Z"), topic)
    if topic == "refunds/x":
        assert isinstance(event, Ignore)
    else:
        assert isinstance(event, Cancel)
        assert event.complete


def test_a_live_order_replayed_as_a_deletion_is_not_cancelled() -> None:
    assert isinstance(identified(order(), "orders/delete"), Upsert)


def test_a_deletion_cancels_without_being_the_whole_order() -> None:
    event = identified(b'{"id":9007199254740993}', "orders/delete")
    assert isinstance(event, Cancel)
    assert (event.external_id, event.complete, event.version) == ("9007199254740993", False, None)


def test_a_trimmed_cancellation_is_still_one() -> None:
    event = identified(b'{"id":1,"updated_at":"2026-11-21T00:00:00Z"}', "orders/cancelled")
    assert isinstance(event, Cancel)
    assert not event.complete
    whole = {name: value for name, value in ORDER.items() if name != "cancelled_at"}
    untold = json.dumps(whole).encode()
    assert isinstance(identified(untold, "orders/cancelled"), Cancel)
    assert sent(untold, "orders/cancelled")["saleDefaults"]["cancelledAt"] == "2026-11-21T05:00:07.000Z"


@pytest.mark.parametrize(
    ("reason", "sent_as"),
    [("customer", "customer"), ("fraud", "fraud"), ("inventory", "inventory"), ("declined", "declined"),
     ("staff", "other"), ("other", "other"), (None, "other"), (7, "other"), (["customer"], "other")],
)  # fmt: skip
def test_a_cancellation_has_one_of_the_reasons_jetti_knows(reason: object, sent_as: str) -> None:
    body = order(cancelled_at="2026-11-22T00:00:00Z", cancel_reason=reason)
    assert sent(body)["saleDefaults"]["cancelReason"] == sent_as


def test_a_trimmed_body_is_tied_to_its_order_and_refused_with_the_remedy() -> None:
    body = b'{"id":1,"updated_at":"2026-11-21T00:00:00Z"}'
    assert isinstance(identified(body), Upsert)
    assert "include_fields" in refused(body)["/line_items"]
    assert refused(body)["/line_items"].endswith(", then change the order in the shop so that it sends a new webhook")


def test_test_orders_are_ignored_by_default_with_the_settings_name() -> None:
    event = identified(order(test=True))
    assert isinstance(event, Ignore)
    assert "test_orders" in event.reason
    assert isinstance(identified(order(test=True), shop=Shopify(("s",), ShopifyRules(test_orders="send"))), Upsert)


# Versions and repetitions


def test_versions_are_instants_and_not_texts() -> None:
    in_new_york, in_utc = (
        identified(order(updated_at="2026-11-20T20:00:00-05:00")),
        identified(order(updated_at="2026-11-21T00:59:59Z")),
    )
    assert isinstance(in_new_york, Upsert)
    assert isinstance(in_utc, Upsert)
    assert in_new_york.version is not None
    assert in_utc.version is not None
    assert in_new_york.version > in_utc.version


def test_a_body_without_a_date_has_the_triggers() -> None:
    triggered_at = "2026-11-01T00:00:00.123456789Z"
    event = identified(order(updated_at=None), Triggered_At=triggered_at)
    assert isinstance(event, Upsert)
    assert event.version == instant.parse("2026-11-01T00:00:00.123456Z")
    dated = identified(order(), Triggered_At=triggered_at)
    assert isinstance(dated, Upsert)
    assert dated.version == instant.parse("2026-11-21T05:00:07Z")


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59Z", "soon", "0001-01-01T00:00:00+14:00", "", "1" * 300])
def test_an_unsigned_date_that_claims_the_future_or_is_none_is_no_version(value: str) -> None:
    event = identified(order(updated_at=None), Triggered_At=value)
    assert isinstance(event, Upsert)
    assert event.version is None


def test_a_retry_is_the_same_webhook_and_another_delivery_is_not() -> None:
    first, retry = identified(order(), Webhook_Id="w1"), identified(order(), "orders/updated", Webhook_Id="w1")
    other = identified(order(), Webhook_Id="w2", Event_Id="e1")
    assert first.dedupe_key == retry.dedupe_key == "w1"
    assert other.dedupe_key == "w2"


def test_without_an_id_topic_and_body_tell_webhooks_apart() -> None:
    keys = {
        identified(body, topic).dedupe_key for body in (order(), order(note="x")) for topic in ("orders/paid", None)
    }
    assert len(keys) == 4
    assert identified(order()).dedupe_key == identified(order()).dedupe_key


def test_without_an_id_or_a_date_each_arrival_is_its_own_webhook() -> None:
    headers = CIMultiDict({"X-Shopify-Topic": "orders/updated"})
    first, second = (SHOP.identify(headers, b'{"id":1}', now=NOW + later) for later in (0, 1))
    assert first.dedupe_key != second.dedupe_key


@pytest.mark.parametrize("webhook_id", ["x" * 100_000, "a\x00b", "\udcff", "é"])
def test_an_id_that_cannot_be_stored_is_replaced_by_a_digest(webhook_id: str) -> None:
    assert identified(order(), Webhook_Id=webhook_id).dedupe_key.startswith("sha256:")


# What is not an order


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"null", b"7", b'"text"', b"{}", b'{"id":null}', b'{"id":0}', b'{"id":-5}',
     b'{"id":true}',
     b'{"id":1.0}', b'{"id":1e3}', b'{"id":""}', b'{"id":"abc"}', b'{"id":[1]}', b'{"id":9223372036854775808}',
     '{"id":"١"}'.encode(), b'{"id":NaN}', b'{"id":1e999999}', b'{"id":"\\ud800"}', b'{"id":"\xff"}', b"\xef\xbb\xbf{}",
     b'{"order":null}', b'{"order":[]}', b'{"order":{}}', b'{"id":' + b"9" * 6000 + b"}",
     b'{"id":1,"z":' + b"[" * 100_000, b'{"id":1,"z":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
     b'{"id":1,"admin_graphql_api_id":"gid://shopify/DraftOrder/1","line_items":[]}',
     b'{"id":1,"order_id":2,"line_items":[]}', b'{"order_edit":{"order_id":1}}'],
)  # fmt: skip
def test_an_authentic_body_without_an_order_is_not_understood_and_never_an_accident(body: bytes) -> None:
    for topic in ("orders/updated", None):
        event = identified(body, topic)
        assert isinstance(event, NotUnderstood)
        assert event.reasons


@pytest.mark.parametrize("value", [820982911946154508, "820982911946154508"])
def test_ids_beyond_double_precision_stay_what_they_are(value: object) -> None:
    event = identified(order(id=value))
    assert isinstance(event, Upsert)
    assert event.external_id == sent(order(id=value))["externalId"] == "820982911946154508"


def test_the_last_of_two_equal_fields_counts_for_the_order_and_its_sale_alike() -> None:
    body = order().replace(b'"id": 9007199254740993', b'"id": 5, "id": 6', 1)
    event = identified(body)
    assert isinstance(event, Upsert)
    assert event.external_id == sent(body)["externalId"] == "6"


# The sale


def test_an_order_becomes_this_sale() -> None:
    assert sent(order()) == {
        "externalId": "9007199254740993",
        "customer": {
            "email": "orders@buyer.example",
            "firstName": "Ada",
            "lastName": "Buyer",
            "phone": "+1 555 0100",
        },
        "lineItems": [
            {
                "externalId": "11",
                "name": "Mug - Blue",
                "quantity": 3,
                "price": Decimal("12.345"),
                "taxable": True,
                "variant": {"externalId": "9007199254740995"},
                "properties": [
                    {"key": "Engraving", "value": "A & B"},
                    {"key": "_bundle", "value": "x1"},
                    {"key": "count", "value": "2"},
                ],
            },
            {
                "externalId": "12",
                "name": "Poster",
                "quantity": 1,
                "price": 20,
                "taxable": False,
                "variant": {"sku": "POSTER"},
            },
        ],
        "saleDefaults": {
            "reference": "#2001",
            "dateOrdered": "2026-11-21T04:59:59.000Z",
            "notes": "Ring twice.",
            "discounts": 3,
            "billingFirstName": "Ada",
            "billingLastName": "Buyer",
            "billingName": "Ada Buyer",
            "billingAddressLineOne": "1 Ledger Lane",
            "billingCity": "Toronto",
            "billingState": "ON",
            "billingZip": "M5V 2T6",
            "billingCountry": "CA",
            "shippingFirstName": "Grace",
            "shippingLastName": "Receiver",
            "shippingName": "Grace Receiver",
            "shippingAddressLineOne": "2 Parcel Place",
            "shippingAddressLineTwo": "Unit 5",
            "shippingCity": "Montréal",
            "shippingState": "QC",
            "shippingZip": "H2Y 1C6",
            "shippingCountry": "CA",
        },
        "shipping": [{"code": "EXP", "name": "Express", "price": Decimal("7.5")}],
        "options": {"findOrCreateChannelVariant": True},
    }


def test_what_a_sale_leaves_out_is_noted() -> None:
    assert noted(order()) == {
        "/note_attributes",
        "/shipping_address/company",
        "/phone",
        "/presentment_currency",
        "/total_tax",
    }


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"total_tip_received": "4.87"}, "/total_tip_received"),
        ({"current_total_duties_set": {"shop_money": {"amount": "9.10"}}}, "/current_total_duties_set"),
        ({"original_total_duties_set": {"shop_money": {"amount": "9.10"}}}, "/original_total_duties_set"),
        ({"current_total_additional_fees_set": {"shop_money": {"amount": 2}}}, "/current_total_additional_fees_set"),
        ({"payment_gateway_names": ["shopify_payments", "gift_card"]}, "/payment_gateway_names"),
        ({"payment_gateway_names": ["shopify_store_credit"]}, "/payment_gateway_names"),
        ({"refunds": [{"order_adjustments": [{"amount": "-5.00"}]}]}, "/refunds"),
        ({"refunds": [{"refund_line_items": [], "transactions": [{"amount": "5.00"}]}]}, "/refunds"),
        ({"shipping_address": None, "line_items": [ORDER["line_items"][0] | {"requires_shipping": True}]},
         "/shipping_address"),
        ({"total_tax": "0.01"}, "/total_tax"),
    ],
)  # fmt: skip
def test_money_and_addresses_that_a_sale_does_not_carry_are_noted(changes: dict[str, Any], pointer: str) -> None:
    assert pointer in noted(order(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"current_total_duties_set": {"shop_money": {"amount": "0.00"}},
         "original_total_duties_set": {"shop_money": {"amount": "9.10"}}},  # refunded
        {"current_total_duties_set": None, "original_total_additional_fees_set": {}},
        {"payment_gateway_names": ["bogus", None, {}], "total_tip_received": "0.00"},
        {"refunds": [{"refund_line_items": [{"quantity": 1}], "transactions": [{"amount": "5.00"}],
                      "order_adjustments": []}],
         "line_items": [ORDER["line_items"][0] | {"current_quantity": 2}]},
        {"total_tax": "0.00", "shipping_address": None},
        {"total_tax": None},
    ],
)  # fmt: skip
def test_what_is_nothing_is_not_noted(changes: dict[str, Any]) -> None:
    left = noted(order(**changes)) - {"/note_attributes", "/shipping_address/company", "/phone",
                                      "/presentment_currency", "/total_tax"}  # fmt: skip
    assert left == set()
    assert ("/total_tax" in noted(order(**changes))) == ("total_tax" not in changes)


def test_discounts_of_which_no_line_says_its_share_are_sent_for_the_whole_order() -> None:
    old = [{key: value for key, value in item.items() if key != "discount_allocations"} for item in ORDER["line_items"]]
    body = order(line_items=old, total_discounts="6.50", shipping_lines=[])
    for discounts in ("gross", "net"):
        rules = ShopifyRules(discounts=discounts)
        assert sent(body, rules=rules)["saleDefaults"]["discounts"] == Decimal("6.5")
        assert "/total_discounts" in noted(body, rules=rules)
    assert "/total_discounts" not in noted(order(total_discounts="6.50"))
    assert "/total_discounts" in noted(order(line_items=old, total_discounts="a lot", shipping_lines=[]))


def test_a_discount_on_shipping_is_taken_off_also_where_only_its_allocations_say_so() -> None:
    line = {"title": "Post", "price": "10.00", "discount_allocations": [{"amount": "4.00"}, {"amount": "8.00"}]}
    assert (
        sent(order(shipping_lines=[line | {"discount_allocations": [{"amount": "4.00"}]}]))["shipping"][0]["price"] == 6
    )
    assert sent(order(shipping_lines=[line]))["shipping"][0]["price"] == 0
    assert sent(order(shipping_lines=[line | {"discounted_price": "7.00"}]))["shipping"][0]["price"] == 7


def test_prices_that_contain_tax_are_said_to() -> None:
    assert sent(order(taxes_included=True))["saleDefaults"]["taxIncluded"] is True
    assert "taxIncluded" not in sent(order(taxes_included=False))["saleDefaults"]


def test_tags_are_sent_on_request() -> None:
    body = order(tags="wholesale, new ,, b2b")
    assert sent(body, rules=ShopifyRules(tags=True))["saleDefaults"]["tags"] == ["wholesale", "new", "b2b"]
    assert "tags" not in sent(body)["saleDefaults"]
    assert "tags" not in sent(order(tags=""), rules=ShopifyRules(tags=True))["saleDefaults"]


def test_each_line_says_where_it_comes_from() -> None:
    body = line(0, tip={"payment_gateway": "card"})
    made = mapped(body)
    assert made.origins == tuple(f"/line_items/{i}" for i in range(1, len(ORDER["line_items"])))
    wrapped = json.dumps({"order": json.loads(body)}).encode()
    assert mapped(wrapped).origins == tuple("/order" + str(origin) for origin in made.origins)


def test_one_side_of_the_money_is_taken_consistently() -> None:
    sale = sent(order(), rules=ShopifyRules(money="presentment", taxes="send"))
    assert [item["price"] for item in sale["lineItems"]] == [Decimal("16.9"), Decimal("27.4")]
    assert sale["shipping"][0]["price"] == Decimal("10.28")
    assert (sale["saleDefaults"]["discounts"], sale["saleDefaults"]["tax"]) == (Decimal("4.11"), Decimal("4.25"))


@pytest.mark.parametrize(
    "price_set",
    [None, {}, {"presentment_money": None}, [], {"presentment_money": {"amount": "1", "currency_code": "USD"}}],
)
def test_a_missing_other_side_is_refused_and_never_mixed(price_set: object) -> None:
    reasons = refused(line(price_set=price_set), ShopifyRules(money="presentment"))
    assert list(reasons) == ["/line_items/0/price_set"]
    assert 'money = "shop"' in reasons["/line_items/0/price_set"]
    assert reasons["/line_items/0/price_set"].endswith(WHOLE_REMEDY)


@pytest.mark.parametrize("price", ["example string", "", None, "1,5", "NaN", "1e999999", True, [], {}, "9" * 400, "٣"])
def test_a_price_that_is_none_is_refused_by_its_pointer(price: object) -> None:
    assert list(refused(line(price=price))) == ["/line_items/0/price"]


@pytest.mark.parametrize(("price", "exact"), [("5900", "5900"), ("0.0001", "0.0001"), (19.99, "19.99"), (7, "7")])
def test_prices_are_exact_whether_text_or_number(price: object, exact: str) -> None:
    assert sent(line(price=price))["lineItems"][0]["price"] == Decimal(exact)


def test_net_prices_have_the_discounts_of_one_unit_taken_off() -> None:
    net = ShopifyRules(discounts="net")
    assert sent(order(), rules=net)["lineItems"][0]["price"] == Decimal("11.345")
    thirds = line(price="10.00", discount_allocations=[{"amount": "0.50"}, {"amount": "0.50"}])
    assert sent(thirds, rules=net)["lineItems"][0]["price"] == Decimal("9.666667")
    assert "/line_items/0/price" in noted(thirds, rules=net)
    too_much = line(discount_allocations=[{"amount": "1000.00"}])
    assert list(refused(too_much, net)) == ["/line_items/0/discount_allocations"]


def test_a_reduced_line_has_its_share_of_the_discount() -> None:
    assert sent(line(current_quantity=1))["saleDefaults"]["discounts"] == 1
    assert sent(line(current_quantity=1), rules=ShopifyRules(discounts="net"))["lineItems"][0]["price"] == Decimal(
        "11.345"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "orders@buyer.example"),
        ({"email": ""}, "orders@buyer.example"),
        ({"email": None, "contact_email": "c@buyer.example"}, "c@buyer.example"),
        ({"email": None, "contact_email": " "}, "ada@private.example"),
    ],
)
def test_the_orders_own_e_mail_goes_before_the_customers(changes: dict[str, Any], expected: str) -> None:
    assert sent(order(**changes))["customer"]["email"] == expected


def test_an_order_without_an_e_mail_is_refused_or_has_the_fallback() -> None:
    body = order(email="", contact_email=None, customer=None)
    assert "fallback_email" in refused(body)["/email"]
    assert refused(body)["/email"].endswith(WHOLE_REMEDY)
    assert sent(body, rules=SENT_ANYWAY)["customer"]["email"] == "none@shop.example"
    assert "/email" in noted(body, rules=SENT_ANYWAY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"customer": {"first_name": None, "last_name": "Only"}}, {"lastName": "Only"}),
        ({"customer": None}, {"firstName": "Grace", "lastName": "Receiver"}),
        ({"customer": {"first_name": "", "last_name": None}}, {"firstName": "Grace", "lastName": "Receiver"}),
        ({"customer": None, "shipping_address": None}, {"firstName": "Ada", "lastName": "Buyer"}),
        ({"customer": None, "shipping_address": None, "billing_address": None}, {}),
    ],
)
def test_a_person_is_named_as_a_whole_from_one_place(changes: dict[str, Any], expected: dict[str, str]) -> None:
    customer = sent(order(**changes))["customer"]
    assert {name: customer[name] for name in ("firstName", "lastName") if name in customer} == expected


def test_a_missing_address_stays_missing() -> None:
    defaults = sent(order(shipping_address=None))["saleDefaults"]
    assert not [column for column in defaults if column.startswith("shipping")]
    redacted = {name: ORDER[name] for name in ORDER if name not in ("customer", "billing_address", "shipping_address")}
    assert set(sent(json.dumps(redacted).encode())["customer"]) == {"email"}


def test_a_phone_number_jetti_cannot_take_is_left_out_and_noted() -> None:
    body = order(phone="+1 555 0100 extension 12345678901")
    assert "phone" not in sent(body)["customer"]
    assert "/phone" in noted(body)


@pytest.mark.parametrize(
    ("changes", "expected"), [({"name": ""}, "2001"), ({"name": None}, "2001"), ({"name": "#2001-A"}, "#2001-A")]
)
def test_the_reference_is_the_name_the_customer_sees(changes: dict[str, Any], expected: str) -> None:
    event = identified(order(**changes))
    assert isinstance(event, Upsert)
    assert event.reference == sent(order(**changes))["saleDefaults"]["reference"] == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("id", {"externalId": "9007199254740995"}), ("sku", {"sku": "MUG-BLUE"}),
     ("both", {"externalId": "9007199254740995", "sku": "MUG-BLUE"})],
)  # fmt: skip
def test_a_line_is_connected_as_configured(rule: Any, expected: dict[str, str]) -> None:
    assert sent(order(), rules=ShopifyRules(variant=rule))["lineItems"][0]["variant"] == expected


def test_a_custom_item_is_refused_or_connected_as_configured() -> None:
    body = line(variant_id=None, sku="")
    assert "custom_item_sku" in refused(body)["/line_items/0/variant_id"]
    assert refused(body)["/line_items/0/variant_id"].endswith(WHOLE_REMEDY)
    by_sku = sent(body, rules=SENT_ANYWAY)
    assert by_sku["lineItems"][0]["variant"] == {"sku": "CUSTOM"}
    created = sent(body, rules=ShopifyRules(find_or_create_channel_variant=True))
    assert created["lineItems"][0]["variant"] == {"externalId": "line-11"}


def test_the_option_jetti_requires_to_connect_by_sku_is_set_where_it_is_needed() -> None:
    by_id = order(line_items=[ORDER["line_items"][0]])
    assert "options" not in sent(by_id)
    assert sent(by_id, rules=ShopifyRules(find_or_create_channel_variant=True))["options"]
    never = ShopifyRules(find_or_create_channel_variant=False)
    assert "options" not in sent(order(), rules=never)
    assert "/line_items" in noted(order(), rules=never)


def test_removed_lines_tell_jetti_so_except_in_a_new_order() -> None:
    body = line(current_quantity=0)
    assert [item["quantity"] for item in sent(body)["lineItems"]] == [0, 1]
    for sale, notes in (
        (sent(body, "orders/create"), noted(body, "orders/create")),
        (sent(body, rules=ShopifyRules(removed_lines="omit")), noted(body, rules=ShopifyRules(removed_lines="omit"))),
    ):
        assert [item["externalId"] for item in sale["lineItems"]] == ["12"]
        assert "/line_items" in notes


def test_an_order_of_which_nothing_is_left_still_has_lines() -> None:
    gone = order(line_items=[item | {"current_quantity": 0} for item in ORDER["line_items"]])
    for topic in ("orders/create", "orders/updated"):
        assert [item["quantity"] for item in sent(gone, topic)["lineItems"]] == [0, 0]
    assert list(refused(order(line_items=[]))) == ["/line_items"]


@pytest.mark.parametrize("quantity", [-1, 1.5, "x", None, True, 2**31])
def test_a_quantity_that_is_none_is_refused(quantity: object) -> None:
    assert list(refused(line(quantity=quantity, current_quantity=None, discount_allocations=[]))) == [
        "/line_items/0/quantity"
    ]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([], None),
        ({}, None),
        (None, None),
        ("x", None),
        ([None, 7, {"value": "nameless"}], None),
        ({"name": "size", "value": 3}, [{"key": "size", "value": "3"}]),
        ({"size": "L", "_x": 1}, [{"key": "size", "value": "L"}, {"key": "_x", "value": "1"}]),
        ({"name": 7}, [{"key": "7", "value": ""}]),
        ([{"name": "a", "value": None}, {"name": "b", "value": [1.10, True]}],
         [{"key": "a", "value": ""}, {"key": "b", "value": "[1.1,true]"}]),
    ],
)  # fmt: skip
def test_properties_are_read_however_they_come(properties: object, expected: object) -> None:
    assert sent(line(properties=properties))["lineItems"][0].get("properties") == expected


def test_additional_details_are_appended_to_the_notes_on_request() -> None:
    rules = ShopifyRules(note_attributes=True)
    assert sent(order(), rules=rules)["saleDefaults"]["notes"] == "Ring twice.\ngift wrap: yes\ntable: 7"
    assert sent(order(note=None), rules=rules)["saleDefaults"]["notes"] == "gift wrap: yes\ntable: 7"


def test_gift_cards_are_sent_but_not_routed_unless_configured_otherwise() -> None:
    body = line(gift_card=True)
    assert sent(body)["lineItems"][0]["orderRouting"] == "ignore"
    assert "orderRouting" not in sent(body, rules=ShopifyRules(gift_cards="send"))["lineItems"][0]
    dropped = ShopifyRules(gift_cards="drop")
    assert [item["externalId"] for item in sent(body, rules=dropped)["lineItems"]] == ["12"]
    assert "/line_items/0" in noted(body, rules=dropped)


def test_tips_and_duties_are_noted() -> None:
    assert "/total_tip_received" in noted(order(total_tip_received="4.87"))
    tip = line(1, tip={"payment_gateway": "card"})
    assert [item["externalId"] for item in sent(tip)["lineItems"]] == ["11"]
    assert "/line_items/1" in noted(tip)
    assert len(sent(tip, rules=ShopifyRules(tips="send"))["lineItems"]) == 2
    assert "/line_items/0/duties" in noted(line(duties=[{"id": 1}]))


def test_names_or_codes_and_the_company_are_as_configured() -> None:
    rules = ShopifyRules(country="name", province="name", company_in_line_two=True)
    defaults = sent(order(), rules=rules)["saleDefaults"]
    assert (defaults["shippingState"], defaults["shippingCountry"]) == ("Quebec", "Canada")
    assert defaults["shippingAddressLineTwo"] == "Receiving Ltd, Unit 5"
    assert "billingAddressLineTwo" not in defaults


@pytest.mark.parametrize(("level", "expected"), [("none", None), ("code", "EXP"), ("carrier_identifier", "carrier-7")])
def test_the_service_level_is_as_configured(level: Any, expected: str | None) -> None:
    assert sent(order(), rules=ShopifyRules(service_level=level))["shipping"][0].get("serviceLevel") == expected


def test_shipping_may_be_missing_removed_or_of_an_older_version() -> None:
    assert "shipping" not in sent(order(shipping_lines=[]))
    old = {"code": None, "title": "Post", "price": "10.00"}
    assert sent(order(shipping_lines=[old, old | {"is_removed": True}]))["shipping"] == [{"name": "Post", "price": 10}]


def test_taxes_are_jettis_to_calculate_unless_configured_otherwise() -> None:
    assert not {"tax", "taxIncluded"} & set(sent(order())["saleDefaults"])
    defaults = sent(order(), rules=ShopifyRules(taxes="send"))["saleDefaults"]
    assert (defaults["tax"], defaults["taxIncluded"], defaults["taxCalculation"]) == (Decimal("3.1"), False, "custom")


def test_the_tax_is_that_of_the_units_that_are_left() -> None:
    both = {"shop_money": {"amount": "1.10", "currency_code": "USD"},
            "presentment_money": {"amount": "1.51", "currency_code": "CAD"}}  # fmt: skip
    body = order(current_total_tax="1.10", current_total_tax_set=both)
    assert sent(body, rules=ShopifyRules(taxes="send"))["saleDefaults"]["tax"] == Decimal("1.1")
    in_cad = ShopifyRules(taxes="send", money="presentment")
    assert sent(body, rules=in_cad)["saleDefaults"]["tax"] == Decimal("1.51")
    assert "/current_total_tax" in noted(body)
    assert not {"/total_tax", "/current_total_tax"} & noted(order(current_total_tax="0.00"))


@pytest.mark.parametrize("discounts", ["gross", "net"])
def test_a_real_order_of_which_units_were_refunded_comes_to_what_it_costs_now(discounts: Any) -> None:
    given = json.loads(fixture("shopify/appjs-updated-authorized.json"))
    sale = sent(json.dumps(given).encode(), rules=ShopifyRules(discounts=discounts, taxes="send"))
    lines = sum(item["price"] * item["quantity"] for item in sale["lineItems"])
    shipping = sum(item["price"] for item in sale.get("shipping", ()))
    defaults = sale["saleDefaults"]
    assert lines + shipping + defaults["tax"] - defaults.get("discounts", 0) == Decimal(given["current_total_price"])


def test_lines_with_one_id_are_refused() -> None:
    assert list(refused(line(1, id=11))) == ["/line_items/1/id"]


def test_every_reason_is_found_at_once() -> None:
    body = order(
        email=None, contact_email=None, customer=None, line_items=[{"id": None, "quantity": "x", "price": "y"}]
    )
    assert set(refused(body)) == {
        "/email",
        "/line_items/0/id",
        "/line_items/0/quantity",
        "/line_items/0/price",
        "/line_items/0/variant_id",
    }


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"line_items": {}}, "/line_items"), ({"line_items": [1]}, "/line_items/0"), ({"customer": "x"}, "/customer"),
     ({"billing_address": []}, "/billing_address"), ({"shipping_lines": "x"}, "/shipping_lines")],
)  # fmt: skip
def test_a_part_of_the_wrong_shape_is_refused_by_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    assert list(refused(order(**changes))) == [pointer]


def test_an_order_of_five_hundred_lines_is_mapped_whole() -> None:
    lines = [ORDER["line_items"][0] | {"id": n + 1} for n in range(500)]
    sale = sent(order(line_items=lines))
    assert len(sale["lineItems"]) == 500
    assert sale["saleDefaults"]["discounts"] == 1500


def test_the_same_order_is_the_same_bytes() -> None:
    shuffled = json.dumps(dict(reversed(ORDER.items()))).encode()
    assert encode(mapped(order()).sale) == encode(mapped(shuffled).sale)


# Nothing raises

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_RULES = [
    ShopifyRules(),
    SENT_ANYWAY,
    replace(SENT_ANYWAY, money="presentment", discounts="net", taxes="send", note_attributes=True, variant="both"),
]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, child in steps for found in _paths(child, (*path, step)))]


def _with(value: Any, path: tuple[Any, ...], put: Any) -> Any:
    if not path:
        return put
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], put)
    return copy


def _never_raises(body: bytes, headers: dict[str, str], rules: ShopifyRules) -> None:
    shop = Shopify(("hush",), rules)
    named = CIMultiDict(headers)
    shop.verify(named, body, now=NOW)
    event = shop.identify(named, body, now=NOW)
    event.dedupe_key.encode()
    event.topic.encode()
    made = shop.sale(body, event.topic)
    if isinstance(made, Mapped) and isinstance(event, Upsert | Cancel):
        assert made.sale.external_id == event.external_id
        assert encode(made.sale)


@given(
    st.sampled_from(_paths(ORDER)), _values, st.sampled_from(_paths(ORDER)), _values, st.sampled_from(_RULES)
)  # two places of a good order are anything at all
def test_no_order_however_mangled_raises(
    first: tuple[Any, ...], one: Any, second: tuple[Any, ...], two: Any, rules: ShopifyRules
) -> None:
    mangled = _with(ORDER, first, one)
    with suppress(AttributeError, IndexError, KeyError, TypeError):  # the second place may have been in the first
        mangled = _with(mangled, second, two)
    _never_raises(json.dumps(mangled).encode(), {"X-Shopify-Topic": "orders/updated"}, rules)


_HEADERS = [f"X-Shopify-{name}" for name in ("Topic", "Hmac-Sha256", "Webhook-Id", "Triggered-At")]
_cut: Callable[[int, int, bytes], bytes] = lambda at, n, put: order()[:at] + put + order()[at + n :]  # noqa: E731


@given(
    st.binary(max_size=60) | st.builds(_cut, st.integers(0, 6000), st.integers(0, 30), st.binary(max_size=4)),
    st.dictionaries(st.sampled_from(_HEADERS), st.text() | st.sampled_from(["orders/delete", "orders/cancelled"])),
)
def test_no_bytes_and_no_headers_raise(body: bytes, headers: dict[str, str]) -> None:
    _never_raises(body, headers, SENT_ANYWAY)


@pytest.mark.parametrize("levels", [60, 200, 400, 700, 900, 2_000, 100_000])
def test_nesting_at_any_depth_is_an_outcome(levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    for place in (b'"note": "Ring twice."', b'"properties": {}', b'"value": "A & B"', b'"cancelled_at": null'):
        name = place.partition(b":")[0]
        _never_raises(order().replace(place, name + b": " + deep, 1), {"X-Shopify-Topic": "orders/paid"}, SENT_ANYWAY)


@pytest.mark.parametrize(
    ("total", "changes", "told"),
    [
        ("64.64", {}, False),
        ("64.60", {}, False),
        ("54.64", {}, True),
        ("74.64", {}, True),
        ("54.64", {"cancelled_at": "2026-11-21T05:10:00Z"}, False),
        ("54.64", {"refunds": [{"order_adjustments": [{"amount": "-10.00"}]}]}, False),
        ("66.64", {"total_tip_received": "2.00"}, False),
        ("61.54", {"taxes_included": True}, False),
        ("example string", {}, False),
        (None, {}, False),
    ],
)
def test_a_total_that_is_another_than_that_of_its_parts_is_noted(
    total: object, changes: dict[str, Any], told: bool
) -> None:
    assert ("/current_total_price" in noted(order(current_total_price=total, **changes))) is told


@pytest.mark.parametrize(
    ("taken_off", "told"), [({"discounted_price": "7.50"}, False), ({"discounted_price": "10.00"}, True)]
)
def test_a_discount_on_shipping_that_the_price_does_not_have_is_noted(taken_off: dict[str, Any], told: bool) -> None:
    shipping = [dict(ORDER["shipping_lines"][0]) | taken_off]
    body = order(shipping_lines=shipping, current_total_price="64.64")
    assert ("/current_total_price" in noted(body)) is told
