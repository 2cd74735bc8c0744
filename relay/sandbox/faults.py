"""Faults on request. Which one hits a request is decided here; carrying it out is the server's part."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
MAX_FAULTS = 100


class Endpoint(StrEnum):
    """What a request is about, so that a fault can be for some of it only."""

    ASYNC = "async"
    SYNC = "sync"
    API = "api"
    CANCEL = "cancel"
    """A cancel call; one of the API's calls as well."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that goes wrong, for whom and for how long. Without ``count`` and ``seconds`` it stays until cleared.

    A late answer (``latency_s``) goes together with everything else; of the other effects the fault that was set
    first decides, and in one fault ``wrong_hash`` before ``drop`` before ``hang_s`` before ``status``.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    """Answer this, as a problem."""
    title: str | None = None
    """The problem's code; default ``api.errors.unknown``."""
    retry_after: Seconds | None = None
    """Sent with ``status``."""
    latency_s: Seconds = 0.0
    """Answer so much later."""
    hang_s: Seconds | None = None
    """Stay silent so long, then close the connection."""
    drop: Literal["before", "after"] | None = None
    """Close the connection before or after the work was done."""
    worked: bool = False
    """For ``status`` and ``hang_s``: do the work all the same, as when a load balancer gives up too early."""
    wrong_hash: bool = False
    """Refuse the credentials, right or not."""
    refuse_s: Seconds | None = None
    """Close the listener and all connections for so long; everything else in the fault but this is disregarded."""

    rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """The share of the requests that are hit."""
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many requests are hit."""
    seconds: Seconds | None = None
    """How long it lasts."""
    external_id: str | None = None
    """Only requests for this order."""
    on: Endpoint | None = None
    """Only this endpoint: ``async``, ``sync`` (the two imports), ``api`` (everything else), or of that ``cancel``."""

    def __post_init__(self) -> None:
        ends = self.status is not None or self.hang_s is not None or self.drop is not None or self.wrong_hash
        if not ends and not self.latency_s and self.refuse_s is None:
            raise ValueError("a fault needs one of status, latency_s, hang_s, drop, wrong_hash, refuse_s")

    @property
    def ends(self) -> bool:
        """Whether it decides what the request is answered, and not only when."""
        return self.wrong_hash or self.drop is not None or self.hang_s is not None or self.status is not None

    @property
    def works(self) -> bool:
        """Whether the request's work is done although it is answered wrongly."""
        if self.wrong_hash:
            return False
        return self.worked if self.drop is None else self.drop == "after"


@dataclass(frozen=True, slots=True)
class Effect:
    """What the faults do to one request."""

    latency_s: float = 0.0
    fault: Fault | None = None
    """The one that decides the answer."""


NO_EFFECT = Effect()


@dataclass(slots=True)
class _Standing:
    fault: Fault
    until: float | None
    left: int | None

    def over(self, at: float) -> bool:
        return (self.until is not None and at >= self.until) or self.left == 0

    def about(self, endpoint: Endpoint, external_id: str) -> bool:
        on, order = self.fault.on, self.fault.external_id
        within = endpoint is Endpoint.CANCEL and on is Endpoint.API
        return (on is None or on == endpoint or within) and (order is None or order == external_id)


class Faults:
    """The faults in force. Told the time; draws from its own seeded source of chance."""

    def __init__(self, seed: int = 0) -> None:
        self._standing: list[_Standing] = []
        self._chance = random.Random(seed)  # noqa: S311  # not for secrets: for faults that can be repeated

    def add(self, fault: Fault, at: float) -> None:
        """From now on; raises ``ValueError`` when there are too many."""
        self.in_force(at)
        if len(self._standing) >= MAX_FAULTS:
            raise ValueError(f"more than {MAX_FAULTS} faults at a time")
        until = None if fault.seconds is None else at + fault.seconds
        self._standing.append(_Standing(fault, until, fault.count))

    def clear(self) -> None:
        """All is well again."""
        self._standing.clear()

    def in_force(self, at: float) -> Sequence[Fault]:
        """Those that have not run out."""
        self._standing = [standing for standing in self._standing if not standing.over(at)]
        return [standing.fault for standing in self._standing]

    def draw(self, at: float, endpoint: Endpoint, external_id: str) -> Effect:
        """What happens to this request; counts the faults that hit it."""
        if not self._standing:
            return NO_EFFECT
        latency_s, deciding = 0.0, None
        for standing in self._standing:
            fault = standing.fault
            needless = deciding is not None and not fault.latency_s
            if needless or standing.over(at) or not standing.about(endpoint, external_id):
                continue
            if fault.rate < 1.0 and self._chance.random() >= fault.rate:
                continue
            standing.left = None if standing.left is None else standing.left - 1
            latency_s += fault.latency_s
            deciding = fault if deciding is None and fault.ends else deciding
        return Effect(latency_s, deciding)
