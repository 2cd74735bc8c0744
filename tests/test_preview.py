"""What would become of a webhook: of every kind of storefront, in a function, over the API and on the command line."""

import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from multidict import CIMultiDict

from relay.app import previewer_of
from relay.config import ConfigError, load
from relay.core import instant
from relay.core import sale as sales
from relay.core.captured import captured
from relay.core.comparison import Difference, differences
from relay.core.events import AttemptMade, EventFound
from relay.core.loss import Losses, Lost, losses
from relay.core.mapping import Maker
from relay.core.preview import NoTopicHeader, Previewer
from relay.core.recipe import document as documents
from relay.core.recipe.criterion import compile_criterion
from relay.core.sale import Sale
from relay.core.sources import Authentic, Mapped, NotUnderstood, Upsert
from relay.core.sources.bigcommerce import BigCommerce
from relay.core.sources.elasticpath import ElasticPath
from relay.core.sources.hmac_signed import HmacRules, HmacSigned
from relay.core.sources.native import Native
from relay.core.sources.shopify import Shopify
from relay.core.sources.squarespace import Squarespace
from relay.core.sources.standard import Standard
from relay.core.sources.woocommerce import WooCommerce
from tests import fixtures
from tests.builders import NOW
from tests.fakes import Shop, answered, fetched, manual_sale, shopify_order, signed
from tests.fixtures import SAMPLES, fixture, sample
from tests.running import SHOP, TILL, clean_environ, command, relay_running, tables_for, written
from tests.test_docs import BIN, OWN_KIND, blocks
from tests.test_storefronts import KINDS, Kind, sales_at

SECRET = "hush-or-be-heard-5d1f"
SOURCES: Mapping[str, Any] = {
    "shopify": Shopify((SECRET,)),
    "woocommerce": WooCommerce((SECRET,)),
    "elasticpath": ElasticPath((SECRET,)),
    "bigcommerce": BigCommerce((SECRET,)),
    "squarespace": Squarespace(("00ff",)),
    "native": Native(),
    "standard": Standard(("c0ffeec0ffee",)),
    "hmac": HmacSigned((SECRET,), HmacRules(id_header="X-Id", topic_header="X-What")),
}
NO_HEADERS: CIMultiDict[str] = CIMultiDict()
FIXTURES = [f"{kind}/{name}" for kind in SOURCES for name in fixtures.names(kind)]


def previewer(kind: str = "shopify", **keys: Any) -> Previewer:
    return Previewer("shop", kind, "main", Maker(SOURCES[kind], **keys))


def members(found: Any) -> Any:
    """As a program is shown it."""
    return json.loads(msgspec.json.encode(found.members()))


def plain(**order: Any) -> bytes:
    return json.dumps(order).encode()


# -- what is not carried over ------------------------------------------------------------------------------------------


def sale_of(document: Any) -> Sale:
    made = sales.parse({
        "externalId": "1", "customer": {"email": document["mail"]}, "saleDefaults": {"notes": document.get("note")},
        "lineItems": [{"externalId": str(i), "name": line["name"], "quantity": 1, "price": line["price"]}
                      for i, line in enumerate(document["lines"])],
    })  # fmt: skip
    assert isinstance(made, Sale)
    return made


def lost_of(body: bytes) -> Losses:
    found = losses(
        body, sale_of(documents.decoded(body)), lambda changed: sales.encode(sale_of(documents.decoded(changed)))
    )
    assert found is not None
    return found


ORDER = {
    "mail": "a@b.example",
    "paid": False,
    "total": 30,
    "lines": [{"name": "Mug", "price": "10", "grams": 5}, {"name": "Cup", "price": "20.00", "grams": 5}],
    "buyer": {"id": 7, "tags": ["x", "y"]},
    "none": None,
    "blank": "",
    "nothing": {},
}


def test_what_makes_no_difference_to_the_sale_is_told_with_its_value_in_the_order_of_the_document() -> None:
    assert lost_of(plain(**ORDER)) == Losses(
        (
            Lost("/paid", 1, 1, False),
            Lost("/total", 1, 1, 30),
            Lost("/lines/*/grams", 2, 2, 5),
            Lost("/buyer/id", 1, 1, 7, "/buyer"),
            Lost("/buyer/tags/*", 2, 2, "x", "/buyer"),
        ),
        values=12,
    )


