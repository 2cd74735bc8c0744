"""The disk and the file under the relay fail, in a process of its own: nothing is acknowledged that is not kept, what
was acknowledged is delivered, and when the fault is over the relay goes on by itself.

What a fault looks like is the kernel's doing here: a bound on the size of files, a file system without room, another
process that holds the database.
"""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from relay.clock import SystemClock
from relay.sandbox import RunningSandbox, sandbox
from tests.fakes import Answer, Shop, fetched, shopify_order
from tests.running import UNLIMITED, ServeProcess, tables_for, written

RETRY_AFTER_S = 7
SOON_S = 8.0
"""The store is probed every 2 seconds, and the guard measures every second."""
MB = 1024 * 1024
SLOW = {"main": {"sync_rate": 40, "burst": 1, "retry": {"base_s": 0.1, "cap_s": 0.5}}}
"""What is accepted before a fault is still being delivered when it comes."""


@dataclass
class Fault:
    """A relay at which a fault is about to happen, and what its shop knows."""

    relay: ServeProcess
    jetti: RunningSandbox
    shop: Shop
    folder: Path
    """Of the store, as it is seen from here."""
    acknowledged: set[int] = field(default_factory=set)
    refused: dict[int, Answer] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def send(self) -> Answer:
        """One more order."""
        number = next(self.numbers)
        answer = await self.shop.send(shopify_order(number))
        if answer.status == 200:
            self.acknowledged.add(number)
        else:
            self.refused[number] = answer
        return answer

    async def send_until(self, happened: Callable[[Answer], bool], seconds: float = SOON_S) -> Answer:
        """Orders, one after the other, until one is answered so."""
        async with asyncio.timeout(seconds):
            while not happened(answer := await self.send()):
                await SystemClock().sleep(0.02)
            return answer

    async def readiness(self) -> tuple[int, list[str]]:
        """What ``/readyz`` answers."""
        answer = await fetched(f"{self.relay.private_url}/readyz")
        return answer.status, answer.json["reasons"]

    async def unready(self) -> list[str]:
        """Why it is not ready, as soon as it is not; an order tries in between."""
        async with asyncio.timeout(SOON_S):
            while (found := await self.readiness())[0] == 200:
                await self.send()
            return found[1]

    @property
    def received(self) -> dict[int, int]:
        """How often Jetti was sent which order."""
        return Counter(int(request.external_id) for request in self.jetti.journal.after(0, 1_000_000))

    @property
    def refusals(self) -> Counter[tuple[int, str, str]]:
        """Of all orders that were not acknowledged: status, type, Retry-After."""
        assert {answer.headers["Content-Type"] for answer in self.refused.values()} <= {"application/problem+json"}
        return Counter((a.status, a.type, a.headers["Retry-After"]) for a in self.refused.values())

    async def over(self) -> None:
        """The fault is over: the relay works again, and delivers everything that it has acknowledged, once, and
        nothing else; nothing that was refused is sent again here."""
        await self.send_until(lambda answer: answer.status == 200)
        assert (await self.readiness()) == (200, [])
        async with asyncio.timeout(20):
            while not self.acknowledged <= self.received.keys():
                await SystemClock().sleep(0.05)
        assert self.received == dict.fromkeys(self.acknowledged, 1)
        assert self.relay.returncode is None


def walled(config: Path, store: Path, *, size_bytes: int = 64 * MB) -> ServeProcess:
    """The relay in a mount namespace of its own, where its store's folder is a small file system in memory."""
    script = f'mount -t tmpfs -o size={size_bytes} tmpfs "$1" && shift && exec "$@"'
    return ServeProcess(config, prefix=("unshare", "-Urm", "sh", "-c", script, "sh", str(store)))


def walls() -> str:
    """Why no process can be given a file system of its own here; empty when it can."""
    if shutil.which("unshare") is None:
        return "there is no unshare(1)"
    tried = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs -o size=4096 tmpfs /mnt"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return "" if tried.returncode == 0 else f"the kernel allows no mount: {tried.stderr.strip()}"


@asynccontextmanager
async def faulty(tmp_path: Path, *, small_disk: bool = False, **tables: Any) -> AsyncIterator[Fault]:
    """A relay whose shop has just sent some orders, most of which are not delivered yet."""
    async with AsyncExitStack() as stack:
        jetti = await stack.enter_async_context(sandbox(UNLIMITED))
        folder = tmp_path / "store"
        folder.mkdir()
        chosen: dict[str, Any] = {"channels": SLOW, "public": {"retry_after_s": RETRY_AFTER_S}} | tables
        config = written(tmp_path, tables_for(jetti.url, folder, **chosen))
        relay = await stack.enter_async_context(walled(config, folder) if small_disk else ServeProcess(config))
        shop = await stack.enter_async_context(Shop(relay.url))
        seen = Path(f"/proc/{relay.pid}/root{folder}") if small_disk else folder
        fault = Fault(relay, jetti, shop, seen)
        for _ in range(30):
            assert (await fault.send()).status == 200
        yield fault


def is_refused(answer: Answer) -> bool:
    return answer.status == 503


# -- no room -----------------------------------------------------------------------------------------------------------


