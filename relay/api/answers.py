"""Answers as JSON."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Personal data stays out of caches."""


def json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """The content as the body of an answer."""
    return raw(msgspec.json.encode(content), status, headers)


def raw(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """The same of what is JSON already."""
    return web.Response(
        body=body, status=status, content_type="application/json", headers={**_HEADERS, **(headers or {})}
    )
