"""What an operator decides about one BigCommerce store."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class BigCommerceRules:
    """What the operator decides about BigCommerce's orders. The defaults send what the order says, nothing invented."""

    prices: Literal["ex_tax", "inc_tax", "base"] = "ex_tax"
    """Prices and shipping costs without tax, with it, or as the store enters them."""
    discounts: Literal["gross", "net"] = "gross"
    """``gross``: prices before discounts, the discounts' sum in ``saleDefaults.discounts``; ``net``: prices after
    what BigCommerce distributes over the lines, and only the rest as ``discounts``."""
    taxes: Literal["leave", "send"] = "leave"
    """``leave``: Jetti calculates; ``send``: the order's tax, with ``taxCalculation: custom``."""
    credits: Literal["leave", "discount"] = "leave"
    """Gift certificates and store credit that paid for the order: payments that are not sent, or discounts."""
    surcharges: Literal["shipping", "leave"] = "shipping"
    """Handling, gift wrapping and fees: shipping lines of their own, or not sent."""
    test_orders: Literal["ignore", "send"] = "ignore"
    """Orders paid with the test payment gateway."""
    ignored_statuses: tuple[int, ...] = (0, 6)
    """Orders in these are not wanted: 0 incomplete (checkouts that were left), 6 declined."""
    cancelled_statuses: tuple[int, ...] = (5,)
    """Orders in these are cancelled: 5; 6 declined and 4 refunded may be added. This goes before being ignored."""
    archived: Literal["cancel", "leave"] = "cancel"
    """Orders that were archived (BigCommerce's way of deleting), unless they are shipped or completed."""
    variant: Literal["id", "sku", "both"] = "id"
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: str | None = None
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name. ``None``: only where a line has no variant id, for which Jetti requires it."""
    removed_lines: Literal["zero", "omit"] = "zero"
    """Lines refunded as a whole: sent with quantity 0, or left out."""
    bundle_children: Literal["send", "unrouted", "drop"] = "send"
    """What was chosen from a product's pick list, a line of its own at price 0: sent like goods, sent with
    ``orderRouting: ignore``, or left out (where Jetti's catalogue has the whole as one item)."""
    digital: Literal["unrouted", "send", "drop"] = "unrouted"
    """Downloads and gift certificates: sent with ``orderRouting: ignore``, sent like goods, or left out."""
    several_addresses: Literal["manual", "first", "refuse"] = "manual"
    """Orders that go to several addresses, of which a sale has one. ``manual``: the first, and lines for the others
    have their own as a property and ``orderRouting: manual``; ``first``: all go to the first; ``refuse``: no sale."""
    gift_wrapping: bool = True
    """Send a line's gift wrapping and its message as item properties."""
    fallback_email: str | None = None
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = "code"
    """``IT`` or ``Italy``; the other form is the fallback. BigCommerce has states by name only."""
    company_in_line_two: bool = False
    """Put an address's company, for which a sale has no column, in front of its second line."""
    form_fields: bool = False
    """Append the store's own fields of the billing address (delivery instructions, say) to the notes, a line each."""
    staff_notes: bool = False
    """Send the staff's notes as ``internalNotes``."""
    coupon_tags: bool = False
    """Send coupon codes as tags; costs one more request an order."""
