"""A short run of ``make fuzz`` over every kind, and that it would find what is wrong."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from multidict import CIMultiDict

from relay.config.kinds import registered
from relay.core.sources import Mapped, Unmappable
from tests.fuzzing.__main__ import KINDS
from tests.fuzzing.cases import Case, read
from tests.fuzzing.subjects import SUBJECTS

CASES = 120
"""Of each kind: a second or two."""


def test_every_kind_is_fuzzed() -> None:
    assert {*SUBJECTS} == {*KINDS} == {*registered().kinds}


@pytest.mark.parametrize("kind", KINDS)
def test_every_good_case_has_declared_outcomes(kind: str) -> None:
    for case in SUBJECTS[kind].good():
        SUBJECTS[kind].check(case)


@pytest.mark.parametrize("kind", KINDS)
def test_no_body_and_no_headers_raise_anything_but_the_declared_outcomes(kind: str) -> None:
    for number in range(CASES):
        case = SUBJECTS[kind].case(Random(f"{kind}-{number}"))
        try:
            SUBJECTS[kind].check(case)
        except Exception as error:
            error.add_note(f"case {number} of {kind}: {case!r:.5000}")
            raise


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_the_same_after_it_was_a_file(kind: str) -> None:
    for number in range(50):
        case = SUBJECTS[kind].case(Random(number))
        again = read(case.wire())
        assert again.body == case.body
        assert [name for name, _ in again.headers] == [name for name, _ in case.headers]


@dataclass(frozen=True)
class _Broken:
    """A source with one thing wrong."""

    inside: Any
    sale: Any = None
    strip: Any = None
    identify: Any = None

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, name) if name in ("sale", "strip", "identify") else None
        return own or getattr(object.__getattribute__(self, "inside"), name)


def _raises(*_: object) -> Mapped | Unmappable:
    raise KeyError("line_items")


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"sale": _raises}, KeyError),
        ({"sale": lambda *_: None}, AttributeError),
        ({"sale": lambda *_: Unmappable(())}, AssertionError),
        ({"strip": lambda body: body + b" "}, AssertionError),
        ({"identify": lambda *_, now: replace(_EVENT, dedupe_key="\udcff")}, UnicodeEncodeError),
        ({"identify": lambda *_, now: replace(_EVENT, external_id="another")}, AssertionError),
    ],
)
def test_what_is_wrong_is_found(broken: dict[str, Any], expected: type[Exception]) -> None:
    shop = SUBJECTS["shopify"]
    wrong = replace(shop, sources=(_Broken(shop.sources[0], **broken),))
    with pytest.raises(expected):
        wrong.check(shop.samples()[0])


_CASE: Case = SUBJECTS["shopify"].samples()[0]
_EVENT: Any = SUBJECTS["shopify"].sources[0].identify(CIMultiDict(_CASE.headers), _CASE.body, now=1)
