"""Every kind of storefront that sends whole orders, from its signed webhook to Jetti's endpoint, over real sockets."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from relay.clock import SystemClock
from relay.core import instant
from relay.core import version as versions
from relay.core.delivery import State
from relay.core.events import AttemptMade
from relay.core.mapping import Maker
from relay.core.shaping import compiled
from relay.core.sources.native import Native
from relay.observe.logs import Logs, logger
from relay.sandbox import RunningSandbox
from relay.store import StoreError
from relay.store.memory import MemoryStore
from tests.fakes import Answer, Shop, Wire, fetched, manual_sale, request, shopify_order, signed
from tests.fixtures import sample
from tests.running import SHOP, RunningRelay, relay_running
from tests.simulated import simulate
from tests.test_dispatch import Bench

Headers = Mapping[str, str]
WOO: dict[str, Any] = json.loads(sample("woocommerce-order.json"))
EVENT: dict[str, Any] = json.loads(sample("elasticpath-event.json"))
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WRONG_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SECRET = "hush-or-be-heard-5d1f"
MAPPING = {
    "external_id": "order.id",
    "version": "order.changed",
    "cancelled": "order.state == 'void'",
    "sale": {"reference": {"template": "#{order.id}"}, "notes": "order.note"},
    "customer": {"email": "order.mail"},
    "line_items": {"each": "order.lines", "externalId": "id", "quantity": "qty", "price": "price", "sku": "sku"},
}


def at(minute: int) -> str:
    return f"2026-11-21T{minute // 60:02}:{minute % 60:02}:07"


def in_base64(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


@dataclass(frozen=True)
class Kind:
    """How one kind of storefront speaks. Both functions are given the minute an order is of, which is its version."""

    table: Mapping[str, Any]
    body: Callable[[int, int, bool], bytes]
    """Of an order's number, minute and whether it is cancelled."""
    headers: Callable[[bytes, str, bool], Headers]
    """Of a body and the webhook's id; ``True``: not by the storefront."""
    external_id: Callable[[int], str] = str


def woo_body(number: int, minute: int, cancelled: bool) -> bytes:
    state = {"status": "cancelled"} if cancelled else {}
    changes = {"id": number, "date_modified_gmt": at(minute), "customer_note": f"minute {minute}"}
    return json.dumps(WOO | changes | state).encode()


