"""The console: static pages at ``/console`` that ask the JSON API from the browser. No data is in them.

Everything comes from this origin, and nothing inline runs: the Content-Security-Policy says so to the browser.
"""

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for each time, and mostly answered 304: a new version is seen at once
}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_FIRST = "index.html"


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as it is answered."""

    body: bytes = field(repr=False)
    content_type: str
    etag: str


def pages() -> dict[str, Page]:
    """Every file there is to serve, by its path below ``/console/``."""
    return dict(_found(files(__name__) / "pages", ""))


def add_console(served: web.Application) -> None:
    """Serve the console on an application."""
    known = pages()

    async def answer(request: web.Request) -> web.Response:
        page = known.get(request.match_info.get("path") or _FIRST)
        if page is None:
            raise web.HTTPNotFound
        if page.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers={**_HEADERS, "ETag": page.etag})
        return web.Response(
            body=page.body, content_type=page.content_type, charset="utf-8", headers={**_HEADERS, "ETag": page.etag}
        )

    async def onward(_: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "console/"})

    served.router.add_get("/console", onward)
    served.router.add_get("/console/{path:.*}", answer)


def _found(folder: Traversable, prefix: str) -> list[tuple[str, Page]]:
    found: list[tuple[str, Page]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _found(entry, f"{prefix}{entry.name}/")
        elif (kind := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            body = entry.read_bytes()
            found.append((prefix + entry.name, Page(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')))
    return found
