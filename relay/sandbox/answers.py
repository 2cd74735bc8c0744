"""What a request is answered: a value, until the server writes it to the wire."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from relay.sandbox import problems
from relay.sandbox.faults import Fault
from relay.sandbox.journal import Outcome
from relay.sandbox.problems import Problem

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and what it means; without a status the connection is closed instead."""

    outcome: Outcome
    status: int | None
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] | None = field(default=None)


NOTHING = Answer(Outcome.DROPPED, None)
QUEUED = Answer(Outcome.ACCEPTED, 200, b'{"status":"queued"}')
"""Documented: typically 200, whatever was sent. The body is not documented."""


def ok(value: Any) -> Answer:
    """200 with this value as JSON."""
    return Answer(Outcome.ACCEPTED, 200, msgspec.json.encode(value))


def refused(problem: Problem, outcome: Outcome = Outcome.REFUSED, retry_after: str | None = None) -> Answer:
    """The problem, with its own status."""
    headers = None if retry_after is None else {"Retry-After": retry_after}
    return Answer(outcome, problem.status, msgspec.json.encode(problem), problems.CONTENT_TYPE, headers)


def unauthorized(detail: str, status: int = 401) -> Answer:
    """Wrong credentials."""
    return refused(problems.unauthorized(detail, status), Outcome.UNAUTHORIZED)


def throttled(wait_s: float) -> Answer:
    """Beyond the limit. Whether Jetti sends ``Retry-After`` is not documented."""
    return refused(problems.throttled(), Outcome.THROTTLED, str(math.ceil(wait_s)))


def faulty(fault: Fault) -> Answer:
    """What a fault on request answers."""
    status = fault.status or 500
    retry_after = None if fault.retry_after is None else f"{fault.retry_after:g}"
    detail = "A fault on request."
    return refused(problems.unknown(status, fault.title, detail), Outcome.FAULT, retry_after)
