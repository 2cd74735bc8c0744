"""What an operator decides about one Shopify shop."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ShopifyRules:
    """What the operator decides about Shopify's orders. The defaults send what the order says, nothing invented."""

    money: Literal["shop", "presentment"] = "shop"
    """Amounts in the shop's currency, or in the one the buyer saw. One side for the whole order."""
    discounts: Literal["gross", "net"] = "gross"
    """``gross``: prices before discounts, the discounts' sum in ``saleDefaults.discounts``; ``net``: prices after."""
    taxes: Literal["leave", "send"] = "leave"
    """``leave``: Jetti calculates; ``send``: the order's tax less what is refunded, with ``taxCalculation: custom``."""
    test_orders: Literal["ignore", "send"] = "ignore"
    """Orders of the test gateway, and the admin's test notification."""
    variant: Literal["id", "sku", "both"] = "id"
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: str | None = None
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name. ``None``: only where a line has no variant id, for which Jetti requires it."""
    removed_lines: Literal["zero", "omit"] = "zero"
    """Lines refunded or edited away: sent with quantity 0, or left out. An ``orders/create`` leaves them out."""
    gift_cards: Literal["unrouted", "send", "drop"] = "unrouted"
    """Gift cards: sent with ``orderRouting: ignore``, sent like goods, or left out."""
    tips: Literal["drop", "send"] = "drop"
    """Tips that are lines: left out, or sent like goods."""
    fallback_email: str | None = None
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = "code"
    province: Literal["code", "name"] = "code"
    """Jetti's samples have codes (``IT``, ``BA``); the other form is the fallback."""
    company_in_line_two: bool = False
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "code", "source", "carrier_identifier"] = "none"
    """Which field of a shipping line is its ``serviceLevel``; Shopify has none that means it."""
    tags: bool = False
    """Send the order's tags. Not by default: apps write them all the time, and each change is an update then."""
    note_attributes: bool = False
    """Append the order's additional details to its notes, a line each."""
