"""What storefronts share whose webhooks only name an order: where the order is read, and with what credentials."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from relay.config.problems import Problem
from relay.config.storefronts import Storefront
from relay.config.values import HeaderSecret, Number, WebAddress, is_loopback


class ThinStorefront(Storefront):
    """A storefront whose orders are fetched."""

    api_token: HeaderSecret
    """What shows the storefront's API who asks: it must be allowed to read orders, which webhooks only name."""
    api_token_file: Path | None = None
    """File that holds `api_token`."""
    api_url: WebAddress
    """Where the storefront's API begins; `http://` only to this machine, because the token travels with it."""
    api_timeout_s: Number = Field(20, ge=1, le=300)
    """Time for one request to the API, seconds; an order may take several."""

    def faults(self) -> Iterator[Problem]:
        yield from super().faults()
        if self.api_url.startswith("http:") and not is_loopback(urlsplit(self.api_url).hostname or ""):
            yield Problem("api_url", repr(self.api_url), "would show the token to everyone on the way", "use https://")
