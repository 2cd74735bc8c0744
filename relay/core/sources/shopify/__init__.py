"""Shopify's order webhooks: are they genuine, and which state of which order do they carry?

Vendor rules are Shopify's webhook documentation (delivery structure, verification, troubleshooting) and its official
libraries. What shapes this module: only the body is signed, headers are not, and there is no timestamp. So the topic
is a hint, and what cancels an order is in the body; so a replay is met by the webhook's id and by the order's own
``updated_at``; and the one header that could push a version into the future is not believed when it does.

The mapping into a sale is in :mod:`relay.core.sources.shopify.mapping`.
"""

import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from relay.core import exact, instant
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.signature import hmac_sha256
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
from relay.core.sources.findings import AND_AGAIN
from relay.core.sources.shopify.mapping import to_sale
from relay.core.sources.shopify.rules import ShopifyRules
from relay.core.sources.values import header, reference, whole_id

__all__ = ["Shopify", "ShopifyRules"]

_CLOCKS_DIFFER_BY = 3_600 * instant.SECOND

_ORDER_TOPICS = frozenset(
    f"orders/{event}" for event in ("create", "updated", "paid", "partially_fulfilled", "fulfilled", "cancelled")
)
_CANCELLED, _DELETED = "orders/cancelled", "orders/delete"

_COMPLIANCE = "a compliance request, for people to answer; what is kept of an order is in its timeline"
_IGNORED = {
    "orders/edited": "an edit names only what changed; an orders/updated with the whole order comes too",
    "orders/link_requested": "the customer asked for a link to the order; the order did not change",
    "orders/risk_assessment_changed": "a risk assessment is not an order",
    "orders/shopify_protect_eligibility_changed": "protection by Shopify is not part of a sale",
    "customers/data_request": _COMPLIANCE,
    "customers/redact": _COMPLIANCE,
    "shop/redact": _COMPLIANCE,
}
_IGNORED_RESOURCES = {
    "refunds": "a refund is not an order; an orders/updated with the whole order comes too",
    "fulfillments": "a fulfilment is not an order; an orders/updated with the whole order comes too",
}


class _Head(msgspec.Struct, gc=False):
    """The few fields that tell which order a body is about; permissive, because a wrong type is an outcome."""

    id: Any = None
    admin_graphql_api_id: Any = None
    order_id: Any = None
    quantity: msgspec.Raw | UnsetType = UNSET
    name: Any = None
    order_number: Any = None
    created_at: Any = None
    updated_at: Any = None
    cancelled_at: Any = UNSET
    test: Any = None
    financial_status: msgspec.Raw | UnsetType = UNSET
    line_items: msgspec.Raw | UnsetType = UNSET
    order: msgspec.Raw | UnsetType = UNSET


_heads = msgspec.json.Decoder(_Head, float_hook=exact.number)


