"""One canonical line per event accepted and per attempt, with everything in it, and no personal data beyond ids.

What mapping finds of an event later is a line of its own, ``found``: an event is mapped after it was answered for,
often much later and by another process, and what was known when it was accepted is written then. Both name the order
and its revision.

Levels go by whose fault it is: ``error`` is ours (the relay, its machine, its configuration), ``warning`` the
storefront's, Jetti's or a stranger's, ``info`` nobody's. docs/reference/logs.md has every line with its fields.

Whatever may quote an order is left out or masked: what Jetti or a storefront's API answered (its code stays), the
values in reasons (their places stay), the words of exceptions (their types and places in the code stay), the words of
persons.
"""

import asyncio
import logging
import os
import re
import sys
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from traceback import StackSummary, walk_tb
from typing import Any, Literal, Protocol, TextIO, assert_never, cast

import msgspec
import structlog

from relay.core import instant
from relay.core.breaker import Circuit
from relay.core.delivery import State
from relay.core.events import (
    AttemptMade,
    ChannelThrottled,
    CircuitMoved,
    Committed,
    DoorMoved,
    EventAccepted,
    EventFound,
    ExportMoved,
    Greeted,
    Happening,
    HeldWanted,
    Housekept,
    LoopLate,
    PermitTaken,
    PersonActed,
    ProbeFailed,
    ReplayAdvanced,
    RequestRefused,
    SaleMade,
    Started,
    Stopped,
    Stopping,
    StoreTrouble,
    Unexpected,
    Warned,
)
from relay.core.masking import without_quoted
from relay.core.order import Disposition
from relay.core.outcome import Cause
from relay.core.sale import Reason, bounded
from relay.observe.pages import page_of

Log = structlog.typing.FilteringBoundLogger
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_GATHERED_S = 0.02
_UNWRITTEN_MAX = 20_000
"""Lines that wait for a slow reader at the most."""
_CLOSING_S = 1.0

_HEAD = ("timestamp", "level", "event")
_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)
_REASONS_MAX = 10
_ERRORS_MAX = 8
"""Exceptions behind an exception that are told of."""
_CODE = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_WELL = frozenset({"sent", "fetched", "cancelled", "not_yet", "handed_back"})
"""Outcomes that are nobody's fault."""
_ASLEEP = frozenset({State.WAITING, State.SLEEPING})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Stream(Protocol):
    """What lines are written to."""

    def isatty(self) -> bool: ...
    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


def logger(
    level: Level = "info", form: Format = "auto", stream: Stream | None = None, quiet: Collection[str] = ()
) -> Log:
    """Where lines go: JSON unless a person is watching the terminal. ``quiet``: kinds of lines of which those are left
    out that are nobody's fault."""
    out = sys.stderr if stream is None else stream
    as_json = form == "json" or (form == "auto" and not out.isatty())
    shared: list[structlog.typing.Processor] = [
        *([_without(frozenset(quiet))] if quiet else []),
        structlog.processors.add_log_level,
        _traced,
        _STAMP,
    ]
    tail: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer(_json)]
        if as_json
        else [_without_nothing, structlog.dev.ConsoleRenderer(sort_keys=False)]
    )
    bound: Log = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", out)),
        processors=shared + tail,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return bound


