"""``send``, and what it stands on: every kind signs as its storefront does, so a relay can be tried without one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from multidict import CIMultiDict

from relay.config import kind_of, registered
from relay.core import instant
from relay.core.sources import Authentic, Ignore, NotUnderstood, Signer, Source, Unauthentic
from tests.fakes import SHOP_SECRET
from tests.fixtures import sample
from tests.running import ServeProcess, command, settings_from, tables_for, written

NOWHERE = "http://127.0.0.1:9"
NOW = instant.parse("2026-11-21T18:41:49.5Z") or 0
SECRET, HEX, KEY = "hush-or-be-heard-5d1f", "ab" * 32, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HMAC = {"kind": "hmac", "secrets": [SECRET], "header": "X-Shop-Signature"}
TIMED = {"signed": "{timestamp}.{id}.{body}", "timestamp_header": "X-Shop-Time", "id_header": "X-Shop-Id"}
BIG = {"kind": "bigcommerce", "store_hash": "abc", "api_token": "token-71f2"}
TABLES: dict[str, Mapping[str, Any]] = {
    "shopify": {"kind": "shopify", "secrets": [SECRET, "older-one"]},
    "woocommerce": {"kind": "woocommerce", "secrets": [SECRET]},
    "elasticpath": {"kind": "elasticpath", "secrets": [SECRET]},
    "bigcommerce, header": {**BIG, "secrets": [SECRET]},
    "bigcommerce, signed": {**BIG, "client_secrets": [SECRET]},
    "squarespace": {"kind": "squarespace", "secrets": [HEX], "api_token": "token-71f2"},
    "standard": {"kind": "standard", "secrets": [KEY]},
    "hmac, plain": HMAC,
    "hmac, token": {**HMAC, "method": "token", "prefix": "Bearer "},
    "hmac, timed": {**HMAC, **TIMED, "method": "sha512", "encoding": "base64", "prefix": "v0="},
    **{
        f"hmac, {form}": {**HMAC, **TIMED, "timestamp_format": form}
        for form in ("iso", "unix_ms", "rfc2822", "%Y%m%d%H%M%S")
    },
}


def source_of(folder: Path, table: Mapping[str, Any]) -> Source:
    tables = tables_for(NOWHERE, folder, storefronts={"shop": {"channel": "main", **table}})
    storefront = settings_from(folder, tables).storefronts["shop"]
    return kind_of(storefront).source(storefront)


def signed(source: Source, body: bytes, webhook_id: str = "try-1", topic: str = "") -> CIMultiDict[str]:
    return CIMultiDict(cast("Signer", source).signed(body, topic=topic, webhook_id=webhook_id, now=NOW))


def test_every_kind_that_signs_is_tried_here() -> None:
    assert {name.partition(",")[0] for name in TABLES} == set(registered().kinds) - {"native"}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_a_kind_signs_is_authentic_to_itself_and_to_no_other_secret(
    table: Mapping[str, Any], tmp_path: Path
) -> None:
    source = source_of(tmp_path, table)
    for body in (b'{"id": 1}', b"\xff\x00 no JSON", "⚓".encode() * 1500):
        headers = signed(source, body)
        assert isinstance(source.verify(headers, body, now=NOW), Authentic)
        key = "client_secrets" if "client_secrets" in table else "secrets"
        other = source_of(tmp_path, {**table, key: ["cd" * 32]})
        assert isinstance(other.verify(headers, body, now=NOW), Unauthentic)


@pytest.mark.parametrize(
    "name", [name for name in TABLES if name not in {"elasticpath", "bigcommerce, header", "hmac, token"}]
)
def test_a_signature_is_of_one_body(name: str, tmp_path: Path) -> None:
    source = source_of(tmp_path, TABLES[name])
    assert isinstance(source.verify(signed(source, b'{"id": 1}'), b'{"id": 2}', now=NOW), Unauthentic)


@pytest.mark.parametrize("name", ["shopify", "standard", "hmac, timed"])
def test_the_webhooks_id_tells_two_of_one_body_apart(name: str, tmp_path: Path) -> None:
    source = source_of(tmp_path, TABLES[name])
    first, again, second = (
        source.identify(signed(source, b"{}", given), b"{}", now=NOW).dedupe_key for given in ("a", "a", "b")
    )
    assert first == again != second


def test_a_topic_goes_where_the_storefront_has_a_header_for_it(tmp_path: Path) -> None:
    order = sample("shopify-order.json")
    for name, topic in (("shopify", "orders/updated"), ("woocommerce", "product.updated")):
        source = source_of(tmp_path, TABLES[name])
        found = source.identify(signed(source, order, topic=topic), order, now=NOW)
        assert found.topic == topic
        assert isinstance(found, Ignore) == (name == "woocommerce")
        assert not isinstance(found, NotUnderstood)


# -- the command -------------------------------------------------------------------------------------------------------


async def sent(config: Path, *words: str, given: bytes | None = None) -> tuple[int, str]:
    finished = await command("send", *words, "--config", str(config), folder=config.parent, given=given)
    return finished.code, " ".join((finished.out + finished.err).split())


def as_file(folder: Path, name: str, body: bytes) -> str:
    (folder / name).write_bytes(body)
    return name


async def test_send_hands_a_relay_webhooks_and_sales_and_says_what_became_of_them(tmp_path: Path) -> None:
    order = as_file(tmp_path, "order.json", sample("shopify-order.json"))
    sale = json.loads(sample("native-sale.json"))
    lines = as_file(
        tmp_path, "sales.ndjson", b"\n".join(json.dumps(sale | {"externalId": f"S-{n}"}).encode() for n in (1, 2))
    )
    tables = tables_for(NOWHERE, tmp_path)
    async with ServeProcess(written(tmp_path, tables)) as relay:
        config = written(tmp_path, {**tables, "public": {"listen": relay.url.removeprefix("http://")}}, "send.toml")
        code, said = await sent(config, order, "--storefront", "shop", "--id", "w-1")
        assert (code, said.partition(" what ")) == (
            0,
            (
                "queued: order 9007199254740993, revision 1, event 1",
                " what ",
                "becomes of it: order-relay order 9007199254740993",
            ),
        )
        again = await sent(config, order, "--storefront", "shop", "--id", "w-1")
        assert again[0] == 0
        assert again[1].startswith("duplicate: order 9007199254740993, event 2, the same webhook as event 1")
        code, said = await sent(config, lines, "--storefront", "till")
        assert (code, said.count("queued: order S-")) == (0, 2)
        code, said = await sent(config, "-", "--storefront", "till", "--to", relay.url, given=b'{"externalId": "S-3"}')
        assert (code, said) == (
            1,
            (
                "422: the sale has fields that cannot be sent as they are "
                "/customer: required, but not given /lineItems: required, but not given"
            ),
        )
        finished = await command(
            "send", order, "--storefront", "shop", "--json", "--topic", "products/update", "--config", str(config),
            folder=tmp_path,
        )  # fmt: skip
        assert (finished.code, json.loads(finished.out)["status"]) == (0, "ignored")
        code, said = await sent(config, order, "--storefront", "shop", "--to", relay.private_url)
        assert code == 1
        log = relay.log
    assert SHOP_SECRET not in log + finished.out + finished.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("order.json",), 2, "say which; there are: shop, till"),
        (("order.json", "--storefront", "shp"), 2, "no storefront 'shp' is configured; there are: shop, till"),
        (("missing.json", "--storefront", "shop"), 1, "missing.json cannot be read"),
        (("order.json", "--storefront", "shop"), 1, "public.listen has port 0"),
        (("large.json", "--storefront", "shop", "--to", NOWHERE), 1, "larger than public.body_max_bytes"),
        (("order.json", "--storefront", "shop", "--to", NOWHERE), 1, "no relay answers at http://127.0.0.1:9/webhooks/shop"),
        (("order.json", "--storefront", "till", "--to", "http://relay.example"), 1, "use https://"),
        (("order.json", "--storefront", "till", "--topic", "x", "--to", NOWHERE), 1, "leave --topic out"),
    ],
)  # fmt: skip
async def test_send_says_what_is_wrong(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    as_file(tmp_path, "order.json", b"{}")
    as_file(tmp_path, "large.json", b" " * 2000)
    config = written(tmp_path, tables_for(NOWHERE, tmp_path, public={"body_max_bytes": 1024}))
    found, text = await sent(config, *words)
    assert (found, said in " ".join(text.replace("│", " ").split())) == (code, True), text


async def test_a_topic_that_goes_nowhere_is_refused(tmp_path: Path) -> None:
    order = as_file(tmp_path, "order.json", b"{}")
    config = written(tmp_path, tables_for(NOWHERE, tmp_path, storefronts={"shop": {"channel": "main", **HMAC}}))
    code, said = await sent(config, order, "--topic", "orders/create", "--to", NOWHERE)
    assert (code, 'kind = "hmac" has no header for a topic here: leave --topic out' in said) == (1, True), said