def test_a_value_that_happens_to_be_in_the_sale_is_told_all_the_same() -> None:
    """Only compared, the weight of 10 would pass for the price."""
    order = ORDER | {"lines": [{"name": "Mug", "price": "10", "grams": 10}]}

    assert "/lines/0/grams" in [each.pointer for each in lost_of(plain(**order)).lost]


def test_of_many_in_the_same_place_only_those_that_make_no_difference_are_told() -> None:
    def outcome(body: bytes) -> object:
        document: Any = documents.decoded(body)
        return [value for i, value in enumerate(document["values"]) if i % 3]

    found = losses(plain(values=list(range(1, 10))), sale_of(ORDER), outcome)
    assert found is not None
    assert found.lost == (Lost("/values/*", 3, 9, 1),)


def test_what_only_looks_at_the_smaller_of_two_numbers_or_at_the_beginning_of_a_text_looks_at_them() -> None:
    def outcome(body: bytes) -> object:
        document: Any = documents.decoded(body)
        return min(5, document["few"]), min(5, document["many"]), document["text"][:3]

    found = losses(plain(few=3, many=9, text="abcdef"), sale_of(ORDER), outcome)
    assert found is not None
    assert found.lost == ()


def test_what_cannot_be_tried_is_compared_and_that_is_said() -> None:
    large = ORDER | {"filler": ["x" * 1000] * 9000}
    found = lost_of(plain(**large))

    assert not found.tried
    assert "/total" in [each.pointer for each in found.lost]
    assert "/mail" not in [each.pointer for each in found.lost]


def test_an_order_that_cannot_be_written_anew_is_compared() -> None:
    """A second key of the same name is gone then, and with it what the sale was made of."""

    def outcome(body: bytes) -> object:
        return body.count(b'"total"')

    found = losses(b'{"total": 30, "total": 30, "mail": "a@b.example"}', sale_of(ORDER), outcome)
    assert found is not None
    assert not found.tried
    assert [each.pointer for each in found.lost] == ["/total"]


def test_of_what_is_no_json_nothing_can_be_told() -> None:
    assert losses(b"<order/>", sale_of(ORDER), lambda _: 1) is None


# -- comparing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "subset", "told"),
    [
        ({"a": 1}, {"a": 1}, False, []),
        ({"a": Decimal("20.00")}, {"a": 20}, False, []),
        ({"a": 1}, {"a": True}, False, [("/a", "1", "true")]),
        ({"a": 1, "b": [1, 2]}, {"a": 2, "b": [1]}, False, [("/a", "1", "2"), ("/b/1", "2", "(nothing)")]),
        ({"a": 1}, {"a": 1, "x/y": None}, False, [("/x~1y", "(nothing)", "null")]),
        ({"a": 1}, {"a": 1, "b": 2}, True, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True, []),
        ({"a": [1]}, {"a": [1, 2]}, True, [("/a/1", "(nothing)", "2")]),
        ({"a": "x" * 500}, {}, True, [("/a", '"' + "x" * 199 + "…", "(nothing)")]),
        ([1], {"a": 1}, False, [("", "[1]", '{"a":1}')]),
    ],
)
def test_differences_are_told_with_their_place(expected: Any, found: Any, subset: bool, told: list[Any]) -> None:
    assert differences(expected, found, subset=subset) == tuple(Difference(*one) for one in told)


def test_there_are_only_so_many_differences() -> None:
    assert len(differences(list(range(1000)), [])) == 50


# -- captured webhooks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "body"),
    [
        (b'{"id": 1}', {}, b'{"id": 1}'),
        (b'X-Topic: a\nX-Id:7\n\n{"id": 1}', {"X-Topic": "a", "X-Id": "7"}, b'{"id": 1}'),
        (b'POST /webhooks/shop HTTP/1.1\r\nX-Topic: a\r\n\r\n{"a":\n\n1}', {"X-Topic": "a"}, b'{"a":\n\n1}'),
        (b"X-Topic: a\nContent-Length: 2\n\n{}\n", {"X-Topic": "a", "Content-Length": "2"}, b"{}"),
        (b"Content-Length: 2\n\n{}x", {"Content-Length": "2"}, b"{}x"),
        (b"webhook_id=12", {}, b"webhook_id=12"),
        (b"no header\n\n{}", {}, b"no header\n\n{}"),
        (b'{\n"a": 1,\n\n"b": 2}', {}, b'{\n"a": 1,\n\n"b": 2}'),
        (b"", {}, b""),
    ],
)
def test_a_file_is_a_body_or_headers_and_a_body(content: bytes, headers: Any, body: bytes) -> None:
    found = captured(content)

    assert (dict(found.headers), found.body) == (headers, body)


