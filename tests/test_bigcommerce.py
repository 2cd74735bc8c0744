import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks.webhooks import Webhook

from relay.core import instant
from relay.core.sale import encode
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
    Thin,
    Unauthentic,
    Unmappable,
    Upsert,
    standard_signature,
)
from relay.core.sources.bigcommerce import BigCommerce, BigCommerceRules
from tests import mangled
from tests.fixtures import FOLDER, fixture, names, sample

NOW = 1_795_000_000_000_000
SHOP = BigCommerce(("hush",))
THIN: Thin = SHOP
SENT_ANYWAY = BigCommerceRules(test_orders="send", fallback_email="none@shop.example", custom_item_sku="CUSTOM")
DOCUMENT: dict[str, Any] = json.loads(sample("bigcommerce-order.json"))
WEBHOOK: dict[str, Any] = {
    "scope": "store/order/updated",
    "store_id": "1000001",
    "data": {"type": "order", "id": 7001},
    "hash": "aa11",
    "created_at": 1795000000,
    "producer": "stores/x4mpl3",
}


def webhook(**changes: Any) -> bytes:
    return json.dumps(WEBHOOK | changes).encode()


def document(**changes: Any) -> bytes:
    return json.dumps(DOCUMENT | changes).encode()


def order(**changes: Any) -> bytes:
    return document(order=DOCUMENT["order"] | changes)


def billing(**changes: Any) -> bytes:
    return order(billing_address=DOCUMENT["order"]["billing_address"] | changes)


def line(position: int = 0, **changes: Any) -> bytes:
    lines = [dict(item) for item in DOCUMENT["products"]]
    lines[position] |= changes
    return document(products=lines)


def two_addresses(**of_second_line: Any) -> bytes:
    other = DOCUMENT["shipping_addresses"][0] | {"id": 62, "first_name": "Hedy", "street_1": "9 Side Street"}
    body = json.loads(line(1, order_address_id=62, **of_second_line))
    return json.dumps(body | {"shipping_addresses": [*DOCUMENT["shipping_addresses"], other]}).encode()


def identified(body: bytes, *, shop: BigCommerce = SHOP, **headers: str) -> Identified:
    return shop.identify(CIMultiDict({name.replace("_", "-"): v for name, v in headers.items()}), body, now=NOW)


def fetched(body: bytes, rules: BigCommerceRules | None = None) -> Identified:
    return BigCommerce(("hush",), rules=rules or BigCommerceRules()).identify_fetched(body, now=NOW)


def mapped(body: bytes, rules: BigCommerceRules | None = None) -> Mapped:
    made = BigCommerce(("hush",), rules=rules or BigCommerceRules()).sale(body, FETCHED_TOPIC)
    assert isinstance(made, Mapped), made
    return made


def sent(body: bytes, rules: BigCommerceRules | None = None) -> Any:
    return json.loads(encode(mapped(body, rules).sale), parse_float=Decimal)


def noted(body: bytes, rules: BigCommerceRules | None = None) -> set[str]:
    return {note.pointer for note in mapped(body, rules).notes}


def refused(body: bytes, rules: BigCommerceRules | None = None) -> dict[str, str]:
    made = BigCommerce(("hush",), rules=rules or BigCommerceRules()).sale(body, FETCHED_TOPIC)
    assert isinstance(made, Unmappable)
    return {reason.pointer: reason.message for reason in made.reasons}


# Genuine or not


@pytest.mark.parametrize("name", ["X-Relay-Secret", "x-relay-secret"])
def test_the_header_given_with_the_webhook_proves_it(name: str) -> None:
    assert SHOP.verify(CIMultiDict({name: "hush"}), b"{}", now=NOW) == Authentic()


@pytest.mark.parametrize("value", ["", "hus", "hush ", "hushh", "HUSH", "h\u00fcsh", "\udcff" * 4, "x" * 100_000])
def test_any_other_value_of_the_header_does_not(value: str) -> None:
    assert isinstance(SHOP.verify(CIMultiDict({"X-Relay-Secret": value}), b"{}", now=NOW), Unauthentic)


def test_the_headers_name_and_its_values_are_the_operators() -> None:
    shop = BigCommerce(("current", "previous"), header="X-Shared")
    for secret in ("current", "previous"):
        assert shop.verify(CIMultiDict({"X-Shared": secret}), b"{}", now=NOW) == Authentic()
    assert isinstance(shop.verify(CIMultiDict({"X-Relay-Secret": "current"}), b"{}", now=NOW), Unauthentic)
    assert isinstance(shop.verify(CIMultiDict(), b"{}", now=NOW), Unauthentic)
    assert isinstance(shop.verify(CIMultiDict({"X-Shared": "current"}), b"", now=NOW), Unauthentic)


