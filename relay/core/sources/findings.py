"""What is found while an order becomes a sale: why it cannot, and what a person should know of it when it does."""

from dataclasses import dataclass, field
from decimal import Decimal

from relay.core import exact
from relay.core.sale import Reason, bounded

AND_AGAIN = "then change the order in the shop so that it sends a new webhook"
"""How every remedy ends: what is a dead letter goes on with the next webhook about its order."""


def set_key(key: str) -> str:
    """The whole remedy; which storefront's table it is, a source does not know."""
    return f"set {key} in the storefront's table, restart, {AND_AGAIN}"


@dataclass(slots=True, kw_only=True)
class Findings:
    """Reasons and notes, each with the JSON pointer of what it is about."""

    root: str = ""
    """The pointer of the order in its body, where the body wraps it."""
    reasons: list[Reason] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)

    def refuse(self, pointer: str, message: str) -> None:
        """There will be no sale, and this is why."""
        self.reasons.append(Reason(self.root + pointer, message))

    @property
    def told(self) -> tuple[Reason, ...]:
        """The reasons, as many as anybody reads."""
        return bounded(self.reasons)

    def note(self, pointer: str, message: str) -> None:
        """The sale leaves something out, or had to assume it."""
        self.notes.append(Reason(self.root + pointer, message))

    def money(self, pointer: str, value: object) -> Decimal | None:
        """An exact amount; refused if it is none."""
        try:
            return exact.money(value)
        except ValueError as error:
            self.refuse(pointer, str(error))
            return None

    def count(self, pointer: str, value: object) -> int:
        """A quantity; refused, and 0, if it is none."""
        try:
            found = exact.whole(value)
        except ValueError as error:
            self.refuse(pointer, str(error))
            return 0
        if found < 0:
            self.refuse(pointer, f"expected a quantity of 0 or more, found {found}")
        return max(0, found)
