"""What the ways out share, to Jetti and to storefronts: an answer's bounded reading, and what it means that there was
none."""

import ssl
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from relay.core.outcome import EXCERPT_MAX, Cause, ChannelWrong, Failed
from relay.core.trace import Trace

TROUBLES = (aiohttp.ClientError, OSError, ValueError)
"""What a request may raise for what the network or the other end does; :func:`trouble` says what it means.
(:class:`TimeoutError` is an :class:`OSError`; a host name that cannot be encoded is a :class:`ValueError`.)"""

Leave = Callable[[], Awaitable[None]]
"""Returns when the request may be written."""


def trouble(error: Exception, whom: str, *, timeout_s: float, on_timeout: str = "") -> Failed | ChannelWrong:
    """What it means that there was no answer. ``whom``: the other end, in words; ``on_timeout``: what a person is told
    of that besides."""
    match error:
        case TimeoutError():
            said = f"{whom} did not answer within {timeout_s:g} s"
            return Failed(Cause("timeout", f"{said}: {on_timeout}" if on_timeout else said))
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return ChannelWrong(Cause("tls", f"the secure connection to {whom} failed: {_said(error)}"))
        case aiohttp.InvalidURL() | ValueError():
            return ChannelWrong(Cause("address", f"the address of {whom} is not a URL"))
        case aiohttp.ClientConnectorError():
            return Failed(Cause("connect", f"no connection to {whom}: {_said(error.os_error)}"))
        case _:  # what it says may quote what was received, and so anything
            return Failed(Cause("connection", f"the connection to {whom} broke ({type(error).__name__})"))


def shown(headers: Mapping[str, str], trace: Trace | None) -> Mapping[str, str]:
    """A request's headers, with its place in a trace if it has one."""
    return headers if trace is None else {**headers, **trace.headers}


async def read(content: aiohttp.StreamReader, most: int) -> bytes:
    """The answer, or its beginning, in bytes. What is left unread closes the connection."""
    parts: list[bytes] = []
    size = 0
    while size < most and (part := await content.read(most - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _said(error: BaseException) -> str:
    """What the error says, without addresses that could hold a secret."""
    return (str(error) or type(error).__name__)[:EXCERPT_MAX]
