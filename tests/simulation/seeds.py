"""Seeds that once failed, with what they found. They are run for ever.

A seed means what :mod:`tests.simulation.scenario` makes of it: who changes that changes what these mean, and looks for
seeds that show the same again.
"""

FOUND: dict[int, str] = {
    0: "pace_is_used: an order left the window for a place beyond it, the window was empty, and nobody refilled it",
    36: "lone_failure_does_not_open: orders that were taken counted among those that met a halted channel",
    43: "age_stands_still: a relay that was stopped before it had read its condition kept an empty one over it",
    91: "lone_failure_does_not_open: the same as 36",
    108: "the same",
}

FOUND_THIN: dict[int, str] = {
    3: "resting_sends_nothing: a further page was asked for although a throttle had come while it waited for its turn",
    19: "read_only_when_the_second_is_over: an order whose delivery had slept for long was read too soon",
    32: "read_only_when_the_second_is_over: what had just been announced was woken when the circuit closed",
    1043: "paused_sends_nothing: a further page was asked for after its channel was paused",
    757198: "resting_sends_nothing: the same, of a first request that waited behind further pages of others",
    860191: "newest_of_the_storefront_arrives: a change in the second of a webhook after which it was read at once",
}
