"""Who may send, and how much. Documented: the hash alone picks the channel; one token is the whole account's."""

import hmac

from relay.sandbox.limits import READ_COST, WRITE_COST, LeakyBucket
from relay.sandbox.settings import SandboxSettings


class Admission:
    """The credentials and the limits of one account."""

    def __init__(self, settings: SandboxSettings) -> None:
        hashes = {settings.channel_id: settings.webhook_hash, **settings.other_channels}
        self._hashes = [(channel_id, webhook_hash.encode()) for channel_id, webhook_hash in hashes.items()]
        self._authorization = f"Bearer {settings.token}".encode()
        self._api = LeakyBucket(settings.sync_rate, settings.sync_burst)
        self._imports = {channel_id: LeakyBucket(settings.async_rate, settings.async_burst) for channel_id in hashes}

    def channel_of(self, webhook_hash: str) -> int | None:
        """The channel whose hash this is, if it is anybody's."""
        given = webhook_hash.encode(errors="surrogateescape")
        for channel_id, expected in self._hashes:
            if hmac.compare_digest(given, expected):
                return channel_id
        return None

    def knows_token(self, authorization: str) -> bool:
        """Whether this ``Authorization`` header is the account's."""
        return hmac.compare_digest(authorization.encode(errors="surrogateescape"), self._authorization)

    def import_wait_s(self, channel_id: int, at: float) -> float:
        """0 when the channel may send an asynchronous import now, else the seconds until it may."""
        return self._imports[channel_id].wait_s(at)

    def api_wait_s(self, method: str, at: float) -> float:
        """0 when the account may call the synchronous API now, else the seconds until it may."""
        return self._api.wait_s(at, READ_COST if method == "GET" else WRITE_COST)
