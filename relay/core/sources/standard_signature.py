"""The signature of Standard Webhooks (specification 1.0), for every storefront that signs so.

Signed are ``{webhook-id}.{webhook-timestamp}.`` and the raw body, with HMAC-SHA256. The timestamp is the attempt's, so
that a replay is old; the id is the message's, the same for every attempt.
"""

import hmac
from binascii import b2a_base64
from collections.abc import Iterable

from relay.core import instant
from relay.core.instant import Instant
from relay.core.signature import hmac_sha256
from relay.core.sources import Authentic, Headers, Unauthentic

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_S = 300.0
"""How far the sender's clock may be from ours, either way: what the specification's libraries take."""

_HEADER_MAX_CHARACTERS = 4_096
_SIGNATURES_MAX = 16


def signed(key: bytes, body: bytes, *, webhook_id: str, now: Instant) -> dict[str, str]:
    """The three headers of a webhook that is sent now. ``webhook_id`` has no dot, says the specification."""
    at = str(now // instant.SECOND)
    digest = b2a_base64(hmac_sha256(key, _signed(webhook_id, at, body)), newline=False).decode()
    return {ID: webhook_id, TIMESTAMP: at, SIGNATURE: f"v1,{digest}"}


def verify(
    keys: Iterable[bytes], headers: Headers, body: bytes, *, now: Instant, tolerance_s: float = TOLERANCE_S
) -> Authentic | Unauthentic:
    """Whether any ``v1`` signature is by any of these keys, and is of these minutes. Compares in constant time."""
    named = {name: headers.get(name) or "" for name in (ID, TIMESTAMP, SIGNATURE)}
    if missing := [name for name, value in named.items() if not value]:
        return Unauthentic(f"the header {missing[0]} is missing")
    if any(len(value) > _HEADER_MAX_CHARACTERS or not value.isascii() for value in named.values()):
        return Unauthentic("a header of the signature is not what Standard Webhooks sends")
    at = named[TIMESTAMP]
    if not at.isdigit() or len(at) > 12:
        return Unauthentic(f"the header {TIMESTAMP} is no time in seconds since 1970")
    if abs(instant.seconds_between(int(at) * instant.SECOND, now)) > tolerance_s:
        return Unauthentic(f"the webhook was signed more than {tolerance_s:g} s from now: check the clock")
    signing = _signed(named[ID], at, body)
    # The text is compared, not the bytes it stands for: base64 has several spellings of the same bytes.
    given = [entry[3:].encode() for entry in named[SIGNATURE].split()[:_SIGNATURES_MAX] if entry.startswith("v1,")]
    for key in keys:
        digest = b2a_base64(hmac_sha256(key, signing), newline=False)
        if any(hmac.compare_digest(digest, entry) for entry in given):
            return Authentic()
    return Unauthentic("the signature matches none of the storefront's secrets")


def _signed(webhook_id: str, at: str, body: bytes) -> bytes:
    return f"{webhook_id}.{at}.".encode() + body
