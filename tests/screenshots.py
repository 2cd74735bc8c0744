"""Takes the pictures of docs/how-to/use-the-console.md: ``python -m tests.screenshots docs/images``."""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page

from relay.clock import SystemClock
from relay.sandbox import Fault, RunningSandbox, SandboxSettings
from tests.browser import PHONE, browsing, sitting
from tests.fakes import ORDER, Shop, shopify_order
from tests.running import SHOP, RunningRelay, relay_running

CHANNELS = {"main": {"sync_rate": 1, "multiplier": 10}, "wholesale": {"sync_rate": 1, "multiplier": 2}}
STOREFRONTS = {
    "shop": {**SHOP, "accept_when": "financial_status != 'pending'"},
    "trade": SHOP | {"channel": "wholesale"},
}
TRAFFIC_S = 30


async def take(folder: Path) -> None:
    """Every picture."""
    with tempfile.TemporaryDirectory() as store:
        running = relay_running(
            Path(store), channels=CHANNELS, storefronts=STOREFRONTS, jetti=SandboxSettings(async_rate=None)
        )
        async with running as (relay, jetti), browsing() as browser:
            async with sitting(browser) as someone:
                await someone.page.goto(f"{relay.private_url}/console/")
                await _history(relay, jetti, someone.page)
                await someone.page.screenshot(path=folder / "console-overview.png", full_page=True)
                await _orders(relay, someone.page, folder)
            await _small(browser, relay, folder)


async def _history(relay: RunningRelay, jetti: RunningSandbox, page: Page) -> None:
    """Half a minute at a shop, with what can go wrong in it."""
    chance = random.Random(7)
    async with Shop(relay.public_url) as shop, Shop(relay.public_url, storefront="trade") as trade:
        await jetti.impose(Fault(status=422, title="api.sale.invalid", count=4))
        for number in range(900, 904):
            await shop.send(shopify_order(number))
        await shop.send(shopify_order(904, line_items=[]))
        await shop.send(b"[]")
        for number in range(910, 913):
            await shop.send(shopify_order(number, financial_status="pending"))
        await SystemClock().sleep(2)
        await page.get_by_role("button", name="Pause wholesale").click()
        await page.get_by_label("Your name").fill("Ada")
        await page.get_by_label("Why").fill("Jetti moves the wholesale channel tonight")
        await page.get_by_role("button", name="Pause", exact=True).click()
        for second in range(TRAFFIC_S):
            for _ in range(chance.randint(4, 16)):
                number = chance.randint(1001, 1400)
                await shop.send(shopify_order(number, second, line_items=ORDER["line_items"]))
            await trade.send(shopify_order(5000 + second))
            await SystemClock().sleep(1)


async def _orders(relay: RunningRelay, page: Page, folder: Path) -> None:
    await page.goto(f"{relay.private_url}/console/#/orders?find=900")
    await page.locator("#found").get_by_role("link", name="#900").click()
    await page.locator("#timeline").wait_for()
    await page.screenshot(path=folder / "console-order.png", full_page=True)
    await page.goto(f"{relay.private_url}/console/#/dead-letters")
    await page.get_by_role("button", name="Single dead letters of api.sale.invalid, shop").click()
    await page.get_by_role("button", name="Replay #903", exact=True).click()
    await page.locator("#more").get_by_text("can be sent").wait_for()
    await page.get_by_label("Why").fill("The product is in Jetti now")
    await page.screenshot(path=folder / "console-dead-letters.png")
    await page.get_by_role("button", name="Replay", exact=True).click()
    await page.goto(f"{relay.private_url}/console/#/held")
    await page.get_by_role("button", name="Release #910").wait_for()
    await page.screenshot(path=folder / "console-held.png", clip={"x": 0, "y": 0, "width": 1280, "height": 620})
    await page.goto(f"{relay.private_url}/console/#/audit")
    await page.locator("#deeds").wait_for()
    await page.screenshot(path=folder / "console-audit.png", clip={"x": 0, "y": 0, "width": 1280, "height": 320})


async def _small(browser: Browser, relay: RunningRelay, folder: Path) -> None:
    async with sitting(browser, size=PHONE, dark=True) as someone:
        await someone.page.goto(f"{relay.private_url}/console/")
        await someone.page.locator("#figures").wait_for()
        await SystemClock().sleep(3)
        await someone.page.screenshot(
            path=folder / "console-phone.png", clip={"x": 0, "y": 0, "width": 375, "height": 1250}, full_page=True
        )


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
