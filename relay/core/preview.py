"""What would become of a webhook, by the configuration alone: which event it is, what is done with it, and the sale.

Nothing is kept and nobody is asked, so an order counts as one that was never seen before. The same rules decide as in
a relay that runs: the source, :func:`relay.core.order.first`, :func:`relay.core.mapping.conclude`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, assert_never, cast

import msgspec
from multidict import CIMultiDict

from relay.core import instant
from relay.core import sale as sales
from relay.core import version as versions
from relay.core.delivery import HeadStarts, Lane
from relay.core.instant import Instant
from relay.core.loss import Losses, losses
from relay.core.mapping import Made, Maker, conclude
from relay.core.order import Arrival, Disposition, Order, finding_of, first
from relay.core.outcome import CannotMap
from relay.core.recipe import document as documents
from relay.core.sale import Reason
from relay.core.sources import (
    FETCHED_TOPIC,
    Authentic,
    Cancel,
    Fetch,
    Greeting,
    Headers,
    Identified,
    Ignore,
    NotUnderstood,
    Request,
    Source,
    Thin,
    Upsert,
)
from relay.core.sources.native import Native

REFUSED = "refused"
"""Besides the dispositions: a manual sale that cannot be sent is refused at once, because its caller waits."""
LOST_MAX = 1_000
"""Kinds of values that are told as not carried over."""
_DEFECT = "raised {error}, which a source never should: report it to the author of the kind"


class NoTopicHeader(ValueError):
    """A topic was named, and this kind of storefront reads it from no header."""


class Signature(StrEnum):
    """Whether the webhook is known to be the storefront's."""

    VERIFIED = "verified"
    WRONG = "wrong"
    NOT_GIVEN = "not given"
    GREETING = "greeting"
    """It has none and needs none: it is answered, and kept nowhere."""


class DedupeBy(StrEnum):
    """What makes two webhooks the same."""

    OWN_ID = "own id"
    """The storefront's id of the webhook."""
    DIGEST = "digest"
    """A digest of what it says."""
    NOTHING = "nothing"
    """Nothing does: each one that arrives is an event of its own."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of one webhook, or of an order."""

    storefront: str
    kind: str
    channel: str
    disposition: str
    """As in :class:`~relay.core.order.Disposition`, or :data:`REFUSED`."""
    reasons: tuple[Reason, ...] = ()
    """Why, where it is not simply sent."""
    identified: Identified | None = None
    """``None``: an order that is known was previewed, and no webhook; or its source raised."""
    signature: Signature | None = None
    signature_says: str = ""
    dedupe_by: DedupeBy | None = None
    fetched: bool = False
    """The input is the order as it is fetched, and not the webhook that names it."""
    cancelled_by: Literal["sale", "call"] | None = None
    """How Jetti is told of it, if it is a cancellation that is sent."""
    left_if_unsent: bool = False
    """Whether it stays unsent if the order was accepted before it, and Jetti certainly has nothing of the order."""
    requests: tuple[Request, ...] = ()
    """What would be asked for first, to fetch the order."""
    lane: Lane | None = None
    made: Made | None = field(default=None, repr=False)
    """The sale as it would be sent; for a held order, as it would be sent were it wanted."""
    losses: Losses | None = None
    """What was not carried over; ``None`` where there is no sale, or the input is no JSON."""

    def members(self) -> dict[str, object]:
        """The preview as JSON has it; for :func:`msgspec.json.encode`."""
        says = None if self.signature is None else {"is": self.signature.value, "says": self.signature_says}
        return {
            "storefront": self.storefront,
            "kind": self.kind,
            "channel": self.channel,
            "signature": says,
            "event": None if self.identified is None else _event(self.identified, self.dedupe_by),
            "fetched": self.fetched,
            "disposition": self.disposition,
            "lane": None if self.lane is None else self.lane.value,
            "reasons": _shown(self.reasons),
            "cancelled_by": self.cancelled_by,
            "left_if_unsent": self.left_if_unsent,
            "requests": [
                {"path": request.path, "query": dict(request.query), "may_be_missing": request.may_be_missing}
                for request in self.requests
            ],
            "sale": None if self.made is None else msgspec.Raw(self.made.sale),
            "notes": [] if self.made is None else _shown(self.made.notes),
            "not_carried_over": None if self.losses is None else _not_carried_over(self.losses),
        }


