"""The relay as a process of its own: the product as it is shipped, started, asked and stopped from outside."""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

_READY_S = 30.0
_STOP_S = 30.0
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


class DemoError(Exception):
    """The demo cannot go on."""


class RelayProcess:
    """A relay that runs."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: dict[str, str]) -> None:
        self.public_url, self.private_url = addresses["public"], addresses["private"]
        self._process = process

    @property
    def has_ended(self) -> bool:
        """Whether it is gone already."""
        return self._process.returncode is not None

    async def stop(self) -> int:
        """Ask it to stop, as a supervisor would; its exit code."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                return await self._process.wait()
        except TimeoutError:
            raise DemoError(f"the relay did not stop within {_STOP_S:g} s of SIGTERM") from None


@asynccontextmanager
async def relay_process(config: Path, log: Path) -> AsyncIterator[RelayProcess]:
    """A relay for the time of the block; whatever happens, it is gone afterwards.

    Raises :class:`DemoError` if it does not become ready.
    """
    process = await _started(config, log)
    try:
        yield RelayProcess(process, await _addresses(process))
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def look(session: aiohttp.ClientSession, url: str) -> Any:
    """What the relay's private listener answers as JSON."""
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=15)) as response:
        response.raise_for_status()
        return await response.json()


async def counters(session: aiohttp.ClientSession, url: str) -> Counter[str]:
    """The relay's counters as ``name{labels}``."""
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=15)) as response:
        response.raise_for_status()
        return counted(await response.text())


def counted(exposed: str) -> Counter[str]:
    """The counters in what Prometheus would scrape, by ``name{labels}``."""
    found: Counter[str] = Counter()
    for name, labels, value in _SAMPLE.findall(exposed):
        if name.endswith("_total"):
            found[f"{name}{{{labels}}}"] += round(float(value))
    return found


async def _started(config: Path, log: Path) -> asyncio.subprocess.Process:
    """Without the caller's RELAY_ variables, which would go before the file; its log goes to a file of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    command = ("-P", "-m", "relay", "serve", "--json", "--config", str(config))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, *command,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=descriptor, env=environment,
        )  # fmt: skip
    finally:
        os.close(descriptor)


async def _addresses(process: asyncio.subprocess.Process) -> dict[str, str]:
    """The one line it prints when it is ready."""
    if process.stdout is None:
        raise DemoError("the relay has no output to read")
    try:
        async with asyncio.timeout(_READY_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise DemoError(f"the relay was not ready within {_READY_S:g} s") from None
    try:
        addresses: dict[str, str] = json.loads(line)
    except ValueError:
        raise DemoError("the relay did not start") from None
    return addresses
