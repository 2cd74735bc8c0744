"""``kind = "native"``."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.storefronts import Storefront
from relay.config.values import HeaderSecret, as_list
from relay.core.sources import Source
from relay.core.sources.native import Native


class NativeStorefront(Storefront):
    """A storefront that speaks Jetti's own format: the drop-in paths and ``/orders``. Its callers show a secret."""

    kind: Literal["native"]
    secrets: Annotated[tuple[HeaderSecret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """What a caller shows: the bearer token, and `jetti-webhook-hash` on the drop-in path that has it. Any one may
    match; no two native storefronts may share one."""
    hidden_properties: bool = True


def _source(table: NativeStorefront) -> Source:
    return Native()


KIND = Kind("native", NativeStorefront, _source)
