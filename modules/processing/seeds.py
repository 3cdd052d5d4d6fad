"""Seeds of a job: from what the user typed to one number per picture."""

from __future__ import annotations

import random
from dataclasses import dataclass

RANDOM_SEED_LIMIT = 4294967294
"""Random seeds are below this, as in the reference, so that they fit every client's field."""


def fixed_seed(seed: int | None) -> int:
    """``seed`` itself, or a random one for -1 and ``None``."""
    if seed is None or seed == -1:
        return random.randrange(RANDOM_SEED_LIMIT)
    return int(seed)


@dataclass(frozen=True)
class Seeds:
    """One seed and one variation seed per picture of the job, in picture order."""

    seeds: tuple[int, ...]
    subseeds: tuple[int, ...]

    @classmethod
    def expand(cls, seed: int, subseed: int, subseed_strength: float, count: int) -> Seeds:
        """Seeds of ``count`` pictures.

        Without a variation the seed counts up from picture to picture; with one the seed stays and
        only the variation seed counts up, so that all pictures are variations of the same one.
        """
        first, sub_first = fixed_seed(seed), fixed_seed(subseed)
        step = 1 if subseed_strength == 0 else 0
        return cls(
            seeds=tuple(first + index * step for index in range(count)),
            subseeds=tuple(sub_first + index for index in range(count)),
        )