def signed(body: bytes, secret: str, at: int = NOW) -> CIMultiDict[str]:
    moment = datetime.fromtimestamp(at // instant.SECOND, UTC)
    signature = Webhook(base64.b64encode(secret.encode()).decode()).sign("msg_1", moment, body.decode())
    return CIMultiDict(
        {"webhook-id": "msg_1", "webhook-timestamp": str(at // instant.SECOND), "webhook-signature": signature}
    )


def test_a_signature_with_the_apps_client_secret_proves_it_too() -> None:
    signing = BigCommerce(client_secrets=("app-secret-of-the-store",))
    both = BigCommerce(("hush",), client_secrets=("old", "app-secret-of-the-store"))
    headers = signed(webhook(), "app-secret-of-the-store")
    for shop in (signing, both):
        assert shop.verify(headers, webhook(), now=NOW) == Authentic()
        assert isinstance(shop.verify(headers, webhook() + b" ", now=NOW), Unauthentic)
        assert isinstance(shop.verify(signed(webhook(), "another"), webhook(), now=NOW), Unauthentic)
    assert both.verify(CIMultiDict({"X-Relay-Secret": "hush"}), webhook(), now=NOW) == Authentic()
    assert isinstance(SHOP.verify(headers, webhook(), now=NOW), Unauthentic)


@pytest.mark.parametrize("late_s", [-301, 301, 10**9])
def test_a_signature_of_another_time_is_a_replay(late_s: int) -> None:
    shop = BigCommerce(client_secrets=("s",))
    headers = signed(webhook(), "s", NOW)
    assert isinstance(shop.verify(headers, webhook(), now=NOW + late_s * instant.SECOND), Unauthentic)
    assert shop.verify(headers, webhook(), now=NOW + 300 * instant.SECOND) == Authentic()


def test_the_specifications_own_signatures_are_judged_as_its_libraries_judge_them() -> None:
    for vector in json.loads(fixture("vectors/standard-webhooks.json"))["vectors"]:
        secret = vector["secret"].removeprefix("whsec_")
        key = base64.b64decode(secret + "=" * (-len(secret) % 4))
        headers = CIMultiDict(
            {
                "webhook-id": vector["id"],
                "webhook-timestamp": str(vector["timestamp"]),
                "webhook-signature": vector["signature"],
            }
        )
        at = vector["timestamp"] * instant.SECOND
        verdict = standard_signature.verify((key,), headers, vector["payload"].encode(), now=at)
        assert isinstance(verdict, Authentic) == vector["valid"], vector["name"]


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "hello", "\udcff", "-5", "1e9", "9" * 500, "x" * 100_000, "v1,", "٣"])
def test_a_signatures_headers_that_are_none_prove_nothing(name: str, value: str | None) -> None:
    headers = signed(webhook(), "s")
    del headers[name]
    if value is not None:
        headers[name] = value
    assert isinstance(BigCommerce(client_secrets=("s",)).verify(headers, webhook(), now=NOW), Unauthentic)


@pytest.mark.parametrize(("secrets", "client_secrets"), [((), ()), (("",), ()), (("a", ""), ()), (("a",), ("",))])
def test_a_store_without_a_secret_is_not_configured(secrets: tuple[str, ...], client_secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a secret or a client secret"):
        BigCommerce(secrets, client_secrets=client_secrets)


def test_secrets_are_never_printed() -> None:
    assert "hush" not in repr(BigCommerce(("hush",), client_secrets=("hush2",)))


# What a webhook is about

_WEBHOOKS: dict[str, type[Any]] = {
    "webhook-order-created.json": Fetch,
    "webhook-order-message-created.json": Ignore,
    "webhook-order-refund-created.json": Fetch,
    "webhook-order-statusUpdated.json": Fetch,
    "webhook-order-updated.json": Fetch,
}
# Every order of the fixtures: its status, and what it is when fetched.
_ORDERS: dict[str, tuple[type[Any], str]] = {
    "v2-order-193-guest-pending.json": (Upsert, "193"),
    "v2-order-218.json": (Upsert, "218"),
    "v2-order-list-100.json": (Upsert, "100"),
    "v2-order-list-104.json": (Ignore, "104"),
    "v2-order-list-105.json": (Ignore, "105"),
    "v2-order-list-107.json": (Ignore, "107"),
}
_PARTS = {
    "v2-order-products-149-options.json",
    "v2-order-products-196-real.json",
    "v2-order-shippingaddresses-229-multi.json",
    "v2-order-statuses.json",
    "v2-shippingaddress-42.json",
}


def test_every_real_payload_has_an_expectation() -> None:
    if not (FOLDER / "bigcommerce").is_dir():
        pytest.skip(f"the third-party payloads are missing; set RELAY_FIXTURES to a folder like {FOLDER}")
    assert names("bigcommerce") == sorted({*_WEBHOOKS, *_ORDERS, *_PARTS})


@pytest.mark.parametrize("name", sorted(_WEBHOOKS))
def test_every_real_webhook_names_its_order_or_is_ignored(name: str) -> None:
    event = identified(fixture(f"bigcommerce/{name}"))
    assert isinstance(event, _WEBHOOKS[name])
    if isinstance(event, Fetch):
        assert (event.external_id, event.version) == ("250", None)


def test_the_documentations_webhooks_with_one_hash_are_different_webhooks() -> None:
    keys = [identified(fixture(f"bigcommerce/{name}")).dedupe_key for name in _WEBHOOKS]
    assert len(set(keys)) == len(keys)
    assert identified(fixture("bigcommerce/webhook-order-created.json")).dedupe_key == (
        "store/order/created:250:dd70c0976e06b67aaf671e73f49dcb79230ebf9d:1561479335"
    )


WITH_TESTS = BigCommerce(("hush",), rules=SENT_ANYWAY)


def of_order(name: str, products: str = "v2-order-products-196-real.json") -> bytes:
    """A real order with real lines and a real address: what would have been fetched."""
    body = fixture(f"bigcommerce/{name}")
    root = SHOP.first_request(str(json.loads(body)["id"]))
    address = b"[" + fixture("bigcommerce/v2-shippingaddress-42.json") + b"]"
    pages = [Page(root, body)]
    for answer in (fixture(f"bigcommerce/{products}"), address):
        request = WITH_TESTS.next_request(pages)
        assert request is not None
        pages.append(Page(request, answer))
    return SHOP.assemble(pages)


@pytest.mark.parametrize("name", sorted(_ORDERS))
def test_every_real_order_has_its_disposition_and_its_sale(name: str) -> None:
    disposition, external_id = _ORDERS[name]
    body = of_order(name)
    event = fetched(body)
    assert isinstance(event, disposition)
    event = fetched(body, SENT_ANYWAY)
    assert isinstance(event, Upsert)
    assert (event.external_id, event.reference, event.topic) == (external_id, external_id, FETCHED_TOPIC)
    assert event.version is not None
    (item,) = sent(body, SENT_ANYWAY)["lineItems"]
    assert (item["externalId"], item["quantity"], item["price"]) == ("108", 40, 25)


def test_a_real_order_becomes_this_sale() -> None:
    assert sent(of_order("v2-order-218.json")) == {
        "externalId": "218",
        "customer": {
            "email": "janedoe@email.com",
            "firstName": "Jane",
            "lastName": "Doe",
            "phone": "1234567890",
        },
        "lineItems": [
            {
                "externalId": "108",
                "name": "Antenna, 3dBi Wifi emONE",
                "quantity": 40,
                "price": 25,
                "variant": {"externalId": "8215"},
            }
        ],
        "saleDefaults": {
            "reference": "218",
            "dateOrdered": "2019-03-05T21:40:11.000Z",
            "discounts": 10,
            "billingFirstName": "Jane",
            "billingLastName": "Doe",
            "billingAddressLineOne": "555 East Street",
            "billingCity": "Austin",
            "billingState": "Texas",
            "billingZip": "78108",
            "billingCountry": "US",
            "shippingFirstName": "Jane",
            "shippingLastName": "Doe",
            "shippingAddressLineOne": "123 MainStreet",
            "shippingCity": "Austin",
            "shippingState": "Texas",
            "shippingZip": "78751",
            "shippingCountry": "US",
        },
        "shipping": [{"name": "Fixed Shipping", "price": 4}],
    }


def test_real_options_and_pick_lists_are_read() -> None:
    body = of_order("v2-order-218.json", "v2-order-products-149-options.json")
    parent, child = sent(body)["lineItems"]
    assert parent["variant"] == {"sku": "S-ORAN"}
    assert parent["properties"] == [
        {"key": "Size", "value": "S"},
        {"key": "Color", "value": "Orange"},
        {"key": "Add Letters", "value": "Text Field"},
        {"key": "Is this a gift?", "value": "Yes"},
        {"key": "PickList", "value": "Able Brewing System"},
    ]
    assert (child["variant"], child["price"], child["quantity"]) == ({"sku": "ABS"}, 0, 1)
    assert "/products/1/parent_order_product_id" in noted(body)


def test_of_real_addresses_the_one_that_has_goods_is_sent() -> None:
    addresses = json.loads(fixture("bigcommerce/v2-order-shippingaddresses-229-multi.json"))
    lines = [DOCUMENT["products"][0] | {"order_address_id": 133}]
    body = document(products=lines, shipping_addresses=addresses)
    assert sent(body)["saleDefaults"]["shippingFirstName"] == "Jane"
    assert [item["price"] for item in sent(body)["shipping"]][:2] == [12, 12]


def test_every_real_status_is_wanted_ignored_or_a_cancellation() -> None:
    statuses = [status["id"] for status in json.loads(fixture("bigcommerce/v2-order-statuses.json"))]
    found = {status: type(fetched(order(status_id=status))) for status in statuses}
    assert found == {status: {0: Ignore, 5: Cancel, 6: Ignore}.get(status, Upsert) for status in range(15)}


@pytest.mark.parametrize("scope", ["created", "updated", "statusUpdated", "archived", "refund/created"])
def test_a_webhook_about_an_order_asks_to_fetch_it(scope: str) -> None:
    event = identified(webhook(scope=f"store/order/{scope}"))
    assert event == Fetch("7001", None, f"store/order/{scope}:7001:aa11:1795000000", f"store/order/{scope}")


@pytest.mark.parametrize(
    "scope",
    ["store/order/message/created", "store/order/transaction/created", "store/order/metafield/updated",
     "store/shipment/created", "store/product/updated", "store/app/uninstalled", "store/order/of_tomorrow"],
)  # fmt: skip
def test_other_scopes_are_ignored_by_name(scope: str) -> None:
    event = identified(webhook(scope=scope))
    assert isinstance(event, Ignore)
    assert event.reason.startswith(f"{scope}: ")


def test_a_webhook_of_another_store_is_ignored_where_the_store_is_known() -> None:
    shop = BigCommerce(("hush",), store_hash="x4mpl3")
    assert isinstance(identified(webhook(), shop=shop), Fetch)
    assert isinstance(identified(webhook(producer="stores/other"), shop=shop), Ignore)
    assert isinstance(identified(webhook(producer=None), shop=shop), Ignore)
    assert isinstance(identified(webhook(producer="stores/other")), Fetch)


def test_a_retry_is_the_same_webhook_and_a_later_change_is_not() -> None:
    first = identified(webhook())
    assert identified(webhook()).dedupe_key == first.dedupe_key
    others = [
        identified(webhook(created_at=1795000001)),
        identified(webhook(scope="store/order/created")),
        identified(webhook(data={"type": "order", "id": 7002})),
        identified(webhook(hash="bb22")),
        identified(webhook(), webhook_id="msg_2"),
    ]
    assert len({event.dedupe_key for event in (first, *others)}) == 6


def test_a_webhook_without_hash_or_time_is_told_apart_by_all_there_is() -> None:
    dated, undated = webhook(hash=None), webhook(created_at=None)
    assert identified(dated).dedupe_key == SHOP.identify(CIMultiDict(), dated, now=NOW + 1).dedupe_key
    assert identified(undated).dedupe_key != SHOP.identify(CIMultiDict(), undated, now=NOW + 1).dedupe_key


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"null", b"7", b"{}", b'{"scope":7}', b'{"scope":"\\ud800"}', b'{"scope":"\xff"}',
     b'{"scope":"store/order/created"}', b'{"scope":"store/order/created","data":[]}',
     b'{"scope":"store/order/created","data":{"type":"order"}}',
     b'{"scope":"store/order/created","data":{"type":"order","id":0}}',
     b'{"scope":"store/order/created","data":{"type":"order","id":"../7"}}',
     b'{"scope":"store/order/created","data":{"type":"product","id":7}}',
     b'{"z":' + b"[" * 100_000],
)  # fmt: skip
def test_an_authentic_body_without_an_order_is_not_understood_and_never_an_accident(body: bytes) -> None:
    event = identified(body)
    assert isinstance(event, NotUnderstood)
    assert event.reasons