class Gathered:
    """Lines that are written together, a moment later, and by a thread of their own.

    Together: writing gives up the interpreter lock, and at the peak that costs more than making the line. By a thread:
    a reader that has stopped reading must not stop the relay. What it then misses is counted, and told.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[str] = []
        self._unwritten = 0
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[str] | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, text: str, /) -> int:
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        """Promise to write what has gathered."""
        if self._due is None:
            self._due = self._loop.call_later(_GATHERED_S, self._hand_over)

    def close(self) -> None:
        """Write what there is, if anybody reads it."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join(_CLOSING_S)

    def _hand_over(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        lines, self._lines = self._lines, []
        if self._unwritten + len(lines) > _UNWRITTEN_MAX:
            self._dropped += len(lines)
            return
        if self._dropped:
            told = {"event": "lines_dropped", "level": "error", "lines": self._dropped}
            lines.append(_json(_STAMP(None, "error", told)) + "\n")
            self._dropped = 0
        self._unwritten += len(lines)
        self._queue.put(lines)

    def _write(self) -> None:
        while (lines := self._queue.get()) is not None:
            rest = memoryview("".join(lines).encode("utf-8", "replace"))
            with suppress(OSError):  # nobody reads any more: there is nobody to tell either
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            self._unwritten -= len(lines)


class Libraries(logging.Handler):
    """Puts what the libraries complain of into the same log, so that it has one form."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        # Its first line without what is filled in: asyncio's other lines, and aiohttp's exceptions, quote what they
        # were about, and that may be anything.
        message = str(record.msg).partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        write("library", logger=record.name, message=message, error=None if error is None else _type_of(error),
              exc_info=error)  # fmt: skip


@contextmanager
def libraries_in(log: Log) -> Iterator[None]:
    """For the time of the block, the libraries' warnings and errors are lines of this log."""
    handler, root = Libraries(log), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


_CameIn = EventAccepted | EventFound | RequestRefused
_Channel = ChannelThrottled | CircuitMoved | ProbeFailed
_Deed = PersonActed | DoorMoved | Housekept | ReplayAdvanced | HeldWanted
_Life = Started | Warned | ExportMoved | Stopping | Stopped
_ALARM: dict[Circuit, Level] = {Circuit.CLOSED: "info", Circuit.OPEN: "warning", Circuit.HALTED: "error"}
"""An open circuit closes by itself; a halted one needs a person."""


_NO_ROOM = frozenset({"busy", "disk-full", "backlog-full"})


def _refused_level(refused: RequestRefused) -> Level:
    """What is refused for want of room comes in thousands a second, and the door's own line tells it once."""
    if refused.type in _NO_ROOM:
        return "debug"
    return "error" if refused.status >= 500 else "warning"


class Logs:
    """The subscriber that writes the lines. What somebody has to do something about names its page of the runbook."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __call__(self, happening: Happening) -> None:
        """Write it."""
        match happening:
            case EventAccepted() | EventFound() | RequestRefused():
                self._came_in(happening)
            case AttemptMade():
                self._attempt(happening)
            case Greeted():
                self._line("info", happening, "greeted", storefront=happening.storefront, what=happening.words)
            case StoreTrouble():
                self._line("error", happening, "store", what=happening.what, error=happening.error)
            case Unexpected():
                self._line("error", happening, "unexpected", where=happening.where, exc_info=happening.error)
            case PermitTaken() | Committed() | LoopLate() | SaleMade():
                pass  # many lines a second that say nothing
            case ChannelThrottled() | CircuitMoved() | ProbeFailed():
                self._channel(happening)
            case PersonActed() | DoorMoved() | Housekept() | ReplayAdvanced() | HeldWanted():
                self._deed(happening)
            case Started() | Warned() | ExportMoved() | Stopping() | Stopped():
                self._life(happening)
            case _:
                assert_never(happening)

    def _line(self, level: Level, happening: Happening, event: str, **members: object) -> None:
        page = page_of(happening)
        if page is not None:
            members["runbook"] = page.value
        if isinstance(happening, _CameIn | AttemptMade) and happening.trace is not None:
            members["trace_id"] = happening.trace.trace_id
        getattr(self._log, level)(event, **members)

    def _came_in(self, happening: _CameIn) -> None:
        match happening:
            case EventAccepted():
                self._line(
                    "warning" if happening.disposition is Disposition.QUARANTINED else "info", happening,
                    "event", storefront=happening.storefront, topic=happening.topic,
                    disposition=happening.disposition.value, event_id=happening.event_id, order=happening.order,
                    reference=happening.reference, revision=happening.revision, duplicate_of=happening.duplicate_of,
                    bytes=happening.bytes, duration_ms=_ms(happening.duration_s), reasons=_words(happening.reasons),
                    channel=happening.channel, order_id=happening.order_id,
                )  # fmt: skip
            case EventFound():
                self._line(
                    "warning" if happening.disposition is Disposition.QUARANTINED else "info", happening,
                    "found", storefront=happening.storefront, disposition=happening.disposition.value,
                    order=happening.order, reference=happening.reference, revision=happening.revision,
                    reasons=_words(happening.reasons), channel=happening.channel, order_id=happening.order_id,
                )  # fmt: skip
            case RequestRefused():
                self._line(
                    _refused_level(happening), happening,
                    "refused", storefront=happening.storefront, status=happening.status, type=happening.type,
                    path=happening.path, detail=without_quoted(happening.detail), duration_ms=_ms(happening.duration_s),
                    reasons=_words(happening.reasons),
                )  # fmt: skip
            case _:
                assert_never(happening)

    def _channel(self, happening: _Channel) -> None:
        match happening:
            case ChannelThrottled():
                self._line(
                    "warning", happening, "throttled", channel=happening.channel, seconds=round(happening.seconds, 3),
                    rate=round(happening.rate, 3), **_cause(happening.cause),
                )  # fmt: skip
            case CircuitMoved():
                self._line(
                    _ALARM[happening.after], happening, "circuit", channel=happening.channel,
                    circuit=happening.after.value, before=happening.before.value, **_cause(happening.cause),
                )  # fmt: skip
            case ProbeFailed():
                self._line(
                    _ALARM[happening.circuit], happening, "probe", channel=happening.channel,
                    circuit=happening.circuit.value, next_s=round(happening.next_s, 1), **_cause(happening.cause),
                )  # fmt: skip
            case _:
                assert_never(happening)

    def _deed(self, happening: _Deed) -> None:
        match happening:
            case PersonActed():
                # Why is on record with the deed: a person may have named another.
                self._line("info", happening, "person", by=happening.by, what=happening.what, about=happening.about)
            case DoorMoved():
                self._line(
                    "error" if happening.storefronts else "info", happening, "door", limit=happening.limit,
                    refused=happening.storefronts, detail=happening.words,
                )  # fmt: skip
            case Housekept():
                self._line(
                    "info", happening, "housekept", events=happening.events, bodies=happening.bodies,
                    attempts=happening.attempts, orders=happening.orders, sales=happening.sales,
                    returned_bytes=happening.returned_bytes, held_max_ms=_ms(happening.held_max_s),
                    duration_s=round(happening.duration_s, 3),
                )  # fmt: skip
            case ReplayAdvanced():
                self._line(
                    "warning" if happening.ended and happening.left else "info", happening, "replay",
                    replay=happening.replay, revived=happening.revived, left=happening.left, total=happening.total,
                    ended=happening.ended,
                )  # fmt: skip
            case HeldWanted():
                self._line(
                    "info", happening, "released", storefront=happening.storefront, released=happening.released,
                    left=happening.left,
                )  # fmt: skip
            case _:
                assert_never(happening)

    def _life(self, happening: _Life) -> None:
        match happening:
            case Started():
                self._log.info(
                    "started", version=happening.version, public=happening.public_url, private=happening.private_url,
                    store=happening.store_url, storefronts=happening.storefronts, channels=happening.channels,
                )  # fmt: skip
            case Warned():
                write = self._log.error if happening.is_wrong else self._log.warning
                write("configuration", what=happening.what, remedy=happening.remedy)
            case ExportMoved(failing=True):
                self._log.warning("tracing", what="traces do not get to their collector", why=happening.why)
            case ExportMoved():
                self._log.info("tracing", what="traces get to their collector again", lost=happening.lost)
            case Stopping():
                self._log.info("stopping", grace_s=happening.grace_s)
            case Stopped():
                self._log.info("stopped")
            case _:
                assert_never(happening)

    def _attempt(self, made: AttemptMade) -> None:
        # What Jetti says of an order may quote the order; the code is for the log, the words are in the timeline.
        ours, goes_on = made.status is None, made.state in _ASLEEP
        is_well = made.outcome in _WELL and made.state is not State.DEAD
        self._line(
            "info" if is_well else "warning", made,
            "attempt", channel=made.channel, storefront=made.storefront, order=made.order, reference=made.reference,
            revision=made.revision, lane=made.lane.value, outcome=made.outcome, status=made.status,
            code=_code(made.code), message=made.message if ours else "", duration_ms=_ms(made.duration_s),
            attempts=made.attempts,
            state=made.state.value, accepted_to_sent_s=_rounded(made.accepted_to_sent_s),
            due_at=instant.iso(made.due_at) if goes_on else None, order_id=made.order_id,
        )  # fmt: skip


def _cause(cause: Cause | None) -> dict[str, object]:
    """Why, for a line about a channel: of an answer only its code, because its words may quote the order that it was
    given; ``order-relay status`` shows them."""
    if cause is None:
        return {"code": "", "status": None, "message": ""}
    ours = cause.status is None
    return {"code": _code(cause.code), "status": cause.status, "message": cause.message if ours else ""}


def _code(said: str) -> str:
    """A code, unless what stands in its place is a sentence."""
    return said if not said or _CODE.fullmatch(said) else "unreadable"


def _words(reasons: tuple[Reason, ...]) -> list[str]:
    return [
        f"{reason.pointer or 'body'}: {without_quoted(reason.message)}" for reason in bounded(reasons, _REASONS_MAX)
    ]


def _without(kinds: frozenset[str]) -> structlog.typing.Processor:
    """Leaves out the lines of these kinds that are nobody's fault."""

    def heard(_: Any, level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if level == "info" and line["event"] in kinds:
            raise structlog.DropEvent
        return line

    return heard


def _traced(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Instead of an exception, where in the code it was raised."""
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["exception"] = "\n".join(_trace(error))
    return line


def _trace(error: BaseException) -> Iterator[str]:
    """An exception and what is behind it, outermost first, without its words and its local variables: both may quote
    an order, or a secret."""
    behind, told = [error], 0
    while behind and told < _ERRORS_MAX:
        one, told = behind.pop(0), told + 1
        yield _type_of(one)
        yield from "".join(StackSummary.extract(walk_tb(one.__traceback__)).format()).splitlines()
        if isinstance(one, BaseExceptionGroup):
            behind += one.exceptions
        if (before := one.__cause__ or (None if one.__suppress_context__ else one.__context__)) is not None:
            behind.append(before)


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _without_nothing(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For who reads it on a terminal: fields that say nothing are in the way there."""
    return {name: value for name, value in line.items() if value not in (None, "", (), [])}


def _json(line: MutableMapping[str, Any], **_: object) -> str:
    """One line, beginning with when, how bad and what, for who reads it as it is."""
    head = {name: line.pop(name) for name in _HEAD}
    return msgspec.json.encode({**head, **line}, enc_hook=str).decode()
