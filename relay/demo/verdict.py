"""Does it add up? The figures, and what does not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from relay.demo import facts
from relay.demo.evidence import Evidence
from relay.demo.mistakes import mistakes


@dataclass(frozen=True, slots=True)
class Wait:
    """How long deliveries waited, from the acknowledgement to the arrival at Jetti, seconds."""

    p50_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures, and everything that does not add up."""

    acknowledged: int
    p50_s: float
    p99_s: float
    delivered: int
    merged: int
    stale: int
    duplicate: int
    unchanged: int
    dead: int
    refused: int
    lost: int
    pace_used: float
    """Share of what the pace allows, while there was a backlog."""
    most_in_a_second: int
    new: Wait
    updates: Wait
    mistakes: Sequence[str]

    @property
    def adds_up(self) -> bool:
        """Whether everything is as it must be."""
        return not self.mistakes


def judge(evidence: Evidence) -> Verdict:
    """The verdict."""
    answers, requests = evidence.answers, evidence.requests
    acknowledged = [answer for answer in answers if answer.is_acknowledged]
    said = Counter(answer.said for answer in acknowledged)
    times = [answer.answered_at - answer.sent_at for answer in acknowledged]
    return Verdict(
        acknowledged=len(acknowledged),
        p50_s=facts.quantile(times, 0.50),
        p99_s=facts.quantile(times, 0.99),
        delivered=sum(facts.is_taken(request) for request in requests),
        merged=said["merged"],
        stale=said["stale"],
        duplicate=said["duplicate"],
        unchanged=facts.unchanged(evidence),
        dead=len(evidence.dead),
        refused=len(answers) - len(acknowledged),
        lost=len(facts.lost(evidence)),
        pace_used=facts.pace_used(evidence),
        most_in_a_second=facts.most_in_a_second(requests),
        new=_wait(evidence, is_new=True),
        updates=_wait(evidence, is_new=False),
        mistakes=tuple(mistakes(evidence)),
    )


def _wait(evidence: Evidence, *, is_new: bool) -> Wait:
    waits = [d.request.at - d.accepted_at for d in facts.deliveries(evidence) if d.is_new is is_new]
    return Wait(max(0.0, facts.quantile(waits, 0.5)), max(0.0, *waits, 0.0))
