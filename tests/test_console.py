"""The console in a real browser: what an operator does at peak, on a desk and on a phone, by mouse and by keyboard."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from relay.clock import SystemClock
from relay.console import CONTENT_SECURITY_POLICY, pages
from relay.core.events import AttemptMade, EventFound, Unexpected
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from relay.store import Deed
from tests.browser import DESK, PHONE, Sitting, browsing, sitting
from tests.fakes import Shop, fetched, shopify_order
from tests.running import SHOP, RunningRelay, relay_running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "private-token-c3d9"
PERSONAL = re.compile(r"private\.example|Buyer|Receiver|Parcel Place|555 0100|H2Y 1C6")
"""What the sample order has of a person."""
EVERY_PAGE = ("", "orders?find=1001", "orders/1", "events", "dead-letters", "held", "audit")
REPOSITORY = Path(__file__).parent.parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all of them: everyone who sits down at it was never here before."""
    async with browsing() as found:
        yield found


@dataclass(frozen=True, slots=True)
class Operator:
    """Someone at the console of a relay."""

    relay: RunningRelay
    jetti: RunningSandbox
    shop: Shop
    sitting: Sitting

    @property
    def page(self) -> Page:
        return self.sitting.page

    async def go(self, where: str = "") -> None:
        await self.page.goto(f"{self.relay.private_url}/console/#/{where}")
        await expect(self.page.locator("main")).not_to_contain_text("Loading")

    async def answer(self, button: str, *, why: str) -> None:
        """Say who and why in the dialog, and do it; who is signed in is not asked who."""
        dialog, name = self.page.get_by_role("dialog"), self.page.get_by_role("dialog").get_by_label("Your name")
        if await name.is_editable():
            await name.fill("ada")
        await dialog.get_by_label("Why").fill(why)
        await dialog.get_by_role("button", name=button, exact=True).click()
        await expect(dialog).to_be_hidden()

    async def found(self, table: str) -> list[str]:
        """The first cell of each row of a table."""
        return [text.strip() for text in await self.page.locator(f"#{table} tbody th").all_inner_texts()]

    async def api(self, path: str) -> Any:
        return (await fetched(f"{self.relay.private_url}/api/{path}")).json


@asynccontextmanager
async def operating(
    browser: Browser,
    folder: Path,
    *,
    size: Any = DESK,
    dark: bool = False,
    jetti: SandboxSettings | None = None,
    **tables: Any,
) -> AsyncIterator[Operator]:
    """Neither the relay nor the browser may complain of anything, and nobody but the relay be asked."""
    settings = jetti or SandboxSettings(async_rate=None)
    async with (
        relay_running(folder, jetti=settings, **tables) as (relay, imitated),
        Shop(relay.public_url) as shop,
        sitting(browser, size=size, dark=dark) as someone,
    ):
        yield Operator(relay, imitated, shop, someone)
        assert relay.happenings.of(Unexpected) == []
        assert [url for url in someone.asked if not url.startswith(relay.private_url + "/")] == []
        assert [said for said in someone.complaints if "401 (Unauthorized)" not in said] == []


async def dead_letters(operator: Operator) -> None:
    """Orders 1001 to 1003 are refused, 1004 has no lines, and from the fifth event no order can be read."""
    for number in (1001, 1002, 1003):
        await operator.shop.send(shopify_order(number))
    await operator.shop.send(shopify_order(1004, line_items=None))
    await operator.shop.send(b"[]")
    happenings = operator.relay.happenings
    await happenings.until(lambda: len(happenings.of(AttemptMade)) == 3 and bool(happenings.of(EventFound)))
    await operator.jetti.lift()


REFUSING = SandboxSettings(async_rate=None, faults=(Fault(status=422, title="api.sale.invalid"),))


# -- who is there ------------------------------------------------------------------------------------------------------


