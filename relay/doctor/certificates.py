"""Certificates of those that something is sent to: whether one is near its end."""

import asyncio
import ssl
from urllib.parse import urlsplit

from relay.config import Settings
from relay.core import instant
from relay.core.instant import Instant
from relay.doctor.finding import Finding, doubtful

_TIMEOUT_S = 10
_DAYS = 14
"""Whoever renews certificates by a machine has done so by then."""


async def certificates(settings: Settings, now: Instant) -> list[Finding]:
    """Those that end soon. Who cannot be reached, or shows a wrong one, is told of as that."""
    found = [await _certificate(host, port, now) for host, port in places(settings)]
    return [finding for finding in found if finding is not None]


def places(settings: Settings) -> list[tuple[str, int]]:
    """Hosts and ports that something is sent to by TLS."""
    urls = [storefront.api_url for storefront in settings.thin.values()]
    for name, channel in settings.channels.items():
        if channel.mode == "async":
            urls.append(channel.async_url)
        if channel.mode == "sync" or name in settings.cancelling:
            urls.append(channel.api_url)
    parts = [urlsplit(url) for url in urls]
    return sorted({(part.hostname or "", part.port or 443) for part in parts if part.scheme == "https"})


async def _certificate(host: str, port: int, now: Instant) -> Finding | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except (OSError, TimeoutError, ValueError):
        return None
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    if "notAfter" not in shown:
        return None
    ends = ssl.cert_time_to_seconds(shown["notAfter"]) * instant.SECOND
    days = instant.seconds_between(now, ends) / 86_400
    if days >= _DAYS:
        return None
    said = (
        f"ends in {days:.1f} days, on {instant.iso(ends)[:10]}: from then on nothing is sent there; ask whoever "
        "runs it to renew it"
    )
    return doubtful(f"certificate of {host}", said)
