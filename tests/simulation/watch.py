"""What watches a world: told of every step, it says when something does not hold."""

from typing import TYPE_CHECKING, ClassVar

from relay.core.condition import Condition
from relay.core.events import Happening
from relay.core.order import Arrival, Order
from relay.core.outcome import Outcome
from relay.store import Receipt, Revived, Settled, Settlement, Taken
from tests.simulation.jetti import Request

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class Broken(AssertionError):
    """Something did not hold."""

    def __init__(self, seed: int, name: str, at_s: float, said: str, history: str) -> None:
        super().__init__(
            f"seed {seed}, at {at_s:.4f} s: {name} is broken: {said}\n"
            f"(again: RELAY_SIM_SEED={seed} pytest tests/test_simulation.py)\n{history}"
        )
        self.name, self.seed, self.said = name, seed, said


class Watch:
    """One thing that must hold. Every method is a moment at which it may be looked at."""

    name: ClassVar[str]

    def __init__(self, world: "World") -> None:
        self.world = world
        self.exercised = 0
        """How often it could have been broken."""

    def require(self, holds: bool, said: str, *, channel: str | None = None, order: str | None = None) -> None:
        self.exercised += 1
        if not holds:
            self.world.broken(self.name, said, channel, order)

    def started(self, process: "Process") -> None:
        """A process begins to live."""

    def dies(self, process: "Process") -> None:
        """A process is about to die; it is still there."""

    def accepted(self, arrival: Arrival, receipt: Receipt) -> None:
        """An event was committed."""

    def acknowledged(self, receipt: Receipt) -> None:
        """An event was acknowledged."""

    def choosing(self, process: "Process", channel: str, order_id: int) -> None:
        """A delivery was chosen, and is about to be leased."""

    def taken(self, process: "Process", taken: Taken) -> None:
        """A lease was given."""

    def begun(self, process: "Process", request: Request) -> None:
        """A request begins."""

    def answered(self, process: "Process", request: Request, outcome: Outcome) -> None:
        """The relay hears of a request."""

    def settled(
        self, process: "Process", settlement: Settlement, settled: Settled | None, before: Order, *, stands: bool
    ) -> None:
        """A settlement was committed. ``stands``: the circuit was not closed when it was decided."""

    def kept(self, process: "Process", channel: str, condition: Condition) -> None:
        """A condition was committed."""

    def loading(self, process: "Process", channel: str) -> None:
        """A dispatcher asks for its backlog; by then it has its condition."""

    def revived(self, revived: Revived) -> None:
        """A dead or discarded order waits again."""

    def told(self, process: "Process", happening: Happening) -> None:
        """The relay tells something."""

    def paused(self, channel: str) -> None:
        """A pause is durable."""

    def resuming(self, channel: str) -> None:
        """Someone is about to resume."""

    def jumped(self) -> None:
        """The wall clock jumped."""

    def ticked(self) -> None:
        """A few seconds have passed."""

    def ended(self) -> None:
        """Everything was mended, and there was time enough."""
