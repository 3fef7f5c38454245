"""A try: what a stage answered with these settings, and what changed since the one before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from mirador_magic.answer import words
from mirador_magic.pipeline.metrics import StageMetrics
from mirador_magic.settings.values import MODELS_OWN, OPTIONS
from mirador_magic.stages import ModelStage

Settings = Mapping[str, object]  # by the keys of TUNED, and options.NAME

TUNED = (
    *("system", "model", "temperature", "top_p", "num_predict", "num_ctx", "seed", "think"),
    "keep_alive",
)
RATINGS = (1, 2, 3, 4, 5)  # from useless to the best that one could wish


@dataclass(frozen=True)
class Try:
    """One answer of a stage.

    `number` is its place in the record, from 1; `at` is in seconds since 1970. `settings` are all of
    TUNED that the stage was asked with, and other options of its engine. `name` is the variant's and `grid` that of its grid, both ''
    by hand; `repeat` counts from 0. `rating` is one of RATINGS, `score` the user's own.
    """

    number: int
    at: float
    stage: str
    settings: Settings
    question: str
    answer: str
    figures: StageMetrics
    name: str = ""
    grid: str = ""
    repeat: int = 0
    rating: int | None = None
    score: float | None = None
    why: str = ""  # it failed

    @property
    def is_done(self) -> bool:
        """Whether the stage came to an end of its own."""
        return self.figures.ended in ("done", "length")

    @property
    def identity(self) -> tuple[str, str, int]:
        """The same for a repetition of this very try."""
        return fingerprint(self.settings), self.question, self.repeat


def settings_of(stage: ModelStage) -> dict[str, object]:
    """What the stage is asked with; what is left to the engine is not among it."""
    given: dict[str, Any] = dataclasses.asdict(stage.options)
    more = {f"{OPTIONS}.{name}": value for name, value in given.pop("more")}
    given |= {"num_ctx": given["num_ctx"] or MODELS_OWN, "keep_alive": stage.keep_alive}
    given |= {"system": stage.system_prompt, "model": stage.model, "think": stage.think}
    return {key: given[key] for key in TUNED if given[key] is not None} | more


def fingerprint(settings: Settings) -> str:
    """The settings as one text, the same for the same ones."""
    return json.dumps(dict(settings), sort_keys=True)


def changes(before: Settings | None, now: Settings) -> list[str]:
    """What differs from the settings before, each in a few words: "temperature 0.7 → 0.2"."""
    if before is None:
        return []
    return [
        _reworded(str(before.get(key, "")), str(now.get(key, "")))
        if key == "system"
        else f"{key} {told(before.get(key))} → {told(now.get(key))}"
        for key in dict.fromkeys((*TUNED, *before, *now))
        if not _same(before.get(key), now.get(key))
    ]


def _same(one: object, other: object) -> bool:
    """A list that came out of the store is a tuple that went into it."""
    return one == other or (isinstance(one, list | tuple) and _listed(one) == _listed(other))


def _listed(value: object) -> object:
    return list(value) if isinstance(value, list | tuple) else value


def changed(before: Try | None, now: Try) -> str:
    """What changed from the try before to this one, for people."""
    if before is None:
        return "the first"
    found = changes(before.settings, now.settings)
    if not found:
        found = ["again" if before.question == now.question else "another question"]
    return ", ".join(found)


def told(value: object) -> str:
    """A setting's value for people."""
    if value is None:
        return "the engine's own"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        value = json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else short(str(value), 40)


def short(text: str, most: int) -> str:
    """The beginning of a text on one line, `most` characters of it."""
    text = words.one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _reworded(old: str, new: str) -> str:
    """The words that went from a system prompt, and those that came."""
    one, other = old.split(), new.split()
    gone: list[str] = []
    come: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, one, other).get_opcodes():
        if kind != "equal":
            gone += one[a:b]
            come += other[c:d]
    parts = [
        f"{sign}“{short(' '.join(part), 40)}”" for sign, part in (("−", gone), ("+", come)) if part
    ]
    return f"system {' '.join(parts) or 'spaced anew'}"
