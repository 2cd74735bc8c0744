"""What an operator decides about one Elastic Path store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ElasticPathRules:
    """What the operator decides about Elastic Path's orders. The defaults send what is paid for, nothing invented."""

    send_from: Literal["created", "authorized", "paid"] = "authorized"
    """When an order is sent first: as soon as it is created, which leaves its payment open (``incomplete``), when its
    payment is authorized, or when it is paid."""
    refunded: Literal["send", "cancel"] = "send"
    """An order whose payment was refunded as a whole: sent like any other state, or cancelled, for good."""
    shipping_skus: tuple[str, ...] = ()
    """SKUs of the items by which the store charges for shipping: shipping lines, and no goods."""
    promotion_skus: tuple[str, ...] = ()
    """SKUs of the items by which the store grants discounts; negative amounts and promotion items are so anyway."""
    discounts: Literal["gross", "net"] = "gross"
    """``gross``: prices before discounts, the discounts' sum in ``saleDefaults.discounts``; ``net``: prices after the
    discounts that the lines name, and the sum of all others beside them."""
    taxes: Literal["leave", "send"] = "leave"
    """``leave``: Jetti calculates; ``send``: the order's tax, with ``taxCalculation: custom``."""
    currency: str | None = None
    """The channel's currency (a sale has none): orders in another are refused. ``None``: whatever comes is sent."""
    currency_decimals: Mapping[str, int] = field(default_factory=dict)
    """Decimals of currencies that the store defines in another way than ISO 4217 does."""
    variant: Literal["id", "sku", "both"] = "id"
    """What connects a line to Jetti's catalogue: the product's id, the SKU, or both; a line without the one has the
    other."""
    custom_item_sku: str | None = None
    """The SKU for items that have neither product nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = None
    """Jetti's option of this name. ``None``: only where a line has no product id, for which Jetti requires it."""
    fallback_email: str | None = None
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    state: Literal["region", "county"] = "region"
    """Which field of an address is its state; the other is the fallback."""
    company_in_line_two: bool = False
    """Put an address's company, for which a sale has no column, in front of its second line."""
