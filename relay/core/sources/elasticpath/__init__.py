"""Elastic Path's (formerly Moltin's) order events: are they genuine, and which state of which order do they carry?

Vendor rules are Elastic Path's integrations documentation and its OpenAPI specification. What shapes this module:
nothing is signed, a static secret in a header is all there is, and the same secret is repeated in the body, which must
not be kept (:meth:`ElasticPath.strip`); events come at least once, concurrently and in any order; and ``attempt`` and
``resources`` have had several shapes over the years.

Whoever knows the secret can write the body as well as the headers, so the trigger in the body is as good as its order:
an event that says that the order was paid or cancelled is believed even where the order was rendered a moment before.
An event that only names its order is not understood, because this version fetches nothing from Elastic Path; a
cancellation that does is one all the same.

The mapping into a sale is in :mod:`relay.core.sources.elasticpath.mapping`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core import sale as sales
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.sources import (
    Authentic,
    Cancel,
    Headers,
    Identified,
    Ignore,
    Mapped,
    NotUnderstood,
    Unauthentic,
    Unmappable,
    Upsert,
    moment,
)
from relay.core.sources.elasticpath import secret, shape
from relay.core.sources.elasticpath.mapping import is_cancelled, to_sale
from relay.core.sources.elasticpath.rules import ElasticPathRules
from relay.core.sources.elasticpath.shape import Envelope, Found, Head
from relay.core.sources.findings import AND_AGAIN
from relay.core.sources.values import header, is_plain, reference, text, undecoded

__all__ = ["ElasticPath", "ElasticPathRules"]

_SECRET, _TRIGGER = "X-MOLTIN-SECRET-KEY", "X-MOLTIN-INTEGRATION-TRIGGER"
_KNOWN = frozenset(
    f"order.{event}" for event in ("created", "updated", "authorized", "paid", "fulfilled", "cancelled", "refunded")
)

_CREATED, _AUTHORIZED, _PAID = 0, 1, 2
_WANTED = {"created": _CREATED, "authorized": _AUTHORIZED, "paid": _PAID}
_BY_STATUS = {"incomplete": _CREATED, "processing": _AUTHORIZED, "complete": _PAID}
_BY_PAYMENT = {
    "unpaid": _CREATED,
    "authorized": _AUTHORIZED,
    "partially_authorized": _AUTHORIZED,
    "partially_paid": _AUTHORIZED,
    "paid": _PAID,
    "partially_refunded": _PAID,
    "refunded": _PAID,
}
_BY_TRIGGER = {
    "order.authorized": _AUTHORIZED,
    "order.paid": _PAID,
    "order.fulfilled": _PAID,
    "order.refunded": _PAID,
}

_THIN = Reason(
    "/payload",
    "the event only names its order, and the relay fetches nothing from Elastic Path: it needs an integration of type "
    f"webhook whose events carry payload.data and payload.included.items; change it, {AND_AGAIN}",
)
_NO_ORDER = Reason("/payload", "neither payload nor resources holds an order")
_NO_ID = Reason("/payload/data/id", "expected the order's id of 1 to 255 printable characters")
_NOT_AN_ORDER = Reason("/payload/data/type", "not an order, although the event's trigger says so")
_NO_TRIGGER = Reason(
    "/triggered_by", f"neither triggered_by nor the header {_TRIGGER}, and no order; check what sent it"
)


@dataclass(frozen=True, slots=True)
class ElasticPath:
    """One store. Any of ``secrets`` may be given: each integration of a store can have its own.

    A secret is an integration's secret key. Raises :class:`ValueError` without one, because an empty secret would let
    anyone in.
    """

    secrets: tuple[str, ...] = field(repr=False)
    rules: ElasticPathRules = field(default_factory=ElasticPathRules)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    _spellings: tuple[tuple[bytes, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("an Elastic Path storefront needs at least one secret, and none may be empty")
        object.__setattr__(self, "_keys", tuple(hashlib.sha256(known.encode()).digest() for known in self.secrets))
        object.__setattr__(self, "_spellings", tuple(secret.spellings(known) for known in self.secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """The trigger; not the secret."""
        return (_TRIGGER,)

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """Is the secret the store's? Digests of every secret are compared, so that time tells neither text nor length.

        Nothing proves that the body is whole or was not changed on its way: that is left to TLS.
        """
        shown = headers.get(_SECRET)
        if not shown:
            return Unauthentic(f"the header {_SECRET} is missing")
        given = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()
        if sum(hmac.compare_digest(key, given) for key in self._keys):  # every one, whichever matches
            return Authentic()
        return Unauthentic(f"the header {_SECRET} is none of the storefront's secrets")

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """With the secret as Elastic Path shows it; the webhook's id is in its body."""
        return {_SECRET: self.secrets[0]} | ({_TRIGGER: topic} if topic else {})

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order, which state of it. A few microseconds beyond the partial decoding; never raises."""
        topic = header(headers, _TRIGGER)
        try:
            envelope = shape.envelopes.decode(body)
            topic = _topic(envelope) or topic
            key = self._dedupe_key(envelope, topic, body)
            if topic and not topic.startswith("order."):
                return Ignore(f"{topic}: not about orders; take it off the integration to save the traffic", key, topic)
            return self._order(envelope, key, topic, now)
        except RecursionError:
            reason = Reason("", "nested too deeply to be an event")
        except ValueError as error:
            reason = undecoded(error)
        return NotUnderstood((reason,), self._digest(topic, body), topic)

    def strip(self, body: bytes) -> bytes:
        """The body without ``configuration``, which repeats the secret; see :mod:`.secret`."""
        return secret.removed(body, self._spellings)

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale; see :func:`relay.core.sources.elasticpath.mapping.to_sale`."""
        return to_sale(body, topic, self.rules)

    def _order(self, envelope: Envelope, key: str, topic: str, now: Instant) -> Identified:
        found = shape.found(envelope)
        head = None if found is None else _head(found)
        if found is None or head is None:
            return NotUnderstood((_NO_ORDER if topic else _NO_TRIGGER,), key, topic)
        external_id = sales.identifier(head.id)
        fault = _fault(head, topic)
        if fault is not None or external_id is None:
            return NotUnderstood((fault or _NO_ID,), key, topic)
        version, created_at = _timestamp(head, "updated_at"), _timestamp(head, "created_at")
        if version is None and _event_id(envelope) is None:
            key = f"{key}:{now}"  # a digest alone does not say "the same event": the order may be back where it was
        called = reference(head.web_order_id, head.external_ref, head.order_number)
        if is_cancelled(head.status, head.payment, topic, self.rules):
            whole = found.items is not None
            return Cancel(external_id, version, key, topic, called, created_at, complete=whole)
        if found.items is None:
            return _thin(key, topic)
        if _level(head, topic) < _WANTED[self.rules.send_from]:
            reason = f"the order's payment is not {self.rules.send_from} yet (send_from in the storefront's table)"
            return Ignore(reason, key, topic)
        return Upsert(external_id, version, key, topic, called, created_at)

    def _dedupe_key(self, envelope: Envelope, topic: str, body: bytes) -> str:
        """The event's id, stable across its attempts, with its trigger, without which it says nothing."""
        event_id = _event_id(envelope)
        return self._digest(topic, body) if event_id is None else f"{topic}:{event_id}"

    def _digest(self, topic: str, body: bytes) -> str:
        """Of what is kept, so that an event that is read again is the same."""
        return "sha256:" + hashlib.sha256(topic.encode() + b"\0" + self.strip(body)).hexdigest()[:40]