# -- every kind --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FIXTURES or [pytest.param("none", marks=pytest.mark.skip("no fixtures"))])
def test_every_fixture_of_every_kind_is_previewed(path: str) -> None:
    kind = path.partition("/")[0]
    found = members(previewer(kind).preview(NO_HEADERS, fixture(path), now=NOW))

    assert found["disposition"] in {"queued", "quarantined", "ignored"}
    assert (found["disposition"] == "queued") == (found["reasons"] == [])
    if found["sale"] is None:
        assert found["reasons"] or found["requests"]
    else:
        lost = found["not_carried_over"]
        assert 0 < lost["count"] < lost["values"]
        assert lost["tried"]


@pytest.mark.parametrize(
    ("name", "kind", "notes"),
    [
        ("shopify-order.json", "shopify", 4),
        ("woocommerce-order.json", "woocommerce", 1),
        ("elasticpath-event.json", "elasticpath", 1),
        ("native-sale.json", "native", 0),
        ("native-sale.json", "standard", 0),
        ("native-sale.json", "hmac", 0),
        ("bigcommerce-order.json", "bigcommerce", 1),
        ("squarespace-order.json", "squarespace", 0),
    ],
)
def test_the_sample_of_every_kind_comes_to_a_sale(name: str, kind: str, notes: int) -> None:
    found = members(previewer(kind).preview(NO_HEADERS, sample(name), now=NOW))

    assert (found["disposition"], found["reasons"]) == ("queued", [])
    assert found["event"]["is"] == "upsert"
    assert found["sale"]["externalId"] == found["event"]["order"]
    assert found["fetched"] is (kind in {"bigcommerce", "squarespace"})
    assert len(found["notes"]) >= notes
    assert found["signature"]["is"] == "not given"


def test_a_topic_is_put_where_the_kind_reads_it() -> None:
    for kind, topic, said in (
        ("shopify", "carts/update", "ignored"),
        ("woocommerce", "coupon.created", "ignored"),
        ("hmac", "shop.moved", "ignored"),
    ):
        name = {"hmac": "native-sale.json"}.get(kind, f"{kind}-order.json")
        found = previewer(kind).preview(NO_HEADERS, sample(name), now=NOW, topic=topic)
        assert (found.disposition, found.identified and found.identified.topic) == (said, topic), kind


def test_a_topic_that_is_read_from_the_body_is_not_taken() -> None:
    with pytest.raises(NoTopicHeader, match=r"'order.x': a webhook of kind standard has its topic in the body"):
        previewer("standard").preview(NO_HEADERS, sample("native-sale.json"), now=NOW, topic="order.x")


def test_it_is_said_whether_a_signature_that_was_given_verifies() -> None:
    body = sample("shopify-order.json")
    given: list[Any] = [signed(body, secret=SECRET), signed(body, secret="another"), {}]
    verdicts = [
        members(previewer().preview(CIMultiDict(headers), body, now=NOW))["signature"]["is"] for headers in given
    ]

    assert verdicts == ["verified", "wrong", "not given"]


def test_a_greeting_is_told_from_what_is_kept_and_not_sent() -> None:
    ping = CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"})
    told = members(previewer("woocommerce").preview(ping, b"webhook_id=7", now=NOW))

    assert (told["disposition"], told["signature"]["is"]) == ("ignored", "greeting")


def test_it_is_said_what_makes_two_webhooks_the_same() -> None:
    body, undated = sample("shopify-order.json"), shopify_order(1, updated_at=None)
    told = [
        members(previewer().preview(headers, text, now=NOW))["event"]["dedupe_by"]
        for headers, text in (
            (CIMultiDict({"X-Shopify-Webhook-Id": "w1"}), body),
            (NO_HEADERS, body),
            (NO_HEADERS, undated),
        )
    ]

    assert told == ["own id", "digest", "nothing"]


