"""Any storefront whose webhooks carry a signature, or a token, in a header: names and forms are configured.

What is signed is ``signed``: ``{body}``, or with what proves more, as ``{timestamp}.{body}``. A header that is not
signed proves nothing: so a timestamp must be signed to be asked for, and an id that is not signed only tells repeated
webhooks apart together with the body. A token proves who sends, and nothing of what is sent.
"""

import base64
import hashlib
import hmac
import re
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from relay.core import instant
from relay.core import version as versions
from relay.core.instant import Instant
from relay.core.recipe import document
from relay.core.recipe.conversion import date_format
from relay.core.recipe.expression import Expression
from relay.core.recipe.reading import Reading, told, type_of
from relay.core.sale import Reason
from relay.core.signature import hmac_sha256
from relay.core.sources import (
    Authentic,
    Cancel,
    Headers,
    Identified,
    Mapped,
    Unauthentic,
    Unmappable,
    Upsert,
)
from relay.core.sources.values import header

__all__ = ["HmacRules", "HmacSigned"]

_HEADER_MAX_CHARACTERS = 4_096
_SIGNATURES_MAX = 16
_NUMBER = re.compile(r"[0-9]{1,19}")
_PLACEHOLDERS = re.compile(r"\{([a-z]*)\}")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True, slots=True)
class HmacRules:
    """How a storefront signs."""

    header: str = "X-Signature"
    """The header of the signature, or of the token."""
    method: Literal["sha256", "sha512", "sha1", "token"] = "sha256"
    """Hash of the HMAC; ``token``: the header is the secret itself. ``sha1`` only where there is nothing else."""
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    """What is in front of the signature or the token: ``sha256=``, ``Bearer ``."""
    key_encoding: Literal["text", "hex", "base64"] = "text"
    """How the secret becomes the key: as it is, or decoded."""
    signed: str = "{body}"
    """What is signed: ``{body}``, and ``{timestamp}`` and ``{id}`` as their headers have them."""
    timestamp_header: str | None = None
    timestamp_format: str = "unix"
    """``unix``, ``unix_ms``, ``iso``, ``rfc2822`` or a pattern of ``strptime``, in UTC."""
    tolerance_s: float = 300.0
    """How far the timestamp may be from now, either way, seconds."""
    id_header: str | None = None
    """The header that is the same for every attempt of one webhook, and for no other."""
    topic_header: str | None = None
    """The header that names the type."""
    separator: str | None = None
    """What is between several entries of the header, each with a ``prefix`` of its own; any signature may match."""
    timestamp_prefix: str | None = None
    """What is in front of the timestamp, where it is one of these entries: ``t=``."""
    sequence_header: str | None = None
    """The header with the number of the change, which only grows: the version, in the place of any time."""


