"""The relay that runs by this configuration: what it says of itself, over its private API."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from relay.app import VERSION
from relay.config import Address, Settings
from relay.doctor.finding import Finding, doubtful, fine, wrong
from relay.observe.pages import Page

_TIMEOUT_S = 5
_WHAT = "running relay"
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where what listens everywhere is reached from here


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers at ``private.listen``."""

    refused: int | None = None
    """The status with which it refused to say."""
    status: dict[str, Any] | None = None
    """What a relay says of itself."""


async def asked(settings: Settings) -> Answer | None:
    """What the relay there says of itself; ``None`` if none answers."""
    listen = settings.private.listen
    if not listen.port:
        return None
    token = settings.private.shown
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    url = f"http://{Address(_HERE.get(listen.host, listen.host), listen.port)}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as client:
            async with client.get(f"{url}/healthz", allow_redirects=False) as response:
                if await response.json() != {"status": "ok"}:
                    return None
            async with client.get(f"{url}/api/status", headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    return Answer(refused=response.status)
                told = await response.json()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
    return Answer(status=told) if isinstance(told, dict) and "channels" in told else None


def is_this(settings: Settings, answer: Answer | None, *, owned: bool) -> bool:
    """Whether it is the relay of this configuration that answers. ``owned``: a relay has the store."""
    return answer is not None and (owned or (answer.status or {}).get("store") == settings.store.url)


def running(settings: Settings, answer: Answer | None, *, owned: bool) -> list[Finding]:
    """What can be said of it. ``owned``: a relay has the store."""
    listen = settings.private.listen
    if answer is None:
        if not owned or not listen.port:
            return []
        said = (
            f"a relay has the store, and none answers at {listen} (private.listen): it was started by another "
            "configuration, or hangs; see its log, and restart it if need be"
        )
        return [wrong(_WHAT, said)]
    if answer.status is None:
        said = (
            f"it answers {answer.refused} at {listen}: it was not started with the token that is configured "
            f"({next(iter(settings.private.keyed), 'none')}); restart it, or correct the token"
        )
        return [doubtful(_WHAT, said)]
    told = answer.status
    if not is_this(settings, answer, owned=owned):
        said = (
            f"the one that answers at {listen} has another store ({told['store']}): set another private.listen, or "
            "name its configuration with --config"
        )
        return [wrong(_WHAT, said)]
    return [_itself(told), *_channels(told), *_doors(told), *_people(told)]


def _itself(told: dict[str, Any]) -> Finding:
    since = f"{told['version']}, up since {told['started_at'][:16].replace('T', ' ')} UTC"
    if not told["ready"]:
        return wrong(_WHAT, f"{since}, is not ready: {'; '.join(told['reasons'])}")
    if told["version"] != VERSION:
        return doubtful(_WHAT, f"{since}, is ready; this program is {VERSION}: restart it to run this one")
    return fine(_WHAT, f"{since}, is ready")


def _channels(told: dict[str, Any]) -> list[Finding]:
    found = []
    for name, channel in told["channels"].items():
        what, see = f"running channels.{name}", "see: order-relay status"
        if channel["state"] == "halted":
            found.append(wrong(what, f"is halted, nothing is sent; {see} (runbook: {Page.CHANNEL_HALTED})"))
        elif channel["state"] == "open":
            found.append(doubtful(what, f"its circuit is open, nobody answers; {see} (runbook: {Page.CIRCUIT_OPEN})"))
        elif channel["state"] == "paused":
            found.append(doubtful(what, f"is paused by a person; {see} (runbook: {Page.CHANNEL_PAUSED})"))
    return found


def _doors(told: dict[str, Any]) -> list[Finding]:
    return [
        wrong(f"running storefronts.{name}", f"is refused: {'; '.join(storefront['refused'])}; see: order-relay status")
        for name, storefront in told["storefronts"].items()
        if storefront["refused"]
    ]


def _people(told: dict[str, Any]) -> list[Finding]:
    dead = told["dead_letters"]
    if not dead:
        return []
    said = f"{dead} need a person; see: order-relay dead list (runbook: {Page.DEAD_LETTERS})"
    return [doubtful("dead letters", said)]
