"""What lines need in order to be a sale's: ids of their own, and a variant of Jetti's catalogue."""

from collections.abc import Iterable
from typing import Literal, Protocol

from relay.core.sources.findings import Findings, set_key


class Connecting(Protocol):
    """What an operator decides about connecting lines to Jetti's catalogue; every source's rules have it."""

    @property
    def variant(self) -> Literal["id", "sku", "both"]:
        """What connects a line; a line without the one has the other."""
        ...

    @property
    def custom_item_sku(self) -> str | None:
        """The SKU for items that have neither id nor SKU."""
        ...

    @property
    def find_or_create_channel_variant(self) -> bool | None:
        """Jetti's option of this name. ``None``: only where a line is connected by SKU, for which Jetti requires it."""
        ...


def variant(
    found: Findings, pointer: str, rules: Connecting, *, external_id: str | None, sku: str | None, line_id: str | None
) -> dict[str, str]:
    """What connects one line, as the rules say; refused, and empty, where there is nothing that could."""
    if external_id is None and sku is None:
        sku = rules.custom_item_sku
    if external_id is None and sku is None and rules.find_or_create_channel_variant:
        external_id = f"line-{line_id}"
    made: dict[str, str] = {}
    if external_id is not None and (rules.variant != "sku" or sku is None):
        made["externalId"] = external_id
    if sku is not None and (rules.variant != "id" or external_id is None):
        made["sku"] = sku
    if not made:
        found.refuse(pointer, "a custom item without variant and SKU; " + set_key("custom_item_sku"))
    return made


def find_or_create(found: Findings, pointer: str, rules: Connecting, lines: Iterable[dict[str, object]]) -> bool:
    """Whether to ask Jetti for its option, which it requires to connect by SKU."""
    by_sku = any(isinstance(v := line.get("variant"), dict) and "externalId" not in v for line in lines)
    wanted = rules.find_or_create_channel_variant
    if by_sku and wanted is False:
        found.note(pointer, "connecting lines by SKU needs find_or_create_channel_variant at Jetti")
    return by_sku if wanted is None else wanted


def tell_apart(found: Findings, lines: Iterable[tuple[str, str | None]]) -> None:
    """Refuse lines, each given as the pointer of its id and the id, that have an earlier one's id."""
    seen = set()
    for pointer, identifier in lines:
        if identifier in seen and identifier is not None:
            found.refuse(pointer, "an earlier line has this id too; Jetti needs them unique")
        seen.add(identifier)
