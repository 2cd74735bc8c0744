"""HTTP out to a storefront: one order read from its API, and what came of it. Foreign exceptions end here."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import aiohttp

from relay.clock import Clock
from relay.core.fetched import BODY_MAX_BYTES, PAGES_MAX, TOO_LARGE, TOO_MANY_PAGES, Fetched, Reply, Unfetched, judge
from relay.core.sources import Page, Request, Thin
from relay.core.trace import Trace
from relay.wire import TROUBLES, Leave, read, shown, trouble

_SECRET_MIN_CHARACTERS = 4
"""What is shorter is in any text by chance."""


@dataclass(frozen=True, slots=True)
class Api:
    """Where a storefront's orders are read, and with what credentials."""

    url: str
    """Without a slash at the end: ``https://api.bigcommerce.com/stores/{store hash}``, ``https://api.squarespace.com``."""
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not be in any error, whatever the other end echoes."""
    timeout_s: float = 20.0
    """For one request; an order may take several."""
    harmless: str = ""
    """A path below the address that tries the token and changes nothing."""


async def _at_once() -> None:
    """No pace."""


class Fetcher:
    """One storefront's API. It reads an order when told to: its pace, and trying again, are whoever's that tells it."""

    def __init__(
        self,
        api: Api,
        source: Thin,
        session: aiohttp.ClientSession,
        clock: Clock,
        read_again: Callable[[], Api] | None = None,
    ) -> None:
        """``read_again``: the API with the secrets as they are now; raises :class:`ValueError` saying why it cannot."""
        self._api = api
        self._source = source
        self._session = session
        self._clock = clock
        self._read_again = read_again

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        if self._read_again is not None:
            self._api = await asyncio.to_thread(self._read_again)

    async def fetch(self, external_id: str, leave: Leave = _at_once, trace: Trace | None = None) -> Fetched | Unfetched:
        """Read one order, a request after the other, awaiting ``leave()`` before each. ``trace``: the place that the
        storefront is shown. Never raises for anything the
        network or the other end does."""
        pages, size = list[Page](), 0
        api = replace(self._api, headers=shown(self._api.headers, trace))
        request: Request | None = self._source.first_request(external_id)
        while request is not None:
            if len(pages) == PAGES_MAX:
                return TOO_MANY_PAGES
            await leave()
            page = await self._page(api, request, BODY_MAX_BYTES - size)
            if not isinstance(page, Page):
                return _without(api.secrets, page)
            pages.append(page)
            size += len(page.body)
            request = self._source.next_request(pages)
        return Fetched(self._source.assemble(pages))

    async def _page(self, api: Api, request: Request, room: int) -> Page | Unfetched:
        try:
            reply = await self._get(api, request, room)
        except TROUBLES as error:
            return trouble(error, "the storefront's API", timeout_s=api.timeout_s)
        if len(reply.body) > room:
            return TOO_LARGE
        return judge(request, reply, self._source.asks_to_wait_s(reply.headers), now=self._clock.now())

    async def _get(self, api: Api, request: Request, room: int) -> Reply:
        query = f"?{urlencode(request.query)}" if request.query else ""
        got = self._session.get(
            f"{api.url}/{request.path}{query}",
            headers=api.headers,
            timeout=aiohttp.ClientTimeout(total=api.timeout_s),
            allow_redirects=False,  # a token must not follow a redirect
        )
        async with got as response:
            return Reply(response.status, response.headers, await read(response.content, room + 1))


def _without(secrets: tuple[str, ...], outcome: Unfetched) -> Unfetched:
    """The same outcome, its message without any secret that the other end may have echoed."""
    message = outcome.cause.message
    for secret in secrets:
        if len(secret) >= _SECRET_MIN_CHARACTERS:
            message = message.replace(secret, "…")
    return replace(outcome, cause=replace(outcome.cause, message=message))


def bigcommerce(store_hash: str, token: str, *, url: str = "https://api.bigcommerce.com") -> Api:
    """BigCommerce: a store's API account shows its token; it must be allowed to read orders. v2 answers in XML unless
    JSON is asked for."""
    return Api(
        f"{url.rstrip('/')}/stores/{store_hash}",
        {**_HEADERS, "X-Auth-Token": token},
        (token,),
        harmless="v2/order_statuses",
    )


def squarespace(token: str, *, url: str = "https://api.squarespace.com") -> Api:
    """Squarespace: an API key or an OAuth token that may read orders. Requests without a ``User-Agent`` are refused."""
    return Api(
        url.rstrip("/"),
        {**_HEADERS, "Authorization": f"Bearer {token}"},
        (token,),
        harmless="1.0/authorization/website",
    )


_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "order-relay"}