def test_a_webhook_that_only_names_its_order_shows_what_would_be_asked_for() -> None:
    hook = plain(topic="order.create", id="n1", createdOn="2026-11-21T10:00:00Z", data={"orderId": "585d498fdee9f31a"})
    found = members(previewer("squarespace").preview(NO_HEADERS, hook, now=NOW))

    assert (found["event"]["is"], found["disposition"], found["sale"]) == ("fetch", "queued", None)
    assert [request["path"] for request in found["requests"]] == ["1.0/commerce/orders/585d498fdee9f31a"]


def test_an_order_as_it_is_fetched_is_known_from_a_webhook_also_where_the_store_is_named() -> None:
    source = BigCommerce((SECRET,), store_hash="abc123")
    big = Previewer("shop", "bigcommerce", "main", Maker(source))
    whole = members(big.preview(NO_HEADERS, sample("bigcommerce-order.json"), now=NOW))
    part = members(big.preview(NO_HEADERS, plain(id=218, status_id=11), now=NOW))

    assert (whole["fetched"], whole["disposition"]) == (True, "queued")
    assert (part["fetched"], part["disposition"]) == (False, "ignored")
    assert "nor is it an order as it is fetched: /order" in part["reasons"][0]["detail"]


def test_a_held_order_shows_why_and_the_sale_it_would_be() -> None:
    wanted = compile_criterion("financial_status == 'paid'", "accept_when").holds_for
    found = members(
        previewer(accept_when=wanted).preview(NO_HEADERS, shopify_order(1, financial_status="pending"), now=NOW)
    )

    assert found["disposition"] == "held"
    assert "accept_when" in found["reasons"][0]["detail"]
    assert found["sale"]["externalId"] == "1"
    assert "/note" not in [group["pointer"] for group in found["not_carried_over"]["groups"]]


def test_an_old_order_is_an_update_and_a_cancellation_that_only_names_its_order_a_dead_letter() -> None:
    old = members(previewer().preview(NO_HEADERS, shopify_order(1, created_at="2020-01-01T00:00:00Z"), now=NOW))
    gone = members(previewer().preview(CIMultiDict({"X-Shopify-Topic": "orders/delete"}), b'{"id": 1}', now=NOW))

    assert old["lane"] == "update"
    assert (gone["event"]["is"], gone["event"]["whole"], gone["disposition"]) == ("cancel", False, "quarantined")


def test_a_manual_sale_that_cannot_be_sent_is_refused_with_its_field() -> None:
    found = members(previewer("native").preview(NO_HEADERS, manual_sale(1, lineItems=[]), now=NOW))

    assert found["disposition"] == "refused"
    assert [reason["pointer"] for reason in found["reasons"]] == ["/lineItems"]


def test_a_secret_in_the_body_is_not_shown() -> None:
    event = json.loads(sample("elasticpath-event.json")) | {"configuration": {"secret_key": SECRET, "url": "https://x"}}
    found = previewer("elasticpath").preview(NO_HEADERS, plain(**event), now=NOW)

    assert found.made is not None
    assert SECRET not in json.dumps(members(found))


class Raising:
    """A source of another package, with a defect."""

    reads = ()

    def verify(self, headers: object, body: bytes, *, now: int) -> Authentic:
        return Authentic()

    def identify(self, headers: object, body: bytes, *, now: int) -> Upsert | NotUnderstood:
        return Upsert(json.loads(body)["id"], None, "key", "order")

    def strip(self, body: bytes) -> bytes:
        return body

    def sale(self, body: bytes, topic: str) -> Mapped:
        raise KeyError("sku")


def test_a_source_that_raises_is_told_and_does_no_harm() -> None:
    raising = Previewer("x", "acme", "main", Maker(Raising()))
    early, late = (members(raising.preview(NO_HEADERS, body, now=NOW)) for body in (b"[]", b'{"id": "1"}'))

    assert (early["disposition"], early["event"]) == ("refused", None)
    assert early["reasons"][0]["detail"].startswith("raised TypeError")
    assert late["disposition"] == "quarantined"
    assert "KeyError" in late["reasons"][0]["detail"]


# -- over the API ------------------------------------------------------------------------------------------------------


