"""The name that the customer's order has at Jetti, from a template."""

from dataclasses import dataclass
from string import Formatter
from typing import Final

RESULT_MAX = 255
"""Characters of a reference; longer ones are cut."""
TEMPLATE_MAX = 200
_PER_ORDER: Final = frozenset({"reference", "external_id"})
_KNOWN: Final = ("reference", "external_id", "storefront")


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. Made by :func:`template`."""

    parts: tuple[tuple[str, str], ...]
    """Text, and the placeholder behind it; an empty one is none."""

    def filled(self, *, reference: str, external_id: str, storefront: str) -> str:
        """The whole text, of whatever length."""
        values = {"reference": reference, "external_id": external_id, "storefront": storefront, "": ""}
        return "".join(text + values[name] for text, name in self.parts)

    @property
    def names_reference(self) -> bool:
        """Whether the storefront's own reference is in it."""
        return any(name == "reference" for _, name in self.parts)


def template(text: str) -> Template:
    """The template; a :class:`ValueError` fit for a person if it is none."""
    if not text.strip() or not text.isprintable() or len(text) > TEMPLATE_MAX:
        raise ValueError(f"expected text of 1 to {TEMPLATE_MAX} printable characters, such as IT-{{reference}}")
    try:
        parsed = list(Formatter().parse(text))
    except ValueError:
        raise ValueError("a brace without its other one: write {{ and }} for braces that are meant") from None
    parts: list[tuple[str, str]] = []
    for literal, name, spec, conversion in parsed:
        if name is not None and (name not in _KNOWN or spec or conversion):
            known = ", ".join(f"{{{known}}}" for known in _KNOWN)
            raise ValueError(f"there is no placeholder {{{name[:40]}}}; there are {known}, without any format")
        parts.append((literal, name or ""))
    if not _PER_ORDER & {name for _, name in parts}:
        raise ValueError("every order would have the same reference: put {reference} or {external_id} into it")
    return Template(tuple(parts))