# What is asked of the API


def pages_of(lists: dict[str, Sequence[bytes]], head: bytes | None = None, shop: BigCommerce = SHOP) -> list[Page]:
    """Every page in the order it is asked for, as long as there is one to answer with."""
    left = {name: list(bodies) for name, bodies in lists.items()}
    pages = [Page(shop.first_request("7001"), head or json.dumps(DOCUMENT["order"]).encode())]
    while (request := shop.next_request(pages)) is not None:
        name = request.path.rpartition("/")[2]
        pages.append(Page(request, left[name].pop(0) if left.get(name) else b""))
    return pages


def asked(pages: list[Page]) -> list[str]:
    return [
        page.request.path + "".join(f" {value}" for name, value in page.request.query if name == "page")
        for page in pages
    ]


def many(count: int, start: int = 1) -> bytes:
    return json.dumps([DOCUMENT["products"][0] | {"id": start + n} for n in range(count)]).encode()


def test_an_order_is_read_with_its_lines_and_its_addresses() -> None:
    products, addresses = json.dumps(DOCUMENT["products"]).encode(), json.dumps(DOCUMENT["shipping_addresses"]).encode()
    pages = pages_of({"products": [products], "shipping_addresses": [addresses]})
    assert asked(pages) == ["v2/orders/7001", "v2/orders/7001/products 1", "v2/orders/7001/shipping_addresses 1"]
    assert [page.request.may_be_missing for page in pages] == [False, False, True]
    assert json.loads(SHOP.assemble(pages)) == DOCUMENT
    assert mapped(SHOP.assemble(pages)).sale == mapped(document()).sale


