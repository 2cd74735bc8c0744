"""A listening socket with bounds: so many connections, and so long for a connection's first request to begin."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from relay.core.events import Observer, RequestRefused, Unexpected
from relay.core.problem import CONTENT_TYPE, Problem

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_TURNED_AWAY_MAX = 100
"""Connections beyond the bound that are still told so; more than that are cut at once."""
_FULL = Problem(503, "too-many-connections", "as many connections are open as may be (public.connections_max)")
_PARSERS_WORDS = re.compile(r"[A-Z][A-Za-z' -]{8,60}")


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

    def __init__(self, handler: Handler, bounds: Bounds, observe: Observer) -> None:
        self._bounds = bounds
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._not_begun: dict[RequestHandler, asyncio.TimerHandle] = {}
        self._turned_away = 0
        # Bodies stay as they were sent (a signature covers those bytes), so that no compressed body can grow on us.
        self._server = _Server(
            self._refuse,
            handler,
            request_factory=self._request,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=bounds.keepalive_s,
            max_line_size=bounds.headers_max_bytes,
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
        if (timer := self._not_begun.pop(protocol, None)) is not None:
            timer.cancel()
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._bounds.body_max_bytes
        )

    def _protocol(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._bounds.connections_max:
            self._tell(_FULL)
            return _Full(self._linger)
        handler = self._server()
        self._not_begun[handler] = self._loop.call_later(self._bounds.first_request_s, self._give_up, handler)
        return handler

    def _give_up(self, handler: RequestHandler) -> None:
        del self._not_begun[handler]
        handler.force_close()

    def _linger(self, by: int) -> bool:
        """Count the connections that are being turned away; whether there is room for one more."""
        self._turned_away += by
        return self._turned_away <= _TURNED_AWAY_MAX

    def _refuse(self, status: int, error: BaseException | None) -> web.Response:
        """What is answered to something that is no HTTP request, or should a handler raise."""
        if status < 500:
            problem = Problem(400, "malformed-request", _why(error))
        else:
            problem = Problem(503, "internal", "an unexpected error of the relay", {"Retry-After": "5"})
            self._observe(Unexpected("listener", error or RuntimeError(f"answered {status}")))
        self._tell(problem)
        return web.Response(
            body=problem.encode(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers
        )

    def _tell(self, problem: Problem) -> None:
        self._observe(RequestRefused("unknown", problem.status, problem.name, problem.detail, 0.0))


class _Server(web.Server):
    """aiohttp's, with our answers to what cannot be parsed: its own quote the request, which may hold anything."""

    def __init__(self, refuse: Callable[[int, BaseException | None], web.Response], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refuse = refuse

    def __call__(self) -> RequestHandler:
        return _Connection(self._refuse, self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, refuse: Callable[[int, BaseException | None], web.Response], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer, after which the connection is closed."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        response = self._refuse(status, exc)
        response.force_close()
        return response


class _Full(asyncio.Protocol):
    """One connection too many. It is told so, and closed once it has said something: closing with its request unread
    would take the answer back."""

    def __init__(self, linger: Callable[[int], bool]) -> None:
        self._linger = linger
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = writer = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class
        if self._linger(1):
            writer.write(_FULL_ANSWER)
            asyncio.get_running_loop().call_later(1.0, writer.close)
        else:
            writer.abort()

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._linger(-1)


_FULL_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %b\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
) % (CONTENT_TYPE.encode(), len(_FULL.encode()), _FULL.encode())


def _why(error: BaseException | None) -> str:
    """In the parser's words where they are words only: what it quotes could be a secret or somebody's name."""
    if isinstance(error, LineTooLong):
        return "the request line or a header field is longer than public.headers_max_bytes"
    said = error.message.partition(":")[0].rstrip(".") if isinstance(error, HttpProcessingError) else ""
    if isinstance(error, InvalidURLError) or not _PARSERS_WORDS.fullmatch(said):
        return "the request is not HTTP/1.1"
    return f"the request is not HTTP/1.1: {said}"
