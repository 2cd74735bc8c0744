"""Real webhooks of every kind, full of personal data, and all that can go wrong with them: none of it is in the log.

In every payload each personal value is replaced by one that can be told from everything else. Jetti and storefronts'
APIs quote what they are sent; what maps orders raises errors that quote them; persons give reasons that name customers.
"""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from relay.clock import SystemClock
from tests.fakes import SALE, answered, manual_sale, signed
from tests.fixtures import fixture, names
from tests.running import UNLIMITED, ServeProcess, tables_for, written
from tests.storefront_apis import BIGCOMMERCE_TOKEN, SQUARESPACE_TOKEN, ApiFault, StorefrontApis, storefront_apis
from tests.test_storefronts import KEY, KINDS, SECRET, elastic_headers, hmac_headers, standard_headers, woo_headers
from tests.test_thin import HEX, hook_of_big, hook_of_square
from tests.test_thin import KINDS as THIN

MARK = "zqxj"
"""In every personal value there is."""
API_TOKEN = "console-token-8812-3f"
BEHAVIOURS = ("takes", "refuses", "refuses-in-its-title", "fails", "throttles", "forbids", "breaks-tls")
"""How Jetti answers on the channels of these names: quoting what it was sent."""
_PERSONAL = frozenset({
    "name", "firstname", "lastname", "fullname", "displayname", "username", "email", "contactemail", "customeremail",
    "phone", "address1", "address2", "address", "line1", "line2", "street1", "street2", "city", "county", "company",
    "companyname", "zip", "postcode", "postalcode", "note", "notes", "customernote", "customermessage", "staffnotes",
    "customeripaddress", "browserip", "ipaddress", "instructions", "useragent", "customeruseragent", "value",
})  # fmt: skip
_OF_SOMEONE = frozenset({"email", "phone", "address1", "line1", "firstname", "street1"})
"""What has one of these beside it, ``name`` is somebody's there; elsewhere it is a product's, or an order's."""
_made = count(1)


def personal(content: Any) -> Any:
    """The same content with a value of our own in the place of each personal one."""
    if isinstance(content, list):
        return [personal(value) for value in content]
    if not isinstance(content, dict):
        return content
    bare = {key: "".join(filter(str.isalnum, key.lower())) for key in content}
    someones = "lineitems" not in bare.values() and not _OF_SOMEONE.isdisjoint(bare.values())
    return {key: _replaced(bare[key], value, someones=someones) for key, value in content.items()}


def _replaced(name: str, value: Any, *, someones: bool) -> Any:
    if name not in _PERSONAL or not isinstance(value, str) or (name == "name" and not someones):
        return personal(value)
    return f"{MARK}{next(_made)}@{MARK}.example" if "email" in name else f"{MARK.title()} {next(_made)}"


def marked(path: str) -> Any:
    return personal(json.loads(fixture(path)))


Hook = tuple[bytes, Mapping[str, str]]


def shopify() -> Iterator[Hook]:
    for name in names("shopify"):
        body = fixture(f"shopify/{name}") if "BROKEN" in name else json.dumps(marked(f"shopify/{name}")).encode()
        yield body, signed(body, webhook_id=f"hook-{next(_made)}")
    order = marked("shopify/pyapi-order.json")
    wrong = {
        "price": f"{MARK} per piece",
        "quantity": f"{MARK} pieces",
        "properties": [{"name": f"{MARK}", "value": 1}],
    }
    for changes in (
        {"id": 901, "line_items": [line | wrong for line in order["line_items"]], "currency": f"{MARK} euros"},
        {"id": 902, "note": f"{MARK} breaks the mapping"},
        {"id": 903, "note": f"{MARK} breaks the request"},
        {"id": f"{MARK} is my id"},
        {"id": 904, "updated_at": f"{MARK} o'clock"},
        {"id": 905, "cancelled_at": f"{MARK} o'clock", "shipping_address": f"{MARK} Street", "email": MARK},
    ):
        body = json.dumps(order | changes).encode()
        yield body, signed(body, webhook_id=f"hook-{next(_made)}")
        yield body, signed(body, secret=f"not the secret {MARK}")
    cut = json.dumps(order).encode()[:-9]
    yield cut, signed(cut)


