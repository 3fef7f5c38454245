"""Runs the examples of a page: its `pycon` blocks, one after the other, in one namespace.

    python -m docs.examples docs/api.md

The exit code is 1 where one of them says something else than the page.
"""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

_BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> str:
    """The page with its examples alone, each on the line that it has there."""
    kept = [""] * len(page.splitlines())
    for block in _BLOCK.finditer(page):
        first = page.count("\n", 0, block.start(1))
        for number, line in enumerate(block[1].splitlines(), first):
            kept[number] = line
    return "\n".join(kept)


def failures(path: Path) -> int:
    """How many of the page's examples fail; each is printed."""
    test = doctest.DocTestParser().get_doctest(
        blocks(path.read_text()), {"__name__": "__main__"}, path.name, str(path), 0
    )
    return doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed


if __name__ == "__main__":
    sys.exit(bool(sum(failures(Path(name)) for name in sys.argv[1:])))
