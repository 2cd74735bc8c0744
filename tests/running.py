"""A relay to test against: in this process with a sandbox, or as the real program in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from relay import app
from relay.config import Settings, load
from relay.core.events import Observer
from relay.sandbox import RunningSandbox, SandboxSettings, sandbox
from relay.store import Store
from tests.fakes import SHOP_SECRET, TILL_SECRET, Happenings

ASYNC_PATH = "/webhooks/custom-channels/manual-sale.json"
UNLIMITED = SandboxSettings(async_rate=None, sync_rate=None)
READY_S = 20.0
"""A noisy machine takes a second or two to start Python."""

Tables = Mapping[str, Any]
SHOP: dict[str, Any] = {"kind": "shopify", "channel": "main", "secrets": [SHOP_SECRET]}
TILL: dict[str, Any] = {"kind": "native", "channel": "main", "secrets": [TILL_SECRET]}
STOREFRONTS: dict[str, Any] = {"shop": SHOP, "till": TILL}


def channel(sandbox_url: str, **keys: Any) -> Tables:
    """The table of a channel that leads to a sandbox, as fast as it takes orders. A key of ``None`` is left out."""
    fast = {"webhook_hash": UNLIMITED.webhook_hash, "sync_rate": 1000, "multiplier": 1, "burst": 10}
    found = {"async_url": sandbox_url + ASYNC_PATH, "api_url": sandbox_url} | fast | keys
    return {key: value for key, value in found.items() if value is not None}


def tables_for(sandbox_url: str, folder: Path, **tables: Any) -> Tables:
    """A whole configuration. Tables are laid over the defaults key by key; ``channels`` and ``storefronts`` replace.

    A channel's keys are laid over those of :func:`channel`; ``channels`` of ``None`` is one of the name ``main``.
    """
    channels = tables.pop("channels", None) or {"main": {}}
    storefronts = tables.pop("storefronts", None) or STOREFRONTS
    found: dict[str, Any] = {
        "store": {"url": f"sqlite:{folder / 'relay.db'}"},
        "public": {"listen": "127.0.0.1:0"},
        "private": {"listen": "127.0.0.1:0"},
        "life": {"shutdown_grace_s": 2},
        "channels": {name: channel(sandbox_url, **keys) for name, keys in channels.items()},
        "storefronts": storefronts,
    }
    for name, keys in tables.items():
        found[name] = {**found.get(name, {}), **keys}
    return found


def as_toml(tables: Tables) -> str:
    """Nested tables as TOML, one dotted key a line. Each value is written as JSON, which here is also TOML."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in _flat(tables, ""))


def _flat(tables: Tables, prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tables.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return found


def written(folder: Path, tables: Tables, name: str = "relay.toml") -> Path:
    """The configuration as a file."""
    file = folder / name
    file.write_text(as_toml(tables))
    return file


def settings_from(folder: Path, tables: Tables) -> Settings:
    """The configuration as the program would read it from a file; the environment has no say."""
    return load(written(folder, tables), {}).for_serving()


@dataclass(slots=True)
class RunningRelay:
    """A relay in this process. Addresses are without a slash at the end."""

    relay: app.Relay
    settings: Settings
    happenings: Happenings

    @property
    def public_url(self) -> str:
        return self.relay.public_url

    @property
    def private_url(self) -> str:
        return self.relay.private_url

    @property
    def store(self) -> Store:
        return self.relay.store


@asynccontextmanager
async def relay_running(
    tmp_path: Path,
    *,
    channels: Tables | None = None,
    storefronts: Tables | None = None,
    jetti: SandboxSettings = UNLIMITED,
    observers: tuple[Observer, ...] = (),
    **tables: Any,
) -> AsyncIterator[tuple[RunningRelay, RunningSandbox]]:
    """A relay and the sandbox its channels lead to, both on free ports; see :func:`tables_for` for the tables.

    Everything that happens is in ``relay.happenings``.
    """
    happenings = Happenings()
    async with sandbox(jetti) as imitated:
        chosen = tables_for(imitated.url, tmp_path, channels=channels, storefronts=storefronts, **tables)
        settings = settings_from(tmp_path, chosen)
        async with app.running(settings, observers=(happenings, *observers)) as running:
            yield RunningRelay(running, settings, happenings), imitated


@dataclass(slots=True)
class ServeProcess:
    """``python -m relay serve`` in a process of its own. Use it as a context manager: leaving kills what still runs.

    A process that was killed can be started again: the same configuration, and so the same store.
    """

    config: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    """Its public address, once started."""
    private_url: str = ""
    prefix: tuple[str, ...] = ()
    """Words before the command: what it is to be run by."""
    said: bytes = b""
    """What it wrote to standard output after the line that says it is ready, once it has ended."""
    _process: asyncio.subprocess.Process | None = None

    async def start(self, seconds: float = READY_S) -> Self:
        """Start it, and return when it says it is ready. Raises ``RuntimeError`` with its errors if it ends instead."""
        with self.log_file.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *self.prefix, sys.executable, "-m", "relay", "serve", "--json", "--config", str(self.config),
                stdout=asyncio.subprocess.PIPE, stderr=log, env=clean_environ(**self.environ),
            )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
        if not line:
            code = await process.wait()
            raise RuntimeError(f"serve ended with {code}: {self.log}")
        addresses = json.loads(line)
        self.url, self.private_url = addresses["public"], addresses["private"]
        return self

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def returncode(self) -> int | None:
        """``None`` while it runs; negative: the signal that ended it."""
        return self._running.returncode

    @property
    def log_file(self) -> Path:
        """What it and its predecessors wrote to standard error."""
        return self.config.with_suffix(".log")

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The log, parsed."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    async def kill(self) -> int:
        """SIGKILL: what a crash or a lost machine is to the process."""
        with suppress(ProcessLookupError):
            self._running.kill()
        return await self.wait()

    async def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        with suppress(ProcessLookupError):
            self._running.terminate()
        return await self.wait()

    async def wait(self, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(seconds):
            self.said += (await self._running.communicate())[0] or b""
        code = self._running.returncode
        assert code is not None
        return code

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    async def __aenter__(self) -> Self:
        return self if self._process is not None else await self.start()

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command came to."""

    code: int
    out: str
    err: str


async def command(
    *words: str,
    folder: Path,
    seconds: float = 60.0,
    environ: Mapping[str, str] | None = None,
    given: bytes | None = None,
) -> Finished:
    """Run ``python -m relay`` with these words in a folder, to its end. ``given``: what it can read."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *words, cwd=folder, env=clean_environ(**(environ or {})),
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(given)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


def clean_environ(**more: str) -> dict[str, str]:
    """This environment without what would configure a relay, and with a terminal of 80 columns."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "FORCE_", "NO_COLOR"))}
    return kept | {"COLUMNS": "80", "TERM": "dumb"} | more
