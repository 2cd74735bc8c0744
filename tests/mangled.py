"""JSON with one place made anything at all, for properties that say that nothing raises."""

from typing import Any

from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value, as the steps that lead to it."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, child in steps for found in paths(child, (*path, step)))]


def put(value: Any, path: tuple[Any, ...], what: Any) -> Any:
    """A copy with one place replaced."""
    if not path:
        return what
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], what)
    return copy
