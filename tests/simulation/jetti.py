"""The other end, scripted: what it answers, when, and whether it did what it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from relay.clock import Clock
from relay.core.instant import SECOND
from relay.core.outcome import Answer, Cause, ChannelWrong, Failed, Outcome
from tests.simulation.chance import Chance
from tests.simulation.scenario import Line, Poison, Spell, Weather

MISSING = "api.channels.process_sale.missing"
_NEVER_S = 1e6


@dataclass(slots=True)
class Request:
    """One request, from its beginning on."""

    number: int
    channel: str
    order: str
    """The external id it bears."""
    content: str
    cancelled: bool
    begun_s: float
    weather: Weather
    process: int
    order_id: int = 0
    revision: int = 0
    worked_s: float | None = None
    """When Jetti did what it was asked."""
    outcome: Outcome | None = None
    """What the relay was told, once it was."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What will come of a request."""

    said: Answer | Outcome
    """An answer to be judged, or what a broken connection comes to."""
    after_s: float
    works_after_s: float | None
    """``None``: it does nothing."""


class Jetti:
    """One channel's endpoint."""

    def __init__(
        self, line: Line, poison: dict[tuple[str, str], Poison], chance: Chance, clock: Clock,
        elapsed: Callable[[], float],
    ) -> None:  # fmt: skip
        self._line, self._poison, self._chance, self._clock, self._elapsed = line, poison, chance, clock, elapsed
        self.name = line.channel.name
        self.mended = False
        """Everything is well from here on."""
        self.secret, self.file_secret, self.used_secret = 1, 1, 1
        """What it wants; what the operator has written down; what the relay uses."""
        self.requests: list[Request] = []
        self._level, self._leaked_s = 0.0, 0.0
        self._wrong_seen: set[Spell] = set()

    def weather(self) -> Spell | None:
        """What it is like now."""
        now_s = self._elapsed()
        if self.mended:
            return None
        return next((spell for spell in self._line.spells if spell.from_s <= now_s < spell.until_s), None)

    def mend(self) -> None:
        """From here on it works, and the operator has written down the right secret."""
        self.mended = True
        self.file_secret = self.secret

    def begin(self, sale: bytes, process: int) -> Request:
        """A sale arrives."""
        read = json.loads(sale)
        defaults = read.get("saleDefaults", {})
        cancelled = defaults.get("cancelled", False)
        return self.noted(read["externalId"], process, content=defaults["notes"], cancelled=cancelled)

    def noted(self, order: str, process: int, *, content: str = "", cancelled: bool = False) -> Request:
        """A request about an order arrives."""
        spell = self.weather()
        request = Request(
            number=len(self.requests) + 1, channel=self.name, order=order, content=content, cancelled=cancelled,
            begun_s=self._elapsed(), weather=Weather.CALM if spell is None else spell.weather, process=process,
        )  # fmt: skip
        self.requests.append(request)
        return request

    def reply(self, request: Request) -> Reply:
        """What will come of it."""
        spell = self.weather()
        if spell is not None and (reply := self._refuses_all(spell)) is not None:
            return reply
        if self.used_secret != self.secret:
            return self._answer(401)
        poison = self._poison.get((self.name, request.order))
        if poison is not None:
            return self._of_poison(poison)
        if spell is not None and spell.weather is Weather.LOST and self._draw() < 0.2 + 0.3 * spell.strength:
            return self._lost(spell)
        if spell is not None and spell.weather is Weather.SLOW:
            return self._works(self._between(3.0, 1.2 * self._line.timeout_s))
        return self._works()

    # -- weather ---------------------------------------------------------------------------------------------------

    def _refuses_all(self, spell: Spell) -> Reply | None:
        """What comes of any request, whatever it says."""
        match spell.weather:
            case Weather.STORM:
                return self._storm(spell)
            case Weather.OUTAGE:
                return self._down(spell.how)
            case Weather.FLAPPING:
                period_s = 20.0 + 200.0 * spell.strength
                return self._down(spell.how) if (self._elapsed() // period_s) % 2 else None
            case Weather.WRONG:
                return self._wrong(spell)
            case Weather.UNKNOWN:
                return self._refusal(*((500, MISSING) if spell.how == "missing" else (422, "")))
            case Weather.SLOW | Weather.LOST | Weather.CALM:
                return None

    def _storm(self, spell: Spell) -> Reply | None:
        """Jetti's own leaky bucket, lowered."""
        limit = self._line.channel.ceiling * (0.03 + 0.7 * spell.strength)
        now_s = self._elapsed()
        self._level = max(0.0, self._level - (now_s - self._leaked_s) * limit)
        self._leaked_s = now_s
        if self._level + 1.0 <= max(1.0, limit / 4):
            self._level += 1.0
            return None
        seconds = self._between(1.0, 60.0)
        match spell.how:
            case "none":
                return self._answer(429)
            case "date":
                moment = datetime.fromtimestamp(self._clock.now() / SECOND, UTC) + timedelta(seconds=seconds)
                return self._answer(429, retry_after=format_datetime(moment, usegmt=True))
            case "503":
                return self._answer(503, retry_after=str(round(seconds)))
            case "long":
                return self._answer(429, retry_after="100000")
            case _:
                return self._answer(429, retry_after=str(round(seconds)))

    def _down(self, how: str) -> Reply:
        if how == "mixed":
            how = ("connect", "500", "502", "503", "504", "hangs")[int(self._draw() * 6)]
        match how:
            case "connect":
                return Reply(Failed(Cause("connect", "no connection: refused")), self._between(0.0, 0.1), None)
            case "hangs":
                return Reply(Failed(Cause("timeout", "")), _NEVER_S, None)
            case status:
                return self._answer(int(status))

    def _wrong(self, spell: Spell) -> Reply | None:
        """For 401, the secret was changed: it stays wrong until the relay has read the new one."""
        if spell.how == "401":
            if spell not in self._wrong_seen:
                self._wrong_seen.add(spell)
                self.secret += 1
            return None
        if spell.how == "tls":
            return Reply(ChannelWrong(Cause("tls", "the certificate has expired")), 0.05, None)
        return self._answer(int(spell.how))

    def _lost(self, spell: Spell) -> Reply:
        """It works, and the relay does not hear of it in time."""
        works_s = self._between(0.1, 2.0)
        if spell.how == "504":
            return Reply(Answer(504, b"<html>Gateway time-out</html>"), works_s + 1.0, works_s)
        if spell.how == "late":
            works_s = self._line.timeout_s + self._between(0.0, 3.0)
        return Reply(Failed(Cause("timeout", "")), _NEVER_S, works_s)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _of_poison(self, poison: Poison) -> Reply:
        match poison:
            case Poison.REFUSED:
                return self._answer(422)
            case Poison.MISSING:
                return self._answer(500, MISSING)
            case Poison.FAILS:
                return self._answer(500)
            case Poison.FORBIDDEN:
                return self._answer(403)

    def _refusal(self, status: int, title: str) -> Reply:
        """Jetti creates a sale before it populates it: what it refuses may have left a trace."""
        refusal = self._answer(status, title)
        return replace(refusal, works_after_s=refusal.after_s / 2) if self._draw() < 0.5 else refusal

    def _works(self, after_s: float | None = None) -> Reply:
        after_s = self._between(0.02, 0.3) if after_s is None else after_s
        return Reply(Answer(200, b"{}"), after_s, after_s * 0.9)

    def _answer(self, status: int, title: str = "", retry_after: str | None = None) -> Reply:
        body = json.dumps({"title": title or "Error", "status": status, "detail": f"said {status}"}).encode()
        return Reply(Answer(status, body, retry_after), self._between(0.01, 0.2), None)

    def _between(self, low: float, high: float) -> float:
        return self._chance.between(low, high, "jetti", self.name)

    def _draw(self) -> float:
        return self._chance.draw("jetti", self.name)
