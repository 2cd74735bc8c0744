"""The figures: how fast the relay is on this machine, as ratios to bare aiohttp in the same run, and what a sale costs.

What is measured runs on one core; the load and the sandbox run on another. Each figure is taken in turns with what it
is compared to (bare, relay, bare, relay …), so that a machine that drifts moves both, and the median of the ratios of
neighbours is quoted.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from relay.bench import mapping, orders
from relay.clock import SystemClock

_HASH = "bench-hash"
_PATH = "/webhooks/shop"
_CONNECTIONS = 64
_GOALS = {"acknowledged": 0.60, "delivered": 0.65}
_P99_GOAL_MS = 50.0
_DRAIN_MAX_S = 120.0
_MAPPING_TAKES = 2  # times as long as one of the other measurements: 48 figures

Figures = dict[str, Any]


def run(out: Console, *, as_json: bool, seconds: float, rounds: int) -> None:
    """Measure, and print the figures; the ratios last."""
    cores = sorted(os.sched_getaffinity(0))
    pins = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), transient=True,
        console=Console(stderr=True), disable=as_json,
    ) as progress:  # fmt: skip
        bench = _Bench(progress, seconds, rounds, *pins)
        figures = {"pinned": _pinned(pins), "body_bytes": len(orders.body(1)), **bench.measure()}
        with bench.step("making sales"):
            figures["mapping_us"] = mapping.measured(seconds * _MAPPING_TAKES)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        _print(out, figures)


def _pinned(pins: tuple[int | None, int | None]) -> str:
    if pins[0] is None:
        return "nothing: this machine lends one core, so load and relay share it and the ratios mean little"
    return f"what is measured to core {pins[0]}, load and sandbox to core {pins[1]}"


class _Bench:
    def __init__(self, progress: Progress, seconds: float, rounds: int, core: int | None, other: int | None) -> None:
        self._progress = progress
        self._rounds = rounds
        self._seconds = seconds
        self._core = core
        self._other = other
        self._clock = SystemClock()
        self._folder = Path(tempfile.gettempdir())
        self._next = 0

    def measure(self) -> Figures:
        with tempfile.TemporaryDirectory(prefix="order-relay-bench-") as folder:
            self._folder = Path(folder)
            acknowledged = [self._acknowledged(number) for number in range(self._rounds)]
            calm = self._calm(median(pair["relay"]["per_s"] for pair in acknowledged) / 2)
            delivered = [self._delivered(number) for number in range(self._rounds)]
        return {
            "acknowledged": _summary(acknowledged),
            "half_load": calm,
            "delivered": _summary(delivered),
        }

    # -- what is measured ------------------------------------------------------------------------------------------

    def _acknowledged(self, number: int) -> Figures:
        with self.step(f"acknowledging, bare {number + 1}/{self._rounds}"), self._bare({}) as url:
            bare = self._load(url)
        with self.step(f"acknowledging, relay {number + 1}/{self._rounds}"), self._relay(f"ack{number}") as (url, _):
            relay = self._load(url)
        return {"bare": bare, "relay": relay}

    def _calm(self, rate: float) -> Figures:
        with self.step(f"acknowledging at half load, {rate:.0f}/s"), self._relay("calm") as (url, _):
            return self._load(url, rate=rate)

    def _delivered(self, number: int) -> Figures:
        with self._sandbox() as jetti:
            to = f"{jetti}/webhooks/custom-channels/manual-sale.json"
            headers = {"jetti-webhook-hash": _HASH, "Content-Type": "application/json"}
            with (
                self.step(f"delivering, bare {number + 1}/{self._rounds}"),
                self._bare({"url": to, "headers": headers}) as url,
            ):
                bare = self._load(url)
        with self._sandbox() as jetti:
            to = f"{jetti}/webhooks/custom-channels/manual-sale.json"
            with (
                self.step(f"delivering, relay {number + 1}/{self._rounds}"),
                self._relay(f"all{number}", to) as (url, _),
            ):
                started = self._clock.monotonic()
                relay = self._load(url)
                took_s = self._until_delivered(jetti, relay["answered"], started)
        return {"bare": bare, "relay": {**relay, "per_s": relay["answered"] / took_s, "acknowledged": relay["per_s"]}}

    def _until_delivered(self, jetti: str, count: int, started: float) -> float:
        """Seconds from the first webhook until the last order was at the sandbox."""
        while True:
            with urlopen(f"{jetti}/sandbox/state", timeout=10) as answer:  # noqa: S310 - our own loopback
                sales = json.load(answer)["sales"]
            took_s = self._clock.monotonic() - started
            if sales >= count:
                return took_s
            if took_s > self._seconds + _DRAIN_MAX_S:
                raise RuntimeError(f"{sales} of {count} orders were delivered within {took_s:.0f} s")
            _pause()

    # -- processes -------------------------------------------------------------------------------------------------

    def _load(self, url: str, rate: float | None = None) -> Figures:
        address = urlsplit(url)
        options = {
            "host": address.hostname, "port": address.port, "path": _PATH, "seconds": self._seconds,
            "connections": _CONNECTIONS, "first": self._next, "rate": rate,
        }  # fmt: skip
        with _process([sys.executable, "-m", "relay.bench.load"], self._other, options) as process:
            stdout, _ = process.communicate(timeout=self._seconds + _DRAIN_MAX_S)
        figures: Figures = json.loads(stdout)
        self._next = figures.pop("next")
        wrong = {status: n for status, n in figures["statuses"].items() if status != "200"}
        if wrong or figures["broken"] or not figures["answered"]:
            raise RuntimeError(f"the load was not answered with 200 throughout: {figures}")
        return figures

    @contextmanager
    def _bare(self, options: Figures) -> Iterator[str]:
        with _process([sys.executable, "-m", "relay.bench.bare"], self._core, options) as process:
            yield _ready(process)["public"]

    @contextmanager
    def _relay(self, name: str, to: str | None = None) -> Iterator[tuple[str, str]]:
        config = self._folder / f"{name}.toml"
        config.write_text(_configuration(self._folder / f"{name}.db", to))
        command = [sys.executable, "-m", "relay", "serve", "--json", "--config", str(config)]
        with (self._folder / f"{name}.log").open("wb") as log, _process(command, self._core, None, log) as process:
            ready = _ready(process)
            yield ready["public"], ready["private"]

    @contextmanager
    def _sandbox(self) -> Iterator[str]:
        command = [sys.executable, "-m", "relay", "sandbox", "--json", "--listen", "127.0.0.1:0",
                   "--webhook-hash", _HASH, "--async-rate", "0"]  # fmt: skip
        with _process(command, self._other, None) as process:
            yield _ready(process)["sandbox"]

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Say what is being done."""
        task = self._progress.add_task(description, total=None)
        try:
            yield
        finally:
            self._progress.remove_task(task)


