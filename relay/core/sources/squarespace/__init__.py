"""Squarespace's order notifications, and the orders they name.

Vendor rules are Squarespace's developer documentation (webhook subscriptions, Orders API, rate limits). What shapes
this module: a notification only names its order, its ``createdOn`` is its own and not the order's, and the signature's
key is what the secret's hexadecimal digits stand for. The mapping into a sale is in
:mod:`relay.core.sources.squarespace.mapping`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from relay.core import exact
from relay.core.instant import Instant
from relay.core.sale import Reason
from relay.core.signature import hmac_sha256
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
    moment,
)
from relay.core.sources.squarespace import shape
from relay.core.sources.squarespace.mapping import to_sale
from relay.core.sources.squarespace.rules import SquarespaceRules
from relay.core.sources.values import is_plain, reference, undecoded

__all__ = ["Squarespace", "SquarespaceRules"]

_SIGNATURE = "Squarespace-Signature"
_ORDER_TOPICS = frozenset(("order.create", "order.update"))
_UNINSTALLED = "extension.uninstall"
_COOL_DOWN_S = 60.0
"""Squarespace: what a 429 costs; it has no header that says so."""
_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""Squarespace's are 24 hexadecimal digits. It becomes part of an address, so nothing else gets in."""
_NO_ID = Reason("/data/orderId", "expected the order's id")
_NO_ORDER = Reason("/id", "what was fetched is no order: check the storefront's api_url")


class _Data(msgspec.Struct, gc=False, rename="camel"):
    order_id: Any = None


class _Notification(msgspec.Struct, gc=False, rename="camel"):
    id: Any = None
    topic: Any = None
    created_on: Any = None
    data: _Data | None = None


_notifications = msgspec.json.Decoder(_Notification, float_hook=exact.number)


@dataclass(frozen=True, slots=True)
class Squarespace:
    """One site. Any of ``secrets`` may have signed: every subscription has its own, and rotating one ends the old one
    at once.

    Raises :class:`ValueError` without one, and for what is not hexadecimal, as Squarespace's are.
    """

    secrets: tuple[str, ...] = field(repr=False)
    rules: SquarespaceRules = field(default_factory=SquarespaceRules)
    _keys: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.secrets or not all(secret.strip() for secret in self.secrets):
            raise ValueError("a Squarespace storefront needs at least one secret, and none may be empty")
        try:
            keys = tuple(bytes.fromhex(secret) for secret in self.secrets)
        except ValueError:
            raise ValueError("a Squarespace secret is hexadecimal digits, two for each byte") from None
        object.__setattr__(self, "_keys", keys)

    @property
    def reads(self) -> tuple[str, ...]:
        """None: all is in the body."""
        return ()

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """Hexadecimal digits of HMAC-SHA256 over the raw body, compared in constant time."""
        given = headers.get(_SIGNATURE)
        if not given:
            return Unauthentic(f"the header {_SIGNATURE} is missing")
        if not body:
            return Unauthentic("the body is empty; Squarespace signs none such")
        signature = given.strip().encode("utf-8", "surrogatepass")
        for key in self._keys:
            if hmac.compare_digest(hmac_sha256(key, body).hex().encode(), signature):
                return Authentic()
        return Unauthentic("the signature matches none of the storefront's secrets")

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """As Squarespace signs; topic and id are in the body."""
        return {_SIGNATURE: hmac_sha256(self._keys[0], body).hex()}

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order is to be fetched."""
        notification = _notification(body)
        if isinstance(notification, Reason):
            return NotUnderstood((notification,), _digest(body), "")
        topic = _plain(notification.topic)
        undated = notification.created_on is None
        key = _plain(notification.id) or f"{_digest(body)}{f':{now}' if undated else ''}"
        if topic == _UNINSTALLED:
            reason = "the extension was uninstalled: Squarespace sends no more notifications, and its token is dead"
            return Ignore(f"{topic}: {reason}", key, topic)
        if topic not in _ORDER_TOPICS and topic:
            return Ignore(f"{topic}: a topic that is not about orders", key, topic)
        order_id = (notification.data or _Data()).order_id
        if not topic or not isinstance(order_id, str) or not _ORDER_ID.fullmatch(order_id):
            fault = _NO_ID if topic else Reason("/topic", "no topic: this is no notification of Squarespace's")
            return NotUnderstood((fault,), key, topic)
        return Fetch(order_id, None, key, topic)

    def strip(self, body: bytes) -> bytes:
        """Nothing: no secret is in Squarespace's bodies."""
        return body

    def first_request(self, external_id: str) -> Request:
        """The order, which has everything."""
        return Request(f"1.0/commerce/orders/{quote(external_id, safe='')}")

    def next_request(self, pages: Sequence[Page]) -> Request | None:
        """Nothing."""
        return None

    def assemble(self, pages: Sequence[Page]) -> bytes:
        """The order as Squarespace sent it."""
        return pages[0].body if pages else b""

    def identify_fetched(self, body: bytes, *, now: Instant) -> Upsert | Cancel | Ignore | NotUnderstood:
        """Which state of the order; its version is ``modifiedOn``."""
        try:
            head = shape.head(body)
        except RecursionError:
            head = Reason("", "nested too deeply to be an order")
        if isinstance(head, Reason):
            return NotUnderstood((head,), _digest(body), FETCHED_TOPIC)
        version, created_at = moment(head.modified_on), moment(head.created_on)
        key = f"{_digest(body)}{f':{now}' if version is None else ''}"
        if not isinstance(head.id, str) or not _ORDER_ID.fullmatch(head.id):
            return NotUnderstood((_NO_ORDER,), key, FETCHED_TOPIC)
        if head.testmode is True and self.rules.test_orders == "ignore":
            return Ignore(_TEST_ORDER, key, FETCHED_TOPIC)
        state = Cancel if shape.is_cancelled(head) else Upsert
        return state(head.id, version, key, FETCHED_TOPIC, reference(head.order_number), created_at)

    def asks_to_wait_s(self, headers: Headers) -> float | None:
        """A minute, always."""
        return _COOL_DOWN_S

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The fetched order as a manual sale; see :func:`relay.core.sources.squarespace.mapping.to_sale`."""
        return to_sale(body, self.rules)


_TEST_ORDER = 'an order of the test mode; test_orders = "send" in the storefront\'s table delivers such orders'


def _notification(body: bytes) -> _Notification | Reason:
    try:
        return _notifications.decode(body)
    except RecursionError:
        return Reason("", "nested too deeply to be a notification")
    except ValueError as error:
        return undecoded(error)


def _plain(value: object) -> str:
    return value if isinstance(value, str) and is_plain(value) else ""


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()[:40]