@dataclass(frozen=True, slots=True)
class Previewer:
    """One configured storefront, to try webhooks with."""

    storefront: str
    kind: str
    channel: str
    maker: Maker
    new_order_window_s: float = 86_400.0

    def preview(
        self, headers: Headers, body: bytes, *, now: Instant, topic: str | None = None, weigh: bool = True
    ) -> Preview:
        """What would become of a webhook, or of a document as it is fetched. Nothing that is sent makes it raise.

        ``topic`` is for a body whose headers are not at hand; :class:`NoTopicHeader` says that this kind of storefront
        does not take it from a header. ``weigh``: whether to look for what is not carried over.
        """
        source = self.maker.source
        plain = self._begun()
        try:
            signature = _signature(source, headers, body, now)
            body = source.strip(body)
            headers = headers if topic is None else _with_topic(source, headers, body, topic, now)
            identified, fetched = _identified(source, headers, body, now)
            by = _dedupe_by(source, headers, body, now, fetched=fetched)
        except NoTopicHeader:
            raise NoTopicHeader(f"{topic!r}: a webhook of kind {self.kind} has its topic in the body") from None
        except Exception as error:  # noqa: BLE001 - what another package's source raises is told, not passed on
            words = _DEFECT.format(error=f"{type(error).__name__}: {error}")
            return replace(plain, disposition=REFUSED, reasons=(Reason("", words),))
        found = replace(
            plain, signature=signature[0], signature_says=signature[1], identified=identified, dedupe_by=by,
            fetched=fetched,
        )  # fmt: skip
        match identified:
            case Ignore(reason):
                return replace(found, disposition=Disposition.IGNORED.value, reasons=(Reason("", reason),))
            case NotUnderstood(reasons):
                return replace(found, disposition=self._unsendable, reasons=reasons)
            case Fetch(external_id):
                request = cast("Thin", source).first_request(external_id)
                return replace(found, lane=Lane.NEW, requests=(request,))
            case Upsert() | Cancel():
                return self._about_an_order(found, identified, headers, body, now, weigh=weigh)
            case _:
                assert_never(identified)

    def preview_order(self, order: Order, topic: str, body: bytes, last: bytes | None, *, now: Instant) -> Preview:
        """What an order that is known would be sent as now, by its newest webhook; ``last``: what was sent for it."""
        found = self._concluded(self._begun(), order, topic, body, last)
        return self._weighed(replace(found, lane=order.lane), order, topic, body, None, last, now)

    @property
    def _unsendable(self) -> str:
        return REFUSED if isinstance(self.maker.source, Native) else Disposition.QUARANTINED.value

    def _begun(self) -> Preview:
        return Preview(self.storefront, self.kind, self.channel, Disposition.QUEUED.value)

    def _arrival(self, identified: Identified, body: bytes, now: Instant) -> Arrival:
        return Arrival(self.storefront, self.channel, identified, body, now, HeadStarts(), self.new_order_window_s)

    def _about_an_order(
        self, found: Preview, identified: Upsert | Cancel, headers: Headers, body: bytes, now: Instant, *, weigh: bool
    ) -> Preview:
        accepted = first(self._arrival(identified, body, now), identified, order_id=0, event_id=0)
        found = replace(
            found, disposition=accepted.disposition.value, reasons=accepted.reasons, lane=accepted.order.lane
        )
        if accepted.disposition is not Disposition.QUEUED:
            return found
        found = self._concluded(found, accepted.order, identified.topic, body, None)
        if isinstance(identified, Cancel) and found.made is not None:
            by: Literal["sale", "call"] = "call" if self.maker.calls_off else "sale"
            found = replace(found, cancelled_by=by, left_if_unsent=self.maker.leaves_cancelled)
        if not weigh:
            return found
        return self._weighed(found, accepted.order, identified.topic, body, headers, None, now)

    def _concluded(self, found: Preview, order: Order, topic: str, body: bytes, last: bytes | None) -> Preview:
        """With the sale, or why there is none."""
        came_to = conclude(self._always, order, topic, body, last)
        if isinstance(came_to, Made):
            return replace(found, made=came_to)
        finding = finding_of(came_to)
        if finding is None:
            return found
        if isinstance(came_to, CannotMap):
            reasons = finding.reasons or (Reason("", came_to.cause.message),)
            return replace(found, disposition=self._unsendable, reasons=reasons)
        wanted = conclude(self._unasked, order, topic, body, last)
        held = replace(found, disposition=finding.disposition.value, reasons=finding.reasons)
        return replace(held, made=wanted) if isinstance(wanted, Made) else held

    @property
    def _always(self) -> Maker:
        """Also what changes nothing is shown."""
        return replace(self.maker, skip_unchanged=False)

    @property
    def _unasked(self) -> Maker:
        return replace(self._always, accept_when=None)

    def _weighed(
        self, found: Preview, order: Order, topic: str, body: bytes, headers: Headers | None, last: bytes | None,
        now: Instant,
    ) -> Preview:  # fmt: skip
        """With what is not carried over. ``headers``: of the webhook, ``None`` where an order is previewed."""
        if found.made is None:
            return found
        sale = sales.parse(documents.decoded(found.made.sale))
        if isinstance(sale, tuple):
            return found
        held = found.disposition == Disposition.HELD
        maker, source = (self._unasked if held else self._always), self.maker.source

        def outcome(changed: bytes) -> object:
            about: object = None
            if headers is not None:
                about = _facts(_identified(source, headers, changed, now)[0])
            made = conclude(maker, order, topic, changed, last)
            return about, made.sale if isinstance(made, Made) else type(made)

        return replace(found, losses=losses(body, sale, outcome))


