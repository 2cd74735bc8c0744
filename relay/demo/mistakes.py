"""What may not add up, one function for each kind, as sentences.

What the shop and Jetti saw decides; what the relay says of itself must agree.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import floor

from relay.demo import facts
from relay.demo.driver import Answer
from relay.demo.evidence import Evidence, Request
from relay.demo.orders import Content
from relay.demo.story import BURST, EXPECTED, Kind

_PACE_USED_MIN = 0.95
_OVERTAKEN_MAX = 2
"""Updates that may arrive between the acceptance of a new order and its arrival: those that had a permit before."""
_SETTLED_WITHIN_S = 1.0
"""For so long after an order's arrival at Jetti a quick update of it may be answered either way."""
_SHOWN = 3
_COMPARED = ("relay_events_total", "relay_attempts_total", "relay_requests_refused_total")


def mistakes(evidence: Evidence) -> Iterator[str]:
    yield from _wrong_answers(evidence)
    yield from _lost_orders(evidence)
    yield from _wrong_sequences(evidence)
    yield from _wrong_counts(evidence)
    yield from _wrong_dead_letters(evidence)
    yield from _wrong_pace(evidence)
    yield from _wrong_priority(evidence)
    yield from _disagreements(evidence)
    if evidence.exit_code not in (None, 0):
        yield f"the relay's exit code after SIGTERM was {evidence.exit_code}, not 0"


# -- one kind of mistake each ----------------------------------------------------------------------------------------


def _wrong_answers(evidence: Evidence) -> Iterator[str]:
    arrivals = facts.arrivals(evidence)
    wrong = [answer for answer in evidence.answers if not _is_expected(answer, arrivals)]
    if wrong:
        shown = (f"{_name(a)} was answered {a.status} {a.said!r}, not {_expected_words(a)}" for a in wrong)
        yield f"{len(wrong)} webhooks were answered otherwise than expected: {_few(list(shown))}"


def _is_expected(answer: Answer, arrivals: Mapping[str, Sequence[Request]]) -> bool:
    kind = answer.webhook.kind
    if answer.said in EXPECTED[kind]:
        return answer.status == (401 if kind is Kind.FORGED else 200)
    if kind not in (Kind.NEWER, Kind.CANCELLED) or (answer.status, answer.said) != (200, "queued"):
        return False
    arrived = arrivals.get(answer.webhook.state.order.external_id, ())
    return bool(arrived) and arrived[0].at <= answer.answered_at + _SETTLED_WITHIN_S


def _lost_orders(evidence: Evidence) -> Iterator[str]:
    missing = facts.lost(evidence)
    if missing:
        yield f"lost: {len(missing)} acknowledged orders whose newest state Jetti does not have: {_few(missing)}"


def _wrong_sequences(evidence: Evidence) -> Iterator[str]:
    """Per order, what arrives only gets newer, nothing arrives twice, and nothing arrives that was never sent."""
    looks: dict[str, dict[Content | None, int]] = {}
    for answer in evidence.answers:
        state = answer.webhook.state
        if answer.is_acknowledged and answer.webhook.kind is not Kind.TRIMMED:
            looks.setdefault(state.order.external_id, {})[state.content] = state.look
    strange, backwards = [], []
    for order, requests in facts.arrivals(evidence).items():
        known = looks.get(order, {})
        sequence = [known.get(request.content) for request in requests if facts.is_taken(request)]
        if None in sequence:
            strange.append(order)
        certain = [look for look in sequence if look is not None]
        if any(later <= earlier for earlier, later in pairwise(certain)):
            backwards.append(f"{order} as states {certain}")
    if strange:
        yield f"Jetti got something that was never acknowledged, for {len(strange)} orders: {_few(strange)}"
    if backwards:
        yield f"{len(backwards)} orders arrived twice or backwards: {_few(backwards)}"