@pytest.mark.parametrize(
    ("sizes", "asked_for"), [([249], 1), ([250, 3], 2), ([250, 250], 3), ([50, 50, 7], 3), ([50], 2), ([0], 1)]
)
def test_a_full_page_has_a_following_one_asked_for(sizes: list[int], asked_for: int) -> None:
    pages = pages_of({"products": [many(n, 1000 * i + 1) for i, n in enumerate(sizes)]})
    assert len([page for page in pages if page.request.path.endswith("/products")]) == asked_for
    assert len(json.loads(SHOP.assemble(pages))["products"]) == sum(sizes)


def test_an_api_that_repeats_its_page_is_not_asked_for_ever() -> None:
    pages = pages_of({"products": [many(50)] * 9})
    assert asked(pages).count("v2/orders/7001/products 2") == 1
    assert "v2/orders/7001/products 3" not in asked(pages)


def test_coupons_are_read_where_their_codes_are_wanted() -> None:
    shop = BigCommerce(("hush",), rules=BigCommerceRules(coupon_tags=True))
    coupons = b'[{"code":"SAVE"},{"code":"SAVE"},{"code":null},7]'
    products = json.dumps(DOCUMENT["products"]).encode()
    addresses = json.dumps(DOCUMENT["shipping_addresses"]).encode()
    pages = pages_of({"products": [products], "shipping_addresses": [addresses], "coupons": [coupons]}, shop=shop)
    assert asked(pages)[-1] == "v2/orders/7001/coupons 1"
    assert sent(shop.assemble(pages), shop.rules)["saleDefaults"]["tags"] == ["SAVE"]


@pytest.mark.parametrize(
    "changes", [{"status_id": 0}, {"status_id": 6}, {"payment_method": "Test Payment Gateway"}, {"status_id": "0"}]
)
def test_of_an_order_that_is_not_wanted_nothing_more_is_read(changes: dict[str, Any]) -> None:
    pages = pages_of({}, json.dumps(DOCUMENT["order"] | changes).encode())
    assert asked(pages) == ["v2/orders/7001"]
    assert isinstance(fetched(SHOP.assemble(pages)), Ignore)
    assert list(refused(SHOP.assemble(pages))) == ["/products"]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"<order/>", b"{", b'{"id":', b"[" * 50_000])
def test_what_is_no_order_is_assembled_into_what_is_not_understood(body: bytes) -> None:
    pages = pages_of({"products": [body], "shipping_addresses": [body]}, body or b" ")
    document = SHOP.assemble(pages)
    json.loads(document)
    assert isinstance(fetched(document), NotUnderstood)
    assert isinstance(SHOP.sale(document, FETCHED_TOPIC), Unmappable)


def test_the_allowance_says_for_how_long_to_wait() -> None:
    wait = {
        value: SHOP.asks_to_wait_s(CIMultiDict({"X-Rate-Limit-Time-Reset-Ms": value}))
        for value in ("15000", "0", "-1", "", "soon", "9" * 40, "٣")
    }
    assert wait == {"15000": 15.0, "0": 0.0} | dict.fromkeys(("-1", "", "soon", "9" * 40, "٣"))
    assert SHOP.asks_to_wait_s(CIMultiDict()) is None


# Which state of the order


def test_a_fetched_order_is_its_state_as_of_its_last_change() -> None:
    event = fetched(document())
    assert isinstance(event, Upsert)
    assert (event.external_id, event.reference, event.topic) == ("7001", "7001", "order/fetched")
    assert event.version == instant.parse("2026-11-21T05:00:07Z")
    assert event.created_at == instant.parse("2026-11-21T04:59:59Z")


@pytest.mark.parametrize(
    ("text", "at"),
    [("Tue, 05 Mar 2019 21:40:11 +0000", "2019-03-05T21:40:11Z"),
     ("Tue, 05 Mar 2019 16:40:11 -0500", "2019-03-05T21:40:11Z"),
     ("2019-03-05T21:40:11+00:00", "2019-03-05T21:40:11Z"), ("Tue, 05 Mar 2019 21:40:11 -0000", "2019-03-05T21:40:11Z"),
     ("soon", None), ("", None), (None, None), (7, None), ({}, None), ("Tue, 05 Mar 99999 21:40:11 +0000", None),
     ("Tue, 99 Mar 2019 21:40:11 +0000", None), ("Tue, 05 Mar 2019 21:40:11 +999999999999", None), ("0 " * 60, None)],
)  # fmt: skip
def test_dates_are_as_mail_has_them(text: object, at: str | None) -> None:
    event = fetched(order(date_modified=text))
    assert isinstance(event, Upsert)
    assert event.version == (None if at is None else instant.parse(at))


