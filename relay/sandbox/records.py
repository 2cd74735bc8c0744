"""What a Jetti account keeps, and how its API shows it. Times are seconds since the sandbox started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from relay.sandbox.journal import Received
from relay.sandbox.problems import Problem

MAX_SEQUENCE = 64
"""Sequence numbers kept per sale, at least this many of the newest."""

Iso = Callable[[float], str]


@dataclass(slots=True, eq=False)
class Sale:
    """What Jetti has of one order."""

    id: int
    channel_id: int
    external_id: str
    created_at: float
    newest: Received
    """The request imported last; its payload is what the sale says."""
    updated_at: float = 0.0
    requests: int = 0
    """Imports of this sale so far."""
    sequence: list[int] = field(default_factory=list)
    """The sequence numbers of those requests, in the order of their import."""
    cancelled_at: float | None = None
    cancellation_status: str = "none"
    cancels: int = 0
    """Cancel calls that did something or would have, had it not been cancelled already."""

    def imported(self, received: Received, at: float) -> None:
        """It now says what this request says. Documented: no guard against an older one."""
        self.newest, self.updated_at = received, at
        self.requests += 1
        self.sequence.append(received.seq)
        if len(self.sequence) > 2 * MAX_SEQUENCE:
            del self.sequence[:-MAX_SEQUENCE]


@dataclass(frozen=True, slots=True)
class Import:
    """One row of the import log."""

    id: int
    channel_id: int
    received: Received
    sale_id: int | None
    problem: Problem | None
    at: float

    @property
    def status(self) -> str:
        """``success`` or ``error``."""
        return "success" if self.problem is None else "error"


SALE_FIELDS: Mapping[str, Callable[[Sale], Any]] = {
    "id": lambda sale: sale.id,
    "channelId": lambda sale: sale.channel_id,
    "externalId": lambda sale: sale.external_id,
    "reference": lambda sale: sale.newest.reference or "",
    "createdAt": lambda sale: sale.created_at,
    "updatedAt": lambda sale: sale.updated_at,
}
"""What sales can be looked up and ordered by."""

IMPORT_FIELDS: Mapping[str, Callable[[Import], Any]] = {
    "id": lambda row: row.id,
    "channelId": lambda row: row.channel_id,
    "externalId": lambda row: row.received.external_id,
    "saleId": lambda row: row.sale_id or 0,
    "status": lambda row: row.status,
    "createdAt": lambda row: row.at,
    "updatedAt": lambda row: row.at,
}
"""What the import log can be looked up and ordered by."""


def show_sale(sale: Sale, iso: Iso) -> dict[str, Any]:
    """The sale object. What the payload says is passed on as it was written, amounts included."""
    identity = {"id": sale.id, "channelId": sale.channel_id, "externalId": sale.external_id}
    said = _members(sale.newest.payload)
    shown: dict[str, Any] = {"status": "finalized", "reference": sale.newest.reference}
    shown |= {"cancelled": False, "cancelledAt": None, "cancellationStatus": "none"}
    shown |= _members(bytes(said["saleDefaults"])) if "saleDefaults" in said else {}
    shown |= {name: said[name] for name in ("customer", "lineItems", "shipping") if name in said}
    if sale.cancelled_at is not None:
        fully = sale.cancellation_status == "full"
        shown |= {"cancelled": fully, "cancelledAt": iso(sale.cancelled_at)}
        shown |= {"cancellationStatus": sale.cancellation_status}
    shown |= {"createdAt": iso(sale.created_at), "updatedAt": iso(sale.updated_at)}
    return identity | shown | identity  # first for the reader; last because saleDefaults may not change it


def show_import(row: Import, iso: Iso) -> dict[str, Any]:
    """The row with the attributes of the vendor's published schema."""
    return {
        "id": row.id,
        "channelId": row.channel_id,
        "externalId": row.received.external_id or None,
        "saleId": row.sale_id,
        "status": row.status,
        "problem": row.problem,
        "payload": as_json(row.received.payload),
        "read": False,
        "emailSent": False,
        "createdAt": iso(row.at),
        "updatedAt": iso(row.at),
    }


def as_json(body: bytes | None) -> msgspec.Raw | str | None:
    """A body inside a JSON answer: as it was written when it is JSON, else as text; ``None`` when it was not kept."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")


def _members(body: bytes | None) -> dict[str, msgspec.Raw]:
    found = None if body is None else msgspec.json.decode(body, type=dict[str, msgspec.Raw] | None)
    return found or {}
