"""``kind = "elasticpath"``."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from relay.config.kinds import Kind
from relay.config.problems import wrong
from relay.config.recipes import as_table
from relay.config.storefronts import Storefront
from relay.config.values import Currency, Email, Secret, Sku, Texts, as_list
from relay.core.sources import Source
from relay.core.sources.elasticpath import ElasticPath, ElasticPathRules

_RULES = ElasticPathRules()
_DECIMALS_MAX = 8


def _decimals(table: Mapping[str, Any]) -> Mapping[str, int]:
    for code, digits in table.items():
        if len(code) != 3 or type(digits) is not int or not 0 <= digits <= _DECIMALS_MAX:
            raise wrong("is no table of currencies and their decimals", "write { JPY = 0, USD = 2 }")
    return {code.upper(): digits for code, digits in table.items()}


Decimals = Annotated[
    Mapping[str, Any],
    BeforeValidator(as_table),
    AfterValidator(_decimals),
    WithJsonSchema({"type": "object", "takes": "a table of currencies and numbers from 0 to 8"}),
]


class ElasticPathStorefront(Storefront):
    """An Elastic Path store; the keys of `ElasticPathRules` have its names and its defaults."""

    in_source: ClassVar[frozenset[str]] = frozenset({"find_or_create_channel_variant"})

    kind: Literal["elasticpath"]
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """The secret keys of the store's integrations, which Elastic Path sends as `X-MOLTIN-SECRET-KEY`. Any one of them
    may match. They are in the body too, and removed from it before anything is kept."""
    send_from: Literal["created", "authorized", "paid"] = _RULES.send_from
    """When an order is sent first: as soon as it is created, when its payment is authorized, or when it is paid."""
    refunded: Literal["send", "cancel"] = _RULES.refunded
    """An order whose payment was refunded as a whole: sent like any other state, or cancelled, for good."""
    shipping_skus: Texts = _RULES.shipping_skus
    """SKUs of the items by which the store charges for shipping: shipping lines, and no goods."""
    promotion_skus: Texts = _RULES.promotion_skus
    """SKUs of the items by which the store grants discounts; negative amounts and promotion items are so anyway."""
    discounts: Literal["gross", "net"] = _RULES.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after the discounts that the
    lines name, and the sum of all others beside them."""
    taxes: Literal["leave", "send"] = _RULES.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    currency: Currency | None = _RULES.currency
    """The channel's currency (a sale has none): orders in another are refused. When not set, whatever comes is sent."""
    currency_decimals: Decimals = Field(default={})
    """Decimals of currencies that the store defines in another way than ISO 4217 does."""
    variant: Literal["id", "sku", "both"] = _RULES.variant
    """What connects a line to Jetti's catalogue: the product's id, the SKU, or both; a line without the one has the
    other."""
    custom_item_sku: Sku | None = _RULES.custom_item_sku
    """The SKU for items that have neither product nor SKU; without it their orders cannot be mapped."""
    fallback_email: Email | None = _RULES.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    state: Literal["region", "county"] = _RULES.state
    """Which field of an address is its state; the other is the fallback."""
    company_in_line_two: bool = _RULES.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""

    @property
    def rules(self) -> ElasticPathRules:
        return self.rules_as(ElasticPathRules)


def _source(table: ElasticPathStorefront) -> Source:
    return ElasticPath(table.secret_texts, table.rules)


KIND = Kind("elasticpath", ElasticPathStorefront, _source)
