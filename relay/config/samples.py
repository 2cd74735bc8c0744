"""Samples of a storefront's webhooks, each with what is expected to become of it: a mapping as tested data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from relay.config.problems import Problem, wrong
from relay.config.recipes import OpenTable, as_table
from relay.config.tables import Table
from relay.config.values import Texts

SAMPLES_MAX = 500
"""Of one storefront."""
_SENT = ("queued", "held")


def _texts(table: Mapping[str, Any]) -> Mapping[str, Any]:
    if not all(isinstance(value, str) for value in table.values()):
        raise wrong("has a value that is no text", 'write { "X-Shopify-Topic" = "orders/create" }')
    return table


HeaderTable = Annotated[
    Mapping[str, Any],
    BeforeValidator(as_table),
    AfterValidator(_texts),
    WithJsonSchema({"type": "object", "takes": "a table of texts"}),
]


class Sample(Table):
    """One sample, and what is expected."""

    name: str | None = Field(None, min_length=1, max_length=200)
    """What it is called when it fails; when not set, the path of its `webhook`."""
    webhook: Path | None = None
    """File that holds the webhook's body, or its headers, a blank line and its body. Paths in a sample are relative to
    the configuration file."""
    body: str | None = None
    """The webhook's body itself, in the place of `webhook`."""
    headers: HeaderTable = Field(default_factory=dict)
    """Headers of the webhook; they go before those in the file. A signature is not needed."""
    topic: str | None = None
    """The webhook's topic, in the place of the header that this kind of storefront reads it from."""
    disposition: Literal["queued", "held", "quarantined", "ignored", "refused"] = "queued"
    """What is to become of it: `queued` is sent; `refused` is for manual sales; the others are
    [dispositions](states.md)."""
    reasons: Texts = ()
    """Texts, each of which is to be in one of the reasons why it is not sent, or the reason's JSON pointer."""
    sale: Path | None = None
    """File that holds the sale as JSON, whole and exactly; `order-relay preview` writes one with `--save-expected`."""
    sale_has: OpenTable | None = None
    """What the sale is to have, whatever else is in it; lists are compared as a whole."""


def faults_of_samples(samples: tuple[Sample, ...]) -> Iterator[Problem]:
    """What contradicts itself in a storefront's samples; the keys are relative to the storefront's table."""
    if len(samples) > SAMPLES_MAX:
        message = f"has {len(samples)} samples, and may have {SAMPLES_MAX}"
        yield Problem("tests", "", message, "keep those that differ in what they show")
    for i, sample in enumerate(samples):
        key = f"tests[{i}]"
        if (sample.webhook is None) is (sample.body is None):
            value = "" if sample.webhook is None else repr(str(sample.webhook))
            message = "is missing, and so is body" if sample.webhook is None else "is set, and so is body"
            yield Problem(f"{key}.webhook", value, message, "set exactly one of the two")
        if sample.disposition not in _SENT:
            for name in ("sale", "sale_has"):
                if getattr(sample, name) is not None:
                    message = f"is set, but of what is {sample.disposition} there is no sale"
                    yield Problem(f"{key}.{name}", "", message, f'remove it, or set disposition = "{_SENT[0]}"')
        if sample.disposition == "queued" and sample.reasons:
            message = 'is set, but what is "queued" has no reasons'
            yield Problem(f"{key}.reasons", "", message, "remove it, or set disposition to what is expected")
