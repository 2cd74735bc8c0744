"""Jetti and the storefronts' APIs: whether they answer, and take the credentials where a try is harmless."""

from urllib.parse import urlencode, urlsplit

import aiohttp

from relay.app import api_of
from relay.config import Channel, Settings
from relay.config.kinds.bigcommerce import BigCommerceStorefront
from relay.config.kinds.thin import ThinStorefront
from relay.config.values import is_loopback
from relay.doctor.finding import Finding
from relay.doctor.line import Line

_NO_ORDER = "order-relay-check"
_LOOKED_MAX = 1024
_ASYNC_PATH = "/webhooks/custom-channels/manual-sale.json"
"""Where Jetti documents the asynchronous endpoint to be."""


async def answering(settings: Settings, line: Line) -> list[Finding]:
    """Channels, cancellations, and APIs, in this order."""
    found = [await _channel(name, channel, settings, line) for name, channel in settings.channels.items()]
    found += [await _cancelling(name, settings.channels[name], line) for name in settings.cancelling]
    return [*found, *[await _api(name, storefront, line) for name, storefront in settings.thin.items()]]


def _at(key: str, url: str, error: Exception) -> str:
    """Where nobody answers, why, and what to look at."""
    said = getattr(error, "os_error", error)
    why = getattr(said, "strerror", None) or str(said) or type(said).__name__
    local = is_loopback(urlsplit(url).hostname or "")
    remedy = "is it running?" if local else "look at the network, the proxy's and the firewall's rules"
    return f" at {url}: {why}. Check {key}; {remedy}"


async def _channel(name: str, channel: Channel, settings: Settings, line: Line) -> Finding:
    what = f"channels.{name}"
    tries_token = channel.token is not None and (channel.mode == "sync" or name not in settings.cancelling)
    try:
        async with line.client() as client:
            if tries_token:
                return await _token(what, channel, client)
            async with client.head(channel.async_url, allow_redirects=False):
                return _reached(what, channel)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        key, url = ("api_url", channel.api_url) if tries_token else ("async_url", channel.async_url)
        return Finding(what, False, f"Jetti cannot be reached{_at(key, url, error)}")


async def _cancelling(name: str, channel: Channel, line: Line) -> Finding:
    """Whether the sales of a channel can be looked up, as they are before they are cancelled. An id that no order has
    tells as much as one that an order has, and nothing personal is read."""
    what, token = f"cancellations of channels.{name}", "" if channel.token is None else channel.token.get_secret_value()
    address = channel.api_url.rstrip("/")
    query = urlencode({"where[externalId]": _NO_ORDER, "where[channelId]": channel.channel_id})
    try:
        async with (
            line.client() as client,
            client.get(
                f"{address}/api/sales.json?{query}", headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
            ) as response,
        ):
            status, body = response.status, await response.content.read(_LOOKED_MAX)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(what, False, f"Jetti's API cannot be reached{_at('api_url', address, error)}")
    if status == 200 and body.strip() == b"[]":
        return Finding(
            what, True, f"{address} takes the token for look-ups; cancelling is only tried by a cancellation"
        )
    if status == 200:
        said = (
            f"{address} answers a look-up of no order with something: by it nothing could be cancelled; check api_url"
        )
        return Finding(what, False, said)
    if status in (401, 403):
        return Finding(
            what, False, f"{address} refuses the token ({status}): get a new one that may see and cancel sales"
        )
    said = f"{address} answers {status} to a look-up"
    return Finding(what, status == 429, said if status == 429 else f"{said}: check api_url", warning=status == 429)


def _reached(what: str, channel: Channel) -> Finding:
    """Jetti answers. What it answers to anything but a sale is not documented, and so says nothing."""
    if urlsplit(channel.async_url).path == _ASYNC_PATH:
        return Finding(what, True, f"{channel.async_url} can be reached; the hash is only tried by sending a sale")
    said = f"async_url {channel.async_url} can be reached, but Jetti's path is {_ASYNC_PATH}: is yours meant?"
    return Finding(what, True, said, warning=True)


async def _api(name: str, storefront: ThinStorefront, line: Line) -> Finding:
    """The storefront's API is asked for something that every token for it may see."""
    what, api = f"storefronts.{name}", api_of(storefront, storefront.api_token.get_secret_value())
    url = f"{api.url}/{api.harmless}"
    try:
        async with (
            line.client() as client,
            client.get(url, headers=api.headers, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return Finding(what, False, f"the storefront's API cannot be reached{_at('api_url', api.url, error)}")
    if status == 401:
        return Finding(what, False, f"{url} refuses api_token (401): get a new one that may read orders")
    if status < 300:
        return Finding(what, True, f"{url} takes api_token; whether it may read orders is only tried by an order")
    said = f"{url} answers {status}: api_token is only tried by fetching an order"
    if status in (403, 429):
        return Finding(what, True, said, warning=True)
    return Finding(
        what,
        False,
        f"{url} answers {status}: check api_url"
        + (" and store_hash" if isinstance(storefront, BigCommerceStorefront) else ""),
    )


async def _token(what: str, channel: Channel, client: aiohttp.ClientSession) -> Finding:
    """Jetti's documentation: sales can be looked up with the bearer token; one look-up changes nothing.

    It has no such look-up of a channel.
    """
    token = "" if channel.token is None else channel.token.get_secret_value()
    url = f"{channel.api_url.rstrip('/')}/api/sales.json?limit=1"
    async with client.get(url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False) as response:
        if response.status in (401, 403):
            return Finding(what, False, f"{channel.api_url} refuses the token ({response.status}): get a new one")
        fine = response.status == 429 or response.status < 300
        said = f"{channel.api_url} answers {response.status} to a look-up with the token"
        if fine:
            said += (
                f"; channel_id {channel.channel_id} is only tried by sending a sale: Jetti documents no look-up of it"
            )
        return Finding(what, fine, said)
