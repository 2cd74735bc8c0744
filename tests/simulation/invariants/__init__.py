"""What must hold, at any time and whatever happens: the promises of the design (2), and what they rest on.

Each says one thing, in terms of what the shop, Jetti and persons see, or of what the store holds; where a rule of the
relay's own is needed to say it (how long a probe waits), its pure function is used and the time is measured here.
"""

from tests.simulation.invariants.circuit import (
    AgeStandsStill,
    ConditionSurvives,
    HaltedOnlyProbes,
    LoneFailureDoesNotOpen,
    PausedSendsNothing,
)
from tests.simulation.invariants.costs import COSTS_THROTTLE, COSTS_WRONG, CostsNoOrder, OneRefusalForAllCostsNoOrder
from tests.simulation.invariants.going_on import (
    BreakerOfOneChannelLeavesTheOther,
    EverythingArrivesInTheEnd,
    NoDefect,
    PaceIsUsed,
    SleepersWake,
)
from tests.simulation.invariants.kept import AcknowledgedIsKept, DispositionsAreTrue
from tests.simulation.invariants.pace import NoLockstep, PaceKept, RateBetweenFloorAndCeiling, RestingSendsNothing
from tests.simulation.invariants.sending import (
    NeverBackwards,
    NewestIsSent,
    OneInFlight,
    OnlyInFlightIsSentAgain,
    SameExternalId,
)
from tests.simulation.invariants.thin import (
    CancelledBeforehandIsLeft,
    CancelledOnce,
    CancelledWhenItsNewestIsDelivered,
    NeverToAnOlderState,
    NewestOfTheStorefrontArrives,
    OneFetchForABurst,
    ReadOnlyWhenTheSecondIsOver,
    TroubleCostsNoAttempt,
)
from tests.simulation.invariants.urgency import ChoicesStayFresh, NewFirst, NothingStarves
from tests.simulation.watch import Watch

EVERY: tuple[type[Watch], ...] = (
    AcknowledgedIsKept, DispositionsAreTrue, OneInFlight, OnlyInFlightIsSentAgain, NeverBackwards, SameExternalId,
    NewestIsSent, NewFirst, NothingStarves, ChoicesStayFresh, PaceKept, NoLockstep, RateBetweenFloorAndCeiling,
    RestingSendsNothing, CostsNoOrder, OneRefusalForAllCostsNoOrder, HaltedOnlyProbes, LoneFailureDoesNotOpen,
    PausedSendsNothing, AgeStandsStill, ConditionSurvives, PaceIsUsed, BreakerOfOneChannelLeavesTheOther, SleepersWake,
    EverythingArrivesInTheEnd, NoDefect,
)  # fmt: skip
NAMES = (*(watch.name for watch in EVERY), COSTS_WRONG, COSTS_THROTTLE)
"""Every invariant there is, of orders that come whole."""

THIN: tuple[type[Watch], ...] = (
    NewestOfTheStorefrontArrives, NeverToAnOlderState, OneFetchForABurst, ReadOnlyWhenTheSecondIsOver,
    TroubleCostsNoAttempt, CancelledWhenItsNewestIsDelivered, CancelledOnce, CancelledBeforehandIsLeft,
    OneInFlight, SameExternalId, PaceKept, RateBetweenFloorAndCeiling, RestingSendsNothing, PausedSendsNothing,
    ConditionSurvives, AgeStandsStill, SleepersWake, NoDefect,
)  # fmt: skip
"""What must hold of orders that are fetched, and cancelled."""
THIN_NAMES = tuple(watch.name for watch in THIN)
