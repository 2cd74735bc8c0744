"""``kind = "squarespace"``."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.kinds.thin import ThinStorefront
from relay.config.values import Email, HexSecret, Sku, WebAddress, as_list
from relay.core.sources import Source
from relay.core.sources.squarespace import Squarespace, SquarespaceRules

_RULES = SquarespaceRules()


class SquarespaceStorefront(ThinStorefront):
    """A Squarespace site; the keys of `SquarespaceRules` have its names and its defaults."""

    in_source: ClassVar[frozenset[str]] = frozenset({"find_or_create_channel_variant"})

    kind: Literal["squarespace"]
    secrets: Annotated[tuple[HexSecret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """The secrets of the webhook subscriptions, hexadecimal digits as Squarespace gives them. Any one of them may
    match."""
    api_url: WebAddress = "https://api.squarespace.com"
    taxes: Literal["leave", "send"] = _RULES.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    test_orders: Literal["ignore", "send"] = _RULES.test_orders
    """Orders of the site's test mode."""
    variant: Literal["id", "sku", "both"] = _RULES.variant
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: Sku | None = _RULES.custom_item_sku
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    not_physical: Literal["unrouted", "send", "drop"] = _RULES.not_physical
    """Services, downloads, gift cards: sent with `orderRouting: ignore`, sent like goods, or left out."""
    fallback_email: Email | None = _RULES.fallback_email
    """For orders without an e-mail address (Jetti requires one, point-of-sale orders have none); without it such
    orders cannot be mapped."""
    form_submission: bool = _RULES.form_submission
    """Send what the buyer entered in the checkout's form as the order's notes, a line each."""
    internal_notes: bool = _RULES.internal_notes
    """Send the merchant's notes as `internalNotes`."""
    promo_tags: bool = _RULES.promo_tags
    """Send promo codes as tags."""

    @property
    def rules(self) -> SquarespaceRules:
        return self.rules_as(SquarespaceRules)


def _source(table: SquarespaceStorefront) -> Source:
    return Squarespace(table.secret_texts, table.rules)


KIND = Kind("squarespace", SquarespaceStorefront, _source)
