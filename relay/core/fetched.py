"""What an answer of a storefront's API comes to, when an order is read from it.

The outcomes are those of a delivery, and mean the same: what is throttled or has a wrong token is the storefront's
trouble and no order's; what may go better later has failed; and an order that is not there is refused for good.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from relay.core.instant import Instant
from relay.core.outcome import Answer, Cause, ChannelWrong, Failed, Refused, Throttled
from relay.core.outcome import judge as judge_delivery
from relay.core.sources import Headers, Page, Request

BODY_MAX_BYTES = 8 * 1024 * 1024
"""Of all pages of one order together."""
PAGES_MAX = 64
"""Requests for one order; at 250 lines a page, far beyond what an order may have."""

Unfetched = Refused | Throttled | Failed | ChannelWrong
"""Why an order was not fetched: a part of :data:`relay.core.outcome.Outcome`."""

_SAID_MAX_CHARACTERS = 300
_WRONG = frozenset((401, 402, 403, 405, 410, 415))
_REFUSED = frozenset((400, 409, 413, 414, 422))
_THROTTLED = frozenset((429, 509))  # BigCommerce once answered 509


@dataclass(frozen=True, slots=True)
class Fetched:
    """The order, as one JSON document."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


TOO_LARGE = Refused(Cause("order_too_large", f"the order is larger than {BODY_MAX_BYTES // 1024**2} MiB"))
TOO_MANY_PAGES = Refused(Cause("order_too_large", f"the order has more than {PAGES_MAX} pages"))


def judge(request: Request, reply: Reply, asks_to_wait_s: float | None, *, now: Instant) -> Page | Unfetched:
    """The page that was asked for, or why there is none. ``asks_to_wait_s`` is what the kind of storefront reads from
    the headers of a 429; ``Retry-After`` goes before it."""
    status = reply.status
    if status == 204 or (status == 404 and request.may_be_missing):
        return Page(request, b"")
    if not 200 <= status < 300:
        return _judge_refusal(reply, asks_to_wait_s, now)
    if not _is_json(reply.body):
        return Failed(Cause("not_json", "the storefront's API answered something else than JSON", status))
    return Page(request, reply.body)


def _judge_refusal(reply: Reply, asks_to_wait_s: float | None, now: Instant) -> Unfetched:
    status, retry_after = reply.status, reply.headers.get("Retry-After")
    if status == 404:
        return Refused(Cause("order_gone", "the order is not there (any more), says the storefront's API", status))
    cause = Cause(f"http_{status}", _message(reply), status)
    if status in _THROTTLED or (status == 503 and retry_after is not None):
        asked_s = _retry_after_s(retry_after, now)
        return Throttled(asks_to_wait_s if asked_s is None else asked_s, cause)
    if status in _WRONG or 300 <= status < 400:
        return ChannelWrong(cause)
    return Refused(cause) if status in _REFUSED else Failed(cause)


def _message(reply: Reply) -> str:
    status, said = reply.status, _said(reply.body)
    if status in (401, 403):
        about = f"the storefront's API refused the token ({status}): check it, and what it may read"
    elif 300 <= status < 400:
        about = f"the storefront's API sent the request elsewhere ({status}): check its address"
    else:
        about = f"the storefront's API answered {status}"
    return f"{about}; it says: {said}" if said else about


def _said(body: bytes) -> str:
    """BigCommerce: ``[{"status": 404, "message": …}]``, in newer ones ``title``; Squarespace: ``{"message": …}``."""
    try:
        problem: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(problem, list):
        problem = problem[0] if problem else None
    if not isinstance(problem, dict):
        return ""
    said = problem.get("message") or problem.get("title")
    return said[:_SAID_MAX_CHARACTERS] if isinstance(said, str) and said.isprintable() else ""


def _is_json(body: bytes) -> bool:
    """Whether it is a JSON object or list. Both are kept as they are, so their text must be text too."""
    if body.lstrip(b" \t\r\n")[:1] not in (b"{", b"["):
        return False
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def _retry_after_s(header: str | None, now: Instant) -> float | None:
    """Read as a channel's ``Retry-After`` is."""
    judged = judge_delivery(Answer(429, b"", header), now=now)
    return judged.retry_after_s if isinstance(judged, Throttled) else None
