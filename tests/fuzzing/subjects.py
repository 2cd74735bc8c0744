"""What each kind of storefront is asked about a case, and what must hold of the answers, whatever the case is."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any, get_args

import msgspec

from relay.core import exact, fetched
from relay.core.mapping import Made, Maker
from relay.core.order import Order
from relay.core.outcome import NotWanted
from relay.core.recipe import compile_criterion, compile_override, compile_recipe
from relay.core.recipe.expression import compiled as expression
from relay.core.recipe.reading import Reading, Types
from relay.core.sale import Reason
from relay.core.shaping import compiled as compiled_shape
from relay.core.sources import (
    FETCHED_TOPIC,
    Authentic,
    Cancel,
    Fetch,
    Identified,
    Ignore,
    NotUnderstood,
    Page,
    Request,
    Source,
    Unauthentic,
    Unmappable,
    Upsert,
)
from relay.core.sources.bigcommerce import BigCommerce, BigCommerceRules
from relay.core.sources.elasticpath import ElasticPath, ElasticPathRules
from relay.core.sources.hmac_signed import HmacRules, HmacSigned
from relay.core.sources.native import Malformed, Native, split
from relay.core.sources.shopify import Shopify, ShopifyRules
from relay.core.sources.squarespace import Squarespace, SquarespaceRules
from relay.core.sources.standard import Standard
from relay.core.sources.woocommerce import WooCommerce, WooRules
from tests.builders import order
from tests.fixtures import FOLDER, SAMPLES
from tests.fuzzing.cases import Case, varied

NOW = 1_795_282_909_000_000
_TEXT_MAX = 10_000
"""Characters of what is stored with an event."""
_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_SITE_KEY = "00ff" * 16
_INSTANTS = range(253_402_300_800_000_000)

RECIPE = compile_recipe(
    {
        "external_id": "not_null(order.id, data.id, externalId, id)",
        "version": "not_null(order.updated_at, data.changed, updated_at)",
        "cancelled": "order.cancelled_at || state == 'void'",
        "sale": {
            "reference": {"template": "#{id}"},
            "notes": "join(', ', values(customer)[?type(@) == 'string'])",
            "discounts": "sum(not_null(line_items, lineItems, `[]`)[].discounts[])",
        },
        "customer": {
            "email": "not_null(email, customer.email, data.mail)",
            "firstName": "split(' ', customer.name)[0]",
        },
        "line_items": {
            "each": "not_null(line_items, lineItems, data.lines, lines)",
            "externalId": "not_null(id, externalId, to_string(index()))",
            "quantity": "not_null(quantity, qty)",
            "price": "divide(price, not_null(quantity, `1`))",
            "sku": "not_null(sku, variant.sku)",
        },
    }
)
ACCEPT_WHEN = compile_criterion(
    "!contains(not_null(note, notes, ''), 'hold') && length(not_null(line_items, `[1]`)) > `0`", "a"
)
OVERRIDE = compile_override(
    {
        "sale": {"tags": "order.tags", "notes": "join(' ', [sale.saleDefaults.notes, to_string(order.note)])"},
        "customer": {"name": "order.customer.name"},
        "line_items": {"name": "upper(name)", "price": "round(multiply(price, '1.1'), `2`)"},
    }
)
SHAPE = compiled_shape(
    {
        "external_id_prefix": "x-", "prefix_lines": True, "reference": "S-{reference}", "hidden_properties": False,
        "options": {"a": 1}, "split_lines": True,
        "routing": [
            {"route": "dropship", "dropship_provider_id": "7", "sku": ["*-*-?", "[!a]*"], "country": "DE"},
            {"route": "ignore", "property": ["gift=*", "engraving"], "tag": "*vip*"},
            {"route": "fulfill", "warehouse_id": "1", "when": "line.price > `10` || order.test", "overrule": True},
        ],
    }
)  # fmt: skip

_numbers = msgspec.json.Decoder(float_hook=exact.number)


@dataclass(frozen=True, eq=False)
class Subject:
    """One kind of storefront."""

    kind: str
    sources: tuple[Source, ...]
    headers: tuple[str, ...]
    """Those that matter."""
    sample: str
    """Of our own, the body that becomes a sale."""
    more: tuple[bytes, ...] = ()
    """Further good bodies."""
    topics: tuple[str, ...] = ("",)

    @cache  # noqa: B019 - there are eight subjects, for as long as the process is
    def good(self) -> tuple[Case, ...]:
        """What to start from: our samples, and the fixtures where they are."""
        bodies = [file.read_bytes() for file in sorted((FOLDER / self.kind).glob("*.json"))]
        return (*self.samples(), *(case for body in bodies for case in self._told(body)))

    @cache  # noqa: B019
    def samples(self) -> tuple[Case, ...]:
        """Our samples."""
        bodies = ((SAMPLES / self.sample).read_bytes(), *self.more)
        return tuple(case for body in bodies for case in self._told(body))

    def case(self, random: Random) -> Case:
        """A case near a good one; half of them near our samples, which become sales."""
        return varied(random.choice(self.samples() if random.random() < 0.5 else self.good()), random, self.headers)

    def _told(self, body: bytes) -> Iterator[Case]:
        topic_header = next((name for name in self.headers if name.lower().endswith("topic")), None)
        for topic in self.topics:
            yield Case(tuple((name, topic if name == topic_header else "x") for name in self.headers), body)
        yield Case((), body)

    def check(self, case: Case) -> None:
        """Everything that is ever asked about a case; raises what a source raises, or :class:`AssertionError`."""
        for source in self.sources:
            _webhook(source, case)
        _api_answers(self.sources[0], case)
        if self.kind == "native":
            _requests(case)


def _webhook(source: Source, case: Case) -> None:
    headers = case.named
    assert isinstance(source.verify(headers, case.body, now=NOW), Authentic | Unauthentic)
    body = source.strip(case.body)
    assert source.strip(body) == body
    event = source.identify(headers, body, now=NOW)
    _holds_of(event, get_args(Identified))
    assert source.identify(headers, body, now=NOW) == event
    topics = {event.topic}
    events: list[Identified] = [event]
    if hasattr(source, "identify_fetched"):
        state = source.identify_fetched(body, now=NOW)
        _holds_of(state, (Upsert, Cancel, Ignore, NotUnderstood))
        topics.add(FETCHED_TOPIC)
        events.append(state)
    for topic in topics:
        about = next((e for e in events if e.topic == topic), event)
        for maker in _makers(source):
            _made(maker, topic, body, about)


def _holds_of(event: Identified, of: tuple[type, ...]) -> None:
    assert isinstance(event, of)
    _storable(event.dedupe_key)
    _storable(event.topic, empty=True)
    if isinstance(event, Upsert | Cancel | Fetch):
        _storable(event.external_id)
        assert event.external_id.isprintable()
        assert len(event.external_id) <= 255
        assert event.version is None or event.version in _INSTANTS
    if isinstance(event, Upsert | Cancel):
        assert event.created_at is None or event.created_at in _INSTANTS
        if event.reference is not None:
            _storable(event.reference)
    if isinstance(event, NotUnderstood):
        assert event.reasons
        _told(event.reasons)
    if isinstance(event, Ignore):
        _storable(event.reason)


def _storable(text: str, *, empty: bool = False) -> None:
    assert text or empty
    assert len(text) <= _TEXT_MAX
    assert "\0" not in text
    text.encode()


def _told(reasons: Sequence[Reason]) -> None:
    for reason in reasons:
        assert reason.message
        assert len(reason.message) <= _TEXT_MAX
        json.dumps(reason.message, ensure_ascii=False).encode()
        json.dumps(reason.pointer, ensure_ascii=False).encode()
    assert len(reasons) <= 1_000


def _makers(source: Source) -> tuple[Maker, ...]:
    plain = Maker(source)
    return plain, replace(
        plain, property_style="name", accept_when=ACCEPT_WHEN.holds_for, override=OVERRIDE, shape=SHAPE
    )


_ORDERS: tuple[Order, ...] = (order(), replace(order(), delivered_revision=1, cancelled_at=NOW))


def _made(maker: Maker, topic: str, body: bytes, event: Identified) -> None:
    for one in _ORDERS:
        made = maker.make(one, topic, body, body)  # whatever is there may be what is remembered of the sale before
        assert isinstance(made, Made | Unmappable | NotWanted)
        if isinstance(made, Unmappable):
            assert made.reasons
            _told(made.reasons)
        if isinstance(made, NotWanted):
            _storable(made.cause.message)
        if not isinstance(made, Made):
            continue
        _told(made.notes)
        sale = _numbers.decode(made.sale)
        assert not [number for number in _leaves(sale) if isinstance(number, float)]
        if isinstance(event, Upsert | Cancel):
            assert sale["externalId"] == maker.shape.external_id_prefix + event.external_id
        assert sale["lineItems"]
        assert one.cancelled_at is None or sale["saleDefaults"]["cancelled"] is True
        again = maker.make(one, topic, body, made.sale)
        assert isinstance(again, Made)
        if not maker.looks_back:
            assert again == maker.make(one, topic, body, body) == made


def _leaves(value: object) -> Iterator[object]:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, dict | list):
            pending.extend(node.values() if isinstance(node, dict) else node)
        else:
            yield node


# Storefronts' APIs: the same bytes and headers as answers


def _api_answers(source: Source, case: Case) -> None:
    body, headers = case.body, case.named
    status = (200, 200, 204, 301, 401, 404, 422, 429, 500, 503, 509, 999)[len(body) % 12]
    waits = source.asks_to_wait_s(headers) if hasattr(source, "asks_to_wait_s") else None
    assert waits is None or 0 <= waits < 10**9
    judged = fetched.judge(
        Request("v2/orders/1", may_be_missing=len(body) % 2 == 0), fetched.Reply(status, headers, body), waits, now=NOW
    )
    assert isinstance(judged, (Page, *get_args(fetched.Unfetched)))
    if not hasattr(source, "next_request"):
        return
    thin: Any = source
    pages: list[Page] = []
    request: Request | None = thin.first_request("7001")
    while request is not None and len(pages) < 8:
        assert request.path.isascii()
        assert "//" not in request.path
        pages.append(Page(request, body if len(pages) != 1 else b"[" + body + b"]"))
        request = thin.next_request(pages)
    document = thin.assemble(pages)
    _holds_of(thin.identify_fetched(document, now=NOW), (Upsert, Cancel, Ignore, NotUnderstood))
    for maker in _makers(source):
        made = maker.make(_ORDERS[0], FETCHED_TOPIC, document)
        assert isinstance(made, Made | Unmappable | NotWanted)


def _requests(case: Case) -> None:
    for content_type in ("application/json", "application/x-ndjson"):
        parts = split(case.body, content_type)
        for part in (parts,) if isinstance(parts, Malformed) else parts:
            if isinstance(part, Malformed):
                assert 0 <= part.position <= len(case.body)
                part.message.encode()
            else:
                assert part in case.body


# The kinds


def _enveloped(sample: str) -> bytes:
    sale = json.loads((SAMPLES / sample).read_bytes())
    return json.dumps({"type": "order.updated", "timestamp": "2026-11-21T17:41:49Z", "data": sale}).encode()


_OWN = json.dumps(
    {
        "order": {"id": 7, "updated_at": "2026-11-21T17:41:49Z"},
        "email": "ada@buyer.example",
        "customer": {"name": "Ada B"},
        "state": "open",
        "lines": [{"id": 1, "price": "19.90", "qty": 2, "sku": "MUG"}],
    }
).encode()
_BIG_WEBHOOK = json.dumps(
    {
        "scope": "store/order/updated",
        "store_id": "1",
        "data": {"type": "order", "id": 7001},
        "hash": "aa11",
        "created_at": 1795000000,
        "producer": "stores/x4mpl3",
    }
).encode()
_NOTIFICATION = json.dumps(
    {
        "id": "n1",
        "websiteId": "w1",
        "subscriptionId": "s1",
        "topic": "order.update",
        "createdOn": "2026-11-21T05:00:08.000Z",
        "data": {"orderId": "5f1", "update": "FULFILLED"},
    }
).encode()
_READING = Reading(RECIPE, compile_criterion("order.test || test == `true`", "i"), Types((("*", "upsert"),)))
_SIGNED_MORE = HmacRules(
    "X-Signature",
    signed="{timestamp}.{id}.{body}",
    timestamp_header="X-Time",
    timestamp_format="iso",
    id_header="X-Id",
    topic_header="X-Topic",
    encoding="base64",
    prefix="sha256=",
)
_WOO = WooRules(
    ignored_statuses=(), fallback_email="none@shop.example", fractional_quantities="one", fees="line", fee_sku="FEE",
    custom_item_sku="CUSTOM",
)  # fmt: skip

SUBJECTS: dict[str, Subject] = {
    subject.kind: subject
    for subject in (
        Subject(
            "shopify",
            (
                Shopify(("hush",)),
                Shopify(
                    ("hush",),
                    ShopifyRules(
                        test_orders="send",
                        fallback_email="none@shop.example",
                        custom_item_sku="CUSTOM",
                        money="presentment",
                        discounts="net",
                        taxes="send",
                        note_attributes=True,
                        variant="both",
                        removed_lines="omit",
                    ),
                ),
            ),
            (
                "X-Shopify-Topic",
                "X-Shopify-Hmac-Sha256",
                "Shopify-Hmac-Sha256",
                "X-Shopify-Webhook-Id",
                "X-Shopify-Triggered-At",
            ),
            "shopify-order.json",
            topics=("orders/updated", "orders/create", "orders/cancelled"),
        ),
        Subject(
            "woocommerce",
            (
                WooCommerce(("hush",)),
                WooCommerce(("hush",), _WOO),
                WooCommerce(
                    ("hush",),
                    replace(
                        _WOO,
                        discounts="net",
                        prices="with_tax",
                        taxes="send",
                        variant="both",
                        bundled="drop",
                        currency="EUR",
                        empty_shipping="billing",
                        properties="raw",
                        fees="shipping",
                    ),
                ),
            ),
            (
                "X-WC-Webhook-Topic",
                "X-WC-Webhook-Signature",
                "X-WC-Webhook-Resource",
                "X-WC-Webhook-Event",
                "Content-Type",
            ),
            "woocommerce-order.json",
            (b"webhook_id=1",),
            ("order.updated", "order.deleted"),
        ),
        Subject(
            "elasticpath",
            (
                ElasticPath(("hush",)),
                ElasticPath(
                    ("order.paid",),
                    ElasticPathRules(
                        discounts="net",
                        taxes="send",
                        fallback_email="none@shop.example",
                        custom_item_sku="CUSTOM",
                        refunded="cancel",
                        shipping_skus=("SHIP",),
                        currency="EUR",
                    ),
                ),
            ),
            ("X-MOLTIN-SECRET-KEY", "X-MOLTIN-INTEGRATION-TRIGGER"),
            "elasticpath-event.json",
        ),
        Subject(
            "bigcommerce",
            (
                BigCommerce(("hush",)),
                BigCommerce(
                    ("hush",),
                    client_secrets=("client",),
                    store_hash="x4mpl3",
                    rules=BigCommerceRules(
                        test_orders="send",
                        fallback_email="none@shop.example",
                        custom_item_sku="CUSTOM",
                        discounts="net",
                        taxes="send",
                    ),
                ),
            ),
            (
                "X-Relay-Secret",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
                "X-Rate-Limit-Time-Reset-Ms",
                "Retry-After",
            ),
            "bigcommerce-order.json",
            (_BIG_WEBHOOK,),
        ),
        Subject(
            "squarespace",
            (
                Squarespace((_SITE_KEY,)),
                Squarespace(
                    (_SITE_KEY,), SquarespaceRules(fallback_email="none@shop.example", custom_item_sku="CUSTOM")
                ),
            ),
            ("Squarespace-Signature", "Retry-After"),
            "squarespace-order.json",
            (_NOTIFICATION,),
        ),
        Subject(
            "standard",
            (
                Standard((_KEY,)),
                Standard((_KEY,), _READING),
                Standard((_KEY,), Reading(RECIPE), expression("data.kind")),
            ),
            ("webhook-id", "webhook-timestamp", "webhook-signature"),
            "native-sale.json",
            (_enveloped("native-sale.json"), _OWN),
        ),
        Subject(
            "hmac",
            (
                HmacSigned(("hush",)),
                HmacSigned(("hush",), _SIGNED_MORE, _READING),
                HmacSigned(
                    ("hush",), HmacRules(method="token"), Reading(RECIPE), expression("order.id"), expression("type")
                ),
            ),
            ("X-Signature", "X-Time", "X-Id", "X-Topic"),
            "native-sale.json",
            (_OWN,),
        ),
        Subject(
            "native",
            (Native(),),
            ("Idempotency-Key", "webhook-id", "Content-Type"),
            "native-sale.json",
            (b"[{}, {}]", b"{}\n\n{}\nx"),
        ),
    )
}
