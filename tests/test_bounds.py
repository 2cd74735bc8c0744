"""What a body of the largest size may cost, whatever is in it: it is mapped while everybody else waits.

The bounds are far above what is measured here (a third of a second at most) and far below what there was without them
(half a minute and two gigabytes).
"""

import json
import re
import time
from collections.abc import Callable
from fnmatch import translate
from typing import Any

import pytest

from relay.core import manual_sale
from relay.core.mapping import Made, Maker
from relay.core.outcome import NotWanted
from relay.core.recipe import compile_criterion, compile_override, document
from relay.core.sale import LINES_MAX, PARTS_MAX, REASONS_MAX, Reason
from relay.core.shaping import compiled
from relay.core.sources import FETCHED_TOPIC, Source, Unmappable
from relay.core.sources.bigcommerce import BigCommerce
from relay.core.sources.elasticpath import ElasticPath
from relay.core.sources.native import Native
from relay.core.sources.shopify import Shopify
from relay.core.sources.squarespace import Squarespace
from relay.core.sources.woocommerce import WooCommerce
from tests.builders import order
from tests.fixtures import sample

BODY_MAX_BYTES = 5 * 1024 * 1024
SECONDS_MAX = 6.0

WHOLE: dict[str, tuple[Source, str, tuple[str, ...]]] = {
    "shopify": (Shopify(("hush",)), "shopify-order.json", ("line_items",)),
    "woocommerce": (WooCommerce(("hush",)), "woocommerce-order.json", ("line_items",)),
    "elasticpath": (ElasticPath(("hush",)), "elasticpath-event.json", ("payload", "included", "items")),
    "bigcommerce": (BigCommerce(("hush",)), "bigcommerce-order.json", ("products",)),
    "squarespace": (Squarespace(("00ff",)), "squarespace-order.json", ("lineItems",)),
    "native": (Native(), "native-sale.json", ("lineItems",)),
}
"""Each kind with a body of its own making, and where its lines are."""


def with_lines(kind: str, make: Callable[[dict[str, Any]], list[Any]]) -> bytes:
    _, name, path = WHOLE[kind]
    body = json.loads(sample(name))
    holder = body
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = make(holder[path[-1]][0])
    return json.dumps(body, separators=(",", ":")).encode()


def made(kind: str, body: bytes) -> Made | Unmappable | NotWanted:
    return Maker(WHOLE[kind][0]).make(order(), FETCHED_TOPIC, body)


def within(seconds: float, do: Callable[[], Any]) -> Any:
    started = time.process_time()
    result = do()
    assert time.process_time() - started < seconds
    return result


