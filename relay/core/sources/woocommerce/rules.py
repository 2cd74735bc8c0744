"""What an operator decides about one WooCommerce shop."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class WooRules:
    """What the operator decides about WooCommerce's orders. The defaults send what is paid for, nothing invented."""

    ignored_statuses: tuple[str, ...] = ("pending", "failed")
    """Orders in one of these are not sent (yet). Drafts and the trash never are. Both defaults are unpaid, and a buyer
    whose payment failed often pays the same order later, so that ``failed`` must be no cancellation, which sticks."""
    cancelled_statuses: tuple[str, ...] = ("cancelled",)
    """Orders in one of these are cancelled, for good; ``refunded``, ``failed`` or ``trash`` can be added. This list
    goes before the others."""
    deleted: Literal["cancel", "ignore"] = "cancel"
    """An order that was moved to the trash or deleted: cancelled, also if it is restored later, or left as it is."""
    discounts: Literal["gross", "net"] = "gross"
    """``gross``: prices before discounts, the discounts' sum in ``saleDefaults.discounts``; ``net``: prices after."""
    prices: Literal["without_tax", "with_tax"] = "without_tax"
    """Prices, discounts, shipping and fees without their tax, as WooCommerce keeps them, or with it."""
    taxes: Literal["leave", "send"] = "leave"
    """``leave``: Jetti calculates; ``send``: the order's tax, with ``taxCalculation: custom``."""
    currency: str | None = None
    """The channel's currency (a sale has none): orders in another are refused. ``None``: whatever comes is sent."""
    fees: Literal["shipping", "line", "drop"] = "shipping"
    """Fees: sent as a shipping line, as a line that is not routed, or left out. Negative ones are discounts."""
    fee_sku: str | None = None
    """The SKU for fees that are lines."""
    bundled: Literal["send", "drop"] = "send"
    """Lines at price 0 that are part of a bundle's or composite's line: sent, or left out."""
    fractional_quantities: Literal["refuse", "one"] = "refuse"
    """Quantities such as 1.5, which Jetti does not take: refused, or sent as one unit at the line's price, with the
    quantity as an item property."""
    variant: Literal["id", "sku", "both"] = "id"
    """What connects a line to Jetti's catalogue: the variation's id (else the product's), the SKU, or both; a line
    without the one has the other."""
    custom_item_sku: str | None = None
    """The SKU for items that have neither product nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name. ``None``: only where a line has no product id, for which Jetti requires it."""
    fallback_email: str | None = None
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    empty_shipping: Literal["leave", "billing"] = "leave"
    """A shipping address that is all blank, as of digital orders: left blank, or the billing address."""
    company_in_line_two: bool = False
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "method_id", "method_title"] = "none"
    """Which field of a shipping line is its ``serviceLevel``; WooCommerce has none that means it."""
    properties: Literal["display", "raw"] = "display"
    """Item metadata as the shop shows it (``Color: Black``), or as it is kept (``pa_color: black``)."""
