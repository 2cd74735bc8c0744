"""The bench measures what it says; how fast this machine is, is nobody's promise."""

import json
from pathlib import Path

from relay.bench import orders
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
