"""From an order's newest raw event to the bytes that are sent: the late half of "identify early, map late"."""

from dataclasses import dataclass
from hashlib import blake2b

from relay.core.order import Order
from relay.core.outcome import CannotMap, Cause, Failed, Outcome, Unchanged
from relay.core.sale import PropertyStyle, Reason, cancelled, encode
from relay.core.sources import Source, Unmappable


@dataclass(frozen=True, slots=True)
class Made:
    """The sale of an order's newest revision, as it would be sent now."""

    sale: bytes
    """The manual-sale payload, canonical JSON."""
    digest: bytes
    """16 bytes: equal exactly if the sales are, byte for byte."""
    notes: tuple[Reason, ...] = ()
    """What was left out or assumed."""

    def is_known_to(self, order: Order) -> bool:
        """Whether Jetti certainly has exactly this already, so that sending it would say nothing new."""
        return order.attempts == 0 and order.delivered_digest == self.digest


@dataclass(frozen=True, slots=True)
class Maker:
    """How one storefront's orders are made into sales."""

    source: Source
    property_style: PropertyStyle = "key"
    skip_unchanged: bool = True
    """Whether an update that changes nothing Jetti sees is left unsent."""

    def make(self, order: Order, topic: str, body: bytes) -> Made | Unmappable:
        """The sale of an order's newest event. A cancellation sticks, also when later events do not mention it."""
        mapped = self.source.sale(body, topic)
        if isinstance(mapped, Unmappable):
            return mapped
        sale = mapped.sale if order.cancelled_at is None else cancelled(mapped.sale, at=order.cancelled_at)
        encoded = encode(sale, property_style=self.property_style)
        return Made(encoded, blake2b(encoded, digest_size=16).digest(), mapped.notes)

    def is_unchanged(self, order: Order, made: Made) -> bool:
        """Whether to leave the order's newest revision unsent."""
        return self.skip_unchanged and made.is_known_to(order)


def conclude(maker: Maker | None, order: Order, topic: str, body: bytes) -> Made | Outcome:
    """The sale to send; or what the order's delivery comes to without sending anything."""
    if maker is None:
        name = order.storefront
        return Failed(Cause("storefront_unknown", f"no storefront {name!r} is configured: add [storefronts.{name}]"))
    if not body:
        return CannotMap(Cause("body_gone", "its raw webhook is not there any more: let the shop send the order again"))
    try:
        made = maker.make(order, topic, body)
    except Exception as error:  # noqa: BLE001 - a defect in a mapping must cost one dead letter, never the channel
        cause = Cause("defect", f"mapping the order raised {type(error).__name__}, which it never should: report it")
        return CannotMap(cause, defect=error)
    if isinstance(made, Unmappable):
        return CannotMap(Cause("unmappable", _in_words(made.reasons)), made.reasons)
    return Unchanged() if maker.is_unchanged(order, made) else made


def _in_words(reasons: tuple[Reason, ...]) -> str:
    shown = "; ".join(f"{reason.pointer or 'the body'}: {reason.message}" for reason in reasons[:3])
    return shown if len(reasons) <= 3 else f"{shown}; and {len(reasons) - 3} more"
