"""A webhook's JSON as expressions see it: exact numbers, bounded nesting."""

from typing import Any

import msgspec

from relay.core import exact
from relay.core import sale as sales
from relay.core.sale import Reason

_values = msgspec.json.Decoder(float_hook=exact.number)


def of_sale(encoded: bytes) -> Any:
    """A sale's own JSON as expressions see it; what it passes through was looked at before it became a sale."""
    return _values.decode(encoded)


def decoded(body: bytes) -> object:
    """The JSON value, or the :class:`Reason` why there is none that could be read. Never raises."""
    if (too_many := sales.has_too_many_parts(body)) is not None:
        return too_many
    try:
        value = _values.decode(body)
    except RecursionError:
        return Reason("", "nested too deeply to be an order")
    except msgspec.ValidationError as error:
        return Reason("", str(error))
    except ValueError as error:
        return Reason("", f"not JSON: {error}")
    if sales.nests_deeper(value):
        return Reason("", f"nested deeper than {sales.MAX_NESTING} levels")
    return value
