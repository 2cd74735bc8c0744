"""The bench measures what it says; how fast this machine is, is nobody's promise."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from relay.bench import mapping, mapping_table, orders
from relay.config.kinds import registered
from relay.core.mapping import Made
from relay.core.sources import Authentic, Mapped, Upsert
from relay.core.sources.shopify import Shopify, ShopifyRules
from tests.running import command


def test_the_orders_it_makes_up_are_signed_whole_and_different() -> None:
    head, _, body = orders.request("/webhooks/shop", 7).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    shop = Shopify((orders.SECRET,), ShopifyRules())
    assert shop.verify(headers, body, now=0) == Authentic()
    about = shop.identify(headers, body, now=0)
    assert isinstance(about, Upsert)
    assert about.external_id == "10000007"
    made = shop.sale(body, about.topic)
    assert isinstance(made, Mapped)
    assert len(made.sale.line_items) == 5
    assert orders.body(8) != body


async def test_it_measures_the_relay_and_bare_aiohttp_in_one_run(tmp_path: Path) -> None:
    finished = await command("bench", "--json", "--seconds", "1", "--rounds", "1", folder=tmp_path, seconds=120)
    assert finished.code == 0, finished.err
    figures = json.loads(finished.out)
    for row in ("acknowledged", "delivered"):
        found = figures[row]
        assert found["relay_per_s"] > 50
        assert found["bare_per_s"] > found["relay_per_s"]
        assert found["ratios"] == [found["ratio"]]
    assert set(figures["half_load"]["statuses"]) == {"200"}
    assert figures["body_bytes"] > 4000
    assert figures["pinned"]
    assert set(figures["mapping_us"]) == set(registered().kinds)
    for kind, found in figures["mapping_us"].items():
        for how in ("plain", "shaped"):  # a hundred times the lines; the two beside each other are too near to compare
            assert 0 < found["5"][how] < found["500"][how], (kind, how)
        assert found["5"]["identify"] > 0, kind


@pytest.mark.parametrize("lines", mapping.LINES)
@pytest.mark.parametrize("kind", sorted(registered().kinds))
def test_the_sales_it_makes_have_the_lines_it_says(kind: str, lines: int) -> None:
    made_up = mapping.kinds()[kind]
    body = made_up.body(lines)
    plain, shaped = (maker.make(mapping.ORDER, made_up.topic, body) for maker in mapping.makers(made_up.source))
    assert isinstance(plain, Made)
    assert isinstance(shaped, Made)
    assert len(json.loads(plain.sale)["lineItems"]) == lines
    units = json.loads(shaped.sale)["lineItems"]
    assert len(units) == 2 * lines
    assert {unit["orderRouting"] for unit in units} == {"automated"}
    assert all(unit["name"].endswith(" x") for unit in units)


def test_the_table_has_every_kind() -> None:
    figures = {
        kind: {str(n): {"identify": 1.4, "plain": 12.0, "shaped": 1234.0} for n in mapping.LINES}
        for kind in registered().kinds
    }
    out = Console(width=120, file=StringIO(), force_terminal=False)
    out.print(mapping_table(figures))
    shown = out.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    for kind in registered().kinds:
        assert kind in shown
    assert "1,234" in shown