@dataclass(frozen=True, slots=True)
class HmacSigned:
    """A storefront that signs its bodies. Raises :class:`ValueError`, fit for a person, for rules that cannot be."""

    secrets: tuple[str, ...] = field(repr=False)
    """Any one may match, so that they can be rotated."""
    rules: HmacRules = HmacRules()
    reading: Reading = Reading()  # noqa: RUF009 - immutable
    dedupe: Expression | None = None
    """Where in the body the webhook's id is, if not in a header."""
    topic: Expression | None = None
    """Where in the body the type is, if not in a header."""
    _keys: tuple[bytes, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        _check(self.rules)
        if not self.secrets or not all(self.secrets):
            raise ValueError("a storefront needs at least one secret, and none may be empty")
        object.__setattr__(self, "_keys", tuple(_key(secret, self.rules) for secret in self.secrets))

    @property
    def reads(self) -> tuple[str, ...]:
        """The headers of the id and of the type, if there are such."""
        rules = self.rules
        return tuple(name for name in (rules.id_header, rules.topic_header, rules.sequence_header) if name)

    def verify(self, headers: Headers, body: bytes, *, now: Instant) -> Authentic | Unauthentic:
        """The signature over what is signed, or the token, compared in constant time."""
        rules = self.rules
        proofs = _entries(rules, headers, rules.prefix)
        if isinstance(proofs, Unauthentic):
            return proofs
        if rules.method == "token":
            known = any(hmac.compare_digest(key, proof.encode()) for key in self._keys for proof in proofs)
            return Authentic() if known else Unauthentic("the token is none of the storefront's secrets")
        timestamp = _timestamp(rules, headers)
        if isinstance(timestamp, Unauthentic):
            return timestamp
        signed = _signed(rules, headers, timestamp, body)
        if isinstance(signed, Unauthentic):
            return signed
        given = [(proof.lower() if rules.encoding == "hex" else proof).encode() for proof in proofs]
        digests = [_digest(key, signed, rules) for key in self._keys]
        if not any(hmac.compare_digest(digest, proof) for digest in digests for proof in given):
            return Unauthentic("the signature matches none of the storefront's secrets")
        return _timely(rules, timestamp, now)

    def signed(self, body: bytes, *, topic: str, webhook_id: str, now: Instant) -> Mapping[str, str]:
        """As the rules say the storefront does."""
        rules, at = self.rules, date_format(self.rules.timestamp_format).written(now)
        named = (
            (rules.timestamp_header, at),
            (rules.id_header, webhook_id),
            (rules.topic_header, topic),
        )
        headers = {name: value for name, value in named if name and value}
        if rules.method == "token":
            return headers | {rules.header: rules.prefix + self.secrets[0]}
        signing = _signed(rules, headers, at, body)
        if isinstance(signing, Unauthentic):
            raise ValueError(signing.reason)  # noqa: TRY004 - not of a wrong type: the id is empty
        proof = rules.prefix + _digest(self._keys[0], signing, rules).decode()
        if rules.timestamp_prefix is not None:
            proof = f"{rules.timestamp_prefix}{at}{rules.separator}{proof}"
        return headers | {rules.header: proof}

    def identify(self, headers: Headers, body: bytes, *, now: Instant) -> Identified:
        """Which order, by the recipe or as the manual sale says."""
        value = document.decoded(body)
        topic = header(headers, self.rules.topic_header) if self.rules.topic_header else ""
        if not topic and self.topic is not None and not isinstance(value, Reason):
            topic = told(value, self.topic)
        if not topic and self.reading.recipe is None:
            topic = type_of(value)
        key = self._id(headers, body, value)
        if key:
            return self._read(headers, value, topic, key)
        number = header(headers, self.rules.sequence_header) if self.rules.sequence_header else ""
        dated = self._read(headers, value, topic, _digest_key(topic, body, *filter(None, [number])))
        if isinstance(dated, Upsert | Cancel) and dated.version is None:
            # Without a version, the body alone does not say "the same webhook": A, B and A again means A.
            return self._read(headers, value, topic, _digest_key(topic, body, str(now)))
        return dated

    def strip(self, body: bytes) -> bytes:
        """Nothing: the secret is not in the body."""
        return body

    def sale(self, body: bytes, topic: str) -> Mapped | Unmappable:
        """The order as a manual sale."""
        return self.reading.sale(body, topic)

    def _read(self, headers: Headers, value: object, topic: str, key: str) -> Identified:
        """What is read, with the number of the change as its version where a header has it, and then with no other."""
        found = self.reading.identify(value, topic, key)
        if self.rules.sequence_header is None or not isinstance(found, Upsert | Cancel):
            return found
        given = header(headers, self.rules.sequence_header)
        return replace(found, version=versions.of_sequence(int(given)) if _NUMBER.fullmatch(given) else None)

    def _id(self, headers: Headers, body: bytes, value: object) -> str:
        if self.rules.id_header and (given := header(headers, self.rules.id_header)):
            covered = "{id}" in self.rules.signed and self.rules.method != "token"
            return given if covered else f"{given}:{hashlib.sha256(body).hexdigest()[:32]}"
        return "" if self.dedupe is None or isinstance(value, Reason) else told(value, self.dedupe)


def _check(rules: HmacRules) -> None:
    for name in (rules.header, rules.timestamp_header, rules.id_header, rules.topic_header, rules.sequence_header):
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
    others = {name.lower() for name in (rules.id_header, rules.topic_header, rules.sequence_header) if name}
    if rules.header.lower() in others:
        raise ValueError(f"the header {rules.header} proves who sends: it cannot also be id, type or number")
    parts = _PLACEHOLDERS.findall(rules.signed)
    if parts.count("body") != 1 or len(set(parts)) < len(parts) or not set(parts) <= {"body", "timestamp", "id"}:
        raise ValueError(f"signed = {rules.signed!r}: write {{body}} once, {{timestamp}} and {{id}} at most once")
    _check_timestamp(rules, parts)
    for name, set_header in (("timestamp", rules.timestamp_header or rules.timestamp_prefix), ("id", rules.id_header)):
        if name in parts and set_header is None:
            raise ValueError(f"signed has {{{name}}}: set {name}_header")
    if rules.tolerance_s <= 0:
        raise ValueError("tolerance_s must be more than 0")
    date_format(rules.timestamp_format)


def _check_timestamp(rules: HmacRules, parts: list[str]) -> None:
    if rules.separator is not None and not rules.separator.strip() and rules.separator != " ":
        raise ValueError('separator is what is between the entries of the header, such as "," or " "')
    if rules.timestamp_prefix is not None and (not rules.timestamp_prefix or rules.separator is None):
        raise ValueError("timestamp_prefix is of an entry of the header: set separator, or timestamp_header instead")
    if rules.timestamp_prefix is not None and rules.timestamp_header is not None:
        raise ValueError("the timestamp is in one place: set timestamp_header or timestamp_prefix")
    has_timestamp = rules.timestamp_header is not None or rules.timestamp_prefix is not None
    if has_timestamp and ("timestamp" not in parts or rules.method == "token"):
        raise ValueError("a timestamp that is not signed proves nothing: put {timestamp} into signed, or leave it out")


def _entries(rules: HmacRules, headers: Headers, prefix: str) -> list[str] | Unauthentic:
    """What stands in the header behind a prefix: once, or in some of its entries."""
    given = headers.get(rules.header) or ""
    if not given:
        return Unauthentic(f"the header {rules.header} is missing")
    if len(given) > _HEADER_MAX_CHARACTERS:
        return Unauthentic(f"the header {rules.header} is too long")
    entries = [given] if rules.separator is None else [entry.strip() for entry in given.split(rules.separator)]
    found = [entry[len(prefix) :].strip() for entry in entries if entry and entry.startswith(prefix)]
    if not found:
        what = "does not begin with" if rules.separator is None else "has no entry that begins with"
        return Unauthentic(f"the header {rules.header} {what} {prefix!r}")
    return [entry.encode("utf-8", "replace").decode() for entry in found[:_SIGNATURES_MAX]]


def _timestamp(rules: HmacRules, headers: Headers) -> str | Unauthentic:
    """As it was sent; nothing where there is none to be looked at."""
    if rules.timestamp_prefix is not None:
        found = _entries(rules, headers, rules.timestamp_prefix)
        return found if isinstance(found, Unauthentic) else found[0]
    if rules.timestamp_header is None:
        return ""
    given = headers.get(rules.timestamp_header) or ""
    if not given or len(given) > _HEADER_MAX_CHARACTERS:
        return Unauthentic(f"the header {rules.timestamp_header} is missing or too long")
    return given


def _key(secret: str, rules: HmacRules) -> bytes:
    if rules.key_encoding == "text":
        return secret.encode()
    text = secret.strip()
    try:
        key = bytes.fromhex(text) if rules.key_encoding == "hex" else base64.b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise ValueError(f"a secret is not {rules.key_encoding}, as key_encoding says") from None
    if not key:
        raise ValueError("a secret is empty")
    return key


def _signed(rules: HmacRules, headers: Headers, timestamp: str, body: bytes) -> bytes | Unauthentic:
    if rules.signed == "{body}":
        return body
    pieces: list[bytes] = []
    for place, text in enumerate(_PLACEHOLDERS.split(rules.signed)):
        if place % 2 == 0:
            pieces.append(text.encode())
        elif text == "body":
            pieces.append(body)
        elif text == "timestamp":
            pieces.append(timestamp.encode("utf-8", "replace"))
        else:
            name = rules.id_header or ""
            given = headers.get(name) or ""
            if not given or len(given) > _HEADER_MAX_CHARACTERS:
                return Unauthentic(f"the header {name} is missing or too long")
            pieces.append(given.encode("utf-8", "replace"))
    return b"".join(pieces)


def _digest(key: bytes, signed: bytes, rules: HmacRules) -> bytes:
    digest = hmac_sha256(key, signed) if rules.method == "sha256" else hmac.digest(key, signed, rules.method)
    return digest.hex().encode() if rules.encoding == "hex" else base64.b64encode(digest)


def _timely(rules: HmacRules, timestamp: str, now: Instant) -> Authentic | Unauthentic:
    if not timestamp:
        return Authentic()
    try:
        at = date_format(rules.timestamp_format).read(timestamp)
    except ValueError as error:
        return Unauthentic(f"the timestamp of the signature: {error}")
    if abs(instant.seconds_between(at, now)) > rules.tolerance_s:
        return Unauthentic(f"the webhook was signed more than {rules.tolerance_s:g} s from now: check the clock")
    return Authentic()


def _digest_key(topic: str, body: bytes, *more: str) -> str:
    return "sha256:" + hashlib.sha256("\0".join((topic, *more, "")).encode() + body).hexdigest()[:40]
