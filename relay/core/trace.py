"""Where something stands in a trace: W3C Trace Context (https://www.w3.org/TR/trace-context/), as a value.

A span is known by its trace and its own id. What is told of an event or an attempt carries its span's place, so that a
subscriber can make the span of it; what is sent carries it as ``traceparent``, so that the other end can go on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

STATE_MAX = 512
"""Characters of a ``tracestate`` at the most: so many have to be passed on, and more are not."""
_MEMBERS_MAX = 32
LINKS_MAX = 32
"""Other events that one attempt's span is linked to, at the most: the newest."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class Trace:
    """A span's place in its trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool
    """Whether it is recorded; if not, its ids are passed on all the same."""
    state: str = ""
    """``tracestate``: what other systems on the way want to be passed on, as it came."""
    above_id: str = ""
    """The span above; empty where there is none, and in what comes from elsewhere."""

    @property
    def parent(self) -> str:
        """As ``traceparent``; 55 characters."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request shows, so that the other end can go on."""
        return {"traceparent": self.parent, "tracestate": self.state} if self.state else {"traceparent": self.parent}

    def below(self, span_id: str) -> "Trace":
        """The place of a span below this one."""
        return replace(self, span_id=span_id, above_id=self.span_id)


class Tracer(Protocol):
    """Draws ids, and decides what is recorded."""

    def received(self, parents: Sequence[str], states: Sequence[str]) -> Trace:
        """The place of a request's span; with the values of its headers ``traceparent`` and ``tracestate``."""
        ...

    def begun(self, above: Trace | None) -> Trace:
        """The place of a span below another, or of the first of a new trace."""
        ...


def read(parents: Sequence[str], states: Sequence[str] = ()) -> Trace | None:
    """The place that the headers name; ``None`` where there is none, or what is there cannot be understood.

    A ``traceparent`` of a later version is understood as far as this one goes. A ``tracestate`` that cannot be
    understood, or is too long to be passed on, is dropped, and the trace goes on without it.
    """
    match = _PARENT.fullmatch(parents[0].strip(" \t")) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), _state(states))


def _state(states: Sequence[str]) -> str:
    members = [member.strip(" \t") for value in states for member in value.split(",")]
    members = [member for member in members if member]
    joined = ",".join(members)
    if len(joined) > STATE_MAX or len(members) > _MEMBERS_MAX:
        return ""
    return joined if all(_MEMBER.fullmatch(member) for member in members) else ""


def kept(trace: Trace | None) -> str | None:
    """As it is kept with an event: ``traceparent``, and after a space ``tracestate`` if there is one."""
    return None if trace is None else f"{trace.parent} {trace.state}".rstrip()


def again(text: str) -> Trace | None:
    """What was kept; ``None`` if it is damaged."""
    parent, _, state = text.partition(" ")
    return read([parent], [state])


def links(above: Trace | None, others: Sequence[Trace]) -> tuple[Trace, ...]:
    """What else an attempt carries: the places in other traces than the one it goes on with."""
    seen = {} if above is None else {above.trace_id: above}
    for other in others:
        seen.setdefault(other.trace_id, other)
    return tuple(other for other in seen.values() if other is not above)[:LINKS_MAX]
