"""What the evidence says: plain functions of it, and the vocabulary of the verdict."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from relay.demo.driver import Answer
from relay.demo.evidence import Evidence, Request
from relay.demo.orders import Content
from relay.demo.story import Kind


def lost(evidence: Evidence) -> list[str]:
    """Acknowledged orders whose newest state Jetti has not; those that no sale can be made of are dead letters."""
    return [
        order
        for order, content in newest(evidence).items()
        if evidence.sales.get(order) != content and not (content is None and order in evidence.dead)
    ]


def most_in_a_second(requests: Sequence[Request]) -> int:
    """The most requests of which it is certain that they arrived within one second.

    That is judged from the earliest moment the first can have arrived to the moment the last was dated, so that a
    busy moment of this process cannot make an even pace look like a burst.
    """
    dated = [request.at for request in requests]
    return max((bisect_right(dated, r.earliest_at + 1.0 - 1e-9) - n for n, r in enumerate(requests)), default=0)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that so large a share does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def newest(evidence: Evidence) -> dict[str, Content | None]:
    """The newest acknowledged state of every order; ``None`` where no sale can be made of it."""
    found: dict[str, Answer] = {}
    for answer in evidence.answers:
        state = answer.webhook.state
        known = found.get(state.order.external_id)
        if answer.is_acknowledged and (known is None or known.webhook.state.version < state.version):
            found[state.order.external_id] = answer
    return {
        order: None if answer.webhook.kind is Kind.TRIMMED else answer.webhook.state.content
        for order, answer in found.items()
    }


def arrivals(evidence: Evidence) -> dict[str, list[Request]]:
    """The requests for each order, in the order of their arrival."""
    found: dict[str, list[Request]] = {}
    for request in evidence.requests:
        found.setdefault(request.external_id, []).append(request)
    return found


def queued(evidence: Evidence) -> Iterator[Answer]:
    """What began to wait and is to be sent: each is one request."""
    for answer in evidence.answers:
        to_send = answer.webhook.kind not in (Kind.SAME, Kind.TRIMMED)
        if answer.is_acknowledged and answer.said == "queued" and to_send:
            yield answer


def expected_requests(evidence: Evidence) -> Counter[str]:
    """How many requests there must be for each order."""
    return Counter(answer.webhook.state.order.external_id for answer in queued(evidence))


def unchanged(evidence: Evidence) -> int:
    """Acknowledged updates that change nothing; one that joined another is counted as merged."""
    same = [answer for answer in evidence.answers if answer.webhook.kind is Kind.SAME]
    return sum(answer.said == "queued" for answer in same if answer.is_acknowledged)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What began to wait, and arrived."""

    accepted_at: float
    """When it began to wait."""
    request: Request
    is_new: bool
    """Whether Jetti had nothing of a new order before."""


def deliveries(evidence: Evidence) -> Iterator[Delivery]:
    """Every request that belongs to something acknowledged: the first to the first, and so on, order by order."""
    new = {a.webhook.state.order.external_id for a in evidence.answers if a.webhook.kind is Kind.NEW}
    accepted: dict[str, list[float]] = {}
    for answer in sorted(queued(evidence), key=lambda answer: answer.answered_at):
        accepted.setdefault(answer.webhook.state.order.external_id, []).append(answer.answered_at)
    for order, requests in arrivals(evidence).items():
        for n, (accepted_at, request) in enumerate(zip(accepted.get(order, ()), requests, strict=False)):
            yield Delivery(accepted_at, request, n == 0 and order in new)


def pace_used(evidence: Evidence) -> float:
    """From the second request to the last: there was a backlog all the time.

    Not from the first, because after the quiet time before it the second may leave a little earlier.
    """
    if len(evidence.requests) < 3:
        return 0.0
    seconds = evidence.requests[-1].at - evidence.requests[1].at
    return (len(evidence.requests) - 2) / (seconds * evidence.plan.rate) if seconds else 0.0


def is_taken(request: Request) -> bool:
    """Whether Jetti answered that it has it."""
    return request.status is not None and 200 <= request.status < 300