@dataclass(frozen=True, slots=True)
class Shopify:
    """One shop. Any of ``secrets`` may have signed: while one is rotated, Shopify uses both for up to an hour.

    A secret is the app's client secret, or for webhooks made in the shop's admin the one shown there. Raises
    :class:`ValueError` without one, because an empty secret would let anyone sign.
    """

    secrets: tuple[str, ...] = field(repr=False)
    rules: ShopifyRules = field(default_factory=ShopifyRules)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.secrets or not all(self.secrets):
            raise ValueError("a Shopify storefront needs at least one secret, and none may be empty")
        object.__setattr__(self, "_keys", tuple(secret.encode() for secret in self.secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """Topic, id and time of the webhook; not the signature, and no shop's name."""
        return _READS

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """Base64 of HMAC-SHA256 over the raw body, compared in constant time. Unsigned headers prove nothing."""
        given = headers.get("X-Shopify-Hmac-Sha256") or headers.get("Shopify-Hmac-Sha256")
        if not given:
            return Unauthentic("the header X-Shopify-Hmac-Sha256 is missing")
        if not body:
            return Unauthentic("the body is empty; Shopify signs none such")
        # The text is compared, not the bytes it stands for: base64 has several spellings of the same bytes.
        signature = given.strip().encode("utf-8", "replace")
        for key in self._keys:
            if hmac.compare_digest(b2a_base64(hmac_sha256(key, body), newline=False), signature):
                return Authentic()
        return Unauthentic("the signature matches none of the storefront's secrets")

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """As Shopify signs."""
        signature = b2a_base64(hmac_sha256(self._keys[0], body), newline=False).decode()
        headers = {"X-Shopify-Hmac-Sha256": signature, "X-Shopify-Webhook-Id": webhook_id}
        return headers | ({"X-Shopify-Topic": topic} if topic else {})

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order, which state of it. A few microseconds beyond the partial decoding; never raises."""
        topic = _header(headers, "Topic")
        if topic and topic not in _ORDER_TOPICS and topic != _DELETED:
            return Ignore(_why_ignored(topic), _dedupe_key(headers, topic, body), topic)
        head = _head(body)
        if isinstance(head, Reason):
            return NotUnderstood((head,), _dedupe_key(headers, topic, body), topic)
        fault = _not_an_order(head, topic)
        external_id = whole_id(head.id)
        if fault is not None or external_id is None:
            return NotUnderstood((fault or _NO_ID,), _dedupe_key(headers, topic, body), topic)
        if head.test is True and self.rules.test_orders == "ignore":
            return Ignore(_TEST_ORDER, _dedupe_key(headers, topic, body), topic)
        return _order(head, external_id, headers, body, topic, now)

    def strip(self, body: bytes) -> bytes:
        """Nothing: no secret is in Shopify's bodies."""
        return body

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale; see :func:`relay.core.sources.shopify.mapping.to_sale`."""
        return to_sale(body, topic, self.rules)


_TEST_ORDER = 'a test order ("test": true); test_orders = "send" in the storefront\'s table delivers such orders'
_NO_ID = Reason("/id", f"expected the order's id, a positive 64-bit number; leave it in include_fields, {AND_AGAIN}")


_NAMES = ("Topic", "Webhook-Id", "Triggered-At")
_READS = tuple(prefix + name for prefix in ("X-Shopify-", "Shopify-") for name in _NAMES)


def _header(headers: Headers, name: str) -> str:
    """An unsigned header, or nothing if it is too long or holds what no identifier does: it will be stored."""
    return header(headers, "X-Shopify-" + name, "Shopify-" + name)


def _why_ignored(topic: str) -> str:
    reason = _IGNORED.get(topic) or _IGNORED_RESOURCES.get(topic.partition("/")[0])
    return f"{topic}: {reason or 'a topic the relay does not use; unsubscribe it to save the traffic'}"


def _head(body: bytes) -> _Head | Reason:
    try:
        head = _heads.decode(body)
        if head.id is None and head.order is not UNSET:  # as the REST API wraps it, for instance for a resent order
            head = _heads.decode(head.order)
    except RecursionError:
        return Reason("", "nested too deeply to be an order")
    except msgspec.ValidationError as error:
        return Reason("", f"not an order: {error}")
    except ValueError as error:
        return Reason("", f"not JSON: {error}")
    return head


def _not_an_order(head: _Head, topic: str) -> Reason | None:
    """Whether a body that came with an order's topic, or with none, is something else: the topic is not signed."""
    resource = head.admin_graphql_api_id
    if isinstance(resource, str) and resource.startswith("gid://shopify/") and "/Order/" not in resource:
        return Reason("/admin_graphql_api_id", f"not an order but {exact.shown(resource)}; check the proxy's headers")
    if head.order_id is not None:
        return Reason("/order_id", "not an order but something that belongs to one, such as a refund")
    if head.quantity is not UNSET:
        return Reason("/quantity", "not an order but a line of one; check what sent it")
    if not topic and head.line_items is UNSET and head.financial_status is UNSET:
        return Reason("", "neither an X-Shopify-Topic header nor the fields of an order; check the proxy's headers")
    return None


def _order(head: _Head, external_id: str, headers: Headers, body: bytes, topic: str, now: Instant) -> Identified:
    version = moment(head.updated_at)
    key = _dedupe_key(headers, topic, body, undated_at=now if version is None else None)
    if version is None:
        version = _triggered_at(headers, now)
    called, created_at = reference(head.name, head.order_number), moment(head.created_at)
    if _is_cancelled(head, topic):
        whole = head.line_items is not UNSET
        return Cancel(external_id, version, key, topic, called, created_at, complete=whole)
    return Upsert(external_id, version, key, topic, called, created_at)


def _triggered_at(headers: Headers, now: Instant) -> Instant | None:
    """When Shopify noticed the change. Not signed: a replay from the future must not make later states look stale."""
    triggered_at = moment(_header(headers, "Triggered-At"))
    return triggered_at if triggered_at is not None and triggered_at <= now + _CLOCKS_DIFFER_BY else None


def _is_cancelled(head: _Head, topic: str) -> bool:
    """The signed body decides; the topic only where the body says nothing (a deletion's is just ``{"id": …}``)."""
    if head.cancelled_at is not UNSET:
        return head.cancelled_at not in (None, "")
    bare = head.line_items is UNSET and head.updated_at is None
    return topic == _CANCELLED or (topic == _DELETED and bare)


def _dedupe_key(headers: Headers, topic: str, body: bytes, *, undated_at: Instant | None = None) -> str:
    """``X-Shopify-Webhook-Id``, stable across retries, else a digest of topic and body.

    The digest alone says *the same webhook* only where the body carries its own ``updated_at``. Without, an order
    that goes from A to B and back to A would lose its way back as a duplicate, so the trigger or arrival time joins.
    """
    webhook_id = _header(headers, "Webhook-Id")
    if webhook_id:
        return webhook_id
    digest = hashlib.sha256(topic.encode() + b"\0" + body)
    if undated_at is not None:
        digest.update(b"\0" + (_header(headers, "Triggered-At") or str(undated_at)).encode())
    return "sha256:" + digest.hexdigest()[:40]
