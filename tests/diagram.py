"""The state diagram of docs/reference/states.md, drawn from the table that the stores obey.

``python tests/diagram.py`` prints it, to be put between the page's ```mermaid and ```.
"""

from relay.core.delivery import TRANSITIONS, State


def of_states() -> str:
    """Mermaid; in the order of the enum, so that the same table is always the same text."""
    moves = [f"    {state} --> {after}" for state in State for after in State if after in TRANSITIONS[state]]
    return "\n".join(["stateDiagram-v2", *moves]) + "\n"


if __name__ == "__main__":
    print(of_states(), end="")
