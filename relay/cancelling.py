"""HTTP out to Jetti's API: one sale looked up and, unless it is cancelled already, cancelled. Foreign exceptions end
here."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import aiohttp

from relay.clock import Clock
from relay.core.cancelling import Found, Wanted, bared, cancelled, found
from relay.core.outcome import Answer, ChannelWrong, Failed, Outcome, Result
from relay.core.trace import Trace
from relay.wire import TROUBLES, Leave, read, shown, trouble

_LOOKUP_MAX = 8 * 1024 * 1024
"""Bytes of a look-up's answer that are read at the most: whole sales, of which one may have thousands of lines."""
_CANCEL_MAX = 64 * 1024
_WHOLE_SALE = b"{}"
"""Jetti's documentation: a list of sale items cancels those; without one it is the whole sale."""


@dataclass(frozen=True, slots=True)
class SalesApi:
    """Where a channel's sales are looked up and cancelled, and with what credentials."""

    url: str
    """Without a slash at the end: ``https://api.jetti.io``."""
    channel_id: int
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float = 35.0
    """For one request."""
    secret: bytes = field(default=b"", repr=False)
    """What the headers show, so that an answer that repeats it is not kept as it is."""
    permanent_codes: frozenset[str] = frozenset()
    """Problem codes that asking again cannot mend, besides those built in."""


class Canceller:
    """Cancels one channel's sales."""

    def __init__(
        self,
        api: SalesApi,
        session: aiohttp.ClientSession,
        clock: Clock,
        read_again: Callable[[], SalesApi] | None = None,
    ) -> None:
        """``read_again``: the API with the secrets as they are now; raises :class:`ValueError` saying why it cannot."""
        self._api = api
        self._read_again = read_again
        self._session = session
        self._clock = clock

    async def read_secrets(self) -> None:
        """Use the secrets as they are now. Raises :class:`ValueError` that says why it cannot; then nothing changes."""
        if self._read_again is not None:
            self._api = await asyncio.to_thread(self._read_again)

    async def cancel(self, external_id: str, leave: Leave | None = None, trace: Trace | None = None) -> Result:
        """Look a sale up, and cancel it if it is not cancelled yet; ``leave()`` is awaited before each request.
        ``trace``: the place that Jetti is shown.

        A call that may have worked is never repeated blindly: whoever tries again begins with the look-up. Never raises
        for anything the network or the other end does.
        """
        started = self._clock.monotonic()
        api = replace(self._api, headers=shown(self._api.headers, trace))
        outcome, answer = await self._cancel(api, Wanted(external_id, api.channel_id), leave)
        duration_s = self._clock.monotonic() - started
        if answer is None:
            return Result(outcome, duration_s)
        return Result(outcome, duration_s, answer.status, answer.excerpt)

    async def _cancel(self, api: SalesApi, wanted: Wanted, leave: Leave | None) -> tuple[Outcome, Answer | None]:
        """What it comes to, and what of the last answer is kept, if there was one."""
        query = urlencode({"where[externalId]": wanted.external_id, "where[channelId]": wanted.channel_id})
        looked = await self._ask(api, "GET", f"/api/sales.json?{query}", leave)
        if not isinstance(looked, Answer):
            return looked, None
        sale = found(looked, wanted, now=self._clock.now())
        if not isinstance(sale, Found):
            return sale, bared(looked)
        if leave is not None:
            await leave()  # while the channel rests that takes long, and is no time that Jetti took to answer
        answer = await self._ask(api, "POST", f"/api/sales/{sale.sale_id}/cancel.json", None)
        if not isinstance(answer, Answer):
            return answer, None
        return cancelled(answer, now=self._clock.now(), permanent_codes=api.permanent_codes), answer

    async def _ask(self, api: SalesApi, method: str, path: str, leave: Leave | None) -> Answer | Failed | ChannelWrong:
        reads = method == "GET"
        request = self._session.request(
            method,
            f"{api.url}{path}",
            data=None if reads else _WHOLE_SALE,
            headers=api.headers,
            timeout=aiohttp.ClientTimeout(total=api.timeout_s),
            trace_request_ctx=leave,
            allow_redirects=False,  # a token must not follow a redirect
        )
        try:
            async with request as response:
                body = await read(response.content, _LOOKUP_MAX if reads else _CANCEL_MAX)
                if api.secret:
                    body = body.replace(api.secret, b"(secret)")  # whoever repeats it, it goes no further
                return Answer(response.status, body, response.headers.get("Retry-After"))
        except TROUBLES as error:
            after = "nothing was changed" if reads else "whether it worked is seen by looking the sale up again"
            return trouble(error, "Jetti", timeout_s=api.timeout_s, on_timeout=after)
