"""What the person who started the demo gets to read."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from relay.demo.evidence import Evidence
from relay.demo.story import BURST, Kind, Plan, Story
from relay.demo.verdict import Verdict, Wait

_WIDTH_MAX = 80
_QUARTER = 0.25
_ALL_USED = 0.9995
_DATED_AMISS = 0.05
"""Requests are dated a little early or late here, so a pace that was used in full may come out a little above it."""


@dataclass(slots=True)
class Bars:
    """Two progress bars on a terminal; elsewhere a line for each quarter."""

    _out: Console
    _progress: Progress
    _sent: TaskID
    _delivered: TaskID
    _expected: int
    _told: float = 0.0

    def show(self, *, sent: int, delivered: int) -> None:
        """So far."""
        self._progress.update(self._sent, completed=sent)
        self._progress.update(self._delivered, completed=min(delivered, self._expected))
        share = delivered / self._expected
        if not self._out.is_terminal and share >= self._told + _QUARTER:
            self._told = share // _QUARTER * _QUARTER
            self._out.print(f"{sent} webhooks sent, {delivered} of {self._expected} orders delivered")


@contextmanager
def bars(out: Console, story: Story) -> Iterator[Bars]:
    """The progress bars, for the time of the block."""
    expected = expected_deliveries(story)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        sent = progress.add_task("webhooks sent and acknowledged", total=len(story.webhooks))
        delivered = progress.add_task("orders delivered to Jetti", total=expected)
        yield Bars(out, progress, sent, delivered, expected)


def expected_deliveries(story: Story) -> int:
    """Requests that the story comes to."""
    return story.count(Kind.NEW, Kind.UPDATE)


def tell_beginning(out: Console, plan: Plan, story: Story) -> None:
    """What is simulated, and what is waited for."""
    deliveries = expected_deliveries(story)
    seconds = deliveries / plan.rate
    text = (
        f"[bold]A shop at its peak[/]: {len(story.webhooks)} signed Shopify webhooks, {plan.flood_rate:g} a second. "
        f"First a flood of updates of old orders, in its middle {story.count(Kind.NEW)} customers who check out; "
        "among them duplicates, states that come late, quick updates of one order, a cancellation, an order without "
        "its lines, a forged webhook.\n"
        f"Jetti is imitated, with its limit of {plan.rate:g} requests a second. The relay is real: a process of its "
        "own, a fresh SQLite store.\n"
        f"[bold]This takes about {seconds + 4:.0f} s[/], because {deliveries} orders leave at {plan.rate:g} a second: "
        "that is the pace Jetti documents, and the relay keeps it.\n"
    )
    _print_narrow(out, text)


def tell_end(out: Console, evidence: Evidence, verdict: Verdict) -> None:
    """The table, what does not add up if anything, and what to try next."""
    _print_narrow(out, _table(evidence, verdict))
    if verdict.adds_up:
        out.print("[bold green]Everything adds up[/]: the shop's record, Jetti's and the relay's /metrics agree.\n")
        out.print(_next_steps(), soft_wrap=True)
    for mistake in verdict.mistakes:
        out.print("[bold red]does not add up:[/]", end=" ")
        out.print(mistake, markup=False, style="red", soft_wrap=True)


def tell_failure(out: Console, reason: str) -> None:
    """Why the demo could not be finished."""
    out.print("[bold red]the demo failed:[/]", end=" ")
    out.print(reason, markup=False, soft_wrap=True)


def tell_folder(out: Console, folder: Path) -> None:
    """What was kept, and where."""
    out.print(f"kept: {folder} (relay.log, relay.toml, relay.db)", markup=False, soft_wrap=True)


def _print_narrow(out: Console, what: Table | str) -> None:
    """In at most 80 columns. What is padded to its width, or wrapped, ends in spaces, and those are for terminals."""
    width = min(out.width, _WIDTH_MAX)
    if out.is_terminal:
        out.print(what, width=width)
        return
    with out.capture() as captured:
        out.print(what, width=width)
    lines = (line.rstrip() for line in captured.get().splitlines())
    out.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _table(evidence: Evidence, verdict: Verdict) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("webhooks", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("what that means")
    for row in _webhooks(evidence, verdict):
        table.add_row(*row)
    table.add_section()
    for row in _times(evidence.plan, verdict):
        table.add_row(*row)
    return table


def _webhooks(evidence: Evidence, verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    bad = "red" if verdict.lost else "green"
    yield "acknowledged", f"{verdict.acknowledged}", "on disk before the 200; each is one of:"
    yield "  delivered", f"{verdict.delivered}", "sent to Jetti, which answered 200"
    yield "  merged", f"{verdict.merged}", "replaced an older state that still waited"
    yield "  stale", f"{verdict.stale}", "came late, older than known: never sent"
    yield "  duplicate", f"{verdict.duplicate}", "the same webhook again: not sent again"
    yield "  unchanged", f"{verdict.unchanged}", "changed nothing that Jetti sees: not sent"
    yield "  dead letter", f"{verdict.dead}", _why_dead(evidence)
    yield f"[{bad}]  lost[/]", f"[{bad}]{verdict.lost}[/]", "newest states that Jetti does not have"
    yield "refused", f"{verdict.refused}", "forged: 401, not kept"


def _times(plan: Plan, verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    allowed = floor(plan.rate + BURST)
    yield "answer time", _ms(verdict.p50_s), f"p50, the median; p99 {_ms(verdict.p99_s)}"
    yield "pace allowed", f"{plan.rate:g}/s", f"at most {allowed} in any second: {plan.rate:g}/s and a burst of {BURST}"
    yield "pace used", *_pace_used(verdict)
    yield "new orders waited", _s(verdict.new.p50_s), f"the median, {_longest(verdict.new)}: they go first"
    yield "updates waited", _s(verdict.updates.p50_s), f"the median, {_longest(verdict.updates)}"


def _pace_used(verdict: Verdict) -> tuple[str, str]:
    """Its share, and what that means; never more than all of it, unless something is amiss."""
    busiest = f"{verdict.most_in_a_second} in the busiest second"
    if _ALL_USED <= verdict.pace_used <= 1 + _DATED_AMISS:
        return "100.0%", f"all of it; {busiest}"
    return f"{verdict.pace_used:.1%}", f"while orders waited; {busiest}"


def _why_dead(evidence: Evidence) -> str:
    trimmed = next((a.webhook.state.order for a in evidence.answers if a.webhook.kind is Kind.TRIMMED), None)
    if trimmed is None or trimmed.external_id not in evidence.dead:
        return "needs a person"
    return f"{trimmed.reference} has no lines: needs a person"


def _next_steps() -> str:
    command = _command()
    steps = {
        f"{command} sandbox": "the imitated Jetti",
        f"{command} check --config config.toml": "is it right?",
        f"{command} serve --config config.toml": "the relay, for your shop",
    }
    width = max(map(len, steps))
    lines = (f"  {step:{width}}  {what}" for step, what in steps.items())
    return "\n".join(("[bold]What to try next[/] (config.toml: begin with config.example.toml)", *lines))


def _command() -> str:
    """As it was called, where it is not on the path."""
    called = sys.argv[0]
    return "order-relay" if shutil.which("order-relay") or not called.endswith("order-relay") else called


def _longest(wait: Wait) -> str:
    return f"at most {_s(wait.max_s)}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"
