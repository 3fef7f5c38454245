"""What was measured on this machine before: load times, which models fit together, which plan pays,
how sure the models were of their answers.

One small JSON file in the user's data folder. It is a convenience: a file that cannot be read or
written is as good as none, and of two kernels that write at once one is forgotten.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mirador_magic.confidence import MEASURE
from mirador_magic.stages import plain

log = logging.getLogger(__name__)

_KEPT = 5  # measurements of one plan: enough for a median, few enough to follow a change
_ANSWERS = 100  # confidences of a model in a stage
_MEASURED = f"measured {MEASURE}"  # a table for each measure, since they do not compare


class Effect(NamedTuple):
    """What a plan did to two stages in one run.

    `pace` is the first one's, in tokens a second: beside what was brought where something was, else
    alone. `share` is that pace in shares of its own right behind, `lost` the seconds that it cost; `gap`
    the seconds from the first one's end to the next one's first token.
    """

    pace: float
    share: float
    lost: float
    gap: float


class History:
    """The memory of one user's machine. Everything in it goes by the engine's `key`."""

    def __init__(self, file: Path | None = None) -> None:
        self._given = file

    def load_seconds(self, engine: str, model: str) -> float | None:
        """What loading and prefilling the model took the last time."""
        seconds = self._table(f"load {engine}").get(plain(model))
        return float(seconds) if isinstance(seconds, int | float) else None

    def loaded(self, engine: str, model: str, seconds: float) -> None:
        """Remember what a load took."""
        self._remember(f"load {engine}", plain(model), round(seconds, 3))

    def fit(self, engine: str, models: Iterable[str]) -> bool:
        """Whether these models were in memory together when they were last looked for.

        That they were not is no more than that: one may have been let go of, or its time was over.
        """
        return self._table(f"fit {engine}").get(_named(models)) is True

    def fitted(self, engine: str, models: Iterable[str], fit: bool) -> None:
        """Remember whether they were."""
        if self.fit(engine, models) is not fit:
            self._remember(f"fit {engine}", _named(models), fit)

    def effects(self, engine: str, models: Iterable[str], plan: str) -> list[Effect]:
        """What this plan did to a stage on the first of these models and to one on the second, the
        newest last."""
        known = self._table(f"{plan} {engine}").get(_named(models))
        return [
            Effect(*each)
            for each in map(_numbers, known if isinstance(known, list) else [])
            if len(each) == len(Effect._fields)
        ]

    def took_effect(self, engine: str, models: Iterable[str], plan: str, effect: Effect) -> None:
        """Remember what it did."""
        models = tuple(models)
        known = [*self.effects(engine, models, plan), Effect(*(round(n, 4) for n in effect))]
        self._remember(f"{plan} {engine}", _named(models), known[-_KEPT:])

    def measured(self, model: str, stage: str) -> list[float]:
        """The measured confidences, in 0..1, of the model's last answers in this stage, newest last."""
        return _numbers(self._table(_MEASURED).get(f"{plain(model)} {stage}"))

    def was_measured(self, answers: Iterable[tuple[str, str, float]]) -> None:
        """Remember these (model, stage, confidence)."""
        table = {}
        for model, stage, confidence in answers:
            known = self.measured(model, stage)
            table[f"{plain(model)} {stage}"] = [*known, round(confidence, 4)][-_ANSWERS:]
        if table:
            self._remember_all(_MEASURED, table)

    def _table(self, name: str) -> dict[str, object]:
        table = self._read().get(name)
        return table if isinstance(table, dict) else {}

    def _remember(self, table: str, name: str, value: object) -> None:
        self._remember_all(table, {name: value})

    def _remember_all(self, table: str, values: Mapping[str, object]) -> None:
        known = self._read()
        known[table] = self._table(table) | dict(values)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(f".{os.getpid()}")
            beside.unlink(missing_ok=True)
            beside.touch(mode=0o600, exist_ok=False)  # it tells which models are asked, and when
            beside.write_text(json.dumps(known, indent=1))
            beside.replace(self._file)
        except OSError as error:
            log.info("what was measured is not kept: %s", error)

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    @property
    def _file(self) -> Path:
        if self._given is None:
            import platformdirs

            folder = platformdirs.user_data_dir("mirador", appauthor=False)
            self._given = Path(folder) / "history.json"
        return self._given


def _named(models: Iterable[str]) -> str:
    return " ".join(map(plain, models))


def _numbers(value: object) -> list[float]:
    """The numbers in what was read; whatever else there is counts for nothing."""
    found = value if isinstance(value, list) else []
    return [float(n) for n in found if isinstance(n, int | float) and math.isfinite(n)]