def test_the_same_state_is_the_same_event_and_another_state_is_not() -> None:
    assert fetched(document()).dedupe_key == fetched(document()).dedupe_key
    assert fetched(order(date_modified="Sat, 21 Nov 2026 05:00:08 +0000")).dedupe_key != fetched(document()).dedupe_key
    undated = order(date_modified=None)
    assert fetched(undated).dedupe_key != SHOP.identify_fetched(undated, now=NOW + 1).dedupe_key


@pytest.mark.parametrize(
    ("changes", "rules", "expected"),
    [
        ({"status_id": 0}, {}, Ignore),
        ({"status_id": 0, "is_deleted": True}, {}, Ignore),
        ({"status_id": 0}, {"ignored_statuses": ()}, Upsert),
        ({"status_id": 1}, {"ignored_statuses": (0, 1)}, Ignore),
        ({"status_id": 5}, {}, Cancel),
        ({"status_id": "5"}, {}, Cancel),
        ({"status_id": 6}, {"cancelled_statuses": (5, 6)}, Cancel),
        ({"status_id": 4}, {}, Upsert),
        ({"status_id": 4}, {"cancelled_statuses": (4, 5)}, Cancel),
        ({"is_deleted": True}, {}, Cancel),
        ({"is_deleted": True, "status_id": 6}, {}, Cancel),
        ({"is_deleted": True}, {"archived": "leave"}, Upsert),
        ({"is_deleted": True, "status_id": 2}, {}, Upsert),
        ({"is_deleted": True, "status_id": 10}, {}, Upsert),
        ({"payment_method": "Test Payment Gateway"}, {}, Ignore),
        ({"payment_method": "Test Payment Gateway"}, {"test_orders": "send"}, Upsert),
        ({"payment_method": "Test Payment Gateway", "status_id": 5}, {}, Ignore),
        ({"status_id": None}, {}, NotUnderstood),
        ({"status_id": "new"}, {}, NotUnderstood),
        ({"id": "x"}, {}, NotUnderstood),
    ],
)
def test_the_status_decides_as_configured(changes: dict[str, Any], rules: dict[str, Any], expected: type[Any]) -> None:
    assert isinstance(fetched(order(**changes), BigCommerceRules(**rules)), expected)


def test_a_cancellation_says_so_in_the_sale() -> None:
    defaults = sent(order(status_id=5))["saleDefaults"]
    assert (defaults["cancelled"], defaults["cancelledAt"]) == (True, "2026-11-21T05:00:07.000Z")
    assert defaults["cancelReason"] == "other"
    declined = sent(order(status_id=6), BigCommerceRules(cancelled_statuses=(5, 6)))["saleDefaults"]
    assert declined["cancelReason"] == "declined"
    assert sent(order(is_deleted=True))["saleDefaults"]["cancelled"] is True
    assert "cancelled" not in sent(order(is_deleted=True, status_id=2))["saleDefaults"]


# The sale


def test_an_order_becomes_this_sale() -> None:
    assert sent(document()) == {
        "externalId": "7001",
        "customer": {"email": "ada@buyer.example", "firstName": "Ada", "lastName": "Buyer", "phone": "3905550100"},
        "lineItems": [
            {
                "externalId": "501",
                "name": "Mug",
                "quantity": 2,
                "price": 10,
                "variant": {"externalId": "81"},
                "properties": [
                    {"key": "Colour", "value": "Blue"},
                    {"key": "Engraving", "value": "A & B"},
                    {"key": "Initials", "value": "AB"},
                    {"key": "Deliver on", "value": "24th December 2026"},
                    {"key": "Gift wrapping", "value": "Red paper"},
                    {"key": "Gift message", "value": "Happy birthday"},
                ],
            },
            {"externalId": "502", "name": "Saucer", "quantity": 1, "price": 0, "variant": {"sku": "SAUCER"}},
            {
                "externalId": "503",
                "name": "Recipes",
                "quantity": 1,
                "price": Decimal("4.99"),
                "variant": {"externalId": "83"},
                "orderRouting": "ignore",
            },
        ],
        "saleDefaults": {
            "reference": "7001",
            "dateOrdered": "2026-11-21T04:59:59.000Z",
            "notes": "Ring twice.",
            "discounts": Decimal("2.5"),
            "billingFirstName": "Ada",
            "billingLastName": "Buyer",
            "billingAddressLineOne": "1 Ledger Lane",
            "billingCity": "Bari",
            "billingState": "Puglia",
            "billingZip": "70121",
            "billingCountry": "IT",
            "shippingFirstName": "Grace",
            "shippingLastName": "Receiver",
            "shippingAddressLineOne": "2 Parcel Place",
            "shippingAddressLineTwo": "Unit 5",
            "shippingCity": "Roma",
            "shippingState": "Lazio",
            "shippingZip": "00184",
            "shippingCountry": "IT",
        },
        "shipping": [{"name": "Express", "price": 8}, {"name": "Gift wrapping", "price": 1}],
        "options": {"findOrCreateChannelVariant": True},
    }


def test_what_a_sale_leaves_out_is_noted() -> None:
    assert noted(document()) == {
        "/order/billing_address/form_fields",
        "/order/billing_address/company",
        "/order/store_credit_amount",
        "/order/default_currency_code",
        "/order/total_tax",
        "/products/1/parent_order_product_id",
    }


@pytest.mark.parametrize(
    ("prices", "price", "shipping", "tax_included"),
    [("ex_tax", 10, [8, 1], None), ("inc_tax", 12, [Decimal("9.6"), Decimal("1.2")], True), ("base", 10, [8, 1], None)],
)
def test_one_side_of_the_tax_is_taken_for_all_amounts(
    prices: Any, price: int, shipping: list[object], tax_included: bool | None
) -> None:
    sale = sent(document(), BigCommerceRules(prices=prices))
    assert sale["lineItems"][0]["price"] == price
    assert [item["price"] for item in sale["shipping"]] == shipping
    assert sale["saleDefaults"].get("taxIncluded") is tax_included


