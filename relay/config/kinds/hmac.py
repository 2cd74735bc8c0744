"""``kind = "hmac"``."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from relay.config.kinds import Kind
from relay.config.kinds.readable import ReadableStorefront, expression
from relay.config.problems import Problem
from relay.config.recipes import faults_of
from relay.config.values import HeaderName, Number, Secret, as_list
from relay.core.recipe.expression import Expression
from relay.core.sources import Source
from relay.core.sources.hmac_signed import HmacRules, HmacSigned

_RULES = HmacRules()


class HmacStorefront(ReadableStorefront):
    """Any storefront that signs its webhooks, or shows a token; the keys of `HmacRules` have its names and defaults."""

    kind: Literal["hmac"]
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(as_list)] = Field(min_length=1)
    """What the webhooks are signed with, or with `method = "token"` the tokens. Any one of them may match, so that they
    can be rotated."""
    header: HeaderName = _RULES.header
    """The header of the signature, or of the token."""
    method: Literal["sha256", "sha512", "sha1", "token"] = _RULES.method
    """Hash of the HMAC; `token`: the header is the secret itself, which proves who sends and nothing of what is sent.
    `sha1` only where there is nothing else."""
    encoding: Literal["hex", "base64"] = _RULES.encoding
    """How the signature is written."""
    prefix: str = _RULES.prefix
    """What is in front of the signature or the token: `sha256=`, `Bearer `."""
    key_encoding: Literal["text", "hex", "base64"] = _RULES.key_encoding
    """How a secret becomes the key: as it is, or decoded."""
    signed: str = _RULES.signed
    """What is signed: `{body}`, and `{timestamp}` and `{id}` as their headers have them."""
    timestamp_header: HeaderName | None = _RULES.timestamp_header
    """The header with the time of the attempt; it has to be signed, and guards against replays."""
    timestamp_format: str = _RULES.timestamp_format
    """`unix`, `unix_ms`, `iso`, `rfc2822` or a pattern of `strptime`, in UTC."""
    tolerance_s: Number = Field(_RULES.tolerance_s, ge=1, le=86_400)
    """How far the timestamp may be from now, either way, seconds."""
    id_header: HeaderName | None = _RULES.id_header
    """The header that is the same for every attempt of one webhook, and for no other."""
    id_path: str | None = None
    """Where in its JSON that id is, an expression, if it is in no header. Without either, equal bodies of one version
    are one webhook."""
    topic_header: HeaderName | None = _RULES.topic_header
    """The header that names the type; `topic_path` is for one in the body."""
    separator: str | None = _RULES.separator
    """What is between several entries of the header, for instance `,`: those with the prefix are signatures, of which
    any one may match, and others are skipped. When not set, the header is one signature."""
    timestamp_prefix: str | None = _RULES.timestamp_prefix
    """What is in front of the timestamp, where it is one of these entries: `t=`; in the place of `timestamp_header`."""
    sequence_header: HeaderName | None = _RULES.sequence_header
    """The header with a whole number that grows with each change of an order: its version, in the place of any time.
    It has to be the number of the order's changes or of all the shop's, and goes with neither `version` nor `sequence`
    of a mapping."""

    def faults(self) -> Iterator[Problem]:
        yield from super().faults()
        yield from faults_of(lambda: self.dedupe)
        said = [name for name in ("version", "sequence") if name in (self.mapping or {})]
        if self.sequence_header is not None and said:
            key = f"mapping.{said[0]}"
            yield Problem("sequence_header", repr(self.sequence_header), f"and {key} would both be the version",
                          "remove one of them: an order has one version, a number or a time")  # fmt: skip

    @property
    def rules(self) -> HmacRules:
        return self.rules_as(HmacRules)

    @property
    def dedupe(self) -> Expression | None:
        """``id_path``, compiled."""
        return expression(self.id_path, "id_path")


def _source(table: HmacStorefront) -> Source:
    return HmacSigned(table.secret_texts, table.rules, table.reading, table.dedupe, table.topic)


KIND = Kind("hmac", HmacStorefront, _source)