@pytest.mark.parametrize("kind", WHOLE)
def test_a_body_of_nothing_but_brackets_is_refused_before_it_is_decoded(kind: str) -> None:
    body = with_lines(kind, lambda _: [{}] * (BODY_MAX_BYTES // 3 - 5_000))
    refused = within(1.0, lambda: made(kind, body))
    assert refused == Unmappable((Reason("", f"more than {PARTS_MAX} objects and lists: split the order"),))


@pytest.mark.parametrize("kind", WHOLE)
def test_more_lines_than_anybody_sells_are_refused_and_as_many_are_mapped(kind: str) -> None:
    refused = within(SECONDS_MAX, lambda: made(kind, with_lines(kind, lambda line: [line] * (LINES_MAX + 1))))
    assert isinstance(refused, Unmappable)
    (reason,) = refused.reasons
    assert str(LINES_MAX) in reason.message
    assert reason.message.endswith(("split the order", "split it"))
    assert reason.pointer == "/" + "/".join(WHOLE[kind][2])
    key = "externalId" if kind == "native" else "id"
    whole = with_lines(kind, lambda line: [line | {key: n + 1} for n in range(LINES_MAX)])
    sent = within(SECONDS_MAX, lambda: made(kind, whole))
    assert isinstance(sent, Made), sent


@pytest.mark.parametrize("kind", WHOLE)
def test_of_very_many_reasons_the_first_are_told_and_the_others_counted(kind: str) -> None:
    refused = within(
        SECONDS_MAX, lambda: made(kind, with_lines(kind, lambda _: [{"quantity": -n} for n in range(LINES_MAX)]))
    )
    assert isinstance(refused, Unmappable)
    assert len(refused.reasons) <= REASONS_MAX + 1
    assert re.fullmatch(r"and \d+ more reasons", refused.reasons[-1].message)


def test_expressions_never_see_a_body_of_nothing_but_brackets() -> None:
    body = b"[" + b"{}," * 1_500_000 + b"{}]"
    assert isinstance(within(1.0, lambda: document.decoded(body)), Reason)
    assert isinstance(within(1.0, lambda: manual_sale.parse(body)), Unmappable)


_TEXTS = {"lines": [{"a": "x" * 50}] * 40_000, "long": "ab " * 400_000, "numbers": [1.5] * 300_000}


@pytest.mark.parametrize(
    "expression",
    [
        "[@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | [@,@] | to_string(@)",
        "lines[].lines[].lines[]",
        "lines[?contains(root().lines, @)]",
        "lines[?root().lines[?a == 'y']]",
        "map(&sort_by(root().lines, &a), lines)",
        "sum(numbers) > `1` && avg(numbers) > `1` && max(numbers) > `1`",
        "split(' ', long) | join(',', @) | split(',', @)",
        "map(&replace(root().long, 'a', 'aaaa'), lines)",
        "map(&upper(root().long), lines)",
        "map(&starts_with(root().long, root().long), lines)",
        "lines == lines && lines == reverse(lines)",
        "*.*.*.*", "lines[*].*[] | [].[@,@,@]", "merge(@, @, @) | values(@)[] | items(merge(@[0], @[1]))",
    ],
)  # fmt: skip
def test_an_expression_over_the_largest_body_ends(expression: str) -> None:
    body = json.dumps(_TEXTS).encode()
    assert len(body) < BODY_MAX_BYTES
    criterion = compile_criterion(expression, "accept_when")
    assert isinstance(within(SECONDS_MAX, lambda: criterion.holds(body)), bool | Reason)


def test_an_override_of_every_line_of_the_largest_order_ends() -> None:
    override = compile_override({"line_items": {"name": "join(',', root().sale.lineItems[].name)"}})
    body = with_lines("shopify", lambda line: [line | {"id": n + 1} for n in range(LINES_MAX)])
    maker = Maker(WHOLE["shopify"][0], override=override)
    refused = within(SECONDS_MAX, lambda: maker.make(order(), "orders/updated", body))
    assert isinstance(refused, Unmappable)
    assert "too many steps" in refused.reasons[0].message


def test_routing_of_the_largest_order_by_many_rules_ends() -> None:
    rules = [{"route": "ignore", "sku": [f"*-{n}-*?x", "*a*b*c*d*"], "when": f"line.price > `{n}`"} for n in range(200)]
    maker = Maker(WHOLE["shopify"][0], shape=compiled({"routing": rules}))
    body = with_lines("shopify", lambda line: [line | {"id": n + 1, "sku": "a" * 200} for n in range(LINES_MAX)])
    assert isinstance(within(SECONDS_MAX, lambda: maker.make(order(), "orders/updated", body)), Made)


@pytest.mark.parametrize("pattern", ["*a" * 127, "*" * 255, "*[!a]*[!b]" * 25, "*?b" * 85, "*" + "a" * 200 + "b*c"])
def test_a_pattern_on_the_longest_text_takes_no_time_that_grows_with_its_stars(pattern: str) -> None:
    compiled_pattern = re.compile(translate(pattern))
    within(SECONDS_MAX, lambda: compiled_pattern.match("a" * 1_000_000))