def test_taxes_are_jettis_to_calculate_unless_configured_otherwise() -> None:
    assert "tax" not in sent(document())["saleDefaults"]
    for prices, included in (("ex_tax", False), ("inc_tax", True)):
        defaults = sent(document(), BigCommerceRules(taxes="send", prices=prices))["saleDefaults"]  # type: ignore[arg-type]  # of the loop
        assert (defaults["tax"], defaults["taxIncluded"]) == (Decimal("4.56"), included)
        assert defaults["taxCalculation"] == "custom"


def test_net_prices_have_what_falls_on_the_line_taken_off_and_the_rest_stays_a_discount() -> None:
    net = BigCommerceRules(discounts="net")
    sale = sent(document(), net)
    assert [item["price"] for item in sale["lineItems"]] == [9, 0, Decimal("4.49")]
    assert "discounts" not in sale["saleDefaults"]
    assert sent(order(discount_amount="2.7500"), net)["saleDefaults"]["discounts"] == Decimal("0.75")
    thirds = line(applied_discounts=[{"amount": "0.50"}, {"amount": "0.50"}])
    assert sent(thirds, net)["lineItems"][0]["price"] == Decimal("9.666667")
    assert "/products/0/price_ex_tax" in noted(thirds, net)
    assert list(refused(line(applied_discounts=[{"amount": "1000"}]), net)) == ["/products/0/applied_discounts"]


def test_gift_certificates_and_store_credit_are_payments_unless_configured_otherwise() -> None:
    body = order(gift_certificate_amount="10.0000")
    assert sent(body)["saleDefaults"]["discounts"] == Decimal("2.5")
    assert {"/order/gift_certificate_amount", "/order/store_credit_amount"} <= noted(body)
    as_discount = BigCommerceRules(credits="discount")
    assert sent(body, as_discount)["saleDefaults"]["discounts"] == Decimal("17.5")


def test_surcharges_are_shipping_lines_or_noted() -> None:
    body = order(
        handling_cost_ex_tax="2.0000", fees=[{"display_name_customer": "Small order", "cost_ex_tax": "3.0000"}]
    )
    assert [(item["name"], item["price"]) for item in sent(body)["shipping"]] == [
        ("Express", 8), ("Handling", 2), ("Gift wrapping", 1), ("Small order", 3),
    ]  # fmt: skip
    left = BigCommerceRules(surcharges="leave")
    assert [item["name"] for item in sent(body, left)["shipping"]] == ["Express"]
    assert "/order" in noted(body, left)
    assert "/order" not in noted(order(wrapping_cost_ex_tax="0.0000"), left)


@pytest.mark.parametrize("price", ["example string", "", None, "1,5", "NaN", "1e999999", True, [], {}, "9" * 400])
def test_a_price_that_is_none_is_refused_by_its_pointer(price: object) -> None:
    assert list(refused(line(price_ex_tax=price))) == ["/products/0/price_ex_tax"]


@pytest.mark.parametrize(("price", "exact"), [("25.0000", "25"), ("0.0001", "0.0001"), (19.99, "19.99"), (7, "7")])
def test_prices_are_exact_whether_text_or_number(price: object, exact: str) -> None:
    assert sent(line(price_ex_tax=price))["lineItems"][0]["price"] == Decimal(exact)


@pytest.mark.parametrize("quantity", [-1, 1.5, "x", None, True, 2**31])
def test_a_quantity_that_is_none_is_refused(quantity: object) -> None:
    assert list(refused(line(quantity=quantity))) == ["/products/0/quantity"]


def test_refunded_lines_tell_jetti_so_or_are_left_out() -> None:
    body = line(quantity_refunded=3)
    assert [item["quantity"] for item in sent(body)["lineItems"]] == [0, 1, 1]
    omit = BigCommerceRules(removed_lines="omit")
    assert [item["externalId"] for item in sent(body, omit)["lineItems"]] == ["502", "503"]
    assert "/products" in noted(body, omit)
    gone = document(products=[item | {"quantity_refunded": 9} for item in DOCUMENT["products"]])
    assert [item["quantity"] for item in sent(gone, omit)["lineItems"]] == [0, 0, 0]


@pytest.mark.parametrize("discounts", ["gross", "net"])
@pytest.mark.parametrize("removed", ["zero", "omit"])
@pytest.mark.parametrize(("refunded", "left"), [(0, "92"), (1, "77"), (2, "62"), (4, "32")])
def test_what_is_taken_off_refunded_units_is_not_taken_off_those_that_are_left(
    discounts: Any, removed: Any, refunded: int, left: str
) -> None:
    first = DOCUMENT["products"][0] | {
        "quantity": 4, "quantity_refunded": refunded, "price_ex_tax": "20.0000",
        "applied_discounts": [{"amount": "15.0000"}, {"amount": "5.0000"}],
    }  # fmt: skip
    second = first | {"id": 900, "quantity": 1, "quantity_refunded": 0, "price_ex_tax": "33.0000",
                      "applied_discounts": [{"amount": "1.0000"}]}  # fmt: skip
    changed = DOCUMENT["order"] | {"discount_amount": "5.0000", "coupon_discount": "16.0000"}
    body = document(order=changed, products=[first, second])
    sale = sent(body, BigCommerceRules(discounts=discounts, removed_lines=removed))
    lines = sum(item["price"] * item["quantity"] for item in sale["lineItems"])
    assert lines - sale["saleDefaults"].get("discounts", 0) == Decimal(left)