def _identified(source: Source, headers: Headers, body: bytes, now: Instant) -> tuple[Identified, bool]:
    """Which event it is; and whether it is a document as it is fetched, which only kinds with thin webhooks have."""
    identified = source.identify(headers, body, now=now)
    if not isinstance(identified, NotUnderstood | Ignore) or identified.topic:
        return identified, False
    if not hasattr(source, "identify_fetched"):
        return identified, False
    fetched = cast("Thin", source).identify_fetched(body, now=now)
    if not isinstance(fetched, NotUnderstood):
        return fetched, True
    nor = (f"{reason.pointer or 'the body'}: {reason.message}" for reason in fetched.reasons)
    why = f"nor is it an order as it is fetched: {'; '.join(nor)}"
    if isinstance(identified, Ignore):
        return replace(identified, reason=f"{identified.reason}; {why}"), False
    return replace(identified, reasons=(*identified.reasons, Reason("", why))), False


def _signature(source: Source, headers: Headers, body: bytes, now: Instant) -> tuple[Signature, str]:
    nothing: CIMultiDict[str] = CIMultiDict()
    verdict, without = (source.verify(given, body, now=now) for given in (headers, nothing))
    if isinstance(verdict, Authentic):
        return Signature.VERIFIED, "it is the storefront's"
    if isinstance(verdict, Greeting):
        return Signature.GREETING, verdict.words
    return (Signature.NOT_GIVEN if verdict == without else Signature.WRONG), verdict.reason


def _with_topic(source: Source, headers: Headers, body: bytes, topic: str, now: Instant) -> Headers:
    """With the header that the source takes the topic from: whichever makes a difference."""
    for name in ("", *source.reads):
        with_it: CIMultiDict[str] = CIMultiDict(headers)
        if name:
            with_it[name] = topic
        if _identified(source, with_it, body, now)[0].topic in (topic, FETCHED_TOPIC):
            return with_it
    raise NoTopicHeader


def _dedupe_by(source: Source, headers: Headers, body: bytes, now: Instant, *, fetched: bool) -> DedupeBy:
    """Found by trying: the same later on, and the same with a space behind it, which JSON does not mind."""

    def key(text: bytes, at: Instant) -> str:
        if fetched:
            return cast("Thin", source).identify_fetched(text, now=at).dedupe_key
        return source.identify(headers, text, now=at).dedupe_key

    usual = key(body, now)
    if key(body, now + 1) != usual:
        return DedupeBy.NOTHING
    return DedupeBy.OWN_ID if key(body + b" ", now) == usual else DedupeBy.DIGEST


def _facts(identified: Identified) -> object:
    """What is known of the order, without what tells webhooks apart, which any change of a body changes."""
    about: Any = identified
    match identified:
        case Upsert() | Cancel():
            return type(about), about.external_id, about.version, about.reference, about.created_at
        case _:
            return type(about)


def _event(identified: Identified, by: DedupeBy | None) -> dict[str, object]:
    names = {
        Upsert: "upsert", Cancel: "cancel", Fetch: "fetch", Ignore: "ignore", NotUnderstood: "not understood",
    }  # fmt: skip
    about: Any = identified
    version, created_at = getattr(about, "version", None), getattr(about, "created_at", None)
    return {
        "is": names[type(identified)],
        "topic": identified.topic,
        "order": getattr(about, "external_id", None),
        "reference": getattr(about, "reference", None),
        "version": None if version is None else versions.shown(version),
        "whole": about.complete if isinstance(about, Cancel) else None,
        "created_at": None if created_at is None else instant.iso(created_at),
        "dedupe_key": identified.dedupe_key,
        "dedupe_by": None if by is None else by.value,
    }


def _shown(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    return [{"pointer": reason.pointer, "detail": reason.message} for reason in reasons]


def _not_carried_over(found: Losses) -> dict[str, object]:
    def shown() -> Iterator[dict[str, object]]:
        for each in found.lost[:LOST_MAX]:
            value = each.value if not isinstance(each.value, str) or len(each.value) <= 200 else each.value[:200] + "…"
            yield {
                "pointer": each.pointer, "count": each.count, "of": each.of, "value": value,
                "within": each.within or None,
            }  # fmt: skip

    return {
        "values": found.values,
        "count": found.count,
        "tried": found.tried,
        "told": min(len(found.lost), LOST_MAX),
        "groups": list(shown()),
    }
