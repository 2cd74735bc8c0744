"""The shop: signs webhooks as Shopify does, sends them, and writes down what it was answered."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from relay.clock import Clock
from relay.demo.story import Act, Kind, Webhook

_TIMEOUT = aiohttp.ClientTimeout(total=15)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one webhook was answered. Times are seconds since the demo began."""

    webhook: Webhook
    sent_at: float
    answered_at: float
    status: int | None
    """``None``: no answer came."""
    said: str
    """The disposition, the type of the problem, or why no answer came."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether the shop was told that its webhook is safe."""
        return self.status is not None and 200 <= self.status < 300


class Driver:
    """Sends webhooks to one address."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, secret: str, clock: Clock, elapsed: Callable[[], float]
    ) -> None:
        self.answers: list[Answer] = []
        self._session = session
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._elapsed = elapsed

    async def play(self, act: Act) -> None:
        """Send an act's webhooks at its speed, however long the answers take; return when all are answered."""
        begun = self._elapsed()
        async with asyncio.TaskGroup() as sending:
            for n, webhook in enumerate(act.webhooks):
                early_s = begun + n / act.per_second - self._elapsed()
                if early_s > 0:
                    await self._clock.sleep(early_s)
                sending.create_task(self.send(webhook))

    async def send(self, webhook: Webhook) -> None:
        """Send one webhook and write down its answer."""
        headers = self._headers(webhook)
        sent_at = self._elapsed()
        status, said = await self._post(webhook.body, headers)
        self.answers.append(Answer(webhook, sent_at, self._elapsed(), status, said))

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int | None, str]:
        try:
            async with self._session.post(self._url, data=body, headers=headers, timeout=_TIMEOUT) as response:
                return response.status, _said(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return None, f"{type(error).__name__}: {error}"

    def _headers(self, webhook: Webhook) -> dict[str, str]:
        """Shopify's. https://shopify.dev/docs/apps/build/webhooks/subscribe/https"""
        secret = b"somebody else's" if webhook.kind is Kind.FORGED else self._secret
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": webhook.topic,
            "X-Shopify-Webhook-Id": webhook.id,
            "X-Shopify-Shop-Domain": "demo.myshopify.example",
            "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret, webhook.body, "sha256")).decode(),
        }


def _said(answer: bytes) -> str:
    try:
        members = json.loads(answer)
        return str(members["type"]).rpartition(":")[2] if "type" in members else str(members["status"])
    except (ValueError, KeyError, TypeError):
        return answer[:80].decode(errors="replace")
