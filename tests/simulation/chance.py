"""Where everything random comes from.

A draw depends on the seed and on what it is for, and not on what was drawn before it for something else: so a change
in one place leaves the rest of a scenario as it was, and a failing seed goes on failing.
"""

import random
from hashlib import blake2b


class Chance:
    """All draws of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._asked: dict[tuple[object, ...], int] = {}

    def stream(self, *purpose: object) -> random.Random:
        """A generator of its own."""
        return random.Random(f"{self.seed}/{purpose}")

    def draw(self, *purpose: object) -> float:
        """From 0 to 1; the n-th for this purpose."""
        n = self._asked[purpose] = self._asked.get(purpose, 0) + 1
        digest = blake2b(f"{self.seed}/{purpose}/{n}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48

    def between(self, low: float, high: float, *purpose: object) -> float:
        """From ``low`` to ``high``."""
        return low + (high - low) * self.draw(*purpose)
