"""The relay's neighbours, played by tests: a shop that signs its webhooks, and someone who watches what is told."""

import asyncio
import base64
import hmac
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from typing import Any, Self, TypeVar

import aiohttp
from multidict import CIMultiDict

from relay.clock import SystemClock
from relay.core import instant
from relay.core.events import Happening, RequestRefused, StoreTrouble, Unexpected
from tests.fixtures import sample

T = TypeVar("T")

_LARGE_BYTES = 1_000_000
SHOP_SECRET = "shop-secret-5d1f"
TILL_SECRET = "till-secret-77aa"
ORDER: dict[str, Any] = json.loads(sample("shopify-order.json"))
MADE_AT = instant.iso(SystemClock().now())
"""When orders were made: just now, because what is older than a day is an old order's update."""
SALE: dict[str, Any] = json.loads(sample("native-sale.json"))


def shopify_order(number: int, minute: int = 0, **changes: Any) -> bytes:
    """Order ``number`` (its reference is ``#number``) as it was ``minute`` minutes after it was made."""
    order: dict[str, Any] = {
        "id": number,
        "admin_graphql_api_id": f"gid://shopify/Order/{number}",
        "name": f"#{number}",
        "created_at": MADE_AT,
        "updated_at": f"2026-11-21T{minute // 60:02}:{minute % 60:02}:07-05:00",
        "note": f"minute {minute}",
    }
    return json.dumps(ORDER | order | changes).encode()


def manual_sale(number: int, **changes: Any) -> bytes:
    """A sale in Jetti's own format."""
    return json.dumps(SALE | {"externalId": str(number)} | changes).encode()


def signature(body: bytes, secret: str = SHOP_SECRET) -> str:
    """What Shopify puts into ``X-Shopify-Hmac-Sha256``."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def signed(body: bytes, *, topic: str = "orders/create", secret: str = SHOP_SECRET, webhook_id: str = "") -> Any:
    """The headers of a webhook."""
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": signature(body, secret),
    }
    return headers | {"X-Shopify-Webhook-Id": webhook_id} if webhook_id else headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was answered."""

    status: int
    body: bytes
    headers: Any = field(default=None, compare=False, repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        """The last part of a problem's ``type``."""
        return str(self.json["type"]).rpartition(":")[2]


class Shop:
    """A shop that sends signed webhooks over kept connections. ``url`` is the relay's public address."""

    def __init__(self, url: str, *, storefront: str = "shop", secret: str = SHOP_SECRET) -> None:
        self.url, self.storefront, self.secret = url, storefront, secret
        self._ids = count(1)

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), skip_auto_headers=["Content-Type"]
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def send(self, body: bytes, *, topic: str = "orders/create", webhook_id: str | None = None) -> Answer:
        """Send one webhook, with an id of its own unless one is given."""
        identity = f"webhook-{next(self._ids)}-{id(self)}" if webhook_id is None else webhook_id
        headers = signed(body, topic=topic, secret=self.secret, webhook_id=identity)
        return await self.post(f"/webhooks/{self.storefront}", body, headers)

    async def post(self, path: str, body: Any, headers: Any = None) -> Answer:
        """Any request."""
        sent = BytesIO(body) if len(body) > _LARGE_BYTES else body  # aiohttp warns of large bodies that are bytes
        return await answered(self.session.post(self.url + path, data=sent, headers=headers))


async def answered(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> Answer:
    """The whole answer."""
    async with request as response:
        return Answer(response.status, await response.read(), response.headers)


async def fetched(url: str, headers: Any = None) -> Answer:
    """One GET on a connection of its own."""
    async with aiohttp.ClientSession() as session:
        return await answered(session.get(url, headers=headers))


class Happenings:
    """An observer that remembers, and wakes whoever waits for something to happen."""

    def __init__(self, keep: int = 100_000) -> None:
        self._kept: deque[Happening] = deque(maxlen=keep)
        self._news = asyncio.Event()

    def __call__(self, happening: Happening) -> None:
        self._kept.append(happening)
        self._news.set()

    def __iter__(self) -> Iterator[Happening]:
        return iter(tuple(self._kept))

    def of(self, kind: type[T]) -> list[T]:
        """All of one kind, in their order."""
        return [happening for happening in self._kept if isinstance(happening, kind)]

    @property
    def defects(self) -> list[object]:
        """What must never happen: caught defects, a store in trouble, an answer that is our fault."""
        faults = [refused for refused in self.of(RequestRefused) if refused.status >= 500]
        return [*self.of(Unexpected), *self.of(StoreTrouble), *faults]

    async def until(self, happened: Callable[[], bool], seconds: float = 10.0) -> None:
        """Return when ``happened()``; it is asked again after everything that happens. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds):
            while not happened():
                self._news.clear()
                await self._news.wait()


class Wire:
    """A raw connection, for what a client library would not send. ``url`` is the relay's address."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").rpartition(":")
        self._port = int(port)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def write(self, data: bytes) -> None:
        """Send it as it is; if the other end has closed already, reading will tell."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def head(self, seconds: float = 5.0) -> bytes:
        """The next head of an answer; empty when the connection was closed instead."""
        async with asyncio.timeout(seconds):
            try:
                return await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""

    async def answer(self, seconds: float = 5.0, *, to_head: bool = False) -> Answer | None:
        """The next answer; ``None`` when the connection was closed instead. An answer to HEAD has no body."""
        head = await self.head(seconds)
        if not head:
            return None
        first, *lines = head.decode().split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in filter(None, lines):
            name, _, value = line.partition(": ")
            headers.add(name, value)
        length = 0 if to_head else int(headers.get("Content-Length", "0"))
        return Answer(int(first.split()[1]), await self._reader.readexactly(length), headers)

    async def closed(self, seconds: float = 5.0) -> bool:
        """Whether the other end closes without saying anything more."""
        async with asyncio.timeout(seconds):
            try:
                return not await self._reader.read()
            except ConnectionError:
                return True


def request(
    line: bytes = b"POST /webhooks/shop HTTP/1.1",
    body: bytes = b"",
    headers: Any = None,
    *,
    host: bytes = b"Host: relay\r\n",
    length: bool = True,
) -> bytes:
    """A request as it stands on the wire, signed for the shop unless it is given headers."""
    chosen = signed(body) if headers is None else headers
    lines = [host, *(b"%b: %b\r\n" % (_raw(name), _raw(value)) for name, value in chosen.items())]
    if length:
        lines.append(b"Content-Length: %d\r\n" % len(body))
    return b"".join([line, b"\r\n", *lines, b"\r\n", body])


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
