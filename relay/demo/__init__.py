"""The first run: a shop at its peak, the relay as it is shipped, and an imitated Jetti, on this machine.

What is shown at the end is computed from what the shop sent and what Jetti received, not from what the relay says.
"""

import asyncio
import json
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from relay.clock import Clock, SystemClock
from relay.demo import report
from relay.demo.driver import Driver
from relay.demo.evidence import Evidence, Pulse, gathered
from relay.demo.process import DemoError, RelayProcess, counters, look, relay_process
from relay.demo.story import Plan, Story, told
from relay.demo.verdict import judge
from relay.sandbox import RunningSandbox, SandboxSettings, sandbox

__all__ = ["Plan", "run"]

_LOOK_S = 0.1
_LATE_FACTOR, _LATE_S = 1.5, 20.0
"""How much longer than the pace demands the backlog may take, before what there is gets judged."""
_MULTIPLIER = 10
_DEFAULT = Plan()


async def run(out: Console, plan: Plan = _DEFAULT) -> bool:
    """Perform the demo and print it; whether everything adds up. SIGTERM ends it as tidily as Ctrl-C does."""
    performance = asyncio.create_task(_run(out, plan))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, performance.cancel)
    try:
        await asyncio.wait([performance])
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        performance.cancel()
        await asyncio.wait([performance])
    if performance.cancelled():
        report.tell_failure(out, "it was asked to stop")
        return False
    return performance.result()


async def _run(out: Console, plan: Plan) -> bool:
    clock = SystemClock()
    story = told(plan, clock.now())
    report.tell_beginning(out, plan, story)
    with _folder(plan) as folder:
        try:
            evidence = await _performed(out, plan, story, folder, clock)
        except (DemoError, aiohttp.ClientError, TimeoutError) as error:
            report.tell_failure(out, f"{error}" or type(error).__name__)
            folder.keep = True
        else:
            verdict = judge(evidence)
            report.tell_end(out, evidence, verdict)
            folder.keep = folder.keep or not verdict.adds_up
            folder.is_good = verdict.adds_up
        if folder.keep:
            report.tell_folder(out, folder.path)
    return folder.is_good


@dataclass(slots=True)
class _Folder:
    path: Path
    keep: bool
    is_good: bool = False


@contextmanager
def _folder(plan: Plan) -> Iterator[_Folder]:
    """A private folder for the store, the configuration and the log; removed unless it is to be kept."""
    folder = _Folder(Path(tempfile.mkdtemp(prefix="order-relay-demo-")), plan.keep)
    try:
        yield folder
    finally:
        if not folder.keep:
            shutil.rmtree(folder.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Stage:
    """What plays."""

    story: Story
    relay: RelayProcess
    jetti: RunningSandbox
    driver: Driver
    session: aiohttp.ClientSession
    pulse: Pulse
    bars: report.Bars
    clock: Clock
    elapsed: Callable[[], float]

    def show(self) -> None:
        self.bars.show(sent=len(self.driver.answers), delivered=self.jetti.account.sales)


async def _performed(out: Console, plan: Plan, story: Story, folder: _Folder, clock: Clock) -> Evidence:
    async with _stage(out, plan, story, folder, clock) as stage:
        async with _meanwhile(_showing(stage)):
            for act in story.rush:
                await stage.driver.play(act)
            await _afterwards(stage, plan)
            await _until_drained(stage, plan)
        counted = await counters(stage.session, f"{stage.relay.private_url}/metrics")
        dead = await look(stage.session, f"{stage.relay.private_url}/api/dead-letters?limit=1000")
        causes = {str(letter.get("external_id")): str(letter.get("why")) for letter in dead["dead_letters"]}
        evidence = gathered(plan, stage.driver.answers, stage.jetti, stage.pulse, counted, causes)
        return replace(evidence, exit_code=await stage.relay.stop())


@asynccontextmanager
async def _stage(out: Console, plan: Plan, story: Story, folder: _Folder, clock: Clock) -> AsyncIterator[_Stage]:
    secret, webhook_hash = secrets.token_hex(16), secrets.token_hex(16)
    begun = clock.monotonic()

    def elapsed() -> float:
        return clock.monotonic() - begun

    pulse = Pulse(clock, elapsed)
    settings = SandboxSettings(webhook_hash=webhook_hash, async_rate=plan.rate)
    async with sandbox(settings, clock) as jetti, _meanwhile(pulse.run()):
        config, log = folder.path / "relay.toml", folder.path / "relay.log"
        _write(config, _configuration(plan, folder.path / "relay.db", jetti.url, secret, webhook_hash))
        connections = aiohttp.TCPConnector(limit=0)
        async with relay_process(config, log) as relay, aiohttp.ClientSession(connector=connections) as session:
            driver = Driver(session, f"{relay.public_url}/webhooks/shop", secret, clock, elapsed)
            with report.bars(out, story) as bars:
                yield _Stage(story, relay, jetti, driver, session, pulse, bars, clock, elapsed)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that goes on for the time of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _showing(stage: _Stage) -> None:
    while True:
        stage.show()
        await stage.clock.sleep(_LOOK_S)


async def _afterwards(stage: _Stage, plan: Plan) -> None:
    """Updates that change nothing, once Jetti has their order."""
    deadline = _deadline(stage, plan)
    for webhook in stage.story.afterwards:
        while stage.jetti.account.sale(webhook.state.order.external_id) is None and stage.elapsed() < deadline:
            await _pause(stage)
        await stage.clock.sleep(1.0)  # for the relay to have recorded, or looked at, the one before
        await stage.driver.send(webhook)


async def _until_drained(stage: _Stage, plan: Plan) -> None:
    """Until nothing waits any more; what has become of it is judged later, and not by this."""
    deadline = _deadline(stage, plan)
    while stage.elapsed() < deadline:
        await _pause(stage)
        found = (await look(stage.session, f"{stage.relay.private_url}/api/status"))["channels"]["main"]
        if not any((found["in_flight"], found["orders"]["waiting"], found["orders"]["sleeping"])):
            break
    stage.show()


async def _pause(stage: _Stage) -> None:
    if stage.relay.has_ended:
        raise DemoError("the relay ended in the middle of it")
    await stage.clock.sleep(_LOOK_S)


def _deadline(stage: _Stage, plan: Plan) -> float:
    return _LATE_S + _LATE_FACTOR * report.expected_deliveries(stage.story) / plan.rate


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _configuration(plan: Plan, store: Path, jetti_url: str, secret: str, webhook_hash: str) -> str:
    """What somebody would write who connects a shop, but for the ports and the address. JSON's text is TOML's."""
    return f"""\
[store]
url = {json.dumps(f"sqlite:{store}")}
[public]
listen = "127.0.0.1:0"
[private]
listen = "127.0.0.1:0"
[channels.main]
webhook_hash = "{webhook_hash}"
async_url = "{jetti_url}/webhooks/custom-channels/manual-sale.json"
sync_rate = {plan.rate / _MULTIPLIER}
multiplier = {_MULTIPLIER}
[storefronts.shop]
kind = "shopify"
channel = "main"
secrets = ["{secret}"]
"""
