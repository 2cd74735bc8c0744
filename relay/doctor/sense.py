"""Settings that are allowed and still worth a question. Only the configuration is looked at."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from relay.config import Channel, Settings
from relay.config.tables import Retry
from relay.config.values import is_loopback
from relay.core.pace import Mode, Pace
from relay.doctor.finding import Finding, doubtful

_JETTI_CUTS_S = 30
"""Jetti's load balancer."""
_AGE_S = 3600
_BODY_BYTES = 524_288
_DOCUMENTED = Pace()
"""What Jetti's documents say that it takes."""


def sense(settings: Settings) -> list[Finding]:
    """Questions, each with what may come of it."""
    found = [*_unused(settings), *_sharing(settings), *_body(settings)]
    for name, channel in settings.channels.items():
        found += [*_channel(f"channels.{name}", channel), *_retry(f"channels.{name}.retry", channel.retry)]
    for name, storefront in settings.thin.items():
        found += _retry(f"storefronts.{name}.fetch.retry", storefront.fetch.retry)
    return found


def _unused(settings: Settings) -> Iterator[Finding]:
    used = {storefront.channel for storefront in settings.storefronts.values()}
    for name in settings.channels:
        if name not in used:
            said = f"no storefront has channel = {name!r}: nothing is sent there but what it still has"
            yield doubtful(f"channels.{name}", said)


def _sharing(settings: Settings) -> Iterator[Finding]:
    for channel, names in settings.sharing().items():
        kinds = {settings.storefronts[name].kind for name in names}
        if len(kinds) == 1:  # others number their orders differently, as a rule
            said = (
                f"{', '.join(names)} send to it with the same external_id_prefix: where they number orders alike, "
                "one replaces the other's at Jetti; set external_id_prefix"
            )
            yield doubtful(f"channels.{channel}", said)


def _body(settings: Settings) -> Iterator[Finding]:
    if settings.public.body_max_bytes < _BODY_BYTES:
        said = (
            f"{settings.public.body_max_bytes} bytes is less than an order of some hundred lines has, which then is 413"
        )
        yield doubtful("public.body_max_bytes", said)


def _channel(what: str, channel: Channel) -> Iterator[Finding]:
    url = channel.async_url if channel.mode == "async" else channel.api_url
    if channel.timeout_s < _JETTI_CUTS_S:
        said = (
            f"{channel.timeout_s:g} s is less than the {_JETTI_CUTS_S} s that Jetti may take: what it still works on "
            "is sent again"
        )
        yield doubtful(f"{what}.timeout_s", said)
    if is_loopback(urlsplit(url).hostname or ""):
        return  # a sandbox
    if channel.insecure_http and url.startswith("http:"):
        yield doubtful(f"{what}.insecure_http", f"{url} shows the credentials to everyone on the way: use https://")
    mode = Mode(channel.mode)
    ceiling, documented = channel.pace.ceiling(mode), _DOCUMENTED.ceiling(mode)
    if ceiling > documented:
        said = (
            f"{ceiling:g} requests/s are more than the {documented:g}/s that Jetti documents for mode {channel.mode}: "
            "it will throttle, unless your account has another limit; see sync_rate and multiplier"
        )
        yield doubtful(f"{what}.sync_rate", said)


def _retry(what: str, retry: Retry) -> Iterator[Finding]:
    if retry.max_age_s < _AGE_S:
        said = (
            f"an order that fails for {retry.max_age_s:g} s becomes a dead letter, and needs a person: trouble with "
            "single orders often takes longer; an hour is little, a day is usual"
        )
        yield doubtful(f"{what}.max_age_s", said)
    if retry.cap_s >= retry.max_age_s:
        said = (
            f"{retry.cap_s:g} s between attempts and {retry.max_age_s:g} s in all (max_age_s) leave hardly a second try"
        )
        yield doubtful(f"{what}.cap_s", said)