def _wrong_counts(evidence: Evidence) -> Iterator[str]:
    expected = facts.expected_requests(evidence)
    arrived = Counter(request.external_id for request in evidence.requests)
    wrong = [o for o in sorted({*expected, *arrived}) if expected[o] != arrived[o]]
    if wrong:
        shown = [f"{order} {arrived[order]} instead of {expected[order]}" for order in wrong]
        yield f"{len(wrong)} orders were sent more or less often than expected: {_few(shown)}"
    refused = [f"{request.status}" for request in evidence.requests if not facts.is_taken(request)]
    if refused:
        yield f"{len(refused)} requests were not answered 200: {_few(refused)}"
    if evidence.overlaps:
        yield f"{evidence.overlaps} requests arrived while another one for the same order was in flight"


def _wrong_dead_letters(evidence: Evidence) -> Iterator[str]:
    expected = {a.webhook.state.order.external_id for a in evidence.answers if a.webhook.kind is Kind.TRIMMED}
    if expected != set(evidence.dead):
        yield f"dead letters are {_few(sorted(evidence.dead)) or 'none'} and not {_few(sorted(expected))}"


def _wrong_pace(evidence: Evidence) -> Iterator[str]:
    allowed, most, used = (
        floor(evidence.plan.rate + BURST),
        facts.most_in_a_second(evidence.requests),
        facts.pace_used(evidence),
    )
    if most > allowed:
        rate = f"{evidence.plan.rate:g}/s and a burst of {BURST}"
        yield f"{most} requests arrived within one second; {allowed} are allowed: {rate}"
    if used < _PACE_USED_MIN:
        yield f"only {used:.1%} of the allowed pace was used although orders waited"


def _wrong_priority(evidence: Evidence) -> Iterator[str]:
    """No update is sent while a new order waits, except what had its permit before."""
    deliveries = list(facts.deliveries(evidence))
    updates = sorted(delivery.request.at for delivery in deliveries if not delivery.is_new)
    overtaken = []
    for delivery in deliveries:
        between = bisect_right(updates, delivery.request.at) - bisect_right(updates, delivery.accepted_at)
        if delivery.is_new and between > _OVERTAKEN_MAX:
            overtaken.append(f"{delivery.request.external_id} by {between}")
    if overtaken:
        yield f"updates were sent while {len(overtaken)} new orders waited: {_few(overtaken)}"


def _disagreements(evidence: Evidence) -> Iterator[str]:
    """Where the relay's own counters say something else than what was seen."""
    said = Counter(answer.said for answer in evidence.answers if answer.is_acknowledged)
    sent = sum(facts.is_taken(request) for request in evidence.requests)
    refused = sum(answer.status == 401 for answer in evidence.answers)
    seen = {f'relay_events_total{{disposition="{name}",storefront="shop"}}': count for name, count in said.items()}
    seen['relay_attempts_total{channel="main",outcome="sent"}'] = sent
    seen['relay_requests_refused_total{status="401",storefront="shop",type="bad-signature"}'] = refused
    told = {name: count for name, count in evidence.counters.items() if name.startswith(_COMPARED)}
    for name in sorted({*seen, *told}):
        if seen.get(name, 0) != told.get(name, 0):
            yield f"/metrics says {name} {told.get(name, 0)}, and {seen.get(name, 0)} were seen"
    found = evidence.counters['relay_events_amended_total{disposition="unchanged",storefront="shop"}']
    sent_unchanged = facts.unchanged(evidence)
    if found != sent_unchanged:
        yield f"/metrics says that {found} updates changed nothing, and {sent_unchanged} were sent that do not"


# -- words -----------------------------------------------------------------------------------------------------------


def _name(answer: Answer) -> str:
    return f"{answer.webhook.state.order.reference} ({answer.webhook.kind})"


def _expected_words(answer: Answer) -> str:
    return " or ".join(repr(said) for said in EXPECTED[answer.webhook.kind])


def _few(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
