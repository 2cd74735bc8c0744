"""Tries what can be tried without changing anything at the other end."""

from dataclasses import dataclass

import aiohttp
from pydantic import SecretStr

from relay.app import open_store
from relay.config import Channel, Settings
from relay.store import StoreError, StoreOwned

_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at the store, the secrets and the channels, in this order."""
    counted = f"{len(settings.storefronts)} storefront(s), {len(settings.channels)} channel(s)"
    channels = [await _channel(name, channel) for name, channel in settings.channels.items()]
    return [Finding("configuration", True, counted), await _store(settings), *_placeholders(settings), *channels]


async def _store(settings: Settings) -> Finding:
    try:
        store = await open_store(settings)
    except StoreOwned as error:
        return Finding("store", True, f"in use: {error}")
    except StoreError as error:
        return Finding("store", False, str(error))
    try:
        orders = sum((await store.tally()).values())
        return Finding("store", True, f"{settings.store.url} can be written and holds {orders} order(s)")
    finally:
        await store.close()


def _placeholders(settings: Settings) -> list[Finding]:
    """Whoever knows the example knows its secrets, and could sign orders with them."""
    secrets: list[tuple[str, SecretStr | None]] = []
    for name, storefront in settings.storefronts.items():
        secrets += [(f"storefronts.{name}.secrets", secret) for secret in storefront.secrets]
    for name, channel in settings.channels.items():
        secrets += [(f"channels.{name}.webhook_hash", channel.webhook_hash), (f"channels.{name}.token", channel.token)]
    return [
        Finding(key, False, "still is the example's: put your own there")
        for key, secret in secrets
        if secret is not None and "change-me" in secret.get_secret_value()
    ]


async def _channel(name: str, channel: Channel) -> Finding:
    what = f"channels.{name}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as client:
            if channel.token is not None:
                return await _token(what, channel, client)
            async with client.head(channel.async_url, allow_redirects=False) as response:
                said = f"{channel.async_url} answers ({response.status}); the hash is only tried by sending a sale"
                return Finding(what, True, said)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Finding(what, False, f"Jetti cannot be reached: {str(error) or type(error).__name__}")


async def _token(what: str, channel: Channel, client: aiohttp.ClientSession) -> Finding:
    """Jetti's documentation: sales can be looked up with the bearer token; one look-up changes nothing."""
    token = "" if channel.token is None else channel.token.get_secret_value()
    url = f"{channel.api_url.rstrip('/')}/api/sales.json?limit=1"
    async with client.get(url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False) as response:
        if response.status in (401, 403):
            return Finding(what, False, f"{channel.api_url} refuses the token ({response.status}): get a new one")
        fine = response.status == 429 or response.status < 300
        return Finding(what, fine, f"{channel.api_url} answers {response.status} to a look-up with the token")
