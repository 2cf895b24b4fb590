"""How long idle CPU threads spin before they sleep; decided before torch is imported, and torch-free for that reason.

Between the parallel parts of a step GNU OpenMP lets its idle threads spin. Left alone, that takes the cores from others
who work there, another process's spinning threads included: on two cores, a second two-threaded process made steps 15
times slower. A short spin keeps 96 % of the speed of an idle machine and half of it beside such a neighbour
(docs/decisions.md has the table).
"""

from __future__ import annotations

import os

#: Rounds of spinning; GNU OpenMP's own default is 300,000.
SPINS = 10_000


def spin_briefly() -> None:
    """Limit the spinning of this process's OpenMP threads. The library reads it when it is loaded, with torch."""
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