@contextmanager
def _process(
    command: list[str], core: int | None, options: Figures | None, log: Any = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of ours on its core, told its options; ended with the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)  # noqa: S603
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        if process.stdin is not None:
            if options is not None:
                process.stdin.write(json.dumps(options).encode())
            process.stdin.close()
            process.stdin = None
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: "subprocess.Popen[bytes]") -> dict[str, str]:
    line = process.stdout.readline() if process.stdout is not None else b""
    if not line:
        raise RuntimeError(f"{process.args!r} ended before it was ready")
    addresses: dict[str, str] = json.loads(line)
    return addresses


def _configuration(store: Path, to: str | None) -> str:
    """Defaults, but for a channel that is silent (its pace is the slowest there is) or that knows no pace."""
    pace = "sync_rate = 0.001\nmultiplier = 1" if to is None else "sync_rate = 1000000\nmultiplier = 1\nburst = 10000"
    url = "http://127.0.0.1:9/" if to is None else to
    return f"""
[store]
url = "sqlite:{store}"
[public]
listen = "127.0.0.1:0"
[private]
listen = "127.0.0.1:0"
[channels.main]
webhook_hash = "{_HASH}"
async_url = "{url}"
{pace}
[storefronts.shop]
kind = "shopify"
channel = "main"
secrets = ["{orders.SECRET}"]
"""


def _pause() -> None:
    Event().wait(0.05)


# -- figures -----------------------------------------------------------------------------------------------------------


def _summary(pairs: list[Figures]) -> Figures:
    return {
        "bare_per_s": round(median(pair["bare"]["per_s"] for pair in pairs)),
        "relay_per_s": round(median(pair["relay"]["per_s"] for pair in pairs)),
        "p50_ms": round(median(pair["relay"]["p50_ms"] for pair in pairs), 2),
        "p99_ms": round(median(pair["relay"]["p99_ms"] for pair in pairs), 2),
        "ratios": [round(pair["relay"]["per_s"] / pair["bare"]["per_s"], 3) for pair in pairs],
        "ratio": round(median(pair["relay"]["per_s"] / pair["bare"]["per_s"] for pair in pairs), 3),
    }


def _print(out: Console, figures: Figures) -> None:
    out.print(f"Pinned: {figures['pinned']}. Bodies of {figures['body_bytes']} bytes, {_CONNECTIONS} connections.")
    table = Table("", title="Figures of this machine, now")
    for heading in ("bare /s", "relay /s", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for name, row in (("acknowledged, durable", "acknowledged"), ("accepted and delivered", "delivered")):
        found = figures[row]
        cells = (found["bare_per_s"], found["relay_per_s"], found["p50_ms"], found["p99_ms"])
        table.add_row(name, *map(str, cells))
    calm = figures["half_load"]
    table.add_row(
        "acknowledged at half load", "", f"{calm['per_s']:.0f}", f"{calm['p50_ms']:.2f}", f"{calm['p99_ms']:.2f}"
    )
    out.print(table)
    goal = "met" if calm["p99_ms"] < _P99_GOAL_MS else "missed"
    out.print(f"p99 at half load: {calm['p99_ms']:.1f} ms (goal: below {_P99_GOAL_MS:g} ms, {goal})")
    for name, least in _GOALS.items():
        found = figures[name]
        goal = "met" if found["ratio"] >= least else "missed"
        rounds = ", ".join(f"{ratio:.0%}" for ratio in found["ratios"])
        out.print(f"{name} / bare: {found['ratio']:.0%} (rounds: {rounds}; goal: at least {least:.0%}, {goal})")
    out.print(mapping_table(figures["mapping_us"]))


def mapping_table(figures: Figures) -> Table:
    """What making a sale costs, a row for each kind of storefront."""
    few, many = (str(count) for count in mapping.LINES)
    table = Table("µs", title="Making sales, one order on one core")
    for heading in ("identify", "sale", "shaped"):
        for count in (few, many):
            table.add_column(f"{heading}\n{count} lines", justify="right")
    for kind, found in figures.items():
        cells = [found[count][what] for what in ("identify", "plain", "shaped") for count in (few, many)]
        table.add_row(kind, *(f"{cell:,.0f}" for cell in cells))
    return table
