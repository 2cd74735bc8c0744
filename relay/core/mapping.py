"""From an order's newest raw event to the bytes that are sent: the late half of "identify early, map late"."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

from relay.core.order import Order
from relay.core.outcome import CannotMap, Cause, Failed, Ignored, NotWanted, Outcome, Unchanged
from relay.core.recipe import Override
from relay.core.recipe import document as documents
from relay.core.sale import PropertyStyle, Reason, Sale, cancelled, encode, has_too_many_parts, without_cancellation
from relay.core.shaping import PLAIN, Shape, Shaped, shape, units_in
from relay.core.sources import Mapped, Source, Unmappable

_FIND_OR_CREATE = "find_or_create_channel_variant"


@dataclass(frozen=True, slots=True)
class Made:
    """The sale of an order's newest revision, as it would be sent now."""

    sale: bytes
    """The manual-sale payload, canonical JSON."""
    digest: bytes
    """16 bytes: equal exactly if the sales are, byte for byte, and for the same channel: what one channel has says
    nothing of another."""
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
    shape: Shape = PLAIN
    """What is done to every sale after the source has made it."""
    accept_when: Callable[[object], bool | Reason] | None = None
    """Whether an order is wanted yet, by the storefront's decoded document; a reason, if that cannot be told."""
    override: Override | None = None
    """What is changed in what the source made, before it is shaped."""

    calls_off: bool = False
    """Whether a cancellation is a call of its own to Jetti's API, so that the sale must not say it."""
    leaves_cancelled: bool = False
    """Whether an order stays unsent that is cancelled before Jetti can have anything of it."""

    @property
    def looks_back(self) -> bool:
        """Whether it makes use of the sale that was sent last."""
        return self.shape.split_lines is not None

    def make(self, order: Order, topic: str, body: bytes, last: bytes | None = None) -> Made | Unmappable | NotWanted:
        """The sale of an order's newest event. A cancellation sticks, also when later events do not mention it.

        ``last``: the sale that was sent for this order last, as far as it is remembered.
        """
        if (too_many := has_too_many_parts(body)) is not None:
            return Unmappable((too_many,))
        asked = self._asks_about(order)
        document: object = None
        if asked or self.override is not None or self.shape.reads_document:
            document = documents.decoded(body)
            if isinstance(document, Reason):
                return Unmappable((document,))
        if asked and (unwanted := self._unwanted(document)) is not None:
            return unwanted
        mapped = self.source.sale(body, topic)
        if isinstance(mapped, Mapped) and self.override is not None:
            mapped = self.override.apply(mapped, document)
        if isinstance(mapped, Unmappable):
            return mapped
        sale = self._cancelled(mapped.sale, order)
        shaped = self._shaped(replace(mapped, sale=sale), document, order.storefront, last)
        return shaped if isinstance(shaped, Unmappable) else self._made(shaped, mapped, order.channel)

    def leaves(self, order: Order) -> bool:
        """Whether to leave the whole order unsent."""
        return self.leaves_cancelled and order.cancelled_at is not None and order.certainly_unsent

    def is_unchanged(self, order: Order, made: Made) -> bool:
        """Whether to leave the order's newest revision unsent."""
        return self.skip_unchanged and made.is_known_to(order)

    def wants(self, order: Order, body: bytes) -> bool:
        """Whether the order would not be held, as things are now."""
        if not self._asks_about(order):
            return True
        document = documents.decoded(body)
        return isinstance(document, Reason) or self._unwanted(document) is None

    def _asks_about(self, order: Order) -> bool:
        return self.accept_when is not None and order.released_at is None and not _may_be_there(order)

    def _cancelled(self, sale: Sale, order: Order) -> Sale:
        if self.calls_off:
            return without_cancellation(sale)
        return sale if order.cancelled_at is None else cancelled(sale, at=order.cancelled_at)

    def _unwanted(self, document: object) -> NotWanted | None:
        """What is held: what the rule is not true of, and what it cannot be asked about."""
        wanted = True if self.accept_when is None else self.accept_when(document)
        if wanted is True:
            return None
        why = f"; {wanted.message}" if isinstance(wanted, Reason) else ""
        return NotWanted(Cause("not_wanted", f"the storefront's accept_when rule is not true of the order yet{why}"))

    def _shaped(self, mapped: Mapped, document: object, storefront: str, last: bytes | None) -> Shaped | Unmappable:
        if self.shape is PLAIN:
            return Shaped(mapped.sale)
        units = None if self.shape.split_lines is None else units_in(last)
        origins = mapped.origins
        return shape(mapped.sale, document, self.shape, storefront=storefront, units=units, origins=origins)

    def _made(self, shaped: Shaped, mapped: Mapped, channel: str) -> Made:
        encoded = encode(shaped.sale, property_style=self.property_style)
        digest = blake2b(channel.encode() + b"\0" + encoded, digest_size=16).digest()
        notes = mapped.notes + shaped.notes
        return Made(encoded, digest, notes + _unconnected(shaped.sale, notes))


def _unconnected(sale: Sale, notes: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Jetti's documentation: ``findOrCreateChannelVariant`` is required to connect by SKU."""
    if sale.options.find_or_create_channel_variant or any(_FIND_OR_CREATE in note.message for note in notes):
        return ()
    connecting = (line.variant for line in sale.line_items)
    if all(variant is None or variant.external_id is not None or not variant.sku for variant in connecting):
        return ()
    return (Reason("/lineItems", f"connecting lines by SKU needs {_FIND_OR_CREATE} = true at Jetti"),)


def _may_be_there(order: Order) -> bool:
    """Whether Jetti has the order, or may have it. Then its updates go on whatever ``accept_when`` says: the rule is
    about orders that are not wanted *yet*, and a refund or a cancellation must not stay behind because the order is no
    longer paid."""
    return order.delivered_revision > 0 or order.attempts > 0 or order.may_be_there


_LEFT = Cause("cancelled_unsent", "cancelled before anything of it was sent to Jetti: left unsent")


def conclude(maker: Maker | None, order: Order, topic: str, body: bytes, last: bytes | None = None) -> Made | Outcome:
    """The sale to send; or what the order's delivery comes to without sending anything.

    ``last``: the sale that was sent for this order last, if it is remembered; see :meth:`Maker.make`.
    """
    if maker is None:
        name = order.storefront
        return Failed(Cause("storefront_unknown", f"no storefront {name!r} is configured: add [storefronts.{name}]"))
    if maker.leaves(order):
        return Ignored(_LEFT)
    if not body:
        return CannotMap(Cause("body_gone", "its raw webhook is not there any more: let the shop send the order again"))
    return _concluded(maker, order, topic, body, last)


def _concluded(maker: Maker, order: Order, topic: str, body: bytes, last: bytes | None) -> Made | Outcome:
    try:
        made = maker.make(order, topic, body, last)
    except Exception as error:  # noqa: BLE001 - a defect in a mapping must cost one dead letter, never the channel
        cause = Cause("defect", f"mapping the order raised {type(error).__name__}, which it never should: report it")
        return CannotMap(cause, defect=error)
    if isinstance(made, Unmappable):
        return CannotMap(Cause("unmappable", _in_words(made.reasons)), made.reasons)
    if isinstance(made, NotWanted):
        return made
    return Unchanged() if maker.is_unchanged(order, made) else made


def _in_words(reasons: tuple[Reason, ...]) -> str:
    shown = "; ".join(f"{reason.pointer or 'the body'}: {reason.message}" for reason in reasons[:3])
    return shown if len(reasons) <= 3 else f"{shown}; and {len(reasons) - 3} more"