def woo_headers(body: bytes, name: str, wrong: bool) -> Headers:
    signature = in_base64(body, "wrong" if wrong else SECRET)
    # All of one second have the same delivery id, as WooCommerce's have.
    return {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Delivery-ID": "7"}


def standard_headers(body: bytes, name: str, wrong: bool) -> Headers:
    now = datetime.fromtimestamp(SystemClock().now() // instant.SECOND, UTC)
    signature = Webhook(WRONG_KEY if wrong else KEY).sign(name, now, body.decode())
    return {"webhook-id": name, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def sale_body(number: int, minute: int, cancelled: bool) -> bytes:
    sale = json.loads(manual_sale(number, saleDefaults={"notes": f"minute {minute}"}))
    kind = "order.cancelled" if cancelled else "order.updated"
    return json.dumps({"type": kind, "timestamp": f"{at(minute)}Z", "data": sale}).encode()


def own_body(number: int, minute: int, cancelled: bool) -> bytes:
    order = {
        "id": number,
        "changed": f"{at(minute)}Z",
        "state": "void" if cancelled else "open",
        "note": f"minute {minute}",
        "mail": "ada@buyer.example",
        "lines": [{"id": 1, "qty": 2, "price": "19.90", "sku": "MUG"}],
    }
    return json.dumps({"order": order}).encode()


def hmac_headers(body: bytes, name: str, wrong: bool) -> Headers:
    stamp = str(SystemClock().now() // instant.SECOND)
    digest = hmac.digest(b"wrong" if wrong else SECRET.encode(), f"{stamp}.{name}.".encode() + body, "sha256")
    return {"X-Shop-Signature": f"sha256={digest.hex()}", "X-Shop-Time": stamp, "X-Shop-Id": name}


def elastic_body(number: int, minute: int, cancelled: bool) -> bytes:
    order = json.loads(json.dumps(EVENT["payload"]))
    order["data"] |= {"id": f"ep-{number}", "web_order_id": f"E-{number}"}
    order["data"]["meta"]["timestamps"]["updated_at"] = f"{at(minute)}Z"
    order["data"]["shipping_address"]["instructions"] = f"minute {minute}"
    trigger = "order.cancelled" if cancelled else "order.updated"
    secret = {"secret_key": SECRET, "url": "https://relay.example/webhooks/shop"}
    changes = {"id": f"event-{number}-{minute}", "triggered_by": trigger, "payload": order, "configuration": secret}
    return json.dumps(EVENT | changes).encode()


def elastic_headers(body: bytes, name: str, wrong: bool) -> Headers:
    return {"X-MOLTIN-SECRET-KEY": "wrong" if wrong else SECRET}


def cancelled_shopify(number: int, minute: int, cancelled: bool) -> bytes:
    return shopify_order(number, minute, **({"cancelled_at": f"{at(minute)}-05:00"} if cancelled else {}))


KINDS = {
    "shopify": Kind(
        SHOP,
        cancelled_shopify,
        lambda body, name, wrong: signed(body, webhook_id=name, **({"secret": "wrong"} if wrong else {})),
    ),
    "woocommerce": Kind({"kind": "woocommerce", "secrets": [SECRET]}, woo_body, woo_headers),
    "standard, manual sales": Kind({"kind": "standard", "secrets": [KEY]}, sale_body, standard_headers),
    "standard, mapped": Kind({"kind": "standard", "secrets": [KEY], "mapping": MAPPING}, own_body, standard_headers),
    "hmac": Kind(
        {
            "kind": "hmac",
            "secrets": [SECRET],
            "header": "X-Shop-Signature",
            "prefix": "sha256=",
            "signed": "{timestamp}.{id}.{body}",
            "timestamp_header": "X-Shop-Time",
            "id_header": "X-Shop-Id",
            "mapping": MAPPING,
        },
        own_body,
        hmac_headers,
    ),
    "elasticpath": Kind(
        {"kind": "elasticpath", "secrets": [SECRET], "shipping_skus": ["SHIP-EXPRESS"]},
        elastic_body,
        elastic_headers,
        lambda number: f"ep-{number}",
    ),
}


class Sender:
    """A shop of some kind."""

    def __init__(self, shop: Shop, kind: Kind) -> None:
        self._shop, self._kind = shop, kind

    async def send(self, number: int, minute: int, *, cancelled: bool = False, wrong: bool = False) -> Answer:
        body = self._kind.body(number, minute, cancelled)
        headers = self._kind.headers(body, f"msg-{number}-{minute}", wrong)
        return await self._shop.post("/webhooks/shop", body, {"Content-Type": "application/json", **headers})


async def delivered(relay: RunningRelay, count: int) -> None:
    await relay.happenings.until(lambda: len(relay.happenings.of(AttemptMade)) >= count)


def sales_at(imitated: RunningSandbox, external_id: str) -> list[dict[str, Any]]:
    """What the sandbox was sent for an order, in its order."""
    requests = imitated.journal.after(0, 100_000)
    return [json.loads(r.payload or b"null") for r in requests if r.external_id == external_id]


def in_files(folder: Path) -> bytes:
    """Every byte of the store."""
    return b"".join(file.read_bytes() for file in folder.glob("relay.db*"))


def running(tmp_path: Path, kind: Kind, **keys: Any) -> Any:
    return relay_running(tmp_path, storefronts={"shop": {"channel": "main", **kind.table, **keys}})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_an_orders_life_from_its_first_webhook_to_its_cancellation(kind: Kind, tmp_path: Path) -> None:
    async with running(tmp_path, kind) as (relay, imitated), Shop(relay.public_url) as shop:
        sender = Sender(shop, kind)
        new = await sender.send(1, 1)
        assert (new.status, new.json["status"], new.json["order"]) == (200, "queued", kind.external_id(1)), new.json
        await delivered(relay, 1)
        again = await sender.send(1, 1)
        assert (again.status, again.json["status"], again.json["duplicate_of"]) == (200, "duplicate", new.json["event"])
        update = await sender.send(1, 5)
        assert (update.json["status"], update.json["revision"]) == ("queued", 2)
        await delivered(relay, 2)
        late = await sender.send(1, 3)
        assert (late.status, late.json["status"]) == (200, "stale")
        gone = await sender.send(1, 9, cancelled=True)
        assert (gone.status, gone.json["status"]) == (200, "queued")
        await delivered(relay, 3)
        sent = sales_at(imitated, kind.external_id(1))

    assert relay.happenings.defects == []
    assert {attempt.outcome for attempt in relay.happenings.of(AttemptMade)} == {"sent"}
    assert ["minute 1" in json.dumps(sale) for sale in sent] == [True, False, False]
    assert ["minute 5" in json.dumps(sale) for sale in sent] == [False, True, False]
    assert [sale["saleDefaults"].get("cancelled", False) for sale in sent] == [False, False, True]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_whatever_order_webhooks_come_in_the_newest_state_is_what_jetti_has(kind: Kind, tmp_path: Path) -> None:
    async with running(tmp_path, kind) as (relay, imitated), Shop(relay.public_url) as shop:
        sender = Sender(shop, kind)
        assert (await sender.send(2, 7)).json["status"] == "queued"
        assert (await sender.send(2, 4)).json["status"] == "stale"
        await delivered(relay, 1)
        sent = sales_at(imitated, kind.external_id(2))

    assert ["minute 7" in json.dumps(sale) for sale in sent] == [True]


def of_year(kind: Kind, year: bytes) -> Kind:
    """The same storefront, with its clock in another year."""

    def body(number: int, minute: int, cancelled: bool) -> bytes:
        return kind.body(number, minute, cancelled).replace(b"2026-11-21T", year + b"-11-21T")

    return replace(kind, body=body)


@pytest.mark.parametrize("year", [b"1999", b"2199"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_shop_whose_clock_is_wrong_loses_no_update(kind: Kind, year: bytes, tmp_path: Path) -> None:
    async with running(tmp_path, kind) as (relay, imitated), Shop(relay.public_url) as shop:
        sender = Sender(shop, of_year(kind, year))
        answers = [await sender.send(1, minute) for minute in (1, 2, 1)]
        await relay.happenings.until(
            lambda: any("minute 2" in json.dumps(sale) for sale in sales_at(imitated, kind.external_id(1)))
        )
    assert [answer.json["status"] in ("queued", "merged") for answer in answers[:2]] == [True, True]
    assert answers[2].json["status"] in ("stale", "duplicate")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_of_two_states_of_one_instant_the_later_to_arrive_is_what_jetti_has(kind: Kind, tmp_path: Path) -> None:
    def body(number: int, minute: int, cancelled: bool) -> bytes:
        """Of one instant, whatever the minute; an event's own id stays another."""
        return kind.body(number, minute, cancelled).replace(at(minute).encode(), at(30).encode())

    async with running(tmp_path, kind) as (relay, imitated), Shop(relay.public_url) as shop:
        sender = Sender(shop, replace(kind, body=body))
        answers = [await sender.send(1, minute) for minute in (5, 4)]
        await relay.happenings.until(
            lambda: any("minute 4" in json.dumps(sale) for sale in sales_at(imitated, kind.external_id(1)))
        )
    assert [answer.json["status"] in ("queued", "merged") for answer in answers] == [True, True]


async def test_a_number_that_only_grows_decides_and_a_change_from_time_to_number_loses_nothing(tmp_path: Path) -> None:
    timed = KINDS["hmac"]
    mapping = {key: value for key, value in MAPPING.items() if key != "version"} | {"sequence": "order.revision"}

    def body(number: int, revision: int, cancelled: bool) -> bytes:
        order = json.loads(own_body(number, revision, cancelled))
        order["order"]["revision"] = revision
        return json.dumps(order).encode()

    async with running(tmp_path, timed) as (relay, _), Shop(relay.public_url) as shop:
        assert (await Sender(shop, timed).send(1, 50)).json["status"] == "queued"
        await delivered(relay, 1)
    numbered = replace(timed, body=body)
    async with running(tmp_path, numbered, mapping=mapping) as (relay, imitated), Shop(relay.public_url) as shop:
        sender = Sender(shop, numbered)
        answers = [await sender.send(1, revision) for revision in (7, 6)]
        gone = await sender.send(1, 9, cancelled=True)
        await relay.happenings.until(
            lambda: any(sale["saleDefaults"].get("cancelled") for sale in sales_at(imitated, "1"))
        )
        (order,) = await relay.store.find("1")
    assert [answer.json["status"] for answer in answers] == ["queued", "stale"]
    assert gone.json["status"] in ("queued", "merged")
    assert order.version == versions.of_sequence(9)
    assert abs((order.cancelled_at or 0) - SystemClock().now()) < 600 * instant.SECOND, "a number is no time"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_what_somebody_else_signed_is_refused_and_not_kept(kind: Kind, tmp_path: Path) -> None:
    async with running(tmp_path, kind) as (relay, _), Shop(relay.public_url) as shop:
        refused = await Sender(shop, kind).send(3, 1, wrong=True)
        unsigned = await shop.post("/webhooks/shop", kind.body(3, 1, False), {"Content-Type": "application/json"})
        assert await relay.store.find(kind.external_id(3)) == []

    assert (refused.status, refused.type) == (401, "bad-signature")
    assert (unsigned.status, unsigned.type) == (401, "bad-signature")


async def test_woocommerces_ping_is_answered_exactly_200_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with running(tmp_path, KINDS["woocommerce"]) as (relay, _), Shop(relay.public_url) as shop:
        ping = await shop.post("/webhooks/shop", b"webhook_id=12", form)
        again = await shop.post("/webhooks/shop", b"webhook_id=12", form)
        more = await shop.post("/webhooks/shop", b"webhook_id=12&id=5", form)
        json_ = await shop.post("/webhooks/shop", b"webhook_id=12", {"Content-Type": "application/json"})
        first = KINDS["woocommerce"].body(1, 1, False)
        kept = await shop.post("/webhooks/shop", first, KINDS["woocommerce"].headers(first, "", False))

    assert (ping.status, ping.json["status"]) == (200, "greeted")
    assert (again.status, again.json["status"]) == (200, "greeted")
    assert kept.json["event"] == 1, "neither ping has become an event"
    assert (more.status, json_.status) == (401, 401)


async def test_woocommerce_speaks_http_1_0(tmp_path: Path) -> None:
    kind = KINDS["woocommerce"]
    line, body = b"POST /webhooks/shop HTTP/1.0", kind.body(1, 1, False)
    form = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "WooCommerce/9.9 Hookshot (WordPress/6)"}
    async with running(tmp_path, kind) as (relay, _):
        for sent, headers in ((b"webhook_id=12", form), (body, kind.headers(body, "", False))):
            async with Wire(relay.public_url) as wire:
                await wire.write(request(line, sent, headers))
                answer = await wire.answer()
                assert answer is not None
                assert answer.status == 200


async def test_a_ping_is_for_woocommerce_only(tmp_path: Path) -> None:
    async with running(tmp_path, KINDS["hmac"]) as (relay, _), Shop(relay.public_url) as shop:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await shop.post("/webhooks/shop", b"webhook_id=12", form)).status == 401


async def test_elastic_paths_secret_is_nowhere_after_its_event_was_accepted(tmp_path: Path) -> None:
    kind, out = KINDS["elasticpath"], StringIO()
    log = Logs(logger("debug", "json", out))
    storefronts = {"shop": {"channel": "main", **kind.table}}
    async with relay_running(tmp_path, storefronts=storefronts, observers=(log,)) as (relay, imitated):
        async with Shop(relay.public_url) as shop:
            assert (await Sender(shop, kind).send(1, 1)).status == 200
            broken = await shop.post("/webhooks/shop", kind.body(2, 1, False)[:-9], kind.headers(b"", "", False))
            assert (broken.status, broken.json["status"]) == (200, "quarantined")
        await delivered(relay, 1)
        timeline = (await fetched(f"{relay.private_url}/api/orders/1")).body
        kept = in_files(tmp_path)
        bodies = [await relay.store.body(number) for number in (1, 2)]
        sent = json.dumps(sales_at(imitated, "ep-1"))

    told, logged = repr(relay.happenings.of(object)).encode(), out.getvalue().encode()
    assert all(b"ep-" in text for text in (kept, timeline, logged, told, *map(bytes, filter(None, bodies))))
    for text in (kept, in_files(tmp_path), *map(bytes, filter(None, bodies)), timeline, logged, told, sent.encode()):
        assert SECRET.encode() not in text


# -- the features that every kind has --------------------------------------------------------------------------------


async def test_an_override_changes_single_fields_of_what_any_kind_made(tmp_path: Path) -> None:
    override = {"sale": {"resellerId": {"const": "77"}, "notes": {"template": "{sale.saleDefaults.notes}!"}}}
    async with running(tmp_path, KINDS["hmac"], override=override) as (relay, imitated):
        async with Shop(relay.public_url) as shop:
            await Sender(shop, KINDS["hmac"]).send(1, 1)
            await delivered(relay, 1)
        (sale,) = sales_at(imitated, "1")
    assert (sale["saleDefaults"]["resellerId"], sale["saleDefaults"]["notes"]) == (77, "minute 1!")


async def test_an_order_is_held_until_it_is_accepted(tmp_path: Path) -> None:
    held = "order.note == 'minute 5'"
    async with running(tmp_path, KINDS["hmac"], accept_when=held) as (relay, imitated):
        async with Shop(relay.public_url) as shop:
            sender = Sender(shop, KINDS["hmac"])
            await sender.send(1, 1)
            await sender.send(1, 5)
            await delivered(relay, 1)
        sent = sales_at(imitated, "1")
    assert [sale["saleDefaults"]["notes"] for sale in sent] == ["minute 5"]


@pytest.mark.parametrize("store", ["sqlite", "memory"])
async def test_a_line_that_is_split_keeps_its_units_when_there_are_fewer(store: str, tmp_path: Path) -> None:
    kind = KINDS["hmac"]
    tables: dict[str, Any] = {"store": {"url": "memory:"}} if store == "memory" else {}
    storefronts = {"shop": {"channel": "main", **kind.table, "split_lines": True}}
    async with relay_running(tmp_path, storefronts=storefronts, **tables) as (relay, imitated):
        async with Shop(relay.public_url) as shop:
            for minute, quantity in ((1, 3), (2, 1), (3, 2)):
                body = kind.body(1, minute, False).replace(b'"qty": 2', b'"qty": %d' % quantity)
                headers = {"Content-Type": "application/json", **kind.headers(body, f"msg-{minute}", False)}
                assert (await shop.post("/webhooks/shop", body, headers)).status == 200
                await delivered(relay, minute)
        sent = sales_at(imitated, "1")
    assert [{line["externalId"]: line["quantity"] for line in sale["lineItems"]} for sale in sent] == [
        {"1_1": 1, "1_2": 1, "1_3": 1},
        {"1_1": 1, "1_2": 0, "1_3": 0},
        {"1_1": 1, "1_2": 1, "1_3": 0},
    ]


async def test_two_storefronts_with_prefixes_share_a_channel(tmp_path: Path) -> None:
    kind = KINDS["hmac"]
    storefronts = {
        "shop": {"channel": "main", **kind.table, "external_id_prefix": "A-", "split_lines": True},
        "other": {"channel": "main", **kind.table, "external_id_prefix": "B-", "reference": "B{reference}"},
    }
    async with relay_running(tmp_path, storefronts=storefronts) as (relay, imitated), Shop(relay.public_url) as shop:
        body = kind.body(1, 1, False)
        for name in storefronts:
            headers = {"Content-Type": "application/json", **kind.headers(body, "msg-1", False)}
            assert (await shop.post(f"/webhooks/{name}", body, headers)).status == 200
        await delivered(relay, 2)
        (one,), (other,) = sales_at(imitated, "A-1"), sales_at(imitated, "B-1")
    assert [line["externalId"] for line in one["lineItems"]] == ["1_1", "1_2"]
    assert other["saleDefaults"]["reference"] == "B#1"


class Forgetful(MemoryStore):
    """A store that once cannot say what was sent last."""

    asked = 0

    async def sale(self, order_id: int) -> bytes | None:
        self.asked += 1
        if self.asked == 1:
            raise StoreError("a moment")
        return await super().sale(order_id)


def test_an_order_whose_last_sale_cannot_be_read_waits_in_its_place() -> None:
    async def test() -> None:
        split = Maker(Native(), shape=compiled({"split_lines": True}))
        async with Bench(store=Forgetful(), maker=split) as bench:
            await bench.order("1")
            assert await bench.after(30) == ["1"]
            assert await bench.state("1") is State.SENT

    simulate(test())
