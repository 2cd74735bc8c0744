"""What an order is found by: its reference or external id as a person types it, and the e-mail of who bought."""

from hashlib import sha256

import msgspec

EMAIL_BYTES = 16
"""Of the SHA-256 that are kept: enough that no two addresses share them, and half the room."""
_FIRST_SURROGATE, _LAST_SURROGATE, _LAST = 0xD800, 0xDFFF, 0x10FFFF


def email_hash(address: str) -> bytes:
    """What is kept of an e-mail address: the first 16 bytes of the SHA-256 of it, trimmed and in lower case, as UTF-8.

    A pseudonym, and so still personal data: whoever has an address can tell whether it bought.
    """
    return sha256(address.strip().lower().encode("utf-8", "surrogatepass")).digest()[:EMAIL_BYTES]


def email_hash_of_hex(text: str) -> bytes | None:
    """The same from the SHA-256 as 64 hexadecimal digits; ``None`` for what is none. Its first 32 are enough."""
    digits = text.strip()
    if len(digits) not in (2 * EMAIL_BYTES, 64) or not digits.isascii() or not digits.isalnum():
        return None
    try:
        return bytes.fromhex(digits)[:EMAIL_BYTES]
    except ValueError:
        return None


class _Customer(msgspec.Struct):
    email: object = None


class _Bought(msgspec.Struct):
    customer: _Customer


_bought = msgspec.json.Decoder(_Bought)


def email_hash_of_sale(sale: bytes) -> bytes | None:
    """That of ``customer.email``, the one address that Jetti's payload requires; ``None`` where there is none."""
    try:
        address = _bought.decode(sale).customer.email
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return email_hash(address) if isinstance(address, str) and address.strip() else None


def spellings(text: str) -> tuple[str, ...]:
    """How what a person typed may be written: ``1001`` and ``#1001``, whichever of the two it was. None, if nothing
    was."""
    typed = text.strip()
    bare = typed.removeprefix("#")
    return (bare, f"#{bare}") if bare else ("#",) if typed else ()


def is_exactly(text: str, reference: str | None, external_id: str) -> bool:
    """Whether an order's reference or external id is what was typed."""
    return any(name in (reference, external_id) for name in spellings(text))


def begins(text: str, reference: str | None, external_id: str) -> bool:
    """Whether one of them begins with what was typed, if anything was."""
    names = spellings(text)
    return not names or (reference or "").startswith(names) or external_id.startswith(names)


def beyond(prefix: str) -> str | None:
    """The least text that is greater than all that begin with the prefix, by code points as SQLite compares them;
    ``None`` where there is none."""
    for end in range(len(prefix), 0, -1):
        following = ord(prefix[end - 1]) + 1
        if _FIRST_SURROGATE <= following <= _LAST_SURROGATE:  # no text that is stored has one
            following = _LAST_SURROGATE + 1
        if following <= _LAST:
            return prefix[: end - 1] + chr(following)
    return None
