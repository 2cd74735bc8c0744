"""``kind = "woocommerce"``."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.storefronts import Storefront
from relay.config.values import Currency, Email, Secret, Share, Sku, Texts, as_list
from relay.core.sources import Source
from relay.core.sources.woocommerce import WooCommerce, WooRules

_RULES = WooRules()


class WooCommerceStorefront(Storefront):
    """A WooCommerce shop; the keys of `WooRules` have its names and its defaults."""

    in_source: ClassVar[frozenset[str]] = frozenset({"find_or_create_channel_variant"})

    kind: Literal["woocommerce"]
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """The secrets of the shop's webhooks in plain characters (`&`, not `&amp;`). Any one of them may match: each
    webhook can have its own."""
    refuse_at: Share = 1.0
    ignored_statuses: Texts = _RULES.ignored_statuses
    """Orders in one of these are not sent (yet); drafts and the trash never are."""
    cancelled_statuses: Texts = _RULES.cancelled_statuses
    """Orders in one of these are cancelled, for good; `refunded`, `failed` or `trash` can be added. Goes before
    `ignored_statuses`."""
    deleted: Literal["cancel", "ignore"] = _RULES.deleted
    """An order that was moved to the trash or deleted: cancelled, also if it is restored later, or left as it is."""
    discounts: Literal["gross", "net"] = _RULES.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after discounts."""
    prices: Literal["without_tax", "with_tax"] = _RULES.prices
    """Prices, discounts, shipping and fees without their tax, as WooCommerce keeps them, or with it."""
    taxes: Literal["leave", "send"] = _RULES.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    currency: Currency | None = _RULES.currency
    """The channel's currency (a sale has none): orders in another are refused. When not set, whatever comes is sent."""
    fees: Literal["shipping", "line", "drop"] = _RULES.fees
    """Fees: sent as a shipping line, as a line that is not routed, or left out. Negative ones are discounts."""
    fee_sku: Sku | None = _RULES.fee_sku
    """The SKU for fees that are lines."""
    bundled: Literal["send", "drop"] = _RULES.bundled
    """Lines at price 0 that are part of a bundle's or composite's line: sent, or left out."""
    fractional_quantities: Literal["refuse", "one"] = _RULES.fractional_quantities
    """Quantities such as 1.5, which Jetti does not take: refused, or sent as one unit at the line's price, with the
    quantity as an item property."""
    variant: Literal["id", "sku", "both"] = _RULES.variant
    """What connects a line to Jetti's catalogue: the variation's id (else the product's), the SKU, or both; a line
    without the one has the other."""
    custom_item_sku: Sku | None = _RULES.custom_item_sku
    """The SKU for items that have neither product nor SKU; without it their orders cannot be mapped."""
    fallback_email: Email | None = _RULES.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    empty_shipping: Literal["leave", "billing"] = _RULES.empty_shipping
    """A shipping address that is all blank, as of digital orders: left blank, or the billing address."""
    company_in_line_two: bool = _RULES.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "method_id", "method_title"] = _RULES.service_level
    """Which field of a shipping line is its `serviceLevel`; WooCommerce has none that means it."""
    properties: Literal["display", "raw"] = _RULES.properties
    """Item metadata as the shop shows it (`Color: Black`), or as it is kept (`pa_color: black`)."""

    @property
    def rules(self) -> WooRules:
        return self.rules_as(WooRules)


def _source(table: WooCommerceStorefront) -> Source:
    return WooCommerce(table.secret_texts, table.rules)


KIND = Kind("woocommerce", WooCommerceStorefront, _source)
