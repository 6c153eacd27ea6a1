"""What is compared, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

SCRAPE_PERIOD_S = 15.0
SAMPLE_RATIO = 0.01
# What is still on its way when the last answer has come is counted too: spans wait five seconds at most.
SETTLE_S = 6.0
# How long is looked at what services use when nobody asks them anything.
IDLE_S = 20.0


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to run the mesh."""

    name: str
    is_scraped: bool
    is_traced: bool


OFF = Arm("off", is_scraped=False, is_traced=False)
SCRAPED = Arm("scraped", is_scraped=True, is_traced=False)
OBSERVED = Arm("observed", is_scraped=True, is_traced=True)
ARMS = (OFF, SCRAPED, OBSERVED)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done.

    In each round every arm is started anew. Then all take `turns` short turns of `turn_s`, each time in
    another order, so that whatever else the machine does meets all of them alike; processor time is counted
    over the whole round. An arm is scraped whenever its own turns add up to the period.
    """

    name: str
    rounds: int
    warmup_s: float
    turns: int
    turn_s: float

    def is_scraped_in(self, turn: int) -> bool:
        """Whether the `turn`th turn, from 0, ends a period."""
        return (turn + 1) * self.turn_s // SCRAPE_PERIOD_S > turn * self.turn_s // SCRAPE_PERIOD_S


FULL = Plan("full", 10, 6.0, 30, 2.0)
QUICK = Plan("quick", 2, 3.0, 15, 1.0)
