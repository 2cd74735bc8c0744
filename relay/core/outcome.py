"""What an attempt came to: the judgement of Jetti's answer, as values.

Jetti's documentation and published code say: a permanent error in the data can arrive with status 500, because its
error library defaults to 500, so a problem's ``title`` is judged before the status; its load balancer cuts at 30 s
and may answer 500 or 504 for work that went through, so those and timeouts mean "outcome unknown", and sending again
is safe because a sale is matched on its externalId. What a throttled or unauthorised call answers is not documented:
429 and 401/403 are assumed.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from relay.core import instant
from relay.core.instant import Instant
from relay.core.sale import Reason

EXCERPT_MAX = 2048
"""Characters of an answer that are kept with the attempt."""

PERMANENT_CODES = frozenset({"api.channels.process_sale.missing"})
"""Jetti's problem codes that sending again cannot mend, whatever status they come with (its error library)."""

_CHANNEL_WRONG = frozenset({401, 403, 404, 405, 410, 415})
_PERMANENT = frozenset({400, 409, 413, 422})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an attempt did not succeed."""

    code: str
    """Stable and groupable: Jetti's problem code, ``http_422``, ``timeout``, ``unmappable`` …"""
    message: str
    """For a person: what happened, and where known what to do."""
    status: int | None = None
    """HTTP status of the answer, if there was one."""

    def exhausted(self, attempts: int) -> "Cause":
        """The same, as the reason why the relay stopped trying."""
        return replace(self, message=f"gave up after {attempts} attempts; the last one: {self.message}")


@dataclass(frozen=True, slots=True)
class Sent:
    """Jetti took it: at the asynchronous endpoint that means queued there, not imported."""

    status: int


@dataclass(frozen=True, slots=True)
class Obtained:
    """The order was read from its storefront's API; what it says of itself decides how it goes on."""

    status: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Its sale is cancelled at Jetti: by this attempt, or it was already."""

    status: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing was sent: the sale is, byte for byte, what was delivered last."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Sending the same again cannot help: a dead letter."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class CannotMap:
    """Nothing was sent: no sale can be made of the order. A dead letter; no attempt was made, so none counts."""

    cause: Cause
    reasons: tuple[Reason, ...] = ()
    defect: Exception | None = None
    """What a mapping of ours raised, which none should."""


@dataclass(frozen=True, slots=True)
class NotWanted:
    """Nothing was sent: the storefront's ``accept_when`` rule does not want the order yet. No attempt was made."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing was sent: by the storefront's rules the order needs nothing at Jetti, as it is. No attempt was made."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Throttled:
    """The channel is too fast. The channel waits; the order's attempt does not count."""

    retry_after_s: float | None
    """What the answer asked for, seconds."""
    cause: Cause


@dataclass(frozen=True, slots=True)
class Failed:
    """It may have worked or not; sending again is safe."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class NotYet:
    """It was answered, and what it needs is not there yet: tried again later like what failed, and says nothing bad of
    the channel."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class ChannelWrong:
    """The channel is wrong (credentials, address, TLS), not the order. The order's attempt does not count."""

    cause: Cause


Outcome = (
    Sent
    | Obtained
    | Cancelled
    | Unchanged
    | CannotMap
    | NotWanted
    | Ignored
    | Refused
    | Throttled
    | Failed
    | NotYet
    | ChannelWrong
)


def name_of(outcome: Outcome) -> str:
    """The outcome in one word, for attempts, metrics and logs: ``sent``, ``channel_wrong`` …"""
    return _NAMES[type(outcome)]


_NAMES: dict[type[Outcome], str] = {
    Sent: "sent",
    Obtained: "fetched",
    Cancelled: "cancelled",
    Unchanged: "unchanged",
    CannotMap: "cannot_map",
    NotWanted: "held",
    Ignored: "ignored",
    Refused: "refused",
    Throttled: "throttled",
    Failed: "failed",
    NotYet: "not_yet",
    ChannelWrong: "channel_wrong",
}
NAMES = tuple(_NAMES.values())
"""Every name there is."""


