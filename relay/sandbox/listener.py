"""One listening address that can refuse connections for a while and then be there again, on the same port."""

import asyncio
import contextlib
import socket

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from relay.clock import Clock

BACKLOG = 1024
BIND_ATTEMPTS = 50
BIND_PAUSE_S = 0.01


class Listener:
    """The address a set-up runner is reached at."""

    def __init__(self, runner: web.AppRunner, listen: str, clock: Clock) -> None:
        host, _, port = listen.rpartition(":")
        self.host = host.strip("[]") or "127.0.0.1"
        self.port = int(port)
        self._runner = runner
        self._clock = clock
        self._site: web.SockSite | None = None
        self._pause: asyncio.Task[None] | None = None
        self._reopening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; a port of 0 becomes the one that was free."""
        bound = self._bind()
        self.port = bound.getsockname()[1]
        await self._listen(bound)

    async def refuse(self, seconds: float, spare: RequestHandler | None = None) -> None:
        """Close the listener and every connection but one; open again after so many seconds."""
        await self.accept_again()
        if self._site is not None:
            await self._site.stop()
        server = self._runner.server
        for connection in [] if server is None else server.connections:
            if connection is not spare:
                connection.force_close()
        # Bound and not listening, the port stays ours and refuses.
        bound = await self._bind_again()
        self._pause = asyncio.create_task(self._clock.sleep(seconds))
        self._reopening = asyncio.create_task(self._reopen(bound, self._pause))

    async def accept_again(self) -> None:
        """End a refusal now, if there is one."""
        if self._pause is not None and self._reopening is not None:
            self._pause.cancel()
            await self._reopening
            self._pause = self._reopening = None

    async def _reopen(self, bound: socket.socket, pause: asyncio.Task[None]) -> None:
        await asyncio.wait([pause])
        await self._listen(bound)

    async def _listen(self, bound: socket.socket) -> None:
        self._site = web.SockSite(self._runner, bound, backlog=BACKLOG)
        await self._site.start()

    async def _bind_again(self) -> socket.socket:
        for _ in range(BIND_ATTEMPTS):  # some event loops close a listening socket a moment later
            with contextlib.suppress(OSError):
                return self._bind()
            await self._clock.sleep(BIND_PAUSE_S)
        return self._bind()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            bound.setblocking(False)
        except OSError:
            bound.close()
            raise
        return bound
