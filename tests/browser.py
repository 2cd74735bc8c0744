"""A real Chromium without a window, as a person who looks at the console."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

_CHROMIUM = Path(__file__).parent.parent / ".tools/bin/chromium"
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--host-resolver-rules=MAP relay.example 127.0.0.1",  # a plain address that is not loopback's
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run",
)  # fmt: skip
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 375, "height": 720}
_WAIT_MS = 10_000


def chromium() -> Path:
    """Where it is. Never skipped: a machine without it is told what to do."""
    assert _CHROMIUM.exists(), "there is no Chromium: run `make .tools/.chromium`, which `make test` does by itself"
    return _CHROMIUM


@dataclass(slots=True)
class Sitting:
    """Someone in front of a page. Whatever the browser complains of is kept."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Every address that was asked for."""

    async def serious(self) -> list[str]:
        """What axe-core finds on the page as it is that keeps somebody from using it."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        found = await self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {node['html'][:120]}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical", "moderate"}
            for node in one["nodes"]
        ]

    async def too_wide(self) -> bool:
        """Whether the page has to be moved sideways."""
        return bool(
            await self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        )

    async def text(self) -> str:
        """All that can be read."""
        return await self.page.inner_text("body")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser, with nothing remembered."""
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS))
        try:
            yield found
        finally:
            await found.close()


@asynccontextmanager
async def sitting(browser: Browser, *, size: ViewportSize = DESK, dark: bool = False) -> AsyncIterator[Sitting]:
    """A page of someone who was never here before."""
    context = await browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(_WAIT_MS)
    try:
        page = await context.new_page()
        found = Sitting(page)
        page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("request", lambda request: found.asked.append(request.url))
        yield found
    finally:
        await context.close()
