"""Answers as JSON."""

from collections.abc import Mapping

import msgspec
from aiohttp import web


def json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """The content as the body of an answer."""
    body = msgspec.json.encode(content)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
