"""The line to the other ends. Each answer also says what time it is there, and that tells of this machine's clock."""

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import aiohttp

from relay.clock import Clock
from relay.core import instant
from relay.core.instant import Instant
from relay.doctor.finding import Finding, doubtful, fine, wrong

TIMEOUT_S = 10
_SKEW_S, _SKEW_MAX_S = 5, 300
"""A signature with a time stamp is refused beyond the latter: the tolerance of Standard Webhooks."""


@dataclass(frozen=True, slots=True)
class Line:
    """Makes clients, and keeps what their answers say of the time."""

    clock: Clock
    ahead: list[tuple[float, str]] = field(default_factory=list)
    """By how many seconds this machine's clock is ahead of whose."""

    def client(self) -> aiohttp.ClientSession:
        """To be closed by whoever asks for it."""
        tracing = aiohttp.TraceConfig()
        tracing.on_request_end.append(self._note)
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trace_configs=[tracing])

    async def _note(self, _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        headers = end.response.headers
        there = told(headers.get("Date", ""), headers.get("Age", ""))
        if there is not None:
            self.ahead.append((instant.seconds_between(there, self.clock.now()), str(end.url.host)))

    def findings(self) -> list[Finding]:
        """Of the clock, by the answer that is nearest: another's may be wrong, too."""
        if not self.ahead:
            return []
        ahead, host = min(self.ahead, key=lambda one: abs(one[0]))
        said = f"this machine's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of {host}"
        if abs(ahead) > _SKEW_MAX_S:
            return [wrong("clock", f"{said}: webhooks that are signed with their time are refused; keep it by NTP")]
        if abs(ahead) > _SKEW_S:
            words = f"beyond {_SKEW_MAX_S} s webhooks that are signed with their time are refused; keep it by NTP"
            return [doubtful("clock", f"{said}: {words}")]
        return [fine("clock", f"this machine's agrees with that of {host}")]


def told(date: str, age: str) -> Instant | None:
    """What time it was when an answer was sent: ``Date``, and for how long a cache has had it (``Age``). To half a
    second, because the header has whole ones. ``None`` if it does not say."""
    try:
        at = instant.of(parsedate_to_datetime(date))
    except (ValueError, TypeError, OverflowError):
        return None
    kept = int(age) if age.isascii() and age.isdigit() and len(age) < 9 else 0
    return instant.after(at, kept + 0.5)
