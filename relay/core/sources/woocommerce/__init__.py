"""WooCommerce's order webhooks: are they genuine, and which state of which order do they carry?

Vendor rules are WooCommerce's source (``class-wc-webhook.php``) and its REST documentation. What shapes this module:
only the body is signed, so topic and delivery id are hints; the delivery id is of no use at all, because two orders
of one second share it; nothing is ever sent again, so what is refused is lost; and a body is rendered when it is sent,
so that several webhooks may carry one state, which are one webhook here.

A cancellation sticks in the relay. So an order that was deleted, and thereby cancelled, stays cancelled when it is
restored: its later states are accepted and delivered as those of a cancelled order. A shop that restores orders, or
that tidies up by deleting old ones, sets ``deleted = "ignore"``.

The mapping into a sale is in :mod:`relay.core.sources.woocommerce.mapping`.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from relay.core import exact
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.signature import hmac_sha256
from relay.core.sources import (
    Authentic,
    Cancel,
    Greeting,
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
from relay.core.sources.values import header, reference, undecoded, whole_id
from relay.core.sources.woocommerce.mapping import to_sale
from relay.core.sources.woocommerce.rules import WooRules
from relay.core.sources.woocommerce.shape import status

__all__ = ["WooCommerce", "WooRules"]

_SIGNATURE, _TOPIC = "X-WC-Webhook-Signature", "X-WC-Webhook-Topic"
_RESOURCE, _EVENT = "X-WC-Webhook-Resource", "X-WC-Webhook-Event"
_READS = (_TOPIC, _RESOURCE, _EVENT, "Content-Type")
_DELETED = "order.deleted"
_FORM = "application/x-www-form-urlencoded"
_PING = re.compile(rb"webhook_id=[0-9]{1,20}")
_NEVER_ORDERS = frozenset(("draft", "auto-draft", "checkout-draft", "new"))

_WHY_PING = "the ping that WooCommerce sends when a webhook is saved; it is not signed, and there is nothing in it"
_NO_ID = Reason(
    "/id", "expected the order's id, a positive 64-bit number; set the webhook's API version to WP REST API v3"
)


class _Head(msgspec.Struct, gc=False):
    """The few fields that tell which order a body is about; permissive, because a wrong type is an outcome."""

    id: Any = None
    number: Any = None
    status: Any = None
    date_created_gmt: Any = None
    date_modified_gmt: Any = None
    line_items: msgspec.Raw | UnsetType = UNSET
    billing_period: msgspec.Raw | UnsetType = UNSET
    refunded_by: msgspec.Raw | UnsetType = UNSET


_heads = msgspec.json.Decoder(_Head, float_hook=exact.number)


@dataclass(frozen=True, slots=True)
class WooCommerce:
    """One shop. Any of ``secrets`` may have signed: each webhook of a shop can have its own.

    A secret is what the webhook's page shows, in plain characters (``&``, not ``&amp;``). Raises :class:`ValueError`
    without one, because WooCommerce signs with an empty secret too, and then anyone could sign.
    """

    secrets: tuple[str, ...] = field(repr=False)
    rules: WooRules = field(default_factory=WooRules)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("a WooCommerce storefront needs at least one secret, and none may be empty")
        object.__setattr__(self, "_keys", tuple(secret.encode() for secret in self.secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """The topic, and what tells the ping; not the signature, and no shop's address."""
        return _READS

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic | Greeting:
        """Base64 of HMAC-SHA256 over the raw body, compared in constant time.

        The ping is not signed, and WooCommerce does not activate a webhook whose ping is refused. So exactly the ping,
        a form of nothing but the webhook's number, is answered 200: whoever sends it, there is nothing in it to
        believe, and nothing of it is kept, however often it comes.
        """
        given = headers.get(_SIGNATURE)
        if not given:
            if _is_ping(headers, body):
                return Greeting(_WHY_PING)
            return Unauthentic(f"the header {_SIGNATURE} is missing")
        if not body:
            return Unauthentic("the body is empty; WooCommerce signs none such")
        # The text is compared, not the bytes it stands for: base64 has several spellings of the same bytes.
        signature = given.strip().encode("utf-8", "replace")
        for key in self._keys:
            if hmac.compare_digest(b2a_base64(hmac_sha256(key, body), newline=False), signature):
                return Authentic()
        return Unauthentic("the signature matches none of the storefront's secrets")

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """As WooCommerce signs; its ids of deliveries say nothing, so none is given."""
        signature = b2a_base64(hmac_sha256(self._keys[0], body), newline=False).decode()
        return {_SIGNATURE: signature} | ({_TOPIC: topic} if topic else {})

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order, which state of it. A few microseconds beyond the partial decoding; never raises."""
        if _is_ping(headers, body):
            return Ignore(_WHY_PING, "ping", "ping")  # a signed one, which WooCommerce does not send
        topic = _topic(headers)
        if topic and not topic.startswith("order."):
            reason = f"{topic}: a topic that is not about orders; delete its webhook to save the traffic"
            return Ignore(reason, f"{topic}:{_digest(body)}", topic)
        head = _head(body)
        if isinstance(head, Reason):
            return NotUnderstood((head,), _digest(body), topic)
        fault = _not_an_order(head, topic)
        external_id = whole_id(head.id)
        if fault is not None or external_id is None:
            return NotUnderstood((fault or _NO_ID,), _digest(body), topic)
        return self._order(head, external_id, body, topic, now)

    def strip(self, body: bytes) -> bytes:
        """Nothing: no secret is in WooCommerce's bodies."""
        return body

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale; see :func:`relay.core.sources.woocommerce.mapping.to_sale`."""
        return to_sale(body, self.rules)

    def _order(self, head: _Head, external_id: str, body: bytes, topic: str, now: Instant) -> Identified:
        """The signed body decides; the topic only where the body says nothing (a deletion's is just ``{"id": …}``)."""
        version, created_at = moment(head.date_modified_gmt), moment(head.date_created_gmt)
        key = _dedupe_key(external_id, version, body, now)
        if _is_bare(head) and self.rules.deleted == "cancel":
            return Cancel(external_id, version, key, topic, complete=False)
        called = reference(head.number, head.id)
        if status(head.status) in self.rules.cancelled_statuses:
            whole = head.line_items is not UNSET and head.line_items != b"null"
            return Cancel(external_id, version, key, topic, called, created_at, complete=whole)
        if (why := self._why_ignored(head)) is not None:
            return Ignore(why, key, topic)
        return Upsert(external_id, version, key, topic, called, created_at)

    def _why_ignored(self, head: _Head) -> str | None:
        state = status(head.status)
        if _is_bare(head):
            return 'a deleted order; deleted = "cancel" in the storefront\'s table cancels it'
        if state in _NEVER_ORDERS:
            return f"the order is a draft ({state}); it is sent once it is placed"
        if state == "trash":
            return "the order is in the trash; its deletion is a webhook of its own"
        if state in self.rules.ignored_statuses:
            return f"the order is {state}, one of the storefront's ignored_statuses"
        return None


def _is_ping(headers: Headers, body: bytes) -> bool:
    if _PING.fullmatch(body) is None:
        return False
    return (headers.get("Content-Type") or "").partition(";")[0].strip().lower() == _FORM


def _topic(headers: Headers) -> str:
    resource, event = header(headers, _RESOURCE), header(headers, _EVENT)
    return header(headers, _TOPIC) or (f"{resource}.{event}" if resource and event else "")


def _head(body: bytes) -> _Head | Reason:
    try:
        return _heads.decode(body)
    except RecursionError:
        return Reason("", "nested too deeply to be an order")
    except msgspec.ValidationError as error:
        return Reason("", f"not an order: {error}")
    except ValueError as error:
        return undecoded(error)


def _is_bare(head: _Head) -> bool:
    return head.line_items is UNSET and head.status is None and head.date_modified_gmt is None


def _not_an_order(head: _Head, topic: str) -> Reason | None:
    """Whether a body that came with an order's topic, or with none, is something else: the topic is not signed."""
    if head.billing_period is not UNSET:
        return Reason("/billing_period", "not an order but a subscription, whose orders have webhooks of their own")
    if head.refunded_by is not UNSET:
        return Reason("/refunded_by", "not an order but a refund; an order.updated with the whole order comes too")
    if not topic and (head.line_items is UNSET or not isinstance(head.status, str)):
        return Reason("", f"neither an {_TOPIC} header nor the fields of an order; check the proxy's headers")
    if _is_bare(head) and topic != _DELETED:
        return Reason("", "nothing but an id, as only order.deleted has it; check what sent it")
    return None


def _dedupe_key(external_id: str, version: Instant | None, body: bytes, now: Instant) -> str:
    """Order, time of its change and digest of the body: whatever topics and delivery ids a state is sent with.

    An undated body that comes again is another webhook, because WooCommerce never sends one again; the arrival joins,
    so that a second deletion, or a way back from B to A, is no duplicate of the first.
    """
    return f"{external_id}:{f'at {now}' if version is None else version}:{_digest(body)}"


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()[:40]
