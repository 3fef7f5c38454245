"""The package as a house: its rooms, its floors, and the circles that its files import in.

Run as a command, it says how many there are of each: `python -m tests.support.house [FOLDER]`.
A room is a file or a folder at the top of the package; it stands a floor above all that it
imports; a circle is a set of files of which each reaches each other by imports, late ones and those
for types counted.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "mirador_magic"

# module -> the modules that it names in an import, wherever in the file that stands
Arrows = Mapping[str, set[str]]


def arrows_of(package: Path) -> Arrows:
    """What each file of the package imports of the package."""
    paths = {_module(path, package): path for path in package.rglob("*.py")}
    return {
        module: {_known(name, paths) for name in _named(path, module)} - {module, ""}
        for module, path in paths.items()
    }


def imports_in(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a file, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def circles(arrows: Arrows) -> list[list[str]]:
    """The sets of more than one module of which each reaches each other."""
    reached = {module: _reached(module, arrows) for module in arrows}
    found = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in arrows
        if module in reached[module]
    }
    return sorted(list(circle) for circle in found)


def rooms(arrows: Arrows) -> Arrows:
    """The same arrows between the rooms; the package's own `__init__` is the house's door."""
    found: dict[str, set[str]] = {room: set() for module in arrows if (room := _room(module))}
    for module, targets in arrows.items():
        if room := _room(module):
            found[room] |= {_room(target) for target in targets} - {"", room}
    return found


def floors(arrows: Arrows) -> int:
    """The rooms on the longest way down; what stands in a circle shares a floor."""
    floor: dict[str, int] = {}
    reached = {room: _reached(room, arrows) for room in arrows}
    for room in sorted(arrows, key=lambda room: len(reached[room] | {room})):
        below = [floor[target] for target in reached[room] if room not in reached[target]]
        floor[room] = 1 + max(below, default=0)
    return max(floor.values(), default=0)


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _named(path: Path, module: str) -> Iterator[str]:
    inside = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in imports_in(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            above = inside[: len(inside) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _known(name: str, paths: Mapping[str, Path]) -> str:
    """The module that a name is, or stands in: the one before its last dot."""
    return next((tried for tried in (name, name.rpartition(".")[0]) if tried in paths), "")


def _reached(module: str, arrows: Arrows) -> set[str]:
    found: set[str] = set()
    waiting = list(arrows[module])
    while waiting:
        if (target := waiting.pop()) not in found:
            found.add(target)
            waiting.extend(arrows[target])
    return found


def _room(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def main() -> None:
    arrows = arrows_of(Path(sys.argv[1]) if sys.argv[1:] else PACKAGE)
    between = rooms(arrows)
    found = circles(arrows)
    print(f"{len(arrows)} files in {len(between)} rooms on {floors(between)} floors,", end=" ")
    print(f"{sum(map(len, between.values()))} arrows between rooms, {len(found)} circles of files")
    for circle in found:
        print(f"{len(circle):3}  {' '.join(name.partition('.')[2] or name for name in circle)}")


if __name__ == "__main__":
    main()