PAUSE_MIN_S, PAUSE_DEFAULT_S, PAUSE_MAX_S = 0.1, 1.0, 300.0
WRONG_PAUSE_S = 30.0
"""How long an order sleeps that met a wrong channel, where the channel's next probe is not known, seconds."""


def pause_s(outcome: "Throttled") -> float:
    """For how many seconds the channel sends nothing after this; what it asked for is bounded both ways."""
    asked_s = PAUSE_DEFAULT_S if outcome.retry_after_s is None else outcome.retry_after_s
    return min(max(asked_s, PAUSE_MIN_S), PAUSE_MAX_S)


def cause_of(outcome: Outcome) -> Cause | None:
    """Why it did not succeed; ``None`` where it did."""
    return None if isinstance(outcome, Sent | Obtained | Cancelled | Unchanged) else outcome.cause


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing has got through a channel lately."""

    outcome: str
    cause: Cause
    since: Instant
    attempts: int
    """Attempts in a row."""


def troubled(before: Trouble | None, outcome: Outcome, *, now: Instant) -> Trouble | None:
    """The channel's trouble after one more attempt. Whoever takes or refuses an order for what it says does answer."""
    match outcome:
        case Throttled(_, cause) | ChannelWrong(cause) | Failed(cause):
            since, attempts = (now, 0) if before is None else (before.since, before.attempts)
            return Trouble(name_of(outcome), cause, since, attempts + 1)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Result:
    """One request, and what it came to."""

    outcome: Outcome
    duration_s: float
    status: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request."""

    status: int
    body: bytes
    """The beginning of the body; the destination bounds it."""
    retry_after: str | None = None
    """The ``Retry-After`` header."""

    @property
    def excerpt(self) -> str:
        """What is kept with the attempt."""
        return self.body[: EXCERPT_MAX * 4].decode("utf-8", "replace")[:EXCERPT_MAX]


class _Problem(msgspec.Struct):
    title: object = ""
    type: object = ""
    detail: object = ""


_problem = msgspec.json.Decoder(_Problem)
_CODE = re.compile(r"api\.[\w.:-]{1,100}", re.ASCII)


def judge(answer: Answer, *, now: Instant, permanent_codes: frozenset[str] = frozenset()) -> Outcome:
    """The outcome of an answer: by the problem's code first, by the status after it."""
    status = answer.status
    if 200 <= status < 300:
        return Sent(status)
    code, message = _read_problem(answer)
    cause = Cause(code, message, status)
    throttled = status == 429 or (status == 503 and answer.retry_after is not None)
    if code in PERMANENT_CODES | permanent_codes or (status in _PERMANENT and not throttled):
        return Refused(cause)
    if throttled:
        return Throttled(_retry_after_s(answer.retry_after, now), cause)
    if status in _CHANNEL_WRONG or 300 <= status < 400:
        return ChannelWrong(cause)
    return Failed(cause)


def _read_problem(answer: Answer) -> tuple[str, str]:
    """Jetti's machine code (``title``, else the fragment of ``type``) and the sentence for a person."""
    try:
        problem = _problem.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    title = _text(problem.title)
    code = title or _text(problem.type).rpartition("#")[2]
    if not _CODE.fullmatch(code):  # a sentence in its place may quote the order
        code = f"http_{answer.status}"
    return code, (_text(problem.detail) or title or f"Jetti answered {answer.status}")[:EXCERPT_MAX]


def _text(member: object) -> str:
    """A problem's member; one of the wrong type counts as absent (RFC 9457, 3.1) and costs the others nothing."""
    return member if isinstance(member, str) else ""


def _retry_after_s(header: str | None, now: Instant) -> float | None:
    """``Retry-After`` in seconds: a number, or an HTTP date (RFC 9110, 10.2.3); ``None`` if absent or unreadable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a year, or an offset, beyond what a C integer holds
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, instant.seconds_between(now, instant.of(aware)))