async def previewed(url: str, body: bytes, headers: Any = None, *, name: str = "shop", query: str = "") -> Any:
    sent = {"Content-Type": "application/json", **(headers or {})}
    async with aiohttp.ClientSession() as session:
        return await answered(session.post(f"{url}/api/storefronts/{name}/preview{query}", data=body, headers=sent))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_what_a_preview_shows_is_what_jetti_gets(kind: Kind, tmp_path: Path) -> None:
    storefronts = {"shop": {"channel": "main", "reference": "A-{reference}", **kind.table}}
    async with relay_running(tmp_path, storefronts=storefronts) as (relay, jetti), Shop(relay.public_url) as shop:
        body = kind.body(1, 1, False)
        headers = {"Content-Type": "application/json", **kind.headers(body, "m1", False)}
        shown = (await previewed(relay.private_url, body, headers)).json
        assert (await relay.store.tally(), relay.happenings.of(AttemptMade)) == ({}, [])  # nothing is kept
        await shop.post("/webhooks/shop", body, headers)
        await relay.happenings.until(lambda: bool(relay.happenings.of(AttemptMade)))
        again = (await fetched(f"{relay.private_url}/api/orders/1/preview")).json
        (sent,) = sales_at(jetti, kind.external_id(1))

    assert (shown["signature"]["is"], shown["disposition"]) == ("verified", "queued")
    assert shown["sale"] == sent == again["sale"]
    assert shown["event"]["order"] == sent["externalId"]
    assert again["event"] is None
    assert again["disposition"] == "queued"
    assert again["not_carried_over"]["count"] > 0


async def test_a_preview_over_the_api_is_bounded_and_says_what_is_wrong(tmp_path: Path) -> None:
    async with relay_running(tmp_path, public={"body_max_bytes": 20_000}) as (relay, _):
        url = relay.private_url
        answers = {
            "topic": await previewed(url, shopify_order(1), query="?topic=carts/update"),
            "sale": await previewed(url, manual_sale(1), name="till"),
            "no topic": await previewed(url, manual_sale(1), name="till", query="?topic=x"),
            "form": await previewed(url, b"{}", {"Content-Type": "application/x-www-form-urlencoded"}),
            "unknown": await previewed(url, b"{}", name="nobody"),
            "large": await previewed(url, b" " * 20_001),
            "no order": await fetched(f"{url}/api/orders/7/preview"),
        }
        assert relay.happenings.defects == []

    assert {name: answer.status for name, answer in answers.items()} == {
        "topic": 200, "sale": 200, "no topic": 422, "form": 415, "unknown": 404, "large": 413, "no order": 404,
    }  # fmt: skip
    assert answers["topic"].json["disposition"] == "ignored"
    assert "there are: shop, till" in answers["unknown"].json["detail"]


async def test_an_order_that_cannot_be_mapped_shows_why_as_it_is_now(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _), Shop(relay.public_url) as shop:
        await shop.send(shopify_order(1, line_items=[]))
        await relay.happenings.until(lambda: bool(relay.happenings.of(EventFound)))
        found = (await fetched(f"{relay.private_url}/api/orders/1/preview")).json

    assert (found["disposition"], found["sale"]) == ("quarantined", None)
    assert found["reasons"][0]["pointer"] == "/line_items"


# -- on the command line -----------------------------------------------------------------------------------------------


