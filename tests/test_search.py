"""What an order is found by; and that an index finds what a look at every order would."""

import asyncio
import hashlib
import json
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.delivery import State
from relay.core.order import Disposition
from relay.core.sale import encode, parse
from relay.core.search import (
    begins,
    beyond,
    email_hash,
    email_hash_of_hex,
    email_hash_of_sale,
    is_exactly,
    spellings,
)
from relay.store import EventSearch, Search, Store
from relay.store.memory import MemoryStore
from relay.store.sqlite import SqliteStore, searching
from tests.builders import REFUSED, accept, at, garbled, settle, take, upsert
from tests.fakes import SALE, manual_sale

NAMES = st.text(st.sampled_from("#01\u00e4\ud7ff\ue000\U0010ffff"), max_size=4)
STORED = NAMES.filter(bool)


def test_the_hash_is_that_of_the_address_trimmed_and_in_lower_case() -> None:
    known = hashlib.sha256(b"jo@example.com").hexdigest()
    for address in ("jo@example.com", " Jo@Example.COM\n"):
        assert email_hash(address).hex() == known[:32]
    assert email_hash("joe@example.com") != email_hash("jo@example.com")
    for text in (known, known.upper(), known[:32], f" {known} "):
        assert email_hash_of_hex(text) == email_hash("jo@example.com")


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "a" * 63, "\u00e4" * 64, "\u0661" * 64, "a " * 32, "_" * 32])
def test_what_is_no_sha_256_is_no_hash(text: str) -> None:
    assert email_hash_of_hex(text) is None


def test_a_sale_tells_who_bought() -> None:
    sale = parse(json.loads(manual_sale(1), parse_float=Decimal))
    assert not isinstance(sale, tuple)
    assert email_hash_of_sale(encode(sale)) == email_hash(SALE["customer"]["email"])


@pytest.mark.parametrize(
    "sale", [b"", b"[]", b"{}", b'{"customer":null}', b'{"customer":{}}', b'{"customer":{"email":7}}',
             b'{"customer":{"email":" "}}', b"\xff", b'{"customer":' * 100_000],
)  # fmt: skip
def test_of_what_names_nobody_there_is_no_hash(sale: bytes) -> None:
    assert email_hash_of_sale(sale) is None


def test_the_number_sign_may_be_there_or_not() -> None:
    assert spellings("1001") == spellings(" #1001 ") == ("1001", "#1001")
    assert spellings("#") == ("#",)
    assert spellings(" ") == spellings("") == ()


@given(NAMES, NAMES)
def test_what_is_beyond_a_prefix_does_not_begin_with_it_and_what_is_below_does(prefix: str, name: str) -> None:
    end = beyond(prefix)
    assert name.startswith(prefix) == (name >= prefix and (end is None or name < end))


async def _orders(store: Store, names: list[tuple[str, str | None]]) -> None:
    for external_id, reference in names:
        await accept(store, upsert(external_id, reference=reference))


async def _found(store: Store, wanted: Search) -> list[str]:
    page = await store.search(wanted, limit=2)
    found = [order.external_id for order in page.orders]
    while page.next is not None:
        page = await store.search(wanted, limit=2, after=page.next)
        found += [order.external_id for order in page.orders]
    return found


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.tuples(STORED, st.none() | STORED), max_size=8, unique_by=lambda name: name[0]),
    text=NAMES.filter(str.strip),
    bounds=st.sampled_from([(1, 1), (2, 3), (3, 1), (4_000, 50_000)]),
)
def test_a_search_finds_what_a_look_at_every_order_finds_however_little_is_looked_at(
    names: list[tuple[str, str | None]], text: str, bounds: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def compare(folder: Path) -> None:
        store = await SqliteStore.open(folder / "relay.db")
        await _orders(store, names)
        wanted = [name for name in reversed(names) if begins(text, name[1], name[0])]
        wanted.sort(key=lambda name: not is_exactly(text, name[1], name[0]))
        assert await _found(store, Search(text)) == [external_id for external_id, _ in wanted]
        await store.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "FOUND_MAX", bounds[0])
        patch.setattr(searching, "LOOKED_AT", bounds[1])
        asyncio.run(compare(tmp_path_factory.mktemp("search")))


@pytest.mark.parametrize(("found_max", "looked_at"), [(1, 1), (2, 3), (5, 2), (4_000, 50_000)])
async def test_both_stores_find_the_same_however_little_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_max: int, looked_at: int
) -> None:
    monkeypatch.setattr(searching, "FOUND_MAX", found_max)
    monkeypatch.setattr(searching, "LOOKED_AT", looked_at)
    memory, sqlite = MemoryStore(), await SqliteStore.open(tmp_path / "relay.db")
    for store in (memory, sqlite):
        for number in range(12):
            storefront, channel = ("shop", "main") if number % 3 else ("outlet", "other")
            receipt = await accept(
                store, upsert(str(number), reference=f"#{number % 4}"), storefront=storefront, channel=channel,
                received_at=at(number),
            )  # fmt: skip
            if number % 2:
                sale = b'{"customer":{"email":"%d@b.c"}}' % (number % 5)
                await settle(store, await take(store, receipt, channel=channel), REFUSED, sale=sale)
            await accept(store, garbled(), received_at=at(number))
    states = [frozenset[State](), frozenset([State.DEAD]), frozenset([State.WAITING, State.DEAD]), frozenset(State)]
    asked = product((None, "1", "#"), (None, email_hash("1@b.c")), states, (None, "shop"), (None, "other"))
    searches = [Search(*one) for one in asked]
    for wanted in searches:
        assert await _found(sqlite, wanted) == await _found(memory, wanted), wanted
    dispositions = (frozenset[Disposition](), frozenset([Disposition.QUARANTINED]))
    for criteria in product((None, "shop"), dispositions, (None, 2), (None, at(3)), (None, at(7))):
        events = EventSearch(*criteria)
        assert await _events(sqlite, events) == await _events(memory, events), events
    await sqlite.close()


async def _events(store: Store, wanted: EventSearch) -> list[int]:
    page = await store.events(wanted, limit=2)
    found = [event.id for event in page.events]
    while page.next is not None:
        page = await store.events(wanted, limit=2, after=page.next)
        found += [event.id for event in page.events]
    return found
