"""A listening socket with bounds: so many connections, and so long for a connection's first request to begin."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: 129\r\n\r\n"
    b'{"type":"urn:order-relay:problem:too-many-connections","title":"Service Unavailable","status":503,'
    b'"detail":"come again in 1 s"}  '
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a listener lets the outside cost."""

    connections_max: int = 1024
    first_request_s: float = 10.0
    """A connection that has not sent a request's head by then is closed, seconds."""
    keepalive_s: float = 75.0
    """An idle connection is kept so long, seconds."""
    body_max_bytes: int = 5 * 1024 * 1024
    headers_max_bytes: int = 16 * 1024


class Listener:
    """One address that is listened on."""

    def __init__(self, handler: Handler, bounds: Bounds) -> None:
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._begun: set[RequestHandler] = set()
        # Bodies stay as they were sent (a signature covers those bytes), so that no compressed body can grow on us.
        self._server = web.Server(
            handler,
            request_factory=self._request,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=bounds.keepalive_s,
            max_line_size=8190,
            max_field_size=bounds.headers_max_bytes,
            lingering_time=1.0,
            timeout_ceil_threshold=0,
        )
        self._sockets: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that it really is (port 0: any that is free). Raises :class:`OSError`."""
        self._sockets = await self._loop.create_server(
            self._protocol, host, port, family=socket.AF_UNSPEC, backlog=1024, reuse_address=True
        )
        name = self._sockets.sockets[0].getsockname()
        return name[0], name[1]

    def stop_accepting(self) -> None:
        """No new connection from here on; those that are idle are closed."""
        if self._sockets is not None:
            self._sockets.close()
        self._server.pre_shutdown()

    async def close(self, grace_s: float) -> None:
        """Let requests that are being answered finish, for so long."""
        self.stop_accepting()
        await self._server.shutdown(grace_s)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        self._begun.add(protocol)
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._bounds.body_max_bytes
        )

    def _protocol(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._bounds.connections_max:
            return _Full()
        handler = self._server()
        self._loop.call_later(self._bounds.first_request_s, self._check_begun, handler)
        return handler

    def _check_begun(self, handler: RequestHandler) -> None:
        if handler not in self._begun and handler.transport is not None:
            handler.force_close()
        self._begun.discard(handler)


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - the loop's promise, for mypy
        transport.write(_FULL)
        transport.close()
