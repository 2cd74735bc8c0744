"""The tables of the storefronts, a model for each kind."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from relay.config.tables import Table
from relay.config.values import Email, HeaderSecret, Number, Secret, Share, as_list
from relay.core.sale import PropertyStyle
from relay.core.sources.shopify import ShopifyRules

_SHOPIFY = ShopifyRules()
_COMES_AGAIN = 0.8
"""Storefronts that send a refused webhook again give way to those that never do, whose default is 1."""


class Storefront(Table):
    """What every kind of storefront has."""

    kind: Literal["shopify", "native"]
    channel: str
    """Name of the channel its orders go to."""
    secrets: tuple[SecretStr, ...]
    secrets_file: Path | None = None
    """File that holds `secrets`, one a line."""
    new_order_window_s: Number = Field(86_400, ge=0, le=31_536_000)
    """An unknown order that was created longer ago than this is an old order's update, seconds."""
    skip_unchanged: bool = True
    """Do not send an update that changes nothing Jetti would see; its event is kept either way."""
    property_style: PropertyStyle = "key"
    """Whether item properties go to Jetti as `key`/`value` or as `name`/`value`: its documents show both."""
    refuse_at: Share


class ShopifyStorefront(Storefront):
    """A Shopify shop; the keys of `ShopifyRules` have its names and its defaults."""

    kind: Literal["shopify"]
    """What sends the orders: a Shopify shop, or one that speaks Jetti's format (the drop-in paths, `/orders`)."""
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """Any one of them may match, so that secrets can be rotated. `shopify`: what the webhooks are signed with.
    `native`: bearer token, and `jetti-webhook-hash` on the drop-in paths; no two native storefronts may share one."""
    refuse_at: Share = _COMES_AGAIN
    """The share of each limit (`queue_max`, `disk_free_min_bytes`, `backlog_max`) from which its events are refused
    with 503: below 1 for a storefront that sends a refused webhook again, so that one that never does goes first."""
    money: Literal["shop", "presentment"] = _SHOPIFY.money
    """Amounts in the shop's currency, or in the one the buyer saw; one of them for the whole order."""
    discounts: Literal["gross", "net"] = _SHOPIFY.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after discounts."""
    taxes: Literal["leave", "send"] = _SHOPIFY.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    test_orders: Literal["ignore", "send"] = _SHOPIFY.test_orders
    """Orders of the test gateway, and the admin's test notification."""
    variant: Literal["id", "sku", "both"] = _SHOPIFY.variant
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: Annotated[str, Field(min_length=1, max_length=255)] | None = _SHOPIFY.custom_item_sku
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    find_or_create_channel_variant: bool | None = _SHOPIFY.find_or_create_channel_variant
    """Jetti's option of this name; when not set, only where a line has no variant id, for which Jetti requires it."""
    removed_lines: Literal["zero", "omit"] = _SHOPIFY.removed_lines
    """Lines refunded or edited away: sent with quantity 0, or left out. A new order leaves them out."""
    gift_cards: Literal["unrouted", "send", "drop"] = _SHOPIFY.gift_cards
    """Gift cards: sent with `orderRouting: ignore`, sent like goods, or left out."""
    tips: Literal["drop", "send"] = _SHOPIFY.tips
    """Tips that are lines: left out, or sent like goods."""
    fallback_email: Email | None = _SHOPIFY.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = _SHOPIFY.country
    """Countries as `IT` or as `Italy`; the other form is the fallback."""
    province: Literal["code", "name"] = _SHOPIFY.province
    """Provinces as `BA` or as `Bari`; the other form is the fallback."""
    company_in_line_two: bool = _SHOPIFY.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""
    service_level: Literal["none", "code", "source", "carrier_identifier"] = _SHOPIFY.service_level
    """Which field of a shipping line is its `serviceLevel`; Shopify has none that means it."""
    hidden_properties: bool = _SHOPIFY.hidden_properties
    """Send item properties whose name starts with an underscore, which storefronts hide by convention."""
    note_attributes: bool = _SHOPIFY.note_attributes
    """Append the order's additional details to its notes, a line each."""

    @property
    def rules(self) -> ShopifyRules:
        return ShopifyRules(**{field.name: getattr(self, field.name) for field in fields(ShopifyRules)})


class NativeStorefront(Storefront):
    """A storefront that speaks Jetti's own format: the drop-in paths and ``/orders``."""

    kind: Literal["native"]
    secrets: Annotated[tuple[HeaderSecret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    refuse_at: Share = _COMES_AGAIN
