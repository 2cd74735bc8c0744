"""The error bodies of Jetti's API: problem objects of RFC 7807 whose ``title`` is the machine code.

Documented by the vendor's published code: the shape, the grammar ``api.<resource>.<action>[.<context>]``, the
default ``api.errors.unknown`` with status 500, and ``api.channels.process_sale.missing``. The bodies of 400, 401,
404, 413, 415, 422 and 429 are not published; the codes used for them here are made up in the same grammar.
"""

import msgspec

CONTENT_TYPE = "application/problem+json"
_TYPE = "https://problems.jetti.io/details#"


class Problem(msgspec.Struct, frozen=True):
    """One error, as Jetti would send it."""

    type: str
    title: str
    status: int
    detail: str
    details: dict[str, str | None]


def problem(title: str, status: int, detail: str, **details: str | None) -> Problem:
    """A problem with this code; ``details`` are what it is about."""
    return Problem(_TYPE + title, title, status, detail, details)


def invalid(detail: str, status: int = 422, **details: str | None) -> Problem:
    """The sale cannot be imported because of what it says."""
    return problem("api.channels.process_sale.invalid", status, detail, **details)


def missing(variant: str, external_id: str) -> Problem:
    """A line is about an item the channel does not know. Permanent, and yet a 500: the vendor's default."""
    detail = "Could not import order, as an order item does not yet exist in Jetti."
    return problem("api.channels.process_sale.missing", 500, detail, externalId=external_id, variant=variant)


def unauthorized(detail: str, status: int = 401) -> Problem:
    """A hash or token that is absent or wrong."""
    return problem("api.errors.unauthorized", status, detail)


def throttled() -> Problem:
    """More than the limit allows."""
    return problem("api.errors.throttled", 429, "Too many requests.")


def not_found(detail: str) -> Problem:
    """Nothing of that address or id."""
    return problem("api.errors.not_found", 404, detail)


def unknown(status: int, title: str | None, detail: str) -> Problem:
    """An error without a known cause, which is also how faults on request look unless they are given a code."""
    return problem(title or "api.errors.unknown", status, detail)
