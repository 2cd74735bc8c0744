"""What is answered when something is refused: problem details (RFC 9457) with a stable ``type``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from relay.core.sale import Reason

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:order-relay:problem:"


@dataclass(eq=False)
class Problem(Exception):
    """A refusal. Raised where it is found, answered in one place."""

    status: int
    name: str
    """Last part of the ``type``: stable, for programs."""
    detail: str
    """For a person: what is wrong and what to do. Never a secret, never personal data."""
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Reason] = ()
    """For 422: one per field."""

    def members(self) -> dict[str, object]:
        """The problem as JSON has it."""
        body: dict[str, object] = {
            "type": TYPE + self.name,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [{"pointer": reason.pointer, "detail": reason.message} for reason in self.errors]
        return body

    def encode(self) -> bytes:
        """The response's body."""
        return msgspec.json.encode(self.members())
