"""``kind = "bigcommerce"``."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.kinds.thin import ThinStorefront
from relay.config.storefronts import shown
from relay.config.values import Email, HeaderName, Secret, Sku, WebAddress, Wholes, as_list
from relay.core.sources import Source
from relay.core.sources.bigcommerce import BigCommerce, BigCommerceRules

_RULES = BigCommerceRules()


class BigCommerceStorefront(ThinStorefront):
    """A BigCommerce store; the keys of `BigCommerceRules` have its names and its defaults."""

    in_source: ClassVar[frozenset[str]] = frozenset({"find_or_create_channel_variant"})

    kind: Literal["bigcommerce"]
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = ()
    """Values of `header`, as they were given when the webhooks were created; these or `client_secrets` are required.
    Any one of them may match."""
    header: HeaderName = "X-Relay-Secret"
    """The header that was given when the webhooks were created."""
    client_secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = ()
    """The app's client secrets, with which BigCommerce signs webhooks. Any one of them may match."""
    client_secrets_file: Path | None = None
    """File that holds `client_secrets`, one a line."""
    store_hash: Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9]+$")]
    """The store's permanent id, part of its API's address; webhooks of other stores are ignored."""
    api_url: WebAddress = "https://api.bigcommerce.com"
    prices: Literal["ex_tax", "inc_tax", "base"] = _RULES.prices
    """Prices and shipping costs without tax, with it, or as the store enters them."""
    discounts: Literal["gross", "net"] = _RULES.discounts
    """`gross`: prices before discounts, and the discounts' sum beside them; `net`: prices after what BigCommerce
    distributes over the lines, and only the rest beside them."""
    taxes: Literal["leave", "send"] = _RULES.taxes
    """`leave`: Jetti calculates; `send`: the order's tax, as a custom one."""
    credits: Literal["leave", "discount"] = _RULES.credits
    """Gift certificates and store credit that paid for the order: payments that are not sent, or discounts."""
    surcharges: Literal["shipping", "leave"] = _RULES.surcharges
    """Handling, gift wrapping and fees: shipping lines of their own, or not sent."""
    test_orders: Literal["ignore", "send"] = _RULES.test_orders
    """Orders paid with the test payment gateway."""
    ignored_statuses: Wholes = _RULES.ignored_statuses
    """Orders in these are not wanted: 0 incomplete (checkouts that were left), 6 declined."""
    cancelled_statuses: Wholes = _RULES.cancelled_statuses
    """Orders in these are cancelled; 6 declined and 4 refunded may be added. Goes before `ignored_statuses`."""
    archived: Literal["cancel", "leave"] = _RULES.archived
    """Orders that were archived (BigCommerce's way of deleting), unless they are shipped or completed."""
    variant: Literal["id", "sku", "both"] = _RULES.variant
    """What connects a line to Jetti's catalogue; a line without the one has the other."""
    custom_item_sku: Sku | None = _RULES.custom_item_sku
    """The SKU for items that have neither variant nor SKU; without it their orders cannot be mapped."""
    removed_lines: Literal["zero", "omit"] = _RULES.removed_lines
    """Lines refunded as a whole: sent with quantity 0, or left out."""
    bundle_children: Literal["send", "unrouted", "drop"] = _RULES.bundle_children
    """What was chosen from a product's pick list, a line of its own at price 0: sent like goods, sent with
    `orderRouting: ignore`, or left out."""
    digital: Literal["unrouted", "send", "drop"] = _RULES.digital
    """Downloads and gift certificates: sent with `orderRouting: ignore`, sent like goods, or left out."""
    several_addresses: Literal["manual", "first", "refuse"] = _RULES.several_addresses
    """Orders that go to several addresses, of which a sale has one. `manual`: the first, and lines for the others have
    their own as a property and `orderRouting: manual`; `first`: all go to the first; `refuse`: no sale."""
    gift_wrapping: bool = _RULES.gift_wrapping
    """Send a line's gift wrapping and its message as item properties."""
    fallback_email: Email | None = _RULES.fallback_email
    """For orders without an e-mail address (Jetti requires one); without it such orders cannot be mapped."""
    country: Literal["code", "name"] = _RULES.country
    """Countries as `IT` or as `Italy`; the other form is the fallback. BigCommerce has states by name only."""
    company_in_line_two: bool = _RULES.company_in_line_two
    """Put an address's company, for which a sale has no column, in front of its second line."""
    form_fields: bool = _RULES.form_fields
    """Append the store's own fields of the billing address (delivery instructions, say) to the notes, a line each."""
    staff_notes: bool = _RULES.staff_notes
    """Send the staff's notes as `internalNotes`."""
    coupon_tags: bool = _RULES.coupon_tags
    """Send coupon codes as tags; costs one more request an order."""

    @property
    def rules(self) -> BigCommerceRules:
        return self.rules_as(BigCommerceRules)


def _source(table: BigCommerceStorefront) -> Source:
    return BigCommerce(table.secret_texts, table.header, shown(table.client_secrets), table.store_hash, table.rules)


KIND = Kind("bigcommerce", BigCommerceStorefront, _source)
