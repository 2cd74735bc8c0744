"""Reading orders from a storefront's API, over real sockets: whatever the other end does comes back as an outcome."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.clock import SystemClock
from relay.core import fetched as rules
from relay.core.fetched import Fetched, Reply, Unfetched, judge
from relay.core.outcome import ChannelWrong, Failed, Refused, Throttled
from relay.core.sources import Page, Request, Thin, Upsert
from relay.core.sources.bigcommerce import BigCommerce, BigCommerceRules
from relay.core.sources.squarespace import Squarespace
from relay.destination import session
from relay.fetching import Api, Fetcher, bigcommerce, squarespace
from tests.fixtures import sample
from tests.storefront_apis import (
    BIGCOMMERCE_STORE,
    BIGCOMMERCE_TOKEN,
    SQUARESPACE_TOKEN,
    Allowance,
    ApiFault,
    StorefrontApis,
    storefront_apis,
)

NOW = 1_795_000_000_000_000
DOCUMENT: dict[str, Any] = json.loads(sample("bigcommerce-order.json"))
SQUARE: dict[str, Any] = json.loads(sample("squarespace-order.json"))
STORE = BigCommerce(("hush",))
SITE = Squarespace(("ab" * 32,))
ORDER = Request("v2/orders/7001")
LIST = Request("v2/orders/7001/shipping_addresses", may_be_missing=True)


@asynccontextmanager
async def reading(api: Api, source: Thin = STORE) -> AsyncIterator[Fetcher]:
    async with session(4) as connections:
        yield Fetcher(api, source, connections, SystemClock())


@asynccontextmanager
async def store(
    apis: StorefrontApis | None = None, source: Thin = STORE, token: str = BIGCOMMERCE_TOKEN, timeout_s: float = 5.0
) -> AsyncIterator[tuple[StorefrontApis, Fetcher]]:
    """BigCommerce with the sample order."""
    async with storefront_apis(apis) as running:
        running.put_bigcommerce(
            DOCUMENT["order"], products=DOCUMENT["products"], shipping_addresses=DOCUMENT["shipping_addresses"]
        )
        api = replace(bigcommerce(BIGCOMMERCE_STORE, token, url=running.url), timeout_s=timeout_s)
        async with reading(api, source) as fetcher:
            yield running, fetcher


@asynccontextmanager
async def site(
    apis: StorefrontApis | None = None, token: str = SQUARESPACE_TOKEN
) -> AsyncIterator[tuple[StorefrontApis, Fetcher]]:
    """Squarespace with the sample order."""
    async with storefront_apis(apis) as running:
        running.put_squarespace(SQUARE)
        async with reading(squarespace(token, url=running.url), SITE) as fetcher:
            yield running, fetcher


def told(outcome: Fetched | Unfetched) -> tuple[str, str]:
    return type(outcome).__name__, "" if isinstance(outcome, Fetched) else outcome.cause.code


# Orders


async def test_an_order_of_bigcommerce_is_read_with_its_lines_and_addresses() -> None:
    async with store() as (apis, fetcher):
        outcome = await fetcher.fetch("7001")

    assert isinstance(outcome, Fetched)
    assert json.loads(outcome.body) == DOCUMENT
    assert isinstance(STORE.identify_fetched(outcome.body, now=NOW), Upsert)
    path = f"/stores/{BIGCOMMERCE_STORE}/v2/orders/7001"
    assert apis.requests == [
        path,
        f"{path}/products?limit=250&page=1",
        f"{path}/shipping_addresses?limit=250&page=1",
    ]


async def test_an_order_of_several_pages_is_read_whole_and_in_order() -> None:
    products = [DOCUMENT["products"][0] | {"id": n + 1} for n in range(612)]
    async with store() as (apis, fetcher):
        apis.put_bigcommerce(DOCUMENT["order"], products=products)
        outcome = await fetcher.fetch("7001")

    assert isinstance(outcome, Fetched)
    assert json.loads(outcome.body)["products"] == products
    assert len(apis.requests) == 5


async def test_a_list_that_the_order_has_none_of_is_empty() -> None:
    async with store() as (apis, fetcher):
        apis.put_bigcommerce(DOCUMENT["order"], products=DOCUMENT["products"])
        empty = await fetcher.fetch("7001")
        apis.impose(ApiFault(404, path="/shipping_addresses"))
        missing = await fetcher.fetch("7001")

    assert isinstance(empty, Fetched)
    assert empty == missing
    assert json.loads(empty.body)["shipping_addresses"] == []


async def test_an_incomplete_order_costs_one_request() -> None:
    async with store() as (apis, fetcher):
        apis.put_bigcommerce(DOCUMENT["order"] | {"status_id": 0})
        assert told(await fetcher.fetch("7001"))[0] == "Fetched"

    assert len(apis.requests) == 1


async def test_coupons_are_read_where_they_are_wanted() -> None:
    source = BigCommerce(("hush",), rules=BigCommerceRules(coupon_tags=True))
    async with store(source=source) as (apis, fetcher):
        outcome = await fetcher.fetch("7001")

    assert isinstance(outcome, Fetched)
    assert json.loads(outcome.body)["coupons"] == []
    assert len(apis.requests) == 4


async def test_an_order_of_squarespace_is_read_byte_for_byte() -> None:
    async with site() as (apis, fetcher):
        outcome = await fetcher.fetch(SQUARE["id"])

    assert outcome == Fetched(json.dumps(SQUARE).encode())
    assert apis.requests == [f"/1.0/commerce/orders/{SQUARE['id']}"]


@pytest.mark.parametrize("source", [STORE, SITE])
@pytest.mark.parametrize("external_id", ["../admin", "7001/products", "a?b", "a#b", "%2e%2e", "é"])
async def test_an_id_never_becomes_another_address(source: Thin, external_id: str) -> None:
    async with storefront_apis() as apis, reading(squarespace(SQUARESPACE_TOKEN, url=apis.url), source) as fetcher:
        assert told(await fetcher.fetch(external_id)) == ("Refused", "order_gone")
        (request,) = apis.requests

    assert request.count("/") == source.first_request("x").path.count("/") + 1
    assert "?" not in request


# What goes wrong


async def test_an_order_that_is_not_there_is_refused_for_good() -> None:
    async with store() as (_, fetcher):
        gone = await fetcher.fetch("7002")
    assert told(gone) == ("Refused", "order_gone")
    assert "not there" in str(gone)
    async with site() as (apis, fetcher):
        apis.remove(SQUARE["id"])
        assert told(await fetcher.fetch(SQUARE["id"])) == ("Refused", "order_gone")


async def test_an_order_that_goes_while_it_is_read_is_refused_for_good() -> None:
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(404, path="/products"))
        assert told(await fetcher.fetch("7001")) == ("Refused", "order_gone")


async def test_a_token_that_is_refused_is_the_storefronts_trouble_and_is_never_shown() -> None:
    async with store(token="wrong-token-11") as (_, fetcher):
        outcome = await fetcher.fetch("7001")
    assert told(outcome) == ("ChannelWrong", "http_401")
    assert "Unauthorized" in str(outcome)
    async with site(token="wrong-token-11") as (_, fetcher):
        assert told(await fetcher.fetch(SQUARE["id"])) == ("ChannelWrong", "http_401")


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
async def test_an_echoed_token_is_not_repeated(status: int) -> None:
    body = json.dumps({"message": f"the token {BIGCOMMERCE_TOKEN} is none"}).encode()
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(status, body=body))
        outcome = await fetcher.fetch("7001")
        assert BIGCOMMERCE_TOKEN not in repr((outcome, fetcher._api))

    assert "the token … is none" in repr(outcome)


async def test_beyond_bigcommerces_allowance_it_waits_for_as_long_as_the_headers_say() -> None:
    apis = StorefrontApis(bigcommerce_quota=Allowance(4, 30.0))
    async with store(apis) as (_, fetcher):
        first, second = await fetcher.fetch("7001"), await fetcher.fetch("7001")

    assert told(first)[0] == "Fetched"
    assert isinstance(second, Throttled)
    assert second.retry_after_s is not None
    assert 25 < second.retry_after_s <= 30
    assert apis.answers == {200: 4, 429: 1}


async def test_beyond_squarespaces_limit_it_waits_for_a_minute() -> None:
    async with site(StorefrontApis(squarespace_quota=Allowance(1, 60.0, 60.0))) as (_, fetcher):
        assert told(await fetcher.fetch(SQUARE["id"]))[0] == "Fetched"
        throttled = await fetcher.fetch(SQUARE["id"])

    assert isinstance(throttled, Throttled)
    assert throttled.retry_after_s == 60.0


async def test_a_retry_after_goes_before_what_the_vendor_has_of_its_own() -> None:
    async with site() as (apis, fetcher):
        apis.impose(ApiFault(429, headers=(("Retry-After", "7"),)))
        outcome = await fetcher.fetch(SQUARE["id"])

    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == 7.0


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with storefront_apis() as elsewhere, store() as (apis, fetcher):
        apis.impose(ApiFault(status, headers=(("Location", f"{elsewhere.url}/v2/orders/7001"),)))
        assert told(await fetcher.fetch("7001")) == ("ChannelWrong", f"http_{status}")

    assert elsewhere.requests == []
    assert len(apis.requests) == 1


@pytest.mark.parametrize("path", ["/7001", "/products", "/shipping_addresses"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_a_storefront_in_trouble_is_asked_again_later_whatever_was_read(path: str, status: int) -> None:
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(status, path=path))
        assert told(await fetcher.fetch("7001")) == ("Failed", f"http_{status}")
        assert told(await fetcher.fetch("7001"))[0] == "Fetched"


async def test_an_answer_that_does_not_come_in_time_has_failed() -> None:
    async with store(timeout_s=0.2) as (apis, fetcher):
        apis.impose(ApiFault(latency_s=5.0, path="/products"))
        assert told(await fetcher.fetch("7001")) == ("Failed", "timeout")


async def test_a_connection_that_breaks_has_failed() -> None:
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(drop=True, times=2))
        assert told(await fetcher.fetch("7001")) == ("Failed", "connection")


async def test_nobody_there_has_failed() -> None:
    async with storefront_apis() as apis:
        url = apis.url
    async with reading(bigcommerce("x", "t", url=url)) as fetcher:
        assert told(await fetcher.fetch("7001")) == ("Failed", "connect")


@pytest.mark.parametrize("url", ["", "nowhere", "http://", "http://[", "http://\udcff", "http://a..b"])
async def test_an_address_that_is_none_is_the_storefronts_trouble(url: str) -> None:
    async with reading(Api(url, {})) as fetcher:
        assert told(await fetcher.fetch("7001"))[0] in ("ChannelWrong", "Failed")


async def test_tls_to_what_speaks_none_is_the_storefronts_trouble() -> None:
    async with storefront_apis() as apis, reading(Api(apis.url.replace("http:", "https:"), {})) as fetcher:
        assert told(await fetcher.fetch("7001")) == ("ChannelWrong", "tls")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>captive portal</html>", b"7", b"null", b'"text"', b'{"id":', b"\xff{}", b'{"id":"\xff"}', b"[" * 9000,
     gzip.compress(b'{"id":7001}', mtime=0)],
)  # fmt: skip
async def test_what_is_not_json_is_asked_for_again_later(body: bytes) -> None:
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(200, body=body))
        assert told(await fetcher.fetch("7001")) == ("Failed", "not_json")


async def test_an_order_larger_than_any_is_refused_and_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b'{"id":"' + b"x" * 1000 + b'"}'
    monkeypatch.setattr("relay.fetching.BODY_MAX_BYTES", len(whole))
    async with site() as (apis, fetcher):
        apis.impose(ApiFault(200, body=whole))
        assert told(await fetcher.fetch(SQUARE["id"]))[0] == "Fetched"
        apis.impose(ApiFault(200, body=whole + b" "))
        assert told(await fetcher.fetch(SQUARE["id"])) == ("Refused", "order_too_large")


async def test_all_pages_of_an_order_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.fetching.BODY_MAX_BYTES", 3000)
    async with store() as (_, fetcher):
        assert told(await fetcher.fetch("7001")) == ("Refused", "order_too_large")


async def test_an_endless_answer_is_read_no_further_than_an_order_may_be_large() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
        try:
            while not writer.is_closing():
                writer.write(b" " * 65_536)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with listening(endless) as url, reading(Api(url, {}, timeout_s=20)) as fetcher:
        assert told(await fetcher.fetch("7001")) == ("Refused", "order_too_large")


async def test_lists_without_an_end_come_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.fetching.PAGES_MAX", 5)
    products = [DOCUMENT["products"][0] | {"id": n + 1} for n in range(2000)]
    async with store() as (apis, fetcher):
        apis.put_bigcommerce(DOCUMENT["order"], products=products)
        assert told(await fetcher.fetch("7001")) == ("Refused", "order_too_large")

    assert len(apis.requests) == 5


NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.7\r\n\r\n",
    "noise": bytes(range(256)) * 4,
    "an answer cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "a huge header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_has_failed(data: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    async with listening(say) as url, reading(Api(url, {})) as fetcher:
        assert told(await fetcher.fetch("7001")) == ("Failed", "connection")


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_cancelled_read_is_cancelled_and_no_outcome_is_made_up() -> None:
    async with store() as (apis, fetcher):
        apis.impose(ApiFault(latency_s=5.0))
        task = asyncio.create_task(fetcher.fetch("7001"))
        await SystemClock().sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Tokens


async def test_a_new_token_is_used_from_the_next_order_on() -> None:
    async with storefront_apis() as apis, session(4) as connections:
        apis.put_squarespace(SQUARE)
        old, new = squarespace("old-token", url=apis.url), squarespace(SQUARESPACE_TOKEN, url=apis.url)
        fetcher = Fetcher(old, SITE, connections, SystemClock(), lambda: new)
        assert told(await fetcher.fetch(SQUARE["id"]))[0] == "ChannelWrong"
        await fetcher.read_secrets()
        assert told(await fetcher.fetch(SQUARE["id"]))[0] == "Fetched"


async def test_a_token_that_cannot_be_read_changes_nothing() -> None:
    def unreadable() -> Api:
        raise ValueError("the file is gone")

    async with storefront_apis() as apis, session(4) as connections:
        apis.put_squarespace(SQUARE)
        fetcher = Fetcher(squarespace(SQUARESPACE_TOKEN, url=apis.url), SITE, connections, SystemClock(), unreadable)
        with pytest.raises(ValueError, match="the file is gone"):
            await fetcher.read_secrets()
        assert told(await fetcher.fetch(SQUARE["id"]))[0] == "Fetched"


def test_a_token_is_not_in_what_an_api_shows_of_itself() -> None:
    assert "s3cret" not in repr((bigcommerce("x", "s3cret"), squarespace("s3cret")))


def test_each_vendor_is_shown_its_token_in_its_own_way() -> None:
    assert bigcommerce("x4mpl3", "t").url == "https://api.bigcommerce.com/stores/x4mpl3"
    assert bigcommerce("x4mpl3", "t").headers["X-Auth-Token"] == "t"
    assert squarespace("t").headers["Authorization"] == "Bearer t"
    assert squarespace("t").headers["User-Agent"] == "order-relay"


# The judgement


def verdict(status: int, body: bytes = b"{}", request: Request = ORDER, wait: float | None = 9.0, **named: str) -> Any:
    headers = CIMultiDict({name.replace("_", "-"): value for name, value in named.items()})
    return judge(request, Reply(status, headers, body), wait, now=NOW)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Page), (203, Page), (204, Page), (301, ChannelWrong), (400, Refused), (401, ChannelWrong),
        (402, ChannelWrong), (403, ChannelWrong), (404, Refused), (405, ChannelWrong), (406, Failed), (408, Failed),
        (409, Refused), (410, ChannelWrong), (422, Refused), (429, Throttled), (500, Failed), (503, Failed),
        (509, Throttled), (599, Failed), (100, Failed), (0, Failed),
    ],
)  # fmt: skip
def test_every_status_has_its_meaning(status: int, expected: type[Any]) -> None:
    assert isinstance(verdict(status), expected)


def test_a_404_of_what_an_order_may_lack_is_nothing() -> None:
    assert verdict(404, b'[{"status":404}]', LIST) == Page(LIST, b"")


@pytest.mark.parametrize(
    ("header", "wait", "expected"),
    [("7", 9.0, 7.0), ("0", 9.0, 0.0), ("soon", 9.0, 9.0), ("", None, None), ("-1", None, None)],
)
def test_the_wait_is_what_was_asked_for(header: str, wait: float | None, expected: float | None) -> None:
    assert verdict(429, wait=wait, Retry_After=header).retry_after_s == expected
    assert verdict(429, wait=wait).retry_after_s == wait
    assert isinstance(verdict(503, Retry_After="7"), Throttled)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'[{"status":403,"message":"You don\'t have a required scope"}]', "You don't have a required scope"),
        (b'{"title":"Forbidden"}', "Forbidden"),
        (b'{"type":"X","message":"No permission"}', "No permission"),
        (b"[]", None), (b"{}", None), (b"null", None), (b'{"message":7}', None), (b"<p>", None), (b"[" * 5000, None),
        (b'{"message":"a\\u0000b"}', None),
    ],
)  # fmt: skip
def test_what_the_vendor_says_is_passed_on_to_the_person(body: bytes, said: str | None) -> None:
    message = verdict(403, body).cause.message
    assert message.startswith("the storefront's API refused the token (403)")
    assert message.partition("; it says: ")[2] == (said or "")


@given(
    st.integers(0, 999),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["Retry-After", "X-Rate-Limit-Time-Reset-Ms"]), st.text(max_size=30)),
    st.sampled_from([ORDER, LIST]),
)
def test_no_answer_however_mangled_raises(status: int, body: bytes, headers: dict[str, str], request: Request) -> None:
    named = CIMultiDict(headers)
    for source in (STORE, SITE):
        outcome = judge(request, Reply(status, named, body), source.asks_to_wait_s(named), now=NOW)
        assert isinstance(outcome, Page | Refused | Throttled | Failed | ChannelWrong)


def test_the_bounds_are_what_the_documents_say() -> None:
    assert (rules.BODY_MAX_BYTES, rules.PAGES_MAX) == (8 * 1024 * 1024, 64)
