"""The state diagrams of docs/reference/states.md, drawn from the tables that the relay obeys.

``python tests/diagram.py`` prints them, to be put between the page's ```mermaid and ```.
"""

from relay.core.breaker import MOVES, Circuit, Signal
from relay.core.delivery import TRANSITIONS, State


def of_states() -> str:
    """Mermaid; in the order of the enum, so that the same table is always the same text."""
    moves = [f"    {state} --> {after}" for state in State for after in State if after in TRANSITIONS[state]]
    return "\n".join(["stateDiagram-v2", *moves]) + "\n"


def of_circuit() -> str:
    """Mermaid; in the order of the enums."""
    moves = [f"    {c} --> {MOVES[c, s]}: {s}" for c in Circuit for s in Signal if (c, s) in MOVES]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {Circuit.CLOSED}", *moves]) + "\n"


if __name__ == "__main__":
    print(of_states(), of_circuit(), sep="\n", end="")
