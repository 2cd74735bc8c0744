"""The pictures of the console in ``docs/images``, made anew: ``make screenshots``. Look at them before you commit them.

A relay with a day behind it: orders on their way through one channel, another that is paused, dead letters of two
causes, held orders, and what was done by whom.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, FloatRect, Page, expect

from relay.clock import SystemClock
from relay.core.events import AttemptMade, EventFound
from relay.sandbox import Fault, SandboxSettings
from tests.browser import DESK, PHONE, browsing, sitting
from tests.fakes import Shop, shopify_order
from tests.running import SHOP, RunningRelay, relay_running

IMAGES = Path(__file__).parent.parent / "docs/images"
REFUSING = SandboxSettings(async_rate=None, faults=(Fault(status=422, title="api.sale.invalid"),))
STOREFRONTS = {
    "shop": SHOP,
    "europe": {**SHOP, "channel": "europe"},
    "wholesale": {**SHOP, "accept_when": "financial_status == 'paid'"},
}
TOKENS = {"tokens": {"ops": {"token": "a-token-of-the-operators-7f"}}}
_SHOWN_S = 45
"""For so long orders come in before the overview is taken: the plots need a past."""


async def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as folder:
        channels = {
            "main": {"sync_rate": 1, "multiplier": 10, "burst": 1},
            "europe": {"sync_rate": 1, "multiplier": 10},
        }
        async with (
            browsing() as browser,
            relay_running(Path(folder), jetti=REFUSING, channels=channels, storefronts=STOREFRONTS, private=TOKENS) as (
                relay,
                jetti,
            ),
        ):
            await _morning(relay)
            await jetti.lift()
            async with _operator(browser, relay) as page:
                await _afternoon(page, relay)
                for dark in (False, True):
                    await page.emulate_media(color_scheme="dark" if dark else "light")
                    await _pages(page, relay, "-dark" if dark else "")
            async with _operator(browser, relay, phone=True) as page:
                await _phone(page, relay)


async def _morning(relay: RunningRelay) -> None:
    """What is refused, cannot be read, or is not paid for."""
    async with Shop(relay.public_url) as shop, Shop(relay.public_url, storefront="wholesale") as wholesale:
        for number in range(1001, 1005):
            await shop.send(shopify_order(number))
        for number in (1005, 1006):
            await shop.send(shopify_order(number, line_items=None))
        await shop.send(b"[]")
        for number in range(8801, 8804):
            await wholesale.send(shopify_order(number, financial_status="pending"))
        happenings = relay.happenings
        await happenings.until(lambda: len(happenings.of(AttemptMade)) == 4 and len(happenings.of(EventFound)) >= 5)


async def _afternoon(page: Page, relay: RunningRelay) -> None:
    """Orders come in faster than they leave; a person does what there is to do."""
    await _go(page, relay, "dead-letters")
    await page.get_by_role("button", name="Single dead letters of api.sale.invalid, shop").click()
    await page.get_by_role("button", name="Replay #1001", exact=True).click()
    await _answer(page, "Replay", "prices are mended")
    await _go(page, relay)
    await page.get_by_role("button", name="Pause europe").click()
    await _answer(page, "Pause", "Jetti migrates the European account")
    await page.get_by_role("button", name="Slow main down").click()
    await page.get_by_label("Requests a second").fill("6")
    await _answer(page, "Slow down", "Jetti asked for it")
    async with Shop(relay.public_url) as shop, Shop(relay.public_url, storefront="europe") as europe:
        number = 2000
        for second in range(_SHOWN_S):
            for _ in range(4 + second % 7):
                number += 1
                await shop.send(shopify_order(number))
            if second % 3 == 0:
                await europe.send(shopify_order(5000 + second))
                await shop.send(shopify_order(number - 1, 9), topic="orders/updated")
            await SystemClock().sleep(1)


async def _pages(page: Page, relay: RunningRelay, kind: str) -> None:
    await _go(page, relay)
    await page.wait_for_timeout(2500)
    await _picture(page, f"console-overview{kind}", whole=not kind)
    if kind:
        return
    await _go(page, relay, "orders?find=20")
    await _picture(page, "console-orders")
    await _go(page, relay, "events")
    await _picture(page, "console-webhooks")
    await _go(page, relay, "orders/1")
    await expect(page.locator("#timeline")).to_contain_text("replay")
    await _picture(page, "console-order", whole=True)
    await _go(page, relay, "dead-letters")
    await page.get_by_role("button", name="Replay all dead letters").click()
    await expect(page.locator("#more")).to_contain_text("can be sent as mapped now")
    await _picture(page, "console-dead-letters")
    await page.get_by_role("button", name="Cancel").click()
    await _go(page, relay, "held")
    await _picture(page, "console-held", height=600)
    await _go(page, relay, "audit")
    await _picture(page, "console-audit", height=400)


async def _phone(page: Page, relay: RunningRelay) -> None:
    await _go(page, relay)
    await page.wait_for_timeout(2500)
    await _picture(page, "console-phone", height=1250)
    await _go(page, relay, "orders/1")
    await _picture(page, "console-phone-order", height=1250)


@asynccontextmanager
async def _operator(browser: Browser, relay: RunningRelay, *, phone: bool = False) -> AsyncIterator[Page]:
    async with sitting(browser, size=PHONE if phone else DESK, dark=phone) as someone:
        page = someone.page
        await page.goto(relay.private_url + "/console")
        await page.get_by_label("Your name").fill("ada")
        await page.get_by_label("Token").fill(TOKENS["tokens"]["ops"]["token"])
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#figures")).to_be_visible()
        yield page


async def _go(page: Page, relay: RunningRelay, where: str = "") -> None:
    await page.goto(f"{relay.private_url}/console/#/{where}")
    await expect(page.locator("main")).not_to_contain_text("Loading")


async def _answer(page: Page, button: str, why: str) -> None:
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Why").fill(why)
    await dialog.get_by_role("button", name=button, exact=True).click()
    await expect(dialog).to_be_hidden()


async def _picture(page: Page, name: str, *, whole: bool = False, height: int | None = None) -> None:
    await page.evaluate("document.getElementById('said').replaceChildren(); document.activeElement?.blur()")
    clip = None if height is None else FloatRect(x=0, y=0, width=await page.evaluate("innerWidth"), height=height)
    await page.screenshot(path=IMAGES / f"{name}.png", full_page=whole or height is not None, clip=clip)


if __name__ == "__main__":
    asyncio.run(main())