def _topic(envelope: Envelope) -> str:
    given = envelope.triggered_by
    return given if isinstance(given, str) and is_plain(given) else ""


def _event_id(envelope: Envelope) -> str | None:
    given = text(envelope.id)
    return given if given is not None and is_plain(given) else None


def _head(found: Found) -> Head | None:
    head = shape.heads.decode(found.data)
    return None if head.id is None and head.type is None else head


def _fault(head: Head, topic: str) -> Reason | None:
    if head.type not in (None, "order"):
        return _NOT_AN_ORDER
    return _NO_TRIGGER if not topic and head.type is None else None


def _thin(key: str, topic: str) -> Identified:
    if topic and topic not in _KNOWN:
        return Ignore(f"{topic}: an event that the relay does not know, without an order", key, topic)
    return NotUnderstood((_THIN,), key, topic)


def _timestamp(head: Head, name: str) -> Instant | None:
    timestamps = head.meta.get("timestamps") if isinstance(head.meta, dict) else None
    return moment(timestamps.get(name)) if isinstance(timestamps, dict) else None


def _level(head: Head, topic: str) -> int:
    """How far the payment is, by whatever says most of it; an order of which nothing says so is as good as paid."""
    said = (_BY_STATUS.get(text(head.status) or ""), _BY_PAYMENT.get(text(head.payment) or ""), _BY_TRIGGER.get(topic))
    return max((level for level in said if level is not None), default=_PAID)
