"""Standard Webhooks (specification 1.0), the vendor-neutral way in: signed, with an id and a time.

The specification is https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. The
body is a manual sale, or its envelope ``{"type", "timestamp", "data"}`` with a manual sale as ``data``, or any JSON
that a recipe can read. ``webhook-id`` is the same for every attempt, and so the dedupe key; the header
``webhook-timestamp`` is the attempt's and never a version: that is the order's own, else the envelope's ``timestamp``.
"""

import base64
import hashlib
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.instant import Instant
from relay.core.recipe import document
from relay.core.recipe.expression import Expression
from relay.core.recipe.reading import Reading, timestamp_of, told, type_of
from relay.core.sale import Reason
from relay.core.sources import Authentic, Headers, Identified, Mapped, Unauthentic, Unmappable, standard_signature
from relay.core.sources.values import header

__all__ = ["Standard", "StandardRules", "key_of"]

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class StandardRules:
    """What the operator decides about a sender of Standard Webhooks."""

    tolerance_s: float = standard_signature.TOLERANCE_S
    """How far an attempt's time may be from ours, either way, seconds."""


def key_of(secret: str) -> bytes:
    """The key of a secret: base64, with or without its ``whsec_`` and its padding.

    Raises :class:`ValueError`, fit to be shown to a person, for anything else.
    """
    text = secret.strip().removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (NotBase64, ValueError):
        raise ValueError('a secret of Standard Webhooks is base64, "whsec_" in front or not') from None
    if not key:
        raise ValueError("a secret of Standard Webhooks is empty; copy it from the sender, or make one of 32 bytes")
    return key


@dataclass(frozen=True, slots=True)
class Standard:
    """A sender of Standard Webhooks. Raises :class:`ValueError` for a secret that is none."""

    secrets: tuple[str, ...] = field(repr=False)
    """Any one may match, so that they can be rotated."""
    reading: Reading = Reading()  # noqa: RUF009 - immutable
    topic: Expression | None = None
    """Where in the body the type is, if not the envelope's ``type``."""
    rules: StandardRules = StandardRules()
    _keys: tuple[bytes, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ValueError("a storefront needs at least one secret")
        object.__setattr__(self, "_keys", tuple(key_of(secret) for secret in self.secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """The webhook's id."""
        return (standard_signature.ID,)

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """HMAC-SHA256 over id, time and raw body; any ``v1`` signature may match, other versions are skipped."""
        return standard_signature.verify(self._keys, headers, body, now=now, tolerance_s=self.rules.tolerance_s)

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """As the specification says; the type is in the body."""
        return standard_signature.signed(self._keys[0], body, webhook_id=webhook_id, now=now)

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order, by the recipe or as the manual sale says."""
        key = header(headers, standard_signature.ID) or "sha256:" + hashlib.sha256(body).hexdigest()[:40]
        value = document.decoded(body)
        topic = type_of(value) if self.topic is None or isinstance(value, Reason) else told(value, self.topic)
        return self.reading.identify(value, topic, key, timestamp_of(value))

    def strip(self, body: bytes) -> bytes:
        """Nothing: the secret is not in the body."""
        return body

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale."""
        return self.reading.sale(body, topic)
