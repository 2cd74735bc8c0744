"""Answers as JSON."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Personal data stays out of caches."""


def json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """The content as the body of an answer."""
    body = msgspec.json.encode(content)
    return web.Response(
        body=body, status=status, content_type="application/json", headers={**_HEADERS, **(headers or {})}
    )