async def test_who_shows_the_token_is_signed_in_until_they_sign_out(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path, private={"token": TOKEN}) as operator:
        page = operator.page
        await page.goto(operator.relay.private_url + "/console")
        await page.get_by_label("Your name").fill("ada")
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_label("Token").press("Enter")
        await expect(page.locator(".trouble")).to_contain_text("not private.token")
        nothing_serious = await operator.sitting.serious()
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        (cookie,) = await page.context.cookies(operator.relay.private_url + "/api/status")
        to_scripts = await page.evaluate("document.cookie")
        await page.reload()
        await expect(page.locator("#figures")).to_be_visible()
        await page.get_by_role("button", name="Pause main").click()
        await expect(page.get_by_role("dialog").get_by_label("Your name")).to_have_value("ada")
        await operator.answer("Pause", why="a migration")
        await expect(page.locator(".channel")).to_contain_text("Paused by ada")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        after = await page.evaluate("fetch('/api/status').then((answer) => answer.status)")

    assert nothing_serious == []
    assert (cookie["httpOnly"], cookie["sameSite"], to_scripts) == (True, "Strict", "")
    assert after == 401


async def test_who_signs_in_with_a_token_of_their_own_sees_which_and_so_does_the_audit(
    browser: Browser, tmp_path: Path
) -> None:
    tokens = {"token": TOKEN, "tokens": {"ops": {"token": "a-token-of-the-operators-7f"}}}
    async with operating(browser, tmp_path, private=tokens) as operator:
        page = operator.page
        await page.goto(operator.relay.private_url + "/console")
        await page.get_by_label("Your name").fill("grace")
        await page.get_by_label("Token").fill("a-token-of-the-operators-7f")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("header")).to_contain_text("grace, token ops")
        await page.get_by_role("button", name="Pause main").click()
        await operator.answer("Pause", why="a migration")
        unshown = await page.evaluate(
            "fetch('/api/channels/main/resume', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
            """body: '{"by": "mallory", "why": ""}'}).then((answer) => answer.json())"""
        )
        (cookie,) = await page.context.cookies(operator.relay.private_url + "/api/status")
        to_scripts = await page.evaluate("[document.cookie, JSON.stringify(localStorage)].join()")
        await page.get_by_role("link", name="Audit").click()
        row = page.locator("#deeds tbody tr")
        await expect(row).to_have_count(1)
        cells = await row.locator("td, th").all_inner_texts()
        operator.sitting.complaints.clear()  # the browser tells of the 403

    assert cells[1:] == ["grace", "ops", "pause", "channel main", "a migration"]
    assert unshown["type"].endswith("no-csrf-token")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/api")
    assert "operators" not in to_scripts


async def test_the_audit_is_read_on_page_by_page_and_what_is_sought_in_it_is_found_further_back(
    browser: Browser, tmp_path: Path
) -> None:
    async with operating(browser, tmp_path) as operator:
        page = operator.page
        for number in range(230):
            why = "the one that matters" if number == 3 else "another"
            await operator.relay.store.record(Deed(SystemClock().now(), "ada", "reveal", f"order:{number}", why, "ops"))
        await operator.go("audit")
        await expect(page.locator("#deeds tbody tr")).to_have_count(100)
        await page.get_by_role("button", name="More deeds").click()
        await expect(page.locator("#deeds tbody tr")).to_have_count(200)
        await page.get_by_role("searchbox").fill("MATTERS")
        await expect(page.locator("#deeds tbody tr")).to_have_count(1)
        await expect(page.locator("#deeds")).to_contain_text("order:3")
        await expect(page.get_by_role("status").first).to_contain_text("1 of 230 deeds")


# -- the one look ------------------------------------------------------------------------------------------------------