@contextmanager
def files_no_larger(pid: int, most_bytes: int) -> Iterator[None]:
    """The process can write nothing beyond so many bytes of any file, as if the disk were full."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.timeout(60)
async def test_when_nothing_more_can_be_written_webhooks_get_503_until_it_can(tmp_path: Path) -> None:
    async with faulty(tmp_path) as fault:
        wal = (fault.folder / "relay.db-wal").stat().st_size
        with files_no_larger(fault.relay.pid, wal):
            await fault.send_until(is_refused)
            answers = [await fault.send() for _ in range(50)]
            # Waited for: where the log begins anew a transaction may still fit, and the store be well for a moment.
            reasons = await fault.unready()
            await SystemClock().sleep(2.5)  # the store is probed meanwhile, in vain
            answers.append(await fault.send())
        await fault.over()

    assert len([answer for answer in answers if is_refused(answer)]) >= 40  # what still fits is kept, and answered 200
    assert fault.refusals.keys() == {(503, "store-failed", str(RETRY_AFTER_S))}
    assert reasons[0].partition(":")[0] == "the store cannot commit"


@pytest.mark.timeout(60)
async def test_when_the_disk_is_full_webhooks_get_503_until_there_is_room_again(tmp_path: Path) -> None:
    if reason := walls():
        pytest.skip(reason)
    async with faulty(tmp_path, small_disk=True, store={"disk_free_min_bytes": 0}) as fault:
        ballast = fault.folder / "ballast"
        filled(ballast, leave_bytes=0)
        await fault.send_until(is_refused)
        answers = [await fault.send() for _ in range(50)]
        reasons = await fault.unready()
        ballast.unlink()
        await fault.over()

    assert len([answer for answer in answers if is_refused(answer)]) >= 40  # what still fits is kept, and answered 200
    assert fault.refusals.keys() == {(503, "store-failed", str(RETRY_AFTER_S))}
    assert "full" in reasons[0]


@pytest.mark.timeout(60)
async def test_before_the_disk_is_full_webhooks_get_503_and_what_was_accepted_is_delivered(tmp_path: Path) -> None:
    if reason := walls():
        pytest.skip(reason)
    async with faulty(tmp_path, small_disk=True, store={"disk_free_min_bytes": 32 * MB}) as fault:
        ballast = fault.folder / "ballast"
        filled(ballast, leave_bytes=24 * MB)
        await fault.send_until(is_refused)
        ready, reasons = await fault.readiness()
        async with asyncio.timeout(20):
            while not fault.acknowledged <= fault.received.keys():  # while there is no room for anything new
                assert is_refused(await fault.send())
                await SystemClock().sleep(0.05)
        ballast.unlink()
        await fault.over()

    assert fault.refusals.keys() == {(503, "disk-full", str(RETRY_AFTER_S))}
    assert (ready, reasons[0].partition(":")[0]) == (503, "every storefront is refused")


def filled(ballast: Path, *, leave_bytes: int) -> None:
    """Fill the file system, but for so much."""
    with ballast.open("wb") as file:
        while True:
            with suppress(OSError):  # the relay took some of it meanwhile
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(ballast.parent).free - leave_bytes)
                return


async def test_a_relay_that_starts_with_too_little_room_takes_nothing_and_says_why(tmp_path: Path) -> None:
    store = {"disk_free_min_bytes": shutil.disk_usage(tmp_path).total * 2}
    async with sandbox(UNLIMITED) as jetti:
        config = written(tmp_path, tables_for(jetti.url, tmp_path, store=store))
        async with ServeProcess(config) as relay, Shop(relay.url) as shop, asyncio.timeout(SOON_S):
            while (answer := await shop.send(shopify_order(1))).status == 200:
                await SystemClock().sleep(0.05)
            ready = await fetched(f"{relay.private_url}/readyz")

    assert (answer.status, answer.type) == (503, "disk-full")
    assert "store.disk_free_min_bytes" in ready.json["reasons"][0]


# -- no writing --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_while_another_process_holds_the_database_nothing_is_acknowledged(tmp_path: Path) -> None:
    async with faulty(tmp_path) as fault:
        with closing(sqlite3.connect(fault.folder / "relay.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            before = set(fault.acknowledged)
            sending = [asyncio.create_task(fault.send()) for _ in range(20)]
            await asyncio.wait(sending, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            while_locked = set(fault.acknowledged)
            other.execute("ROLLBACK")
            await asyncio.gather(*sending)
        await fault.over()

    assert while_locked == before
    assert fault.refusals.keys() <= {(503, "store-failed", str(RETRY_AFTER_S))}


# -- too much to do ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_beyond_the_backlog_that_may_be_a_storm_gets_503_until_enough_is_delivered(tmp_path: Path) -> None:
    channels = {"main": {"sync_rate": 15, "burst": 1, "backlog_max": 20}}
    async with faulty(tmp_path, channels=channels) as fault:
        await fault.send_until(is_refused)
        answers = await asyncio.gather(*(fault.send() for _ in range(100)))
        health = await fetched(f"{fault.relay.private_url}/healthz")
        await fault.over()

    assert len([answer for answer in answers if is_refused(answer)]) >= 50
    assert fault.refusals.keys() == {(503, "backlog-full", str(RETRY_AFTER_S))}
    assert health.status == 200
