"""Fits SmolLM2's calibration to the labelled answers in `answers.jsonl`, and says what it is worth.

    python -m training.confidence.train [OUT.json]

By `mirador calibrate`'s own fit, for each default stage. The figures are of answers that a fit was not made
on: a tenth of the answers left out in turn, a fifth of the kinds left out in turn, and the kinds of HELD,
which were written when all else was settled, so that nothing was chosen on them; what is written is fitted
to all. Beside the calibrated and the measured confidence stand the two baselines of the latter: the
answer's mean log-probability, and that of its lowest three tokens.

Last come how much more often a later stage is right than the first one, and the answer that stands
(`answer.standing`, by calibrations that it was left out of) than the best single stage.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirador_magic.answer.answer import StageAnswer
from mirador_magic.answer.standing import standing
from mirador_magic.confidence import MEASURE, SHIPPED, Features
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.calibrate.figures import Pair, auroc, ece, spread
from mirador_magic.workbench.calibrate.fit import Point, cross_validated, regression, said
from mirador_magic.workbench.calibrate.kept import told
from mirador_magic.workbench.intervals import Interval, of_difference
from training.confidence.ask import ANSWERS, read

HELD = ("acronym", "colour", "animal", "command", "sport")
_PARTS = 5  # of the other kinds


@dataclass(frozen=True)
class Answer:
    """A labelled answer of one stage, and the baselines of what was measured of it."""

    kind: str
    point: Point
    mean: float
    lowest: float

    @property
    def measured(self) -> float:
        return self.point.measured

    @property
    def right(self) -> bool:
        return self.point.right


_BASELINES = {"mean": "mean log-probability", "lowest": "mean of the lowest three"}


def main() -> None:
    """Print the figures and write the calibrations."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=SHIPPED)
    out: Path = parser.parse_args().out
    fits: dict[str, object] = {}
    for stage in DEFAULT_STAGES:
        answers = of(stage.name)
        print(*figures(stage.name, answers), sep="\n", flush=True)
        fit = regression([each.point for each in answers])
        fits[stage.name] = {"measure": MEASURE} | told(fit)
    print(*stages_compared(), sep="\n")
    out.write_text(json.dumps({SMOLLM2.name: fits}, indent=1) + "\n", encoding="utf-8")


def of(stage: str) -> list[Answer]:
    """The labelled answers of this stage."""
    return [
        _answer(str(row["kind"]), row["stages"][stage])
        for row in read(ANSWERS)
        if stage in row["stages"]
    ]


def _answer(kind: str, told: dict[str, Any]) -> Answer:
    features = Features(*told["features"])
    point = Point(told["measured"], told["right"], told["length"], features)
    return Answer(kind, point, told["mean"], told["lowest"])


def figures(name: str, answers: Sequence[Answer]) -> Iterator[str]:
    """Lines for people, of one stage."""
    fitted = [each for each in answers if each.kind not in HELD]
    held = [each for each in answers if each.kind in HELD]
    for where, some in (("fitted kinds", fitted), ("held out kinds", held)):
        share = sum(each.right for each in some) / len(some)
        yield f"{name}, {where}: {len(some)} answers, {share:.0%} right"
        for field, what in (_BASELINES | {"measured": "measured"}).items():
            pairs = [(float(getattr(each, field)), each.right) for each in some]
            yield f"  {what:<35} AUROC {_told(spread(auroc, pairs))}"
        for field, what in _BASELINES.items():
            yield f"  measured less {what:<21} AUROC {_told(gain(some, field))}"
    points = [each.point for each in fitted]
    yield _row("calibrated, tenths left out", cross_validated(points, regression))
    yield _row("calibrated, kinds left out", kinds_left_out(fitted))
    fit = regression(points)
    yield _row("calibrated, held out kinds", [(said(fit, e.point), e.right) for e in held])


def kinds_left_out(answers: Sequence[Answer]) -> list[Pair]:
    """Each answer's calibrated confidence, from a fit to other kinds of questions."""
    kinds = sorted({each.kind for each in answers})
    random.Random(7).shuffle(kinds)
    pairs: list[Pair] = []
    for part in range(_PARTS):
        out = kinds[part::_PARTS]
        fit = regression([each.point for each in answers if each.kind not in out])
        pairs += [(said(fit, e.point), e.right) for e in answers if e.kind in out]
    return pairs


def stages_compared() -> Iterator[str]:
    """Lines for people: the stages, and the answer that stands, by pairs."""
    rows = [row for row in read(ANSWERS) if len(row["stages"]) == len(DEFAULT_STAGES)]
    names = [stage.name for stage in DEFAULT_STAGES]
    right = {name: [float(row["stages"][name]["right"]) for row in rows] for name in names}
    for later in names[1:]:
        yield _row_of(f"{later} less {names[0]}", right[later], right[names[0]])
    best = max(names, key=lambda name: sum(right[name]))
    told = list(zip(*(_told_apart(name, rows) for name in names), strict=True))
    chosen = [
        float(row["stages"][_chosen(row, each)]["right"])
        for row, each in zip(rows, told, strict=True)
    ]
    yield _row_of(f"the answer that stands less {best}", chosen, right[best])


def _told_apart(name: str, rows: Sequence[dict[str, Any]]) -> list[float]:
    """What a stage's calibration says of each answer, which it was not fitted to."""
    points = [_answer(row["kind"], row["stages"][name]).point for row in rows]
    return [confidence for confidence, _ in cross_validated(points, regression)]


def _chosen(row: dict[str, Any], confidences: Sequence[float]) -> str:
    stages = [
        StageAnswer(name, "", confidence, "done", text=name, how="calibrated", is_cut=told["cut"])
        for (name, told), confidence in zip(row["stages"].items(), confidences, strict=True)
    ]
    found = standing("", stages)
    assert found
    return found.stage.name


def _row_of(what: str, values: Sequence[float], baseline: Sequence[float]) -> str:
    found = of_difference(values, baseline)
    shares = f"{sum(values) / len(values):.1%} and {sum(baseline) / len(baseline):.1%} right"
    return f"{what}: {found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%}), {shares} of {len(values)}"


def gain(answers: Sequence[Answer], baseline: str) -> Interval:
    """By how much what was measured has a higher AUROC than this baseline, by pairs."""
    chance = random.Random(7)
    draws = [[chance.choice(answers) for _ in answers] for _ in range(500)]
    found = sorted(_gain(draw, baseline) for draw in draws)
    return Interval(_gain(answers, baseline), found[12], found[487])


def _gain(answers: Sequence[Answer], baseline: str) -> float:
    ours = auroc([(each.measured, each.right) for each in answers])
    return ours - auroc([(float(getattr(each, baseline)), each.right) for each in answers])


def _row(what: str, pairs: Sequence[Pair]) -> str:
    told = f"AUROC {_told(spread(auroc, pairs))}   ECE {_told(spread(ece, pairs))}"
    return f"  {what:<35} {told}"


def _told(found: Interval) -> str:
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


if __name__ == "__main__":
    main()