async def test_numbers_and_lines_move_while_one_looks(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.go()
        page, accepted = operator.page, operator.page.locator("#accepted-rate")
        await expect(accepted).to_have_text("0.0/s")
        flat = await _picture(page)
        for number in range(40):
            await operator.shop.send(shopify_order(number + 1))
        await expect(accepted).not_to_have_text("0.0/s")
        await expect(page.locator("#delivered-rate")).not_to_have_text("0.0/s")
        await expect(page.get_by_role("row", name="shop shopify main")).to_contain_text("40")
        await expect(page.locator("main")).to_contain_text("#40")
        async with asyncio.timeout(10):
            while (drawn := await _picture(page)) == flat:
                await SystemClock().sleep(0.2)
        await page.locator(".channel").get_by_role("button", name="Pause main").click()
        await operator.answer("Pause", why="Jetti is being migrated")
        await operator.shop.send(shopify_order(99))
        await expect(page.locator("#waiting")).to_have_text("1")
        channel = page.locator(".channel")
        await expect(channel).to_contain_text("Paused by ada")
        await expect(channel).to_contain_text("Jetti is being migrated")
        paused = (await operator.api("status"))["channels"]["main"]
        await page.get_by_role("button", name="Resume main").click()
        await operator.answer("Resume", why="it is done")
        await expect(page.locator("#waiting")).to_have_text("0")
        await expect(channel).not_to_contain_text("Paused by")
        deeds = (await operator.api("deeds"))["deeds"]

    assert drawn != flat
    assert (paused["state"], paused["pause"]["why"]) == ("paused", "Jetti is being migrated")
    assert [(deed["by"], deed["what"]) for deed in deeds] == [("ada", "resume"), ("ada", "pause")]


async def test_a_channel_is_slowed_down_for_now_and_goes_back_to_its_full_pace(
    browser: Browser, tmp_path: Path
) -> None:
    async with operating(browser, tmp_path) as operator:
        page = operator.page
        await operator.go()
        channel, dialog = page.locator(".channel"), page.get_by_role("dialog")
        await channel.get_by_role("button", name="Slow main down").click()
        await dialog.get_by_label("Requests a second").fill("2.5")
        await operator.answer("Slow down", why="Jetti asked for it")
        await expect(channel).to_contain_text("2.5/s for now, by ada until")
        await expect(channel).to_contain_text("Jetti asked for it")
        await expect(channel).to_contain_text("2.5/s of 1,000.0/s")
        slowed = (await operator.api("status"))["channels"]["main"]
        await channel.get_by_role("button", name="Full pace for main").click()
        await operator.answer("Full pace", why="it is over")
        await expect(channel).not_to_contain_text("for now")
        deeds = (await operator.api("deeds"))["deeds"]

    said = slowed["rate_for_now"]
    assert (slowed["rate"], said["rate"], said["why"], said["until"] is None) == (2.5, 2.5, "Jetti asked for it", False)
    assert [(deed["by"], deed["what"]) for deed in deeds] == [("ada", "rate"), ("ada", "rate")]


async def _picture(page: Page) -> str:
    """The picture of the first plot."""
    return str(await page.evaluate("document.querySelector('#plot-pace canvas').toDataURL()"))


async def test_a_relay_that_goes_away_is_said_to_be_away(browser: Browser, tmp_path: Path) -> None:
    async with sitting(browser) as someone:
        async with relay_running(tmp_path) as (relay, _):
            await someone.page.goto(relay.private_url + "/console")
            await expect(someone.page.locator("#figures")).to_be_visible()
        await expect(someone.page.locator("#trouble")).to_contain_text("does not answer")


async def test_a_storefronts_last_webhook_is_known_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.shop.send(shopify_order(1))
    async with operating(browser, tmp_path) as operator:
        await operator.go()
        row = operator.page.get_by_role("row", name="shop shopify main")
        await expect(row).to_contain_text(re.compile(r"\d s ago\s*1\s*0\s*0\s*$"))
        await row.get_by_role("link", name="shop").click()
        await expect(operator.page.locator("#events tbody tr")).to_have_count(1)


async def test_a_backlog_that_nothing_drains_is_not_called_empty(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        figures = operator.page.locator("#figures")
        await operator.go()
        await expect(figures).to_contain_text("empty")
        await operator.page.get_by_role("button", name="Pause main").click()
        await operator.answer("Pause", why="a migration")
        await operator.shop.send(shopify_order(1))
        await expect(figures).to_contain_text("because of main (paused)")
        await expect(figures).not_to_contain_text("empty")
        await expect(figures.locator(".lead")).to_contain_text("waits for channel main")


# -- finding -----------------------------------------------------------------------------------------------------------


async def test_orders_are_looked_for_by_how_they_begin_and_by_where_they_are_page_by_page(
    browser: Browser, tmp_path: Path
) -> None:
    storefronts = {"shop": SHOP, "europe": SHOP}
    async with operating(browser, tmp_path, storefronts=storefronts) as operator:
        page, happenings = operator.page, operator.relay.happenings
        for number in (10, 100, 101, *range(1000, 1030)):
            await operator.shop.send(shopify_order(number))
        async with Shop(operator.relay.public_url, storefront="europe") as europe:
            await europe.send(shopify_order(10))
        await happenings.until(lambda: len(happenings.of(AttemptMade)) == 34)
        await operator.go("orders")
        await expect(page.locator("main")).to_contain_text("25 orders, and there are more")
        await page.get_by_role("searchbox").press_sequentially("10", delay=20)
        await expect(page).to_have_url(re.compile(r"#/orders\?find=10$"))
        await expect(page.locator("#found tbody th").first).to_have_text("#10")
        await expect(page.locator("main")).to_contain_text("25 orders, and there are more")
        first = await operator.found("found")
        await page.get_by_role("button", name="More orders").click()
        await expect(page.locator("main")).to_contain_text("34 orders. The list stands still")
        both = await operator.found("found")
        readable = await operator.sitting.serious()
        await page.get_by_role("button", name="Newest again").click()
        await expect(page.locator("main")).to_contain_text("25 orders, and there are more")
        await page.get_by_label("Storefront").select_option("europe")
        await expect(page.locator("main")).to_contain_text("1 order")
        european = await operator.found("found")
        await page.get_by_label("State").select_option("dead")
        await expect(page.locator("main")).to_contain_text("No order is like that.")
        await page.reload()
        await expect(page.get_by_label("State")).to_have_value("dead")
        await page.get_by_label("State").select_option("sent")
        await page.get_by_label("Channel").select_option("main")
        await expect(page.locator("#found tbody tr")).to_have_count(1)
        address = page.url.partition("#")[2]

    assert first[:4] == ["#10", "#10", "#1029", "#1028"]
    assert sorted(both) == sorted(["#10", "#10", "#100", "#101", *(f"#{number}" for number in range(1000, 1030))])
    assert (european, readable) == (["#10"], [])
    assert address == "/orders?find=10&state=sent&storefront=europe&channel=main"


async def test_an_empty_page_of_a_search_is_gone_beyond(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.shop.send(shopify_order(1001))
        pages = iter(["one", "two", "three"])

        async def empty(route: Route) -> None:
            cursor = next(pages, None)
            await (route.continue_() if cursor is None else route.fulfill(json={"orders": [], "next": cursor}))

        await operator.page.route("**/api/orders?text=1*", empty)
        await operator.page.goto(f"{operator.relay.private_url}/console/#/orders?find=1")
        await expect(operator.page.locator("main")).to_contain_text("#1001")
        operator.sitting.complaints.clear()  # the last of the made-up cursors is none of the relay's


async def test_who_bought_is_looked_for_and_their_address_never_leaves_the_browser(
    browser: Browser, tmp_path: Path
) -> None:
    async with operating(browser, tmp_path) as operator:
        page, told = operator.page, list[str]()
        page.on("request", lambda request: told.append(f"{request.url} {request.post_data} {request.headers}"))
        await operator.shop.send(shopify_order(1001))
        await operator.shop.send(shopify_order(1002, email="grace@private.example"))
        happenings = operator.relay.happenings
        await happenings.until(lambda: len(happenings.of(AttemptMade)) == 2)
        await operator.go("orders")
        await expect(page.locator("#found tbody tr")).to_have_count(2)
        await page.get_by_label("E-mail address").fill("grace")
        await expect(page.locator("#unclear")).to_contain_text("whole address")
        await page.get_by_label("E-mail address").press_sequentially("  ")
        await page.get_by_label("E-mail address").fill(" Grace@Private.example ")
        await expect(page.locator("#found tbody tr")).to_have_count(1)
        found, address = await operator.found("found"), page.url
        await page.get_by_label("E-mail address").fill(sha256(b"orders@buyer.example").hexdigest())
        await expect(page.locator("#found tbody th")).to_have_text("#1001")

    assert found == ["#1002"]
    assert "grace" not in (address + "".join(told)).lower()


async def test_where_a_browser_hashes_nothing_it_says_how_else(browser: Browser, tmp_path: Path) -> None:
    async with relay_running(tmp_path, private={"token": TOKEN}) as (relay, _), sitting(browser) as someone:
        async with Shop(relay.public_url) as shop:
            await shop.send(shopify_order(1001))
        page = someone.page
        await page.goto(f"{relay.private_url.replace('127.0.0.1', 'relay.example')}/console/#/orders")
        await page.get_by_label("Your name").fill("ada")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#found")).to_contain_text("#1001")
        await page.get_by_label("E-mail address").fill("orders@buyer.example")
        await expect(page.locator("#unclear")).to_contain_text("sha256sum")
        await page.get_by_label("E-mail address").fill(sha256(b"orders@buyer.example").hexdigest())
        await expect(page.locator("#found")).to_contain_text("#1001")

    assert "orders@" not in "".join(someone.asked)


async def test_webhooks_are_looked_for_by_what_became_of_them_and_by_their_order(
    browser: Browser, tmp_path: Path
) -> None:
    async with operating(browser, tmp_path, storefronts={"shop": SHOP, "europe": SHOP}) as operator:
        page = operator.page
        await operator.shop.send(shopify_order(1001), webhook_id="one")
        await operator.shop.send(shopify_order(1001), webhook_id="one")
        await operator.shop.send(shopify_order(1002))
        await operator.shop.send(b"[]")
        async with Shop(operator.relay.public_url, storefront="europe") as europe:
            await europe.send(shopify_order(1001))
        await operator.go("events")
        await expect(page.locator("#events tbody tr")).to_have_count(5)
        await expect(page.locator("#events")).to_contain_text("none could be read")
        await page.get_by_label("Disposition").select_option("duplicate")
        await expect(page.locator("#events tbody tr")).to_have_count(1)
        await expect(page.locator("#events")).to_contain_text("the same webhook as event 1")
        await page.get_by_label("Disposition").select_option("")
        await page.get_by_role("searchbox").fill("1001")
        await page.get_by_role("button", name="#1001 of europe").click()
        await expect(page.locator("#events tbody tr")).to_have_count(1)
        await page.get_by_role("searchbox").fill("1002")
        await expect(page.locator("#events tbody tr")).to_contain_text("#1002")
        found = await operator.found("events")
        await page.get_by_role("button", name="Of all orders").click()
        await page.get_by_label("Storefront").select_option("shop")
        await expect(page.locator("#events tbody tr")).to_have_count(4)
        address = page.url.partition("#")[2]
        await page.get_by_role("link", name="#1002").click()
        await expect(page.locator("#timeline")).to_contain_text("orders/create")

    assert (found, address) == (["3"], "/events?storefront=shop")


# -- one order ---------------------------------------------------------------------------------------------------------


async def test_an_order_is_found_as_one_types_and_shows_nobodys_data_until_somebody_says_why(
    browser: Browser, tmp_path: Path
) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.shop.send(shopify_order(1001, 1))
        await operator.shop.send(shopify_order(1002, 1))
        await operator.relay.happenings.until(lambda: len(operator.relay.happenings.of(AttemptMade)) == 2)
        await operator.go("orders")
        page = operator.page
        await page.get_by_role("searchbox").press_sequentially("1001", delay=20)
        await page.locator("#found").get_by_role("link", name="#1001").click()
        await expect(page.locator("#timeline > li")).to_have_count(2)
        await expect(page.locator("#timeline")).to_contain_text("orders/create")
        await expect(page.locator("#timeline .attempt")).to_contain_text("200")
        await page.get_by_role("button", name="Webhook 1").click()
        await expect(page.locator("#timeline .event pre")).to_contain_text('"id": 1001')
        await page.get_by_role("button", name="Try the mapping").click()
        await expect(page.locator("#preview")).to_contain_text("it can be sent")
        for summary in await page.locator("summary").all():
            await summary.click()
        masked = await page.content()
        await page.get_by_role("button", name="Show personal data").last.click()
        await operator.answer("Show it", why="the customer calls")
        await expect(page.get_by_role("button", name="Mask it again")).to_be_visible()
        plain = await page.content()
        await page.get_by_role("button", name="Mask it again").click()
        await expect(page.get_by_role("button", name="Mask it again")).to_have_count(0)
        again = await page.content()
        await operator.go("audit")
        await expect(page.locator("#deeds")).to_contain_text("the customer calls")
        await expect(page.locator("#deeds").get_by_role("link", name="order:1")).to_be_visible()

    assert [PERSONAL.findall(text) != [] for text in (masked, plain, again)] == [False, True, False]


@pytest.mark.parametrize(("size", "beside"), [(DESK, True), (PHONE, False)], ids=["desk", "phone"])
async def test_a_delivered_order_is_sent_again_and_its_webhook_stands_beside_its_sale(
    browser: Browser, tmp_path: Path, size: Any, beside: bool
) -> None:
    async with operating(browser, tmp_path, size=size) as operator:
        page, happenings = operator.page, operator.relay.happenings
        await operator.shop.send(shopify_order(1001))
        await happenings.until(lambda: len(happenings.of(AttemptMade)) == 1)
        await operator.go("orders/1")
        await expect(page.get_by_role("button", name="Discard")).to_have_count(0)
        webhook, sale = [await page.get_by_label(name, exact=True).bounding_box() for name in ("Webhook", "Sale")]
        await page.get_by_role("button", name="Resend").click()
        await expect(page.locator("#more")).to_contain_text("it can be sent")
        await operator.answer("Resend", why="deleted by mistake")
        await expect(page.locator("#timeline .attempt")).to_have_count(2)
        await expect(page.locator("#timeline .deed")).to_contain_text("resend by ada")
        await expect(page.locator("#timeline .deed")).to_contain_text("deleted by mistake")

    assert webhook is not None
    assert sale is not None
    assert (webhook["y"] == sale["y"], webhook["x"] < sale["x"]) == (beside, beside)


async def test_an_order_that_is_not_there_is_said_not_to_be_there(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.go("orders/99")
        await expect(operator.page.get_by_role("heading", name="Not found")).to_be_visible()
        await expect(operator.page.locator("main")).to_contain_text("order:99")
        operator.sitting.complaints.clear()  # the browser tells of the 404


async def test_what_a_storefront_sends_is_text_and_never_a_page(browser: Browser, tmp_path: Path) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    async with operating(browser, tmp_path) as operator:
        await operator.shop.send(shopify_order(7, name=evil, financial_status=evil))
        for where in ("", "orders?find=7", "orders/1"):
            await operator.go(where)
            await expect(operator.page.locator("main")).to_contain_text("<img src=x")
            assert "owned" not in await operator.page.title()
            assert await operator.page.locator("main img, main script").count() == 0


# -- dead letters ------------------------------------------------------------------------------------------------------


async def test_dead_letters_are_replayed_one_by_one_in_a_group_and_discarded(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path, jetti=REFUSING) as operator:
        await dead_letters(operator)
        await operator.go("dead-letters")
        page = operator.page
        await expect(page.get_by_role("main")).to_contain_text("5 dead letters")
        await page.get_by_role("button", name="Single dead letters of api.sale.invalid, shop").click()
        await page.get_by_role("button", name="Replay #1001", exact=True).click()
        await expect(page.locator("#more")).to_contain_text("As it is mapped now, it can be sent.")
        await page.locator("#more").get_by_text("Sale as it would be made").click()
        await expect(page.locator("#more pre")).to_contain_text('"reference": "#1001"')
        await operator.answer("Replay", why="mended")
        await expect(page.locator("#said")).to_contain_text("#1001 waits again")
        await expect(page.get_by_role("main")).to_contain_text("4 dead letters by cause")
        await page.get_by_role("button", name="Replay all of api.sale.invalid, shop").click()
        await expect(page.locator("#more")).to_contain_text("2 of 2 orders can be sent as mapped now")
        await operator.answer("Replay", why="mended, all of them")
        await expect(page.locator("#replays")).to_contain_text("2 of 2")
        await expect(page.locator("#replays")).to_contain_text("done")
        await page.get_by_role("button", name="Single dead letters of no_order, shop").click()
        await page.get_by_role("button", name="Webhook 5").click()
        await expect(page.locator(".letters pre")).to_have_text("[]")
        await page.get_by_role("button", name="Discard all of no_order, shop").click()
        await operator.answer("Discard all of these", why="a test of theirs")
        await page.get_by_role("button", name="Single dead letters of unmappable, shop").click()
        await page.get_by_role("button", name="Replay #1004", exact=True).click()
        await expect(page.locator("#more")).to_contain_text("it would be quarantined again: /line_items")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Discard #1004", exact=True).click()
        await operator.answer("Discard", why="entered by hand")
        await expect(page.locator("#none")).to_be_visible()
        sent = [operator.jetti.account.sale(str(number)) is not None for number in (1001, 1002, 1003, 1004)]
        deeds = [(deed["what"], deed["why"]) for deed in (await operator.api("deeds"))["deeds"]]

    assert sent == [True, True, True, False]
    assert deeds == [
        ("discard", "entered by hand"), ("discard", "a test of theirs"), ("replay", "mended, all of them"),
        ("replay", "mended"),
    ]  # fmt: skip


async def test_all_dead_letters_are_replayed_and_what_cannot_be_is_left(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path, jetti=REFUSING) as operator:
        await dead_letters(operator)
        await operator.go("dead-letters")
        await operator.page.get_by_role("button", name="Replay all dead letters").click()
        more = operator.page.locator("#more")
        await expect(more).to_contain_text("3 of 4 orders can be sent as mapped now")
        await more.get_by_text("#1004").click()
        await expect(more).to_contain_text("it would be quarantined again: /line_items")
        await expect(more).to_contain_text("event 5 no order")
        await operator.answer("Replay", why="mended")
        await expect(operator.page.locator("#replays")).to_contain_text("5 of 5, 1 left as they are")
        await expect(operator.page.get_by_role("main")).to_contain_text("2 dead letters")


# -- held orders -------------------------------------------------------------------------------------------------------


async def test_held_orders_are_released_one_by_one_and_all_of_a_storefront_or_discarded(
    browser: Browser, tmp_path: Path
) -> None:
    storefronts = {"shop": {**SHOP, "accept_when": "financial_status == 'paid'"}}
    async with operating(browser, tmp_path, storefronts=storefronts) as operator:
        happenings = operator.relay.happenings
        for number in (1, 2, 3, 4):
            await operator.shop.send(shopify_order(number, financial_status="pending"))
        await happenings.until(lambda: len(happenings.of(EventFound)) == 4)
        await operator.go("held")
        page = operator.page
        await expect(page.get_by_role("main")).to_contain_text("4 orders held")
        await expect(page.get_by_role("main")).to_contain_text("financial_status == 'paid'")
        await page.get_by_role("button", name="Release #1", exact=True).click()
        await operator.answer("Release", why="paid by invoice")
        await page.get_by_role("button", name="Discard #2", exact=True).click()
        await operator.answer("Discard", why="never paid")
        await expect(page.get_by_role("main")).to_contain_text("2 orders held")
        readable = await operator.sitting.serious()
        await page.get_by_role("button", name="Release everything held of shop").click()
        await operator.answer("Release all of these", why="the bank is back")
        await expect(page.locator("main")).to_contain_text("None.")
        await happenings.until(lambda: len(happenings.of(AttemptMade)) == 3)
        sent = [operator.jetti.account.sale(str(number)) is not None for number in (1, 2, 3, 4)]
        deeds = [(deed["what"], deed["why"]) for deed in (await operator.api("deeds"))["deeds"]]

    assert sent == [True, False, True, True]
    assert deeds == [("release", "the bank is back"), ("discard", "never paid"), ("release", "paid by invoice")]
    assert readable == []


# -- everyone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_every_page_can_be_read_by_everyone_in_light_and_in_dark(
    browser: Browser, tmp_path: Path, size: Any
) -> None:
    async with operating(browser, tmp_path, size=size, jetti=REFUSING) as operator:
        await dead_letters(operator)
        found = {}
        for where in EVERY_PAGE:
            await operator.go(where)
            for scheme in ("light", "dark"):
                await operator.page.emulate_media(color_scheme=scheme)
                found[scheme, where] = (await operator.sitting.serious(), await operator.sitting.too_wide())
        await operator.go("dead-letters")
        await operator.page.get_by_role("button", name="Single dead letters of api.sale.invalid, shop").click()
        await operator.page.get_by_role("button", name="Replay #1001", exact=True).click()
        await expect(operator.page.locator("#more")).to_contain_text("can be sent")
        found["dark", "the dialog"] = (await operator.sitting.serious(), await operator.sitting.too_wide())

    assert found == dict.fromkeys(found, ([], False))


async def test_a_keyboard_is_enough(browser: Browser, tmp_path: Path) -> None:
    async with operating(browser, tmp_path) as operator:
        await operator.go()
        page, keyboard = operator.page, operator.page.keyboard
        await keyboard.press("Tab")
        await expect(page.locator(":focus")).to_have_text("Skip to the content")
        await keyboard.press("Enter")
        await _tab_to(page, "Pause main")
        await keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("button", name="Pause main")).to_be_focused()
        await keyboard.press("Enter")
        await keyboard.type("ada")
        await keyboard.press("Tab")
        await keyboard.type("a migration")
        await _tab_to(page, "Pause")
        await keyboard.press("Enter")
        await expect(page.locator(".channel")).to_contain_text("Paused by ada")


async def _tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    for _ in range(30):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
        )
        if focused == name:
            return
    raise AssertionError(f"the Tab key does not come to {name}")


# -- the files ---------------------------------------------------------------------------------------------------------


async def test_the_pages_run_nothing_inline_and_nothing_of_others(tmp_path: Path) -> None:
    async with relay_running(tmp_path) as (relay, _):
        answers = {path: await fetched(f"{relay.private_url}/console/{path}") for path in ("", *pages())}
        missing = await fetched(f"{relay.private_url}/console/../../pyproject.toml")
        first = answers[""]
        again = await fetched(f"{relay.private_url}/console/", {"If-None-Match": first.headers["ETag"]})

    assert {answer.status for answer in answers.values()} == {200}
    assert {answer.headers["Content-Security-Policy"] for answer in answers.values()} == {CONTENT_SECURITY_POLICY}
    assert not re.search(r"unsafe|https?:|\*|data:", CONTENT_SECURITY_POLICY)
    assert not re.search(rb"<script(?! type=\"module\" src=)|<style|\son\w+=|\sstyle=", first.body)
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert (missing.status, again.status, again.body) == (404, 304, b"")


async def test_every_vendored_library_has_its_licence_beside_it() -> None:
    folder = REPOSITORY / "relay/console/pages/vendor"

    assert {library.name for library in folder.iterdir()} == {"lit-html", "uPlot"}
    for library in folder.iterdir():
        assert "Copyright" in (library / "LICENSE").read_text()