def woocommerce() -> Iterator[Hook]:
    for name in names("woocommerce"):
        body = json.dumps(marked(f"woocommerce/{name}")).encode()
        yield body, woo_headers(body, "", wrong=False)
    order = marked("woocommerce/order-full.json")
    for changes in ({"id": 901, "currency": MARK}, {"id": 902, "line_items": [{"id": 1, "total": MARK}]}, {"id": MARK}):
        body = json.dumps(order | changes).encode()
        yield body, woo_headers(body, "", wrong=False)
        yield body, woo_headers(body, "", wrong=True)


def elasticpath() -> Iterator[Hook]:
    event, items = marked("elasticpath/event-order-paid-2019.json"), marked("elasticpath/order-items.json")["data"]
    for name in names("elasticpath"):
        found = marked(f"elasticpath/{name}")
        if not name.startswith("event-"):
            payload = {"data": found["data"], "included": {"items": items}}
            found = event | {"id": name, "triggered_by": "order.paid", "payload": payload}
        body = json.dumps(found | {"configuration": {"secret_key": SECRET, "url": "https://relay.example"}}).encode()
        yield body, elastic_headers(body, "", wrong=False)
        yield body, elastic_headers(body, "", wrong=True)


def mapped_orders(headers: Any) -> Iterator[Hook]:
    lines = {"lines": [{"id": MARK, "qty": MARK, "price": MARK}]}
    variants: tuple[dict[str, Any], ...] = ({}, {"mail": MARK}, lines, {"id": [MARK]})
    for number, changes in enumerate(variants):
        line = {"id": 1, "qty": 2, "price": "19.90", "sku": "MUG"}
        order = {"id": number, "mail": f"{MARK}@{MARK}.example", "note": MARK, "lines": [line]} | changes
        body = json.dumps({"order": order}).encode()
        yield body, headers(body, f"msg-{next(_made)}", wrong=False)
        yield body, headers(body, f"msg-{next(_made)}", wrong=True)


def sales() -> Iterator[bytes]:
    sale = personal(SALE)
    assert MARK in json.dumps(sale)
    for number in range(3):
        yield json.dumps(sale | {"externalId": f"sale-{number}"}).encode()
    yield json.dumps(sale | {"customer": f"{MARK} Buyer", "currencyCode": f"{MARK}"}).encode()
    yield json.dumps(sale | {"lineItems": [{"externalId": "1", "price": MARK, "quantity": MARK}]}).encode()
    yield json.dumps(sale | {"externalId": {MARK: MARK}}).encode()
    yield manual_sale(1)[:-5] + MARK.encode()


@asynccontextmanager
async def jetti() -> AsyncIterator[tuple[str, Counter[str]]]:
    """One that quotes the sale in whatever it answers; what it was asked, by channel."""
    seen: Counter[str] = Counter()

    async def quote(request: web.Request) -> web.Response:
        how, sale = request.match_info["how"], (await request.text())[:1500]
        buyer = (await request.json())["customer"].get("firstName", "nobody")
        seen[how] += 1
        status = {"takes": 200, "refuses": 422, "refuses-in-its-title": 422, "fails": 500, "throttles": 429}.get(
            how, 401
        )
        title = f"api.{MARK}: {sale}" if "title" in how else "api.sale.invalid"
        problem = {
            "title": title,
            "detail": f"{buyer} buys; cannot take {sale}",
            "hash": request.headers.get("jetti-webhook-hash"),
        }
        return web.json_response(problem, status=status, headers={"Retry-After": "0.2"} if status == 429 else None)

    app = web.Application()
    app.router.add_post("/{how}", quote)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}", seen
    finally:
        await runner.cleanup()


DEFECTS = """
import asyncio, relay.ingest, relay.core.mapping
make, kept = relay.core.mapping.Maker.make, relay.ingest.Ingest._keep

def broken_make(self, order, topic, body, last=None):
    if b"breaks the mapping" in body:
        try:
            int(body)
        except ValueError as error:
            raise KeyError(body.decode()) from error
    return make(self, order, topic, body, last)

async def broken_keep(self, door, identified, body, *rest):
    if b"breaks the request" in body:
        asyncio.get_running_loop().call_soon(int, body)
        raise ExceptionGroup(body.decode(), [ValueError(body.decode())])
    return await kept(self, door, identified, body, *rest)

relay.core.mapping.Maker.make, relay.ingest.Ingest._keep = broken_make, broken_keep
"""
"""Makes the relay raise what it never should, with the whole order in its words."""


