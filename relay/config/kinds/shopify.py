"""``kind = "shopify"``."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.problems import Problem
from relay.config.storefronts import Storefront
from relay.config.values import Email, Secret, Sku, as_list, as_toml
from relay.core.sources import Source
from relay.core.sources.shopify import Shopify, ShopifyRules

_RULES = ShopifyRules()


class ShopifyStorefront(Storefront):
    """A Shopify shop; the keys of `ShopifyRules` have its names and its defaults."""

    in_source: ClassVar[frozenset[str]] = frozenset({"find_or_create_channel_variant"})

    kind: Literal["shopify"]
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """What the webhooks are signed with: the app's client secret, or the secret that the shop's admin shows. Any one
    of them may match, so that they can be rotated."""
    money: Literal["shop", "presentment"] = _RULES.money
    """Amounts in the shop's currency, or in the one the buyer saw; one of them for the whole order."""
    discounts: Literal["gross", "net"] = _RULES.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after discounts."""
    taxes: Literal["leave", "send"] = _RULES.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    test_orders: Literal["ignore", "send"] = _RULES.test_orders
    """Orders of the test gateway, and the admin's test notification."""
    variant: Literal["id", "sku", "both"] = _RULES.variant
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: Sku | None = _RULES.custom_item_sku
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    removed_lines: Literal["zero", "omit"] = _RULES.removed_lines
    """Lines refunded or edited away: sent with quantity 0, or left out. A new order leaves them out."""
    gift_cards: Literal["unrouted", "send", "drop"] = _RULES.gift_cards
    """Gift cards: sent with `orderRouting: ignore`, sent like goods, or left out."""
    tips: Literal["drop", "send"] = _RULES.tips
    """Tips that are lines: left out, or sent like goods."""
    fallback_email: Email | None = _RULES.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = _RULES.country
    """Countries as `IT` or as `Italy`; the other form is the fallback."""
    province: Literal["code", "name"] = _RULES.province
    """Provinces as `BA` or as `Bari`; the other form is the fallback."""
    company_in_line_two: bool = _RULES.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "code", "source", "carrier_identifier"] = _RULES.service_level
    """Which field of a shipping line is its `serviceLevel`; Shopify has none that means it."""
    tags: bool = _RULES.tags
    """Send the order's tags, for Jetti and for routing rules with `tag`. Apps write tags all the time, and each change
    is an update then."""
    note_attributes: bool = _RULES.note_attributes
    """Append the order's additional details to its notes, a line each."""

    def faults(self) -> Iterator[Problem]:
        yield from super().faults()
        if not self.tags and any("tag" in rule for rule in self.routing):
            yield Problem(
                "tags", as_toml(False), "a routing rule asks for a tag, and no tags are sent", "set tags = true"
            )

    @property
    def rules(self) -> ShopifyRules:
        return self.rules_as(ShopifyRules)


def _source(table: ShopifyStorefront) -> Source:
    return Shopify(table.secret_texts, table.rules)


KIND = Kind("shopify", ShopifyStorefront, _source)