def test_what_is_taken_off_a_line_that_is_left_out_is_left_out_with_it() -> None:
    download = DOCUMENT["products"][0] | {"id": 901, "type": "digital", "quantity_refunded": 0,
                                             "applied_discounts": [{"amount": "1.2500"}]}  # fmt: skip
    changed = DOCUMENT["order"] | {"discount_amount": "4.7500"}
    body = document(order=changed, products=[*DOCUMENT["products"], download])
    of_all = sent(body)["saleDefaults"]["discounts"]
    left = sent(body, BigCommerceRules(digital="drop"))["saleDefaults"]["discounts"]
    assert of_all - left == Decimal("1.25") + Decimal("0.5"), "the order's own download goes too"


def test_tax_that_may_be_of_refunded_units_is_noted_where_it_is_sent() -> None:
    assert "/order/total_tax" in noted(document(), BigCommerceRules(taxes="send"))
    whole = document(products=[item | {"quantity_refunded": 0} for item in DOCUMENT["products"]])
    assert "/order/total_tax" not in noted(whole, BigCommerceRules(taxes="send"))


def test_an_order_without_lines_is_refused() -> None:
    assert list(refused(document(products=[]))) == ["/products"]
    assert list(refused(document(products=None))) == ["/products"]
    assert list(refused(document(order=None))) == ["/order"]


def test_fewer_items_than_the_order_says_are_noted() -> None:
    assert "/order/items_total" in noted(order(items_total=6))


def test_a_missing_address_that_the_order_says_it_has_is_refused() -> None:
    assert list(refused(document(shipping_addresses=[]))) == ["/shipping_addresses"]
    digital = json.loads(order(shipping_address_count=0, order_is_digital=True)) | {"shipping_addresses": []}
    defaults = sent(json.dumps(digital).encode())["saleDefaults"]
    assert not [column for column in defaults if column.startswith("shipping")]


def test_a_choice_from_a_pick_list_is_sent_unrouted_or_left_out() -> None:
    assert "orderRouting" not in sent(document())["lineItems"][1]
    unrouted = BigCommerceRules(bundle_children="unrouted")
    assert sent(document(), unrouted)["lineItems"][1]["orderRouting"] == "ignore"
    dropped = BigCommerceRules(bundle_children="drop")
    assert [item["externalId"] for item in sent(document(), dropped)["lineItems"]] == ["501", "503"]
    assert "/products/1" in noted(document(), dropped)


@pytest.mark.parametrize("kind", ["digital", "giftcertificate"])
def test_what_is_not_shipped_is_not_routed_unless_configured_otherwise(kind: str) -> None:
    body = line(2, type=kind)
    assert sent(body)["lineItems"][2]["orderRouting"] == "ignore"
    assert "orderRouting" not in sent(body, BigCommerceRules(digital="send"))["lineItems"][2]
    dropped = BigCommerceRules(digital="drop")
    assert [item["externalId"] for item in sent(body, dropped)["lineItems"]] == ["501", "502"]
    assert "/products/2" in noted(body, dropped)


def test_lines_for_another_address_are_to_be_routed_by_hand() -> None:
    sale = sent(two_addresses())
    assert sale["saleDefaults"]["shippingFirstName"] == "Grace"
    assert [item.get("orderRouting") for item in sale["lineItems"]] == [None, "manual", "ignore"]
    assert sale["lineItems"][1]["properties"] == [
        {"key": "Ship to", "value": "Hedy Receiver, 9 Side Street, Unit 5, Roma, Lazio 00184, IT"}
    ]
    assert [item["price"] for item in sale["shipping"]] == [8, 8, 1]
    assert "/shipping_addresses" in noted(two_addresses())


def test_several_addresses_are_treated_as_configured() -> None:
    first = BigCommerceRules(several_addresses="first")
    assert "orderRouting" not in sent(two_addresses(), first)["lineItems"][1]
    assert "/shipping_addresses" in noted(two_addresses(), first)
    refuse = BigCommerceRules(several_addresses="refuse")
    assert "several_addresses" in refused(two_addresses(), refuse)["/shipping_addresses"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("id", {"externalId": "81"}), ("sku", {"sku": "MUG-BLUE"}), ("both", {"externalId": "81", "sku": "MUG-BLUE"})],
)
def test_a_line_is_connected_as_configured(rule: Any, expected: dict[str, str]) -> None:
    assert sent(document(), BigCommerceRules(variant=rule))["lineItems"][0]["variant"] == expected


def test_a_custom_item_is_refused_or_connected_as_configured() -> None:
    body = line(1, sku="")
    assert "custom_item_sku" in refused(body)["/products/1/variant_id"]
    assert sent(body, SENT_ANYWAY)["lineItems"][1]["variant"] == {"sku": "CUSTOM"}
    created = sent(body, BigCommerceRules(find_or_create_channel_variant=True))
    assert created["lineItems"][1]["variant"] == {"externalId": "line-502"}


def test_lines_with_one_id_are_refused() -> None:
    assert list(refused(line(1, id=501))) == ["/products/1/id"]


def test_an_order_without_an_e_mail_is_refused_or_has_the_fallback() -> None:
    body = json.loads(billing(email=""))
    assert sent(json.dumps(body).encode())["customer"]["email"] == "grace@receiver.example"
    body["shipping_addresses"][0]["email"] = ""
    body = json.dumps(body).encode()
    assert "fallback_email" in refused(body)["/order/billing_address/email"]
    assert sent(body, SENT_ANYWAY)["customer"]["email"] == "none@shop.example"


def test_a_phone_number_jetti_cannot_take_is_left_out_and_noted() -> None:
    body = billing(phone="+1 555 0100 extension 12345678901")
    assert "phone" not in sent(body)["customer"]
    assert "/order/billing_address/phone" in noted(body)


def test_names_the_company_and_all_notes_are_as_configured() -> None:
    rules = BigCommerceRules(country="name", company_in_line_two=True, form_fields=True, staff_notes=True)
    defaults = sent(document(), rules)["saleDefaults"]
    assert (defaults["shippingCountry"], defaults["billingAddressLineTwo"]) == ("Italy", "Buyer Ltd")
    assert defaults["notes"] == "Ring twice.\nDelivery Instructions: Behind the shed"
    assert defaults["internalNotes"] == "A good customer."
    plain = BigCommerceRules(gift_wrapping=False)
    assert {"Gift wrapping", "Gift message"}.isdisjoint(
        item["key"] for item in sent(document(), plain)["lineItems"][0]["properties"]
    )


