"""How well queries are routed, and what it costs, beside the router as it was before word meanings.

    python -m benchmarks.router [QUERIES.jsonl]          # or: make bench

The queries are those of training/router that the router before was not trained on; where this one sent
each is what a fit without its author's queries said, as training left it in left_out.txt. A file of
labelled queries of your own is routed by both as they are. Times are of a question of 2,000 characters.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirador_magic.routing import router
from training.router.figures import LEFT_OUT, QUERIES, read, report

ROOT = Path(__file__).parents[1]
BEFORE = "521f174"  # the commit of the router before
_KNOWN = "abcdefg"  # the authors that it was trained on
PROSE = " ".join((ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8").split())[:2000]
PASTE = "Why does this fail?\n" + "".join(
    f'  File "part{n}.py", line {n}, in step{n}\n    return step{n + 1}(data)\n' for n in range(40)
)
ROUNDS = 2000

Route = Callable[[str], Any]


def main() -> None:
    """Print the figures of both, then the median and the 99th percentile in milliseconds."""
    routers = {"router": router.route, "before": before()}
    rows = read(*sorted(QUERIES.glob("*.jsonl")))
    letters = {name[0]: name for name in router.CLASSES}
    left_out = [letters[each] for each in LEFT_OUT.read_text(encoding="utf-8").strip()]
    new = [pair for pair in zip(rows, left_out, strict=True) if pair[0]["author"] not in _KNOWN]
    asked = [row for row, _ in new]
    print(
        "router, by authors left out of its fit:", report(asked, [way for _, way in new]), sep="\n"
    )
    print("before, on the same:", report(asked, ways(routers["before"], asked)), sep="\n")
    for file in map(Path, sys.argv[1:]):
        others = read(file)
        for name, route in routers.items():
            print(f"{name}, on {file.name}:", report(others, ways(route, others)), sep="\n")
    for name, query in (("prose", PROSE), ("paste", PASTE[:2000])):
        told = ", ".join(
            f"{whose} {statistics.median(times):.3f} ms, p99 {times[ROUNDS * 99 // 100]:.3f} ms"
            for whose, times in ((whose, timed(route, query)) for whose, route in routers.items())
        )
        print(f"{name} of {len(query):,} characters: {told}")


def before() -> Route:
    """The router at `BEFORE`, from this repository's history."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("routing/router.py", "models/router.json"):
            source = f"{BEFORE}:mirador_magic/{name}"
            shown = subprocess.run(
                ["git", "show", source], cwd=ROOT, capture_output=True, check=False
            )
            if shown.returncode:
                raise SystemExit(f"no {source} in this checkout's history: git fetch --unshallow")
            (Path(folder) / name).parent.mkdir()
            (Path(folder) / name).write_bytes(shown.stdout)
        spec = importlib.util.spec_from_file_location("before", f"{folder}/routing/router.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["before"] = module  # its dataclass looks there
        spec.loader.exec_module(module)
        module.load()
    route: Route = module.route
    return route


def ways(route: Route, rows: list[dict[str, str]]) -> list[str]:
    """Where it sends each of them."""
    return [route(row["query"]).complexity for row in rows]


def timed(call: Route, query: str) -> list[float]:
    """Milliseconds of each call, sorted."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call(query)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times)


if __name__ == "__main__":
    main()
