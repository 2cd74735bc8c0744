"""Seeds that once failed, with what they found. They are run for ever.

A seed means what :mod:`tests.simulation.scenario` makes of it: who changes that changes what these mean, and looks for
seeds that show the same again.
"""

FOUND: dict[int, str] = {}
