"""A sandbox, running."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from relay.clock import Clock, SystemClock
from relay.sandbox.control import Control
from relay.sandbox.endpoints import Endpoints
from relay.sandbox.faults import Fault
from relay.sandbox.imitation import Imitation
from relay.sandbox.jetti import Account
from relay.sandbox.journal import Journal
from relay.sandbox.listener import Listener
from relay.sandbox.settings import SandboxSettings

SHUTDOWN_S = 0.2
"""How long requests may go on that are in flight at the end; silent ones are cut off then."""


class RunningSandbox:
    """What a test or the command line can ask of it and do to it."""

    def __init__(self, imitation: Imitation) -> None:
        control = Control(imitation, self.impose, self.lift)
        app = web.Application(client_max_size=imitation.settings.max_body_bytes)
        app.router.add_routes([*control.routes(), *Endpoints(imitation).routes()])
        self._imitation = imitation
        # Cancellation ends a request whose client has gone: it is not in flight any more.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
        self._listener = Listener(self._runner, imitation.settings.listen, imitation.clock)

    @property
    def port(self) -> int:
        """The port it really listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        host = self._listener.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def account(self) -> Account:
        """What it has, as of now."""
        return self._imitation.account

    @property
    def journal(self) -> Journal:
        """The import requests it has seen."""
        return self._imitation.journal

    def state(self) -> dict[str, Any]:
        """What ``GET /sandbox/state`` answers."""
        return self._imitation.state()

    async def impose(self, fault: Fault, spare: RequestHandler | None = None) -> None:
        """Put a fault in force from now on. A refusal spares one connection, if named."""
        if fault.refuse_s is not None:
            await self._listener.refuse(fault.refuse_s, spare)
        else:
            self._imitation.faults.add(fault, self._imitation.elapsed())

    async def lift(self) -> None:
        """End all faults."""
        self._imitation.faults.clear()
        await self._listener.accept_again()

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await self._listener.start()
        for fault in self._imitation.settings.faults:
            await self.impose(fault)

    async def stop(self) -> None:
        """Close everything."""
        await self._listener.accept_again()
        await self._runner.cleanup()


@asynccontextmanager
async def sandbox(settings: SandboxSettings, clock: Clock | None = None) -> AsyncIterator[RunningSandbox]:
    """A sandbox for the time of the block."""
    running = RunningSandbox(Imitation(settings, clock or SystemClock()))
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