def storefronts(api_url: str) -> dict[str, Any]:
    """One of each kind for each way that Jetti answers."""
    kinds: dict[str, Any] = {name.split(",")[0]: kind.table for name, kind in KINDS.items()}
    fast = {"rate": 1000, "burst": 10, "wait_s": 0.1, "retry": {"base_s": 0.05, "cap_s": 0.2}}
    kinds |= {name: {**kind.table(api_url), "fetch": fast} for name, kind in THIN.items()}
    found = {f"{kind}-{how}": {**table, "channel": how} for kind, table in kinds.items() for how in BEHAVIOURS}
    return found | {
        f"till-{how}": {"kind": "native", "channel": how, "secrets": [f"till-{how}-secret-5d1f"]} for how in BEHAVIOURS
    }


def put_orders(apis: StorefrontApis) -> tuple[list[int], list[str]]:
    """Both APIs have real orders: their ids."""
    products = marked("bigcommerce/v2-order-products-196-real.json")
    addresses = marked("bigcommerce/v2-order-shippingaddresses-229-multi.json")
    big, square = [], []
    for name in names("bigcommerce"):
        if name.startswith("v2-order-") and isinstance(order := marked(f"bigcommerce/{name}"), dict):
            apis.put_bigcommerce(order | {"status_id": 11}, products=products, shipping_addresses=addresses)
            big.append(order["id"])
    wrong = marked("bigcommerce/v2-order-218.json") | {"id": 901, "status_id": 11, "total_tax": MARK}
    apis.put_bigcommerce(wrong, products=[{"id": 1, "quantity": MARK}])
    for name in names("squarespace"):
        if name.startswith("order-"):
            found = marked(f"squarespace/{name}")
            apis.put_squarespace(found)
            square.append(found["id"])
    return [*big, 901], square


async def test_no_personal_value_and_no_secret_of_any_webhook_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEFECTS)
    async with jetti() as (jetti_url, seen), storefront_apis() as apis:
        apis.bigcommerce_quota.quota = apis.squarespace_quota.quota = 100_000
        channels = {how: {"async_url": f"{jetti_url}/{how}"} for how in BEHAVIOURS}
        channels["breaks-tls"]["async_url"] = f"{jetti_url.replace('http:', 'https:')}/x"
        tables = tables_for(jetti_url, tmp_path, channels=channels, storefronts=storefronts(apis.url),
                            log={"level": "debug"}, private={"listen": "127.0.0.1:0", "token": API_TOKEN})  # fmt: skip
        relay = ServeProcess(written(tmp_path, tables), {"PYTHONPATH": str(tmp_path)})
        async with relay, aiohttp.ClientSession() as session:
            answers = await everything_to(relay, session, apis)
            async with asyncio.timeout(30):
                while not whole(relay.log_lines) or min(seen[how] for how in BEHAVIOURS[:-1]) == 0:
                    await SystemClock().sleep(0.2)
            looked = await everything_a_session_sees(relay)
            assert await relay.terminate() == 0
        said, lines = relay.log + relay.said.decode(), relay.log_lines

    assert {status: number > 0 for status, number in answers.items()} == dict.fromkeys(
        (200, 202, 400, 401, 422, 503), True
    )
    counts = Counter(line["event"] for line in lines)
    assert (counts["event"], counts["refused"]) == (
        answers[200] + answers[202],
        sum(answers.values()) - answers[200] - answers[202],
    )
    attempts = Counter(line["channel"] for line in lines if line["event"] == "attempt")
    assert {how: attempts[how] for how in seen} == dict(seen)
    assert [line for line in relay.log.splitlines() if not line.startswith("{")] == []
    assert MARK not in said.lower(), [line for line in said.splitlines() if MARK in line.lower()][:3]
    secrets = (
        SECRET,
        KEY,
        HEX,
        API_TOKEN,
        BIGCOMMERCE_TOKEN,
        SQUARESPACE_TOKEN,
        UNLIMITED.webhook_hash,
        "-secret-5d1f",
    )
    assert [secret for secret in secrets if secret in said] == []
    assert {path.split("/")[2].partition("?")[0] for path in looked} >= {
        "status",
        "orders",
        "events",
        "dead-letters",
        "held",
    }
    told = "".join(looked.values())
    assert (told.count("Needs a person"), told.count("cannot take •••")) > (100, 100)
    assert [(path, text[max(0, text.lower().index(MARK) - 200) :][:300]) for path, text in looked.items()
            if MARK in text.lower()] == []  # fmt: skip


