"""Tries what can be tried without changing anything at the other end."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import aiohttp

from relay.app import api_of, open_store
from relay.config import Channel, Settings, registered
from relay.config.kinds.bigcommerce import BigCommerceStorefront
from relay.config.kinds.thin import ThinStorefront
from relay.config.values import is_loopback
from relay.core.comparison import Difference
from relay.core.pressure import of_disk
from relay.samples import Tried, tried
from relay.store import StoreError, StoreOwned

_TIMEOUT_S = 10
_NO_ORDER = "order-relay-check"
_LOOKED_MAX = 1024
_ASYNC_PATH = "/webhooks/custom-channels/manual-sale.json"
"""Where Jetti documents the asynchronous endpoint to be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str
    warning: bool = False
    """It may be meant, and is worth a look."""
    differences: tuple[Difference, ...] = ()
    """Of a test that fails."""


async def examine(settings: Settings, folder: Path, *, offline: bool = False) -> list[Finding]:
    """Look at the tests of the storefronts, the store, the secrets, the channels and the APIs, in this order.

    ``folder`` is where the files of the tests are looked for. ``offline``: nothing but the configuration and the tests.
    """
    counted = f"{len(settings.storefronts)} storefront(s), {len(settings.channels)} channel(s)"
    if offline:
        return [Finding("configuration", True, counted), *_kinds(), *_samples(settings, folder)]
    channels = [await _channel(name, channel, settings) for name, channel in settings.channels.items()]
    channels += [await _cancelling(name, settings.channels[name]) for name in settings.cancelling]
    apis = [await _api(name, storefront) for name, storefront in settings.thin.items()]
    tried = [Finding("configuration", True, counted), *_kinds(), *_samples(settings, folder)]
    tried += [await _store(settings), *_disk(settings)]
    return [*tried, *_placeholders(settings), *channels, *apis]


async def _store(settings: Settings) -> Finding:
    try:
        store = await open_store(settings)
    except StoreOwned as error:
        owner = re.search(r"process \d+ on \S+(?=;)", str(error))
        return Finding("store", True, "in use by a running relay" + (f" ({owner[0]})" if owner else ""))
    except StoreError as error:
        return Finding("store", False, str(error))
    try:
        orders = sum((await store.tally()).values())
        return Finding("store", True, f"{settings.store.url} can be written and holds {orders} order(s)")
    finally:
        await store.close()


def _disk(settings: Settings) -> list[Finding]:
    """Whether there is room for new events; nothing where no disk is watched, or its folder is missing."""
    path, reserve = settings.store.path, settings.store.disk_free_min_bytes
    if path is None or not reserve or not path.parent.is_dir():
        return []
    free = shutil.disk_usage(path.parent).free
    words = of_disk(free, reserve).words
    if free < reserve:
        return [Finding("disk", False, f"{words}: every storefront is refused; make room")]
    if free < 2 * reserve:
        return [Finding("disk", True, f"{words}: at a quarter more than that the first are refused", warning=True)]
    return [Finding("disk", True, words)]


def _kinds() -> list[Finding]:
    return [Finding("kinds of storefront", True, str(trouble), warning=True) for trouble in registered().troubles]


def _samples(settings: Settings, folder: Path) -> list[Finding]:
    """One line for each storefront that has tests, and one for each test that fails."""
    found: list[Finding] = []
    results = list(tried(settings, folder))
    for name, storefront in settings.storefronts.items():
        key = f"storefronts.{name}.tests"
        failed = [result for result in results if result.key.startswith(f"{key}[") and not result.ok]
        if storefront.tests:
            count = len(storefront.tests)
            said = f"{count - len(failed)} of {count} come to what they expect"
            found += [Finding(key, not failed, said), *map(_failed, failed)]
    return found


def _failed(result: Tried) -> Finding:
    told = [result.trouble] if result.trouble else map(str, result.differences)
    said = "\n".join([result.name, *(f"     {each}" for each in told)])
    return Finding(result.key, False, said, differences=result.differences)


def _placeholders(settings: Settings) -> list[Finding]:
    said = "still is the example's, which everyone knows: put your own there"
    return [Finding(key, False, said) for key in settings.placeholders()]


def _at(key: str, url: str, error: Exception) -> str:
    """Where nobody answers, why, and what to look at."""
    said = getattr(error, "os_error", error)
    why = getattr(said, "strerror", None) or str(said) or type(said).__name__
    local = is_loopback(urlsplit(url).hostname or "")
    remedy = "is it running?" if local else "look at the network, the proxy's and the firewall's rules"
    return f" at {url}: {why}. Check {key}; {remedy}"


async def _channel(name: str, channel: Channel, settings: Settings) -> Finding:
    what = f"channels.{name}"
    tries_token = channel.token is not None and (channel.mode == "sync" or name not in settings.cancelling)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as client:
            if tries_token:
                return await _token(what, channel, client)
            async with client.head(channel.async_url, allow_redirects=False):
                return _reached(what, channel)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        key, url = ("api_url", channel.api_url) if tries_token else ("async_url", channel.async_url)
        return Finding(what, False, f"Jetti cannot be reached{_at(key, url, error)}")


async def _cancelling(name: str, channel: Channel) -> Finding:
    """Whether the sales of a channel can be looked up, as they are before they are cancelled. An id that no order has
    tells as much as one that an order has, and nothing personal is read."""
    what, token = f"cancellations of channels.{name}", "" if channel.token is None else channel.token.get_secret_value()
    address = channel.api_url.rstrip("/")
    query = urlencode({"where[externalId]": _NO_ORDER, "where[channelId]": channel.channel_id})
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as client,
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


async def _api(name: str, storefront: ThinStorefront) -> Finding:
    """The storefront's API is asked for something that every token for it may see."""
    what, api = f"storefronts.{name}", api_of(storefront, storefront.api_token.get_secret_value())
    url = f"{api.url}/{api.harmless}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as client,
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