def in_toml(value: Any) -> str:
    """A value as TOML has it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {in_toml(entry)}" for key, entry in value.items()) + " }"
    return f"[{', '.join(map(in_toml, value))}]" if isinstance(value, list) else json.dumps(value)


def folder_with(folder: Path, tests: list[Any] | None = None, **storefronts: Any) -> Path:
    """A configuration, and the samples beside it; ``tests`` are those of the storefront ``shop``."""
    for file in SAMPLES.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tables = tables_for("http://127.0.0.1:9", folder, storefronts=storefronts or {"shop": SHOP})
    config = written(folder, tables, "config.toml")
    if tests is not None:
        config.write_text(f"{config.read_text()}storefronts.shop.tests = {in_toml(tests)}\n")
    return config


async def test_preview_shows_the_event_the_sale_the_notes_and_what_is_lost_in_80_columns(tmp_path: Path) -> None:
    folder_with(tmp_path)
    said = await command("preview", "shopify-order.json", "--topic", "orders/create", folder=tmp_path)
    every = await command("preview", "shopify-order.json", "--all", folder=tmp_path)

    assert (said.code, said.err) == (0, "")
    assert [line for line in said.out.splitlines() if len(line) > 80] == []
    places = [said.out.index(words) for words in (
        "orders/create: the order as it is now", "9007199254740993, which the customer calls #2001",
        "not given, and not needed here", "queued: sent through channel main as ", '"externalId": "9007',
        "/presentment_currency: the buyer paid in another currency", "Not carried over: 54 of 106 values",
        '/financial_status                         "paid"', "/total_tax_set                            4 values:",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "/total_tax_set/shop_money/amount" not in said.out
    assert "/total_tax_set/shop_money/amount" in every.out
    assert not (tmp_path / "relay.db").exists()


async def test_preview_says_of_a_ping_that_it_is_kept_nowhere(tmp_path: Path) -> None:
    folder_with(tmp_path, shop={"kind": "woocommerce", "channel": "main", "secrets": ["change-me-not"]})
    (tmp_path / "ping.txt").write_text("Content-Type: application/x-www-form-urlencoded\n\nwebhook_id=7")
    said = await command("preview", "ping.txt", folder=tmp_path)

    assert "ignored: answered, and kept nowhere" in said.out
    assert "same as" not in said.out


async def test_the_preview_of_a_cancellation_says_how_jetti_is_told_and_when_it_is_not(tmp_path: Path) -> None:
    cancelled = json.loads(sample("shopify-order.json")) | {"cancelled_at": "2026-11-21T18:50:00Z"}
    (tmp_path / "order.json").write_text(json.dumps(cancelled))

    async def said(**keys: str) -> str:
        storefronts = {"shop": {**SHOP, **keys}}
        channels = {"main": {"token": "jetti-token-5d1f", "channel_id": 1}}
        written(
            tmp_path,
            tables_for("http://127.0.0.1:9", tmp_path, channels=channels, storefronts=storefronts),
            "config.toml",
        )
        finished = await command("preview", "order.json", "--topic", "orders/cancelled", folder=tmp_path)
        assert "queued: sent through channel main" in finished.out
        return " ".join(finished.out.split())

    call, left = "then cancelled by Jetti's cancel call: the sale does not say it", "but left unsent if it was accepted"
    plain = await said()
    assert (call in plain, left in plain, '"cancelled": true' in plain) == (False, False, True)
    called = await said(cancellations="call")
    assert (call in called, left in called, '"cancelled": true' in called) == (True, True, False)
    assert left in await said(cancelled_unsent="leave")
    assert left not in await said(cancellations="call", cancelled_unsent="send")


async def test_preview_as_json_is_what_the_api_answers(tmp_path: Path) -> None:
    folder_with(tmp_path)
    said = await command("preview", "shopify-order.json", "--json", folder=tmp_path)
    shown = json.loads(said.out)
    async with relay_running(tmp_path) as (relay, _):
        answer = await previewed(relay.private_url, sample("shopify-order.json"))

    assert shown == answer.json


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shopify-order.json"], "say which; there are: shop, till"),
        (["shopify-order.json", "--storefront=shup"], "did you mean shop?"),
        (["shopify-order.json", "--storefront=shop", "--header=hm"], "write 'X-Shopify-Topic: orders/create'"),
        (["native-sale.json", "--storefront=till", "--topic=x"], "has its topic in the body: leave the option out"),
    ],
)
async def test_wrong_usage_names_the_remedy(tmp_path: Path, words: list[str], said: str) -> None:
    folder_with(tmp_path, shop=SHOP, till=TILL)
    found = await command("preview", *words, folder=tmp_path)

    assert found.code == 2
    assert said in " ".join(found.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.json"], "gone.json cannot be read: No such file or directory"),
        (["large.json"], "large.json is larger than public.body_max_bytes, 5242880 bytes: the relay would refuse it"),
        (["broken.json", "--save-expected=x.json"], "there is no sale to save: the webhook is quarantined"),
        (["shopify-order.json", "--save-expected=no/x.json"], "--save-expected no/x.json cannot be written"),
    ],
)
async def test_what_goes_wrong_is_said_and_ends_with_1(tmp_path: Path, words: list[str], said: str) -> None:
    folder_with(tmp_path)
    (tmp_path / "large.json").write_bytes(b" " * (5 * 1024 * 1024 + 1))
    (tmp_path / "broken.json").write_bytes(b"[]")
    found = await command("preview", *words, folder=tmp_path)

    assert found.code == 1
    assert said in " ".join(found.err.split())


async def test_what_was_previewed_is_pinned_and_a_changed_mapping_is_found(tmp_path: Path) -> None:
    config = folder_with(tmp_path)
    saved = await command(
        "preview",
        "shopify-order.json",
        "--header=X-Shopify-Topic: orders/paid",
        "--save-expected=paid.json",
        folder=tmp_path,
    )
    (tmp_path / "away").mkdir()
    test = saved.out[saved.out.index("[[") :]
    config.write_text(f"{config.read_text()}\n{test}")
    fine = await command("check", "--offline", "--config", "../config.toml", folder=tmp_path / "away")
    text = config.read_text().replace(
        "storefronts.shop.kind", 'storefronts.shop.reference = "X{reference}"\nstorefronts.shop.kind'
    )
    config.write_text(text)
    wrong = await command("check", "--offline", folder=tmp_path)
    told = json.loads((await command("check", "--offline", "--json", folder=tmp_path)).out)

    assert tomllib.loads(test)["storefronts"]["shop"]["tests"] == [
        {"webhook": "shopify-order.json", "headers": {"X-Shopify-Topic": "orders/paid"}, "sale": "paid.json"}
    ]
    assert (fine.code, fine.out.splitlines()[-1]) == (0, "ok   storefronts.shop.tests: 1 of 1 come to what they expect")
    assert wrong.code == 1
    assert wrong.out.splitlines()[-1].strip() == '/saleDefaults/reference: expected "#2001", got "X#2001"'
    assert [finding["ok"] for finding in told] == [True, False, False]
    assert told[-1]["differences"] == [
        {"pointer": "/saleDefaults/reference", "expected": '"#2001"', "found": '"X#2001"'}
    ]


# -- tests in the configuration ----------------------------------------------------------------------------------------


def tried_in(folder: Path, tests: list[dict[str, Any]], **keys: Any) -> dict[str, str]:
    """What is said of each test that fails."""
    from relay.samples import tried

    settings = load(folder_with(folder, tests, shop={**SHOP, **keys}), {})
    return {
        each.name: each.trouble or "; ".join(map(str, each.differences))
        for each in tried(settings, folder)
        if not each.ok
    }


SHOPIFY = {"webhook": "shopify-order.json"}


def test_samples_that_come_to_what_they_expect(tmp_path: Path) -> None:
    has = {"externalId": "9007199254740993", "lineItems": [{"price": 12.345}, {"quantity": 1}]}
    tests: list[dict[str, Any]] = [
        SHOPIFY,
        {**SHOPIFY, "sale_has": has},
        {**SHOPIFY, "topic": "carts/update", "disposition": "ignored", "reasons": ["a topic the relay does not use"]},
        {"body": '{"id": 1, "line_items": []}', "disposition": "quarantined", "reasons": ["/email", "fallback_email"]},
        {
            "body": 'X-Shopify-Topic: orders/delete\n\n{"id": 1}',
            "disposition": "quarantined",
            "reasons": ["cancellation"],
        },
    ]

    assert tried_in(tmp_path, tests) == {}
    held = {**SHOPIFY, "disposition": "held", "sale_has": has, "reasons": ["accept_when"]}
    assert tried_in(tmp_path, [held], accept_when="financial_status == 'authorized'") == {}


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({**SHOPIFY, "sale_has": {"externalId": "1"}}, '/externalId: expected "1", got "9007199254740993"'),
        ({**SHOPIFY, "disposition": "ignored"}, "disposition: expected ignored, got queued"),
        (
            {"body": "{}", "reasons": ["nowhere"], "disposition": "quarantined"},
            'reasons: expected "nowhere", got ["neither an X-Shopify-Topic header nor the fields of an order',
        ),
        ({**SHOPIFY, "sale": "none.json"}, "{}/none.json cannot be read: No such file or directory"),
        ({**SHOPIFY, "sale": "broken.json"}, "{}/broken.json holds no sale: not JSON: "),
        ({"webhook": "none.json"}, "{}/none.json cannot be read: No such file or directory"),
    ],
)
def test_a_sample_that_does_not_is_told_with_what_it_came_to(tmp_path: Path, test: dict[str, Any], said: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    (found,) = tried_in(tmp_path, [{"name": "the one", **test}]).values()

    assert found.startswith(said.format(tmp_path))


def test_a_sample_comes_to_the_same_on_every_day(tmp_path: Path) -> None:
    """A cancellation without a time of its own is of the moment it is received."""
    body = json.dumps({"externalId": "1", "customer": {"email": "a@b.example"}, "saleDefaults": {"cancelled": True},
                       "lineItems": [{"externalId": "1", "name": "Mug", "quantity": 1, "price": 1}]})  # fmt: skip
    from relay.samples import tried

    test = {"body": body, "sale_has": {"saleDefaults": {"cancelledAt": "2026-01-01T00:00:00.000Z"}}}
    settings = load(folder_with(tmp_path, [test], shop=TILL), {})
    assert [each.differences for each in tried(settings, tmp_path)] == [()]


@pytest.mark.parametrize(
    ("test", "key", "message"),
    [
        ({}, "tests[0].webhook", "is missing, and so is body"),
        ({"webhook": "a", "body": "b"}, "tests[0].webhook", "is set, and so is body"),
        ({"body": "{}", "disposition": "ignored", "sale": "x"}, "tests[0].sale", "of what is ignored there is no sale"),
        ({"body": "{}", "reasons": "x"}, "tests[0].reasons", 'what is "queued" has no reasons'),
        ({"body": "{}", "headers": {"a": 1}}, "tests.headers", "has a value that is no text"),
        ({"body": "{}", "sales": "x"}, "tests.sales", "is not a known key"),
        ({"body": "{}", "disposition": "dead"}, "tests.disposition", "must be 'queued'"),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused(tmp_path: Path, test: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder_with(tmp_path, [test], shop=SHOP), {})
    (problem,) = caught.value.problems

    assert problem.key == f"storefronts.shop.{key}"
    assert message in problem.message
    assert problem.remedy


def test_there_may_be_only_so_many_samples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 501 samples, and may have 500"):
        load(folder_with(tmp_path, [{"body": "{}"}] * 501, shop=SHOP), {})


def test_serving_reads_no_file_of_a_sample(tmp_path: Path) -> None:
    settings = load(folder_with(tmp_path, [{"webhook": "gone.json"}], shop=SHOP), {})

    assert previewer_of("shop", settings.storefronts["shop"]).storefront == "shop"


# -- a kind of another package -----------------------------------------------------------------------------------------


async def test_a_kind_of_another_package_is_previewed_and_sampled_like_any(tmp_path: Path) -> None:
    module, site = blocks(OWN_KIND)[1], tmp_path / "site"
    info = site / "acme_relay-0.1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_relay.py").write_text(module.text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-relay\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[order_relay.sources]\nacme = acme_relay:KIND\n")
    order = {"number": 9001, "changed": "2026-11-21T18:41:49Z", "mail": "ada@buyer.example", "gift_note": "Hi",
             "shop": 3,
             "items": [{"name": "Mug", "count": 1, "price": "19.90", "sku": "MUG", "grams": 300}]}  # fmt: skip
    (tmp_path / "acme.json").write_text(json.dumps(order))
    config = folder_with(tmp_path, acme={"kind": "acme", "channel": "main", "secrets": ["s"]})
    environ = {"PYTHONPATH": str(site)}
    shown = await command("preview", "acme.json", "--json", folder=tmp_path, environ=environ)
    saved = await command("preview", "acme.json", "--save-expected=a.json", folder=tmp_path, environ=environ)
    config.write_text(config.read_text() + "\n" + saved.out[saved.out.index("[[") :])
    checked = await command("check", "--offline", folder=tmp_path, environ=environ)
    found = json.loads(shown.out)

    assert found["sale"]["lineItems"][0]["externalId"] == "9001_0"
    assert {group["pointer"]: group["value"] for group in found["not_carried_over"]["groups"]} == {
        "/gift_note": "Hi", "/shop": 3, "/items/0/grams": 300,
    }  # fmt: skip
    assert (checked.code, "1 of 1 come to what they expect" in checked.out) == (0, True)


async def test_a_webhook_may_come_from_standard_input(tmp_path: Path) -> None:
    import asyncio

    folder_with(tmp_path)
    process = await asyncio.create_subprocess_exec(
        str(BIN / "order-relay"), "preview", "-", "--json", cwd=tmp_path, env=clean_environ(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate(b"X-Shopify-Topic: orders/paid\n\n" + shopify_order(1001))

    assert json.loads(out)["event"]["topic"] == "orders/paid"
    assert instant.parse(json.loads(out)["event"]["version"]) is not None
