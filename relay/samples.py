"""Webhooks out of files: read, and tried against what the configuration expects of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from multidict import CIMultiDict

from relay.app import previewer_of
from relay.config import Settings, Storefront
from relay.config.samples import Sample
from relay.core import instant
from relay.core.captured import Captured, captured
from relay.core.comparison import Difference
from relay.core.expectation import Expectation
from relay.core.preview import NoTopicHeader, Preview, Previewer
from relay.core.recipe import document as documents
from relay.core.sale import Reason

RECEIVED_AT = instant.of(datetime(2026, 1, 1, tzinfo=UTC))
"""When a sample is taken to arrive, so that what comes of it is the same on every day."""


class Unreadable(Exception):
    """A file cannot be read, or not as what it is to be; says which and why."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One sample of one storefront."""

    key: str
    """``storefronts.shop.tests[0]``"""
    name: str
    differences: tuple[Difference, ...] = ()
    trouble: str = ""
    """Why it could not be tried."""

    @property
    def ok(self) -> bool:
        return not self.differences and not self.trouble


def tried(settings: Settings, folder: Path) -> Iterator[Tried]:
    """Every sample of every storefront, tried. ``folder``: which the paths in samples are relative to."""
    for name, storefront in settings.storefronts.items():
        yield from _tried(name, storefront, folder, settings.public.body_max_bytes)


def _tried(name: str, storefront: Storefront, folder: Path, most_bytes: int) -> Iterator[Tried]:
    previewer = previewer_of(name, storefront) if storefront.tests else None
    for i, sample in enumerate(storefront.tests):
        assert previewer is not None  # noqa: S101 - there are samples
        key, called = f"storefronts.{name}.tests[{i}]", sample.name or str(sample.webhook or "body")
        try:
            expected = _expectation(sample, folder, most_bytes)
            content = (
                (sample.body or "").encode() if sample.webhook is None else read(folder / sample.webhook, most_bytes)
            )
            found = preview_of_sample(previewer, captured(content), sample.headers, sample.topic)
            yield Tried(key, called, expected.against(found))
        except (Unreadable, NoTopicHeader) as error:
            yield Tried(key, called, trouble=str(error))


def preview_of_sample(
    previewer: Previewer, webhook: Captured, headers: Mapping[str, str], topic: str | None
) -> Preview:
    """What comes of a sample; ``headers`` go before its own. Raises :class:`~relay.core.preview.NoTopicHeader`."""
    return previewer.preview(together(webhook, headers), webhook.body, now=RECEIVED_AT, topic=topic, weigh=False)


def together(webhook: Captured, headers: Mapping[str, str]) -> "CIMultiDict[str]":
    """A webhook's headers, with these before its own."""
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in (*webhook.headers, *headers.items()):
        found[name] = value
    return found


def read(path: Path, most_bytes: int) -> bytes:
    """A file's bytes. Raises :class:`Unreadable`."""
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"{path} cannot be read: {reason}") from None
    if len(content) > most_bytes:
        raise Unreadable(
            f"{path} is larger than public.body_max_bytes ({most_bytes}), beyond which a webhook is refused with 413"
        )
    return content


def _expectation(sample: Sample, folder: Path, most_bytes: int) -> Expectation:
    sale = None if sample.sale is None else _decoded(read(folder / sample.sale, most_bytes), f"{folder / sample.sale}")
    has = None
    if sample.sale_has is not None:
        try:
            has = _decoded(json.dumps(sample.sale_has).encode(), "sale_has")
        except TypeError:
            raise Unreadable('sale_has holds something that JSON has not: put dates between quotes, "2026-…"') from None
    return Expectation(sample.disposition, sample.reasons, sale, has)


def _decoded(content: bytes, what: str) -> object:
    found = documents.decoded(content)
    if isinstance(found, Reason):
        raise Unreadable(f"{what} holds no sale: {found.message}")
    return found
