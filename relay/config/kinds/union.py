"""Which model a storefront's table is: the one of its kind, among those that are installed."""

from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from relay.config.kinds import GROUP, registered


class ByKind:
    """Annotates a storefront. The kinds are looked up when the schema is built, not when this is imported."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = registered().kinds
        if not kinds:
            raise RuntimeError(f"no kind of storefront is installed (entry points {GROUP}): install order-relay again")
        tables = {name: handler.generate_schema(kind.table) for name, kind in kinds.items()}
        return core_schema.tagged_union_schema(tables, discriminator="kind")
