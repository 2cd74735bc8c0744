"""Cancelling a sale at Jetti, as values: which sale a look-up says it is, and what the answers come to.

Jetti's documentation: ``GET /api/sales.json?where[externalId]=X&where[channelId]=N`` answers a list of sales, empty
when there is none; ``POST /api/sales/{id}/cancel.json`` cancels one and answers sale-returns. An order that was sent to
the asynchronous endpoint is no sale before it is imported, so a look-up that finds none is answered later. What
cancelling a sale answers that is cancelled already is not documented: so each is looked up first, every time.
"""

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from relay.core.instant import Instant
from relay.core.outcome import Answer, Cancelled, Cause, ChannelWrong, Failed, NotYet, Outcome, Refused, Sent, judge
from relay.core.sale import identifier

_SHOWN_MAX = 3
_BY_HAND = "cancel it at Jetti by hand and discard this, or replay it to have it looked for again"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sale is to be cancelled."""

    external_id: str
    """As it was sent, with whatever prefix it has."""
    channel_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """The sale is there, and not cancelled."""

    sale_id: int


class _Row(msgspec.Struct, rename="camel"):
    id: Any = None
    external_id: Any = None
    channel_id: Any = None
    cancelled: Any = None
    cancellation_status: Any = None

    def is_of(self, wanted: Wanted) -> bool:
        """Whether it is the sale that was asked for: an answer with another one must cancel nothing."""
        channel = str(wanted.channel_id) if self.channel_id is None else identifier(self.channel_id)
        return identifier(self.external_id) == wanted.external_id and channel == str(wanted.channel_id)

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled is True or self.cancellation_status == "full"


_rows = msgspec.json.Decoder(list[_Row])


def found(answer: Answer, wanted: Wanted, *, now: Instant) -> Found | Outcome:
    """What the answer to a look-up says: the sale to cancel; or what it comes to without a cancel call."""
    outcome = judge(answer, now=now)
    if not isinstance(outcome, Sent):
        return outcome
    try:
        rows = _rows.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failed(Cause("lookup_unreadable", "the answer to the look-up is no list of sales", answer.status))
    ours = [row for row in rows if row.is_of(wanted)]
    if rows and not ours:
        said = "the look-up of one sale was answered with other sales: nothing is cancelled on the strength of that"
        return ChannelWrong(Cause("lookup_mismatch", said, answer.status))
    return _which(ours, wanted, answer.status)


def _which(ours: list[_Row], wanted: Wanted, status: int) -> Found | Outcome:
    living = [row for row in ours if not row.is_cancelled]
    if not ours:
        said = f"Jetti has no sale {wanted.external_id!r} on channel {wanted.channel_id} (yet): {_BY_HAND}"
        return NotYet(Cause("sale_not_found", said, status))
    if not living:
        return Cancelled(status)
    if len(living) > 1:
        said = f"{len(living)} sales at Jetti have the external id {wanted.external_id!r}: {_BY_HAND}"
        return Refused(Cause("several_sales", said, status))
    sale_id = identifier(living[0].id)
    if sale_id is None or not (sale_id.isascii() and sale_id.isdigit()):
        return Failed(Cause("lookup_unreadable", "the sale that was found has no id", status))
    return Found(int(sale_id))


def cancelled(answer: Answer, *, now: Instant, permanent_codes: frozenset[str] = frozenset()) -> Outcome:
    """What the answer to a cancel call comes to. That sale of all is not there: it was a moment ago, and is looked up
    again; nothing is known to be wrong with the channel."""
    outcome = judge(answer, now=now, permanent_codes=permanent_codes)
    if isinstance(outcome, ChannelWrong) and answer.status == 404:
        return Failed(outcome.cause)
    return Cancelled(answer.status) if isinstance(outcome, Sent) else outcome


def bared(answer: Answer) -> Answer:
    """The answer to a look-up as it may be kept: of sales only which they are and whether they are cancelled. The rest
    is personal data, and not needed."""
    if not 200 <= answer.status < 300:
        return answer
    try:
        return replace(answer, body=msgspec.json.encode(_rows.decode(answer.body)[:_SHOWN_MAX]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer
