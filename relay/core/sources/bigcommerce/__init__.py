"""BigCommerce's order webhooks, and the orders they name.

Vendor rules are BigCommerce's webhook documentation (overview, events, callbacks) and its Orders v2 specification.
What shapes this module: a webhook only names its order; its ``hash`` is described as a digest of what it is about, so
that two changes of one order may share it (the documentation's own samples do), and only with the time it was made
does it tell webhooks apart; orders are announced before they are paid for, as "incomplete"; and lists come in pages.

The mapping into a sale is in :mod:`relay.core.sources.bigcommerce.mapping`.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from relay.core import exact
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.sources import (
    FETCHED_TOPIC,
    Authentic,
    Cancel,
    Fetch,
    Headers,
    Identified,
    Ignore,
    Mapped,
    NotUnderstood,
    Page,
    Request,
    Unauthentic,
    Unmappable,
    Upsert,
    standard_signature,
)
from relay.core.sources.bigcommerce import shape
from relay.core.sources.bigcommerce.mapping import to_sale
from relay.core.sources.bigcommerce.rules import BigCommerceRules
from relay.core.sources.values import header, is_plain, undecoded, whole_id

__all__ = ["BigCommerce", "BigCommerceRules"]

_ORDER_TOPICS = frozenset(
    f"store/order/{event}" for event in ("created", "updated", "statusUpdated", "archived", "refund/created")
)
_IGNORED = {
    "store/order/message/": "a message is not part of a sale",
    "store/order/transaction/": "a payment is not part of a sale; what it changes about the order is announced too",
    "store/order/metafield/": "metafields are not part of a sale",
    "store/shipment/": "a shipment is not an order; what it changes about the order is announced too",
    "store/app/uninstalled": "the app was uninstalled: BigCommerce sends no more webhooks, and its token is dead",
}
_INCOMPLETE = 0
_SHIPPED_OR_COMPLETED = (2, 10)
_TEST_GATEWAY = "test payment gateway"
_ALLOWANCE = "X-Rate-Limit-Time-Reset-Ms"
_CREDENTIAL_MAX_CHARACTERS = 8_192

_NO_ID = Reason("/data/id", "expected the order's id, a positive whole number")
_NO_ORDER = Reason(
    "/order/id", 'what was fetched is no order: check the storefront\'s api_url; a file for preview has it in "order"'
)


class _Data(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None


class _Webhook(msgspec.Struct, gc=False):
    scope: Any = None
    producer: Any = None
    hash: Any = None
    created_at: Any = None
    data: _Data | None = None


_webhooks = msgspec.json.Decoder(_Webhook, float_hook=exact.number)


@dataclass(frozen=True, slots=True)
class BigCommerce:
    """One store. A webhook is genuine if its custom header has one of ``secrets``, or if it is signed, as Standard
    Webhooks are, with one of ``client_secrets`` (the app's; BigCommerce signs the webhooks of all its stores so).

    Raises :class:`ValueError` without either, because then anyone could send.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values of the header that was given when the webhook was created."""
    header: str = "X-Relay-Secret"
    client_secrets: tuple[str, ...] = field(default=(), repr=False)
    store_hash: str | None = None
    """The store's permanent id; where it is known, webhooks of other stores are ignored."""
    rules: BigCommerceRules = field(default_factory=BigCommerceRules)
    _values: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = (*self.secrets, *self.client_secrets)
        if not given or not all(given) or not self.header:
            raise ValueError("a BigCommerce storefront needs a secret or a client secret, and none may be empty")
        object.__setattr__(self, "_values", tuple(secret.encode() for secret in self.secrets))
        object.__setattr__(self, "_keys", tuple(secret.encode() for secret in self.client_secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """The message's id; neither the custom header nor the signature."""
        return (standard_signature.ID,)

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """The custom header, compared in constant time, or the signature; either suffices.

        The header proves who sends, not what: it is as safe as the connection. The signature covers the body.
        """
        if not body:
            return Unauthentic("the body is empty; BigCommerce sends none such")
        given = headers.get(self.header) or ""
        if self._values and given:
            shown = given[:_CREDENTIAL_MAX_CHARACTERS].encode("utf-8", "surrogatepass")
            if any(hmac.compare_digest(value, shown) for value in self._values):
                return Authentic()
        if self._keys:
            return standard_signature.verify(self._keys, headers, body, now=now)
        return Unauthentic(f"the header {self.header} {'has none of the secrets' if given else 'is missing'}")

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """With the custom header, or signed where there is none; the topic is in the body."""
        if self.secrets:
            return {self.header: self.secrets[0]}
        return standard_signature.signed(self._keys[0], body, webhook_id=webhook_id, now=now)

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order is to be fetched. The scope is in the body, and so signed where anything is."""
        webhook = _webhook(body)
        if isinstance(webhook, Reason):
            return NotUnderstood((webhook,), _digest(body), "")
        scope = _plain(webhook.scope)
        key = _dedupe_key(webhook, scope, headers, body, now)
        if scope not in _ORDER_TOPICS and scope:
            return Ignore(_why_ignored(scope), key, scope)
        producer = _plain(webhook.producer)
        if self.store_hash is not None and producer != f"stores/{self.store_hash}":
            return Ignore(f"a webhook of {producer or 'no store'}, not of stores/{self.store_hash}", key, scope)
        data = webhook.data or _Data()
        external_id = whole_id(data.id)
        if not scope or data.type not in ("order", None) or external_id is None:
            return NotUnderstood((_fault(scope, data),), key, scope)
        return Fetch(external_id, None, key, scope)

    def strip(self, body: bytes) -> bytes:
        """Nothing: no secret is in BigCommerce's bodies."""
        return body

    def first_request(self, external_id: str) -> Request:
        """The order."""
        return shape.first_request(external_id)

    def next_request(self, pages: Sequence[Page]) -> Request | None:
        """Its lines, where it goes, and where they are wanted its coupons; nothing more for an order that is not
        wanted, because every checkout that is left is such a one and the store's allowance is for all."""
        if not self._is_wanted(shape.head_of_order(pages[0].body)):
            return None
        return shape.next_request(pages, shape.LISTS if self.rules.coupon_tags else shape.LISTS[:2])

    def assemble(self, pages: Sequence[Page]) -> bytes:
        """The order with its lists, as :mod:`relay.core.sources.bigcommerce.shape` describes."""
        return shape.assembled(pages)

    def identify_fetched(self, body: bytes, *, now: Instant) -> Upsert | Cancel | Ignore | NotUnderstood:
        """Which state of the order; its version is ``date_modified``, to the second."""
        try:
            head = shape.head_of_document(body)
        except RecursionError:
            head = Reason("", "nested too deeply to be an order")
        if isinstance(head, Reason):
            return NotUnderstood((head,), _digest(body), FETCHED_TOPIC)
        external_id, version, status = whole_id(head.id), shape.date(head.date_modified), shape.whole(head.status_id)
        key = f"{_digest(body)}{f':{now}' if version is None else ''}"
        if external_id is None:
            return NotUnderstood((_NO_ORDER,), key, FETCHED_TOPIC)
        if status is None:
            reason = Reason("/order/status_id", "expected the number of a status, without which nothing is sent")
            return NotUnderstood((reason,), key, FETCHED_TOPIC)
        if not self._is_wanted(head):
            return Ignore(self._why_unwanted(head, status), key, FETCHED_TOPIC)
        created_at = shape.date(head.date_created)
        state = Cancel if self._is_cancelled(head, status) else Upsert
        return state(external_id, version, key, FETCHED_TOPIC, external_id, created_at)

    def asks_to_wait_s(self, headers: Headers) -> float | None:
        """BigCommerce says when its allowance is renewed, in milliseconds."""
        given = (headers.get(_ALLOWANCE) or "").strip()
        return int(given) / 1000 if given.isascii() and given.isdigit() and len(given) < 10 else None

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The fetched order as a manual sale; see :func:`relay.core.sources.bigcommerce.mapping.to_sale`."""
        return to_sale(body, self.rules, self._is_cancelled)

    def _is_wanted(self, head: shape.Head) -> bool:
        status = shape.whole(head.status_id)
        if status is None or self._is_cancelled(head, status):
            return True
        return status not in self.rules.ignored_statuses and not self._is_unwanted_test(head)

    def _is_unwanted_test(self, head: shape.Head) -> bool:
        method = head.payment_method
        is_test = isinstance(method, str) and method.strip().lower() == _TEST_GATEWAY
        return is_test and self.rules.test_orders == "ignore"

    def _is_cancelled(self, head: shape.Head, status: int) -> bool:
        """An order that never was one, and a test, cannot be cancelled; what is shipped has nothing left to cancel."""
        if status == _INCOMPLETE or self._is_unwanted_test(head):
            return False
        if status in self.rules.cancelled_statuses:
            return True
        return head.is_deleted is True and self.rules.archived == "cancel" and status not in _SHIPPED_OR_COMPLETED

    def _why_unwanted(self, head: shape.Head, status: int) -> str:
        if self._is_unwanted_test(head):
            return 'paid with the test gateway; test_orders = "send" in the storefront\'s table delivers such orders'
        if status == _INCOMPLETE:
            return "incomplete: the checkout is not finished; BigCommerce announces the order again when it is"
        return f"the order has status {status}, one of the storefront's ignored_statuses"


def _webhook(body: bytes) -> _Webhook | Reason:
    try:
        return _webhooks.decode(body)
    except RecursionError:
        return Reason("", "nested too deeply to be a webhook")
    except ValueError as error:
        return undecoded(error)


def _plain(value: object) -> str:
    return value if isinstance(value, str) and is_plain(value) else ""


def _why_ignored(scope: str) -> str:
    reason = next((why for start, why in _IGNORED.items() if scope.startswith(start)), None)
    return f"{scope}: {reason or 'a scope the relay does not use; delete its webhook to save the traffic'}"


def _fault(scope: str, data: _Data) -> Reason:
    if not scope:
        return Reason("/scope", "no scope: this is not a webhook of BigCommerce's")
    if data.type not in ("order", None):
        return Reason("/data/type", "expected an order, which is what the scope says")
    return _NO_ID


def _dedupe_key(webhook: _Webhook, scope: str, headers: Headers, body: bytes, now: Instant) -> str:
    """Scope, order, ``hash`` and the time the webhook was made, and the message's id where it is signed.

    Without the time, a second change of an order would be taken for a copy of the first and never be fetched; one
    fetch too many costs nothing.
    """
    data, made_at = webhook.data or _Data(), whole_id(webhook.created_at)
    parts = (scope, whole_id(data.id), _plain(webhook.hash), made_at)
    if not all(parts):
        return _digest(body) if made_at else f"{_digest(body)}:{now}"
    message = header(headers, standard_signature.ID)
    return ":".join([part for part in (*parts, message) if part])


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()[:40]
