"""A benchmark as a JSON file, and the last one, which is kept for `--against last`.

The last one lies in the user's data folder, without the texts of the questions unless these are
kept (the setting keep_texts): a question is known by its hash then, which is enough to compare it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mirador_magic.errors import UsageError
from mirador_magic.workbench.benchmark.measured import Measured, Point, hashed
from mirador_magic.workbench.benchmark.plan import Arm

FORMAT = 1
LAST = "last"


def last_file() -> Path:
    """Where the last benchmark is kept."""
    import platformdirs

    return platformdirs.user_data_path("mirador", appauthor=False) / "last_benchmark.json"


def to_json(result: Measured) -> str:
    """As JSON. The one that it is compared with is not a part of it."""
    told = {
        "mirador_benchmark": FORMAT,
        "began": result.began,
        "machine": dict(result.machine),
        "planned": result.planned,
        "notes": result.notes,
        "questions": result.questions,
        "arms": [asdict(arm) for arm in result.arms],
        "points": [asdict(point) for point in result.points],
    }
    return json.dumps(told, indent=1, ensure_ascii=False)


def save(result: Measured, path: Path) -> None:
    """Write it, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(to_json(result), encoding="utf-8")
    os.replace(part, path)


def save_last(result: Measured, *, texts: bool) -> None:
    """Keep it for `--against last`. Raises OSError."""
    known = result.questions if texts else tuple(map(hashed, result.questions))
    save(replace(result, questions=known), last_file())


def load(source: str | Path) -> Measured:
    """The benchmark in a file; `last` is the last one. Raises UsageError where there is none."""
    if source == LAST:
        path = last_file()
        if not path.exists():
            raise UsageError("no benchmark was kept yet", "%mirador benchmark keeps one")
    else:
        path = Path(source).expanduser()
    try:
        return _benchmark(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "%mirador benchmark --json FILE writes one"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{path} holds no benchmark of Mirador's", "%mirador benchmark --json FILE writes one"
        ) from None


def _benchmark(told: Any) -> Measured:
    """Raises KeyError, TypeError or ValueError for what is none."""
    if told["mirador_benchmark"] != FORMAT:
        raise ValueError(told["mirador_benchmark"])
    questions = tuple(map(str, told["questions"]))
    points = tuple(_point(each) for each in told["points"])
    arms = tuple(_arm(each) for each in told["arms"])
    asked = all(0 <= each.question < len(questions) for each in points)
    if not (arms and asked and all(len(each.stages) == len(each.models) for each in points)):
        raise ValueError("a run of no question, or of a stage without a model")
    return Measured(
        questions,
        arms,
        points,
        int(told["planned"]),
        str(told["began"]),
        {str(key): str(value) for key, value in told["machine"].items()},
        tuple(map(str, told["notes"])),
    )


def _arm(told: Any) -> Arm:
    stages = told["stages"]
    return Arm(**{**told, "stages": None if stages is None else tuple(map(str, stages))})


def _point(told: Any) -> Point:
    lists = {name: tuple(map(str, told[name])) for name in ("stages", "models")}
    whole = {name: int(told[name]) for name in ("question", "number", "tokens")}
    perhaps = {
        name: None if told[name] is None else float(told[name])
        for name in ("useful", "rate", "load")
    }
    return Point(**{**told, **lists, **whole, **perhaps, "total": float(told["total"])})
