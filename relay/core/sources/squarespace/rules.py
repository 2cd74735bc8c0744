"""What an operator decides about one Squarespace site."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SquarespaceRules:
    """What the operator decides about Squarespace's orders. The defaults send what the order says, nothing invented."""

    taxes: Literal["leave", "send"] = "leave"
    """``leave``: Jetti calculates; ``send``: the order's tax, with ``taxCalculation: custom``. Whether prices contain
    tax is the order's own statement (``priceTaxInterpretation``) and is sent either way."""
    test_orders: Literal["ignore", "send"] = "ignore"
    """Orders of the site's test mode."""
    variant: Literal["id", "sku", "both"] = "id"
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: str | None = None
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name. ``None``: only where a line has no variant id, for which Jetti requires it."""
    not_physical: Literal["unrouted", "send", "drop"] = "unrouted"
    """Services, downloads, gift cards: sent with ``orderRouting: ignore``, sent like goods, or left out."""
    fallback_email: str | None = None
    """For orders without an e-mail address (Jetti requires one, point-of-sale orders have none); without it such
    orders cannot be mapped."""
    form_submission: bool = True
    """Send what the buyer entered in the checkout's form as the order's notes, a line each."""
    internal_notes: bool = False
    """Send the merchant's notes as ``internalNotes``."""
    promo_tags: bool = False
    """Send promo codes as tags."""
