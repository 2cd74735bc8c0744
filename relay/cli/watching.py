"""``--watch``: look again and again, also while the relay restarts."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from relay.cli.asking import Desk, NoAnswer, answer
from relay.cli.terms import fail, out, private_from, say
from relay.cli.times import since
from relay.clock import SystemClock
from relay.config.asking import Asking
from relay.core import instant

_AVERAGED_S = 10
_TIMEOUT_S = 3.0

Ask = Callable[[str, str], Any]
Look = Callable[[Ask], dict[str, Any]]
"""What is looked at. Raises :class:`NoAnswer`."""
Print = Callable[[dict[str, Any], frozenset[str]], None]
"""Of what was seen, and of which keys are in files: see :class:`relay.config.asking.Asking`."""


def _never(_: dict[str, Any]) -> bool:
    return False


@dataclass(slots=True)
class Watch:
    """Shows what a relay says: in place on a terminal, else one block after another."""

    desk: Desk
    interval_s: float
    as_json: bool
    look: Look
    show: Print
    is_over: Callable[[dict[str, Any]], bool] = _never
    only_changes: bool = False
    """Off a terminal: whether what is as it was is not said again."""
    _clock: SystemClock = field(default_factory=SystemClock)
    _seen: dict[str, Any] | None = None
    _silent: tuple[str, str] | None = None
    """Since when nobody answers, and why."""
    _said: str | None = None

    def until_over(self) -> dict[str, Any] | None:
        """What was seen last. Ctrl-C ends it, too, and is no failure: then ``None``. That nobody answers the first
        question is one."""
        asking = private_from(self.desk.config)
        try:
            self._look(asking)
            if self._silent is not None:
                fail(self._silent[1])
            if out.is_terminal and not out.is_dumb_terminal and not self.as_json:
                self._in_place(asking)
            else:
                self._in_blocks(asking)
        except KeyboardInterrupt:
            return None
        return self._seen

    @property
    def _goes_on(self) -> bool:
        return self._seen is None or self._silent is not None or not self.is_over(self._seen)

    def _in_place(self, asking: Asking) -> None:
        screen = Console(soft_wrap=False, highlight=False)  # `out` is where the block is made
        with Live(self._block(asking), console=screen, auto_refresh=False, vertical_overflow="crop") as live:
            while self._goes_on:
                self._wait()
                self._look(asking)
                live.update(self._block(asking), refresh=True)

    def _in_blocks(self, asking: Asking) -> None:
        self._say(asking)
        while self._goes_on:
            self._wait()
            self._look(asking)
            self._say(asking)

    def _say(self, asking: Asking) -> None:
        if self.as_json:
            said = json.dumps(self._as_json())
        else:
            with out.capture() as captured:
                self._print(asking)
            said = captured.get()
        if not self.only_changes or said != self._said:
            print(said, flush=True)
        self._said = said

    def _wait(self) -> None:
        asyncio.run(self._clock.sleep(self.interval_s))

    def _look(self, asking: Asking) -> None:
        def ask(path: str, member: str) -> Any:
            return answer(asking.private, self.desk.url, path, member, timeout_s=_TIMEOUT_S)

        try:
            self._seen = self.look(ask)
            self._silent = None
        except NoAnswer as error:
            self._silent = (self._silent or (instant.iso(self._clock.now()), ""))[0], str(error)

    def _block(self, asking: Asking) -> Text:
        with out.capture() as captured:
            self._print(asking)
        return Text.from_ansi(captured.get())

    def _print(self, asking: Asking) -> None:
        if self._silent is not None:
            at, why = self._silent
            said = f"{since(at, instant.iso(self._clock.now()))}: {why}"
            say(out, said, before="no answer since ", style="bold red", hanging=2)
            if not out.is_terminal or self._seen is None:
                return  # what was said before stands above
            out.print("[dim]what it said last:[/]")
        if self._seen is not None:
            self.show(self._seen, asking.files)

    def _as_json(self) -> dict[str, Any]:
        if self._silent is not None:
            return {"no_answer_since": self._silent[0], "why": self._silent[1]}
        return self._seen or {}


def status_seen(ask: Ask) -> dict[str, Any]:
    """How the relay is, with what came and went in the last seconds as ``pulse``."""
    found: dict[str, Any] = ask("/api/status", "channels")
    now = instant.parse(found["now"]) or 0
    after = max(0, now // instant.SECOND - _AVERAGED_S - 1)
    return found | {"pulse": ask(f"/api/pulse?after={after}&limit=1", "accepted")}


def rates(pulse: dict[str, Any]) -> str:
    """How much comes and goes, of the last seconds that are complete."""
    seconds = len(pulse["accepted"])
    if not seconds:
        return "accepted and delivered: known in a second"
    parts = [
        f"{what} {sum(pulse[key]) / seconds:.1f}/s"
        for what, key in (("accepted", "accepted"), ("delivered", "delivered"), ("not delivered", "not_delivered"))
    ]
    return f"{', '.join(parts)} (in the last {seconds} s)"
