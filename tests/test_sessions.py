"""Signing in with a browser, and what a page of another origin cannot do; over real sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.api.sessions import COOKIE, CSRF_HEADER, LASTS_S, Sessions
from relay.clock import SystemClock
from relay.core.events import AttemptMade
from relay.core.instant import Instant
from tests.fakes import Answer, Shop, answered, fetched, shopify_order
from tests.running import RunningRelay, relay_running

TOKEN = "private-token-c3d9"
WHO = {"by": "ada", "why": "a customer asks"}
PAUSE = "/api/channels/main/pause"


@dataclass(frozen=True, slots=True)
class Browser:
    """A cookie jar, and the relay."""

    relay: RunningRelay
    session: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> Answer:
        return await answered(self.session.get(self.relay.private_url + path, headers=headers))

    async def send(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        return await answered(
            self.session.request(method, self.relay.private_url + path, json=content, headers=headers)
        )

    async def sign_in(self) -> str:
        """The CSRF token."""
        answer = await self.send("POST", "/api/session", {"by": "ada", "token": TOKEN})
        assert answer.status == 200, answer.body
        return str(answer.json["csrf"])


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        relay_running(tmp_path, private={"token": TOKEN}) as (relay, _),
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        yield Browser(relay, session)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Browser]:
    """Where nobody has to sign in."""
    (folder := tmp_path / "here").mkdir()
    async with relay_running(folder) as (relay, _), aiohttp.ClientSession() as session:
        yield Browser(relay, session)


async def test_who_shows_the_token_is_signed_in_by_a_cookie_that_no_script_and_no_other_site_has(
    browser: Browser,
) -> None:
    before = await browser.get("/api/status")
    answer = await browser.send("POST", "/api/session", {"by": "ada", "token": TOKEN})
    cookie = answer.headers["Set-Cookie"]

    assert (before.status, (await browser.get("/api/status")).status) == (401, 200)
    assert answer.json["by"] == "ada"
    assert {"HttpOnly", "SameSite=Strict", "Path=/api", f"Max-Age={LASTS_S}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie + answer.body.decode()
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_session_says_whose_token_was_shown_and_its_cookie_is_as_well_kept(tmp_path: Path) -> None:
    named = {"token": TOKEN, "tokens": {"ops": {"token": "a-token-of-the-operators-7f"}}}
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        relay_running(tmp_path, private=named) as (relay, _),
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        browser = Browser(relay, session)
        answer = await browser.send("POST", "/api/session", {"by": "grace", "token": "a-token-of-the-operators-7f"})
        refused = await browser.send("POST", PAUSE, WHO)
        look = await browser.get("/api/session")

    assert (answer.json["by"], answer.json["token"], look.json["token"]) == ("grace", "ops", "ops")
    assert {"HttpOnly", "SameSite=Strict", "Path=/api"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert (refused.status, refused.type) == (403, "no-csrf-token")


async def test_behind_a_proxy_that_ends_tls_the_cookie_travels_by_tls_only(browser: Browser) -> None:
    answer = await browser.send("POST", "/api/session", {"by": "ada", "token": TOKEN}, **{"X-Forwarded-Proto": "https"})

    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("token", ["", "x", TOKEN + "x", TOKEN[:-1], "\ud800".encode("utf-8", "replace").decode()])
async def test_a_wrong_token_signs_nobody_in(browser: Browser, token: str) -> None:
    answer = await browser.send("POST", "/api/session", {"by": "ada", "token": token})

    assert (answer.status, answer.type, "Set-Cookie" in answer.headers) == (401, "bad-credential", False)


async def test_a_session_changes_something_only_with_its_csrf_token(browser: Browser) -> None:
    csrf = await browser.sign_in()
    answers = [
        await browser.send("POST", PAUSE, WHO),
        await browser.send("POST", PAUSE, WHO, **{CSRF_HEADER: "x" * len(csrf)}),
        await browser.send("DELETE", "/api/session"),
        await browser.send("POST", PAUSE, WHO, **{CSRF_HEADER: csrf}),
    ]

    assert [(answer.status, answer.status != 200 and answer.type) for answer in answers] == [
        (403, "no-csrf-token"), (403, "no-csrf-token"), (403, "no-csrf-token"), (200, False),
    ]  # fmt: skip


async def test_the_token_itself_needs_no_csrf_token_whatever_cookie_comes_along(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.send("POST", PAUSE, WHO, Authorization=f"Bearer {TOKEN}")

    assert answer.status == 200


async def test_who_signs_out_is_out_even_with_the_cookie_kept(browser: Browser) -> None:
    csrf = await browser.sign_in()
    (kept,) = [cookie.value for cookie in browser.session.cookie_jar if cookie.key == COOKIE]
    await browser.send("DELETE", "/api/session", **{CSRF_HEADER: csrf})
    answer = await fetched(browser.relay.private_url + "/api/status", {"Cookie": f"{COOKIE}={kept}"})

    assert (await browser.get("/api/session")).status == 401
    assert answer.status == 401


class _Clock(SystemClock):
    passed: Instant = 0

    def now(self) -> Instant:
        return super().now() + self.passed


async def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    clock = _Clock()
    sessions = Sessions({"token": TOKEN}, clock)
    app = aiohttp.web.Application()
    app.router.add_post("/api/session", sessions.sign_in)
    app.router.add_get("/api/session", sessions.look)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/session"
    who = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await answered(session.post(url, json={"by": "ada", "token": TOKEN}))
        for passed in (LASTS_S - 60, LASTS_S + 1):
            clock.passed = passed * 1_000_000
            who.append((await answered(session.get(url))).json["by"])
    await runner.cleanup()

    assert who == ["ada", None]


@pytest.mark.parametrize("path", ["/api/status", "/api/session"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    ],
)  # fmt: skip
async def test_a_page_of_another_origin_is_refused_with_and_without_a_token(
    browser: Browser, here: Browser, path: str, headers: dict[str, str]
) -> None:
    await browser.sign_in()
    answers = [await browser.get(path, **headers), await here.get(path, **headers)]
    answers.append(await here.send("POST", PAUSE, WHO, **headers))
    answers.append(await browser.send("POST", "/api/session", {"by": "ada", "token": TOKEN}, **headers))

    assert [(answer.status, answer.type) for answer in answers] == [(403, "another-origin")] * 4


async def test_a_page_of_this_origin_is_answered_also_behind_a_proxy_that_has_another_name(here: Browser) -> None:
    port = here.relay.private_url.rpartition(":")[2]
    answers = [
        await here.get("/api/status", Origin=f"http://127.0.0.1:{port}"),
        await here.get("/api/status", **{"Sec-Fetch-Site": "same-origin", "Origin": "https://relay.example"}),
        await here.get("/api/status", **{"Sec-Fetch-Site": "none"}),
    ]

    assert [answer.status for answer in answers] == [200] * 3


# -- what is in an order -----------------------------------------------------------------------------------------------


async def test_what_is_in_an_order_is_masked_until_somebody_says_who_they_are_and_why(here: Browser) -> None:
    async with Shop(here.relay.public_url) as shop:
        await shop.send(shopify_order(1001))
        await shop.send(b'{"customer": "ada@private.example"}')
    await here.relay.happenings.until(lambda: bool(here.relay.happenings.of(AttemptMade)))
    paths = ("/api/orders/1/content", "/api/orders/1/preview?masked=true", "/api/dead-letters/events/2/content")
    shown = [await here.get(path) for path in paths]
    unmasked = await here.get("/api/orders/1/preview")
    refused = await here.send("POST", "/api/orders/1/reveal", {"by": "ada"})
    nobody_asked = (await here.get("/api/deeds")).json["deeds"]
    plain = [await here.send("POST", path + "/reveal", WHO) for path in ("/api/orders/1", "/api/dead-letters/events/2")]
    deeds = (await here.get("/api/deeds")).json["deeds"]

    assert [("private.example" in one.body.decode()) for one in (*shown, *plain)] == [False] * 3 + [True] * 2
    assert "private.example" in unmasked.body.decode()
    assert (shown[1].json["sale"]["externalId"], unmasked.json["sale"]["externalId"]) == ("1001", "1001")
    assert (shown[0].json["body"]["id"], shown[0].json["sale"]["externalId"]) == (1001, "1001")
    assert (refused.status, nobody_asked) == (422, [])
    assert [(deed["by"], deed["what"], deed["about"], deed["why"]) for deed in deeds] == [
        ("ada", "reveal", "event:2", "a customer asks"), ("ada", "reveal", "order:1", "a customer asks"),
    ]  # fmt: skip


async def test_one_webhook_of_an_order_is_shown_and_none_of_another(here: Browser) -> None:
    async with Shop(here.relay.public_url) as shop:
        await shop.send(shopify_order(1, 1))
        await shop.send(shopify_order(1, 2))
        await shop.send(shopify_order(2, 1))
    first, other, none = [await here.get(f"/api/orders/1/content?event={event}") for event in (1, 3, "x")]

    assert first.json["body"]["updated_at"].startswith("2026-11-21T00:01")
    assert [(one.status, one.type) for one in (other, none)] == [(404, "unknown-event"), (422, "invalid-request")]


async def test_a_session_sees_no_personal_data_but_on_record(browser: Browser) -> None:
    await browser.sign_in()
    answers = [await browser.get(f"/api/orders/1{path}") for path in ("?raw=true", "/preview")]

    assert [(answer.status, answer.type) for answer in answers] == [(403, "reveal-instead")] * 2


@pytest.mark.parametrize("path", ["orders/9", "orders/x", "dead-letters/events/9"])
async def test_what_is_not_there_is_neither_shown_nor_on_record(here: Browser, path: str) -> None:
    answers = [await here.get(f"/api/{path}/content"), await here.send("POST", f"/api/{path}/reveal", WHO)]

    assert [answer.status for answer in answers] == [404, 404]
    assert (await here.get("/api/deeds")).json["deeds"] == []
