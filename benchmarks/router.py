"""What the router costs: a question of 2,000 characters, prose and paste, beside a bare regex.

    python -m benchmarks.router          # or: make bench

How often it is right stands in training/router/train.log. The baseline is the three patterns of the
original Mirador, which asked for "list", "explain" and the like.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable

from mirador_magic.routing import router

PROSE = ("Our three teams, who share one warehouse, want 2 different schedules. " * 40)[:2000]
PASTE = "Why does this fail?\n" + "".join(
    f'  File "part{n}.py", line {n}, in step{n}\n    return step{n + 1}(data)\n' for n in range(40)
)
BASELINE = re.compile(
    r"^(list|what are|give me|tell me).*(three|3|top|main)"
    r"|(analyze|explain|deep|comprehensive|detailed)"
)
ROUNDS = 2000


def main() -> None:
    """Print the median and the 99th percentile, in milliseconds."""
    router.load()
    for name, query in (("prose", PROSE), ("paste", PASTE[:2000])):
        ours, regex = timed(router.route, query), timed(BASELINE.search, query)
        told = ", ".join(
            f"{whose} {statistics.median(times):.3f} ms, p99 {times[ROUNDS * 99 // 100]:.3f} ms"
            for whose, times in (("router", ours), ("regex", regex))
        )
        print(f"{name} of {len(query):,} characters: {told}")


def timed(call: Callable[[str], object], query: str) -> list[float]:
    """Milliseconds of each call, sorted."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call(query)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times)


if __name__ == "__main__":
    main()