def test_an_order_of_a_thousand_lines_is_mapped_whole() -> None:
    products = [DOCUMENT["products"][0] | {"id": n + 1} for n in range(1000)]
    assert len(sent(document(products=products))["lineItems"]) == 1000


def test_the_same_order_is_the_same_bytes() -> None:
    shuffled = json.dumps(dict(reversed(DOCUMENT.items()))).encode()
    assert encode(mapped(document()).sale) == encode(mapped(shuffled).sale)


# Nothing raises

_RULES = [
    BigCommerceRules(),
    SENT_ANYWAY,
    replace(SENT_ANYWAY, prices="inc_tax", discounts="net", taxes="send", credits="discount", form_fields=True,
            coupon_tags=True, removed_lines="omit", variant="both", staff_notes=True, company_in_line_two=True),
]  # fmt: skip
_WHOLE = DOCUMENT | {"coupons": [{"code": "SAVE"}], "shipping_addresses": DOCUMENT["shipping_addresses"] * 2}


def _never_raises(body: bytes, rules: BigCommerceRules) -> None:
    shop = BigCommerce(("hush",), client_secrets=("s",), rules=rules)
    shop.verify(CIMultiDict({"X-Relay-Secret": "x"}), body, now=NOW)
    for event in (shop.identify(CIMultiDict({"webhook-id": "m"}), body, now=NOW), shop.identify_fetched(body, now=NOW)):
        event.dedupe_key.encode()
        event.topic.encode()
        made = shop.sale(body, event.topic)
        if isinstance(made, Mapped):
            assert encode(made.sale)
            if isinstance(event, Upsert | Cancel):
                assert made.sale.external_id == event.external_id
                assert made.sale.sale_defaults.cancelled == isinstance(event, Cancel)
    pages = [Page(shop.first_request("1"), body)]
    while len(pages) < 20 and (request := shop.next_request(pages)) is not None:
        pages.append(Page(request, body))
    shop.identify_fetched(shop.assemble(pages), now=NOW)


_places = st.sampled_from(mangled.paths(_WHOLE))


@given(_places, mangled.values, _places, mangled.values, st.sampled_from(_RULES))
def test_no_order_however_mangled_raises(
    first: tuple[Any, ...], one: Any, second: tuple[Any, ...], two: Any, rules: BigCommerceRules
) -> None:
    made = mangled.put(_WHOLE, first, one)
    with suppress(AttributeError, IndexError, KeyError, TypeError):  # the second place may have been in the first
        made = mangled.put(made, second, two)
    _never_raises(json.dumps(made).encode(), rules)


@given(st.sampled_from(mangled.paths(WEBHOOK)), mangled.values)
def test_no_webhook_however_mangled_raises(path: tuple[Any, ...], put: Any) -> None:
    _never_raises(json.dumps(mangled.put(WEBHOOK, path, put)).encode(), BigCommerceRules())


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, [0-9 ]{1,4}[A-Za-z]{3} [0-9]{1,6} [0-9:]{0,9} [+-]?[0-9]*")
)
def test_no_date_however_mangled_raises(text: str) -> None:
    fetched(json.dumps(DOCUMENT | {"order": DOCUMENT["order"] | {"date_modified": text}}).encode())


@given(st.integers(0, len(document()) - 1), st.integers(0, 30), st.binary(max_size=6), st.sampled_from(_RULES))
def test_no_bytes_however_mangled_raise(at: int, length: int, put: bytes, rules: BigCommerceRules) -> None:
    body = document()
    _never_raises(body[:at] + put + body[at + length :], rules)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "X-Relay-Secret"]),
                       st.text(max_size=30)), st.binary(max_size=30))  # fmt: skip
def test_no_headers_however_mangled_raise(headers: dict[str, str], body: bytes) -> None:
    shop = BigCommerce(("hush",), client_secrets=("s",))
    assert isinstance(shop.verify(CIMultiDict(headers), body, now=NOW), Authentic | Unauthentic)
    assert shop.identify(CIMultiDict(headers), body, now=NOW).dedupe_key


def test_refunds_beyond_units_and_goods_with_nowhere_to_go_are_noted() -> None:
    assert "/order/refunded_amount" in noted(order(refunded_amount="5.0000"))
    assert "/order/refunded_amount" not in noted(order(refunded_amount="0.0000"))
    nowhere = document(order=DOCUMENT["order"] | {"shipping_address_count": 0}, shipping_addresses=[])
    assert "/shipping_addresses" in noted(nowhere)
    assert len(mapped(document()).origins) == len(mapped(document()).sale.line_items)


@pytest.mark.parametrize(
    ("changes", "prices", "told"),
    [
        ({"total_ex_tax": "40.4900"}, "ex_tax", False),
        ({"total_ex_tax": "30.4900"}, "ex_tax", True),
        ({"total_ex_tax": "30.4900"}, "base", False),
        ({"total_ex_tax": "42.4900", "handling_cost_ex_tax": "2.0000"}, "ex_tax", False),
        ({"total_ex_tax": "example string"}, "ex_tax", False),
        ({"total_ex_tax": None}, "ex_tax", False),
    ],
)
def test_a_total_that_is_another_than_that_of_its_parts_is_noted(
    changes: dict[str, Any], prices: Any, told: bool
) -> None:
    assert ("/order/total_ex_tax" in noted(order(**changes), BigCommerceRules(prices=prices))) is told


def test_of_what_is_left_out_the_total_is_not_told_again() -> None:
    body = order(total_ex_tax="40.4900")
    assert "/order/total_ex_tax" not in noted(body, BigCommerceRules(digital="drop", surcharges="leave"))
