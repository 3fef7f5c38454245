"""What is kept of labelled answers: a JSON file in the user's data folder, by model and stage.

For each there are the labelled answers (a key of the question, never its text; what was measured,
the label, the length, its features) and what was fitted to them. Answers add up; a question that is
asked again takes the place of what it was before. What another measure told of an answer is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mirador_magic import confidence
from mirador_magic.confidence import Calibration, Features
from mirador_magic.errors import UsageError
from mirador_magic.stages import plain
from mirador_magic.workbench.calibrate.fit import Point, fitted

MOST = 5000  # labelled answers of a model in a stage; the oldest go


@dataclass(frozen=True)
class Answered:
    """A labelled answer, and whose it is."""

    model: str
    stage: str
    question: str
    point: Point


def keep(answers: Iterable[Answered], file: Path | None = None) -> list[tuple[str, str]]:
    """Add them to what is kept and fit anew; the (model, stage) of those that changed.

    Raises UsageError where the file cannot be written.
    """
    known = read(file)
    changed: list[tuple[str, str]] = []
    for each in answers:
        place = plain(each.model), each.stage
        points = known.setdefault(place, {})
        points.pop(_key(each.question), None)
        points[_key(each.question)] = each.point
        changed += [place] if place not in changed else []
    _write(known, file)
    return changed


def clear(stages: Iterable[str] | None = None, file: Path | None = None) -> int:
    """Forget the labelled answers, of these stages or all; how many they were."""
    known, names = read(file), None if stages is None else set(stages)
    gone = [place for place in known if names is None or place[1] in names]
    count = sum(len(known.pop(place)) for place in gone)
    if gone:
        _write(known, file)
    return count


def read(file: Path | None = None) -> dict[tuple[str, str], dict[str, Point]]:
    """The labelled answers by (model, stage) and question; those that can be read."""
    try:
        kept = json.loads((file or confidence.user_file()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = {}
    for model, stages in (kept if isinstance(kept, dict) else {}).items():
        for stage, line in (stages if isinstance(stages, dict) else {}).items():
            if not isinstance(line, dict) or line.get("measure") != confidence.MEASURE:
                continue
            if points := _points(line.get("labelled")):
                known[model, stage] = points
    return known


def _points(kept: object) -> dict[str, Point]:
    rows = kept if isinstance(kept, list) else []
    return {
        str(row[0]): Point(
            float(row[1]), bool(row[2]), int(row[3]), Features(*row[4:]) if row[4:] else None
        )
        for row in rows
        if isinstance(row, list)
        and len(row) in (4, 4 + len(Features._fields))
        and all(isinstance(n, int | float) for n in row[1:])
    }


def _write(known: Mapping[tuple[str, str], Mapping[str, Point]], file: Path | None) -> None:
    lines: dict[str, dict[str, object]] = {}
    for (model, stage), points in known.items():
        lines.setdefault(model, {})[stage] = _line(points)
    file = file or confidence.user_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(lines), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise UsageError(
            f"the calibration cannot be kept: {error}", f"make {file.parent} writable"
        ) from error
    confidence.forget()


def _line(points: Mapping[str, Point]) -> dict[str, object]:
    last = list(points.items())[-MOST:]
    rows = [
        [
            key,
            round(p.measured, 5),
            int(p.right),
            p.length,
            *(round(x, 4) for x in p.features or ()),
        ]
        for key, p in last
    ]
    found = fitted([point for _, point in last])
    fit = told(found.calibration) if found else {}
    return {"measure": confidence.MEASURE, "labelled": rows} | fit


def told(fit: Calibration) -> dict[str, object]:
    """A calibration as it is kept."""
    line = {"slope": fit.slope, "intercept": fit.intercept, "answers": fit.answers}
    more = {"steps": fit.steps, "weights": fit.weights}
    return line | {name: numbers for name, numbers in more.items() if numbers}


def _key(question: str) -> str:
    return hashlib.sha256(" ".join(question.split()).encode(errors="replace")).hexdigest()[:16]
