"""What is expected of a sample of a storefront's webhooks, held against what would become of it."""

from dataclasses import dataclass

from relay.core.comparison import Difference, differences, shown
from relay.core.preview import Preview
from relay.core.recipe import document as documents
from relay.core.sale import Reason


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is to become of a webhook."""

    disposition: str
    reasons: tuple[str, ...] = ()
    """Texts, each of which is in one of the reasons."""
    sale: object = None
    """Decoded: the whole sale, exactly. ``None``: whatever it is."""
    sale_has: object = None
    """Decoded: what the sale has, besides others."""

    def against(self, preview: Preview) -> tuple[Difference, ...]:
        """Where it is not so; empty where it is."""
        found: list[Difference] = []
        if preview.disposition != self.disposition:
            why = "; ".join(map(_words, preview.reasons))
            found.append(Difference("disposition", self.disposition, f"{preview.disposition}{why and f' ({why})'}"))
        told = [_words(reason) for reason in preview.reasons]
        found += [Difference("reasons", shown(text), shown(told)) for text in self.reasons if not _is_in(text, told)]
        for expected, subset in ((self.sale, False), (self.sale_has, True)):
            if expected is not None:
                found += self._of_sale(expected, preview, subset=subset)
        return tuple(dict.fromkeys(found))

    def _of_sale(self, expected: object, preview: Preview, *, subset: bool) -> tuple[Difference, ...]:
        if preview.made is None:
            return (
                () if preview.disposition != self.disposition else (Difference("sale", shown(expected), "(nothing)"),)
            )
        return differences(expected, documents.decoded(preview.made.sale), subset=subset)


def _words(reason: Reason) -> str:
    return f"{reason.pointer}: {reason.message}" if reason.pointer else reason.message


def _is_in(text: str, told: list[str]) -> bool:
    return any(text in words for words in told)