def whole(lines: list[dict[str, Any]]) -> bool:
    """Whether all has happened that the test is about."""
    there = {(line["event"], str(line.get("outcome") or line.get("disposition") or line.get("circuit") or ""))
             for line in lines}  # fmt: skip
    wanted = {
        ("event", "queued"), ("event", "quarantined"), ("event", "ignored"), ("found", "quarantined"),
        ("attempt", "sent"), ("attempt", "refused"), ("attempt", "failed"), ("attempt", "throttled"),
        ("attempt", "channel_wrong"), ("attempt", "fetched"), ("circuit", "open"), ("circuit", "halted"),
        ("refused", ""), ("throttled", ""), ("unexpected", ""), ("library", ""), ("person", ""), ("probe", "halted"),
    }  # fmt: skip
    codes = {line.get("code") for line in lines}
    return wanted <= there and {"tls", "http_422", "api.sale.invalid"} <= codes


async def everything_to(relay: ServeProcess, session: aiohttp.ClientSession, apis: StorefrontApis) -> Counter[int]:
    """Send all of it; how many were answered how."""
    answers: Counter[int] = Counter()

    async def post(path: str, body: bytes, headers: Mapping[str, str]) -> None:
        given = {"Content-Type": "application/json", **headers}
        answers[(await answered(session.post(relay.url + path, data=body, headers=given))).status] += 1

    big, square = put_orders(apis)
    apis.impose(ApiFault(500, body=f'{{"message": "{MARK} is unknown"}}'.encode(), times=2))
    apis.impose(ApiFault(422, body=f'[{{"status": 422, "message": "{MARK} is unknown"}}]'.encode()))
    kinds: dict[str, Any] = {
        "shopify": shopify, "woocommerce": woocommerce, "elasticpath": elasticpath,
        "standard": lambda: mapped_orders(standard_headers), "hmac": lambda: mapped_orders(hmac_headers),
        "bigcommerce": lambda: map(hook_of_big, big), "squarespace": lambda: square_hooks(square),
    }  # fmt: skip
    for how in BEHAVIOURS:
        for kind, hooks in kinds.items():
            for body, headers in hooks():
                await post(f"/webhooks/{kind}-{how}", body, headers)
        for body in sales():
            await post("/orders", body, {"Authorization": f"Bearer till-{how}-secret-5d1f"})
    for what in ("pause", "resume"):
        deed = {"by": "ada", "why": f"{MARK} Buyer called"}
        url, bearer = f"{relay.private_url}/api/channels/takes/{what}", {"Authorization": f"Bearer {API_TOKEN}"}
        assert (await answered(session.post(url, json=deed, headers=bearer))).status == 200
    return answers


async def everything_a_session_sees(relay: ServeProcess) -> dict[str, str]:
    """What is answered to who signed in, but for what is in orders and what persons said, by path. Nothing of it is a
    reveal."""
    looked: dict[str, str] = {}
    async with aiohttp.ClientSession(relay.private_url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        signing = {"by": "eve", "token": API_TOKEN}
        csrf = (await answered(browser.post("/api/session", json=signing))).json["csrf"]

        async def get(path: str) -> Any:
            answer = await answered(browser.get(path))
            assert answer.status in {200, 404, 409}, answer
            looked[path] = answer.body.decode()
            return answer.json

        for path in ("status", "pulse", "dead-letters/groups", "held?limit=1000", "storefronts"):
            await get(f"/api/{path}")
        for letter in (await get("/api/dead-letters?limit=1000"))["dead_letters"]:
            if "event" in letter:
                await get(f"/api/dead-letters/events/{letter['event']}")
        for order in (await get("/api/orders?limit=1000"))["orders"]:
            await get(f"/api/orders/{order['id']}")
            await get(f"/api/orders/{order['id']}/preview?masked=true")
            if order["state"] in {"waiting", "sleeping"}:  # refused, in a sentence
                deed, headers = {"by": "eve", "why": "to see"}, {"X-CSRF-Token": csrf}
                url = f"/api/orders/{order['id']}/discard"
                looked[url] = (await answered(browser.post(url, json=deed, headers=headers))).body.decode()
        for event in (await get("/api/events?limit=200"))["events"]:
            await get(f"/api/events/{event['event']}")
    return looked


def square_hooks(order_ids: list[str]) -> Iterator[Hook]:
    for order_id in order_ids:
        hook, _ = hook_of_square(0)
        body = hook.replace(b"sq-0", order_id.encode())
        yield body, {"Squarespace-Signature": hmac.new(bytes.fromhex(HEX), body, "sha256").hexdigest()}
