"""``kind = "standard"``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.kinds.readable import ReadableStorefront
from relay.config.problems import wrong
from relay.config.values import Number, Secret, as_list
from relay.core.sources import Source
from relay.core.sources.standard import Standard, StandardRules, key_of

_RULES = StandardRules()


def _is_key(secret: Secret) -> Secret:
    complaint = ""
    try:
        key_of(secret.get_secret_value())
    except ValueError as error:
        complaint = str(error)
    if complaint:
        raise wrong(complaint, 'copy it from the sender; to make one: echo "whsec_$(openssl rand -base64 32)"')
    return secret


class StandardStorefront(ReadableStorefront):
    """A sender of Standard Webhooks."""

    kind: Literal["standard"]
    secrets: Annotated[tuple[Annotated[Secret, AfterValidator(_is_key)], ...], BeforeValidator(as_list)] = Field(
        min_length=1
    )
    """What the webhooks are signed with: base64, with or without `whsec_` in front. Any one of them may match, so that
    they can be rotated."""
    tolerance_s: Number = Field(_RULES.tolerance_s, ge=1, le=86_400)
    """How far the time of an attempt may be from ours, either way, seconds."""

    @property
    def rules(self) -> StandardRules:
        return self.rules_as(StandardRules)


def _source(table: StandardStorefront) -> Source:
    return Standard(table.secret_texts, table.reading, table.topic, table.rules)


KIND = Kind("standard", StandardStorefront, _source)
