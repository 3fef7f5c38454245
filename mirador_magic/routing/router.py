"""How large an answer a question needs: simple, medium or complex, within a millisecond.

A logistic regression over words, character n-grams and a few counts, in plain Python; its weights lie
in `models/router.json`, which `training.router` makes from queries that were written for it. What is
pasted (code, logs, tables) is told from what is asked, and the ask alone is read, its beginning and its
end where it is long.

A complex question that gets a simple answer costs more than a simple one that gets too much, so the
answer with the least expected cost is taken, and the middle one where nothing is likely enough.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Complexity = Literal["simple", "medium", "complex"]

CLASSES: tuple[Complexity, ...] = ("simple", "medium", "complex")
STAGES: Mapping[Complexity, tuple[str, ...]] = {
    "simple": ("quick_response",),
    "medium": ("quick_response", "synthesis"),
    "complex": ("quick_response", "deep_analysis", "synthesis"),
}
FIRST = ("quick_response",)  # what every route begins with
WEIGHTS = Path(__file__).parent.parent / "models" / "router.json"

# COSTS[truth][answer]: a complex question cut short loses the answer, the other way costs time.
COSTS = ((0.0, 1.0, 1.6), (1.0, 0.0, 1.0), (2.2, 1.1, 0.0))
UNSURE = 0.4  # a likelihood under which nothing is likely enough

_LOOKED_AT = 1600  # characters of a question, half of them from its end
_ASK_HEAD, _ASK_TAIL = 140, 80  # characters of the ask that are scored
_LENGTHS = (3, 5, 8, 12, 17, 24, 34, 50, 80)  # words: the ends of what counts as one length

# A line of code, a log, a table or a prompt's echo, as it is pasted.
_PASTED = re.compile(
    r"[>$%#+<|{}\[\]()@*/\\][^?]*$|Traceback|File \"|In ?\[|Out ?\[|\d[\d:./,;\s-]*$"
    r"|(?:import \w[\w., ]*|from [\w.]+ import.*|(?:async )?def \w+\(.*|class \w+.*:|return\b.*"
    r"|(?:for|while|if|elif|with|else|try|except)\b.*:|print\(.*|end|fi|done|pass)$"
    r"|(?:SELECT|FROM|WHERE|JOIN|LEFT|GROUP|ORDER|CREATE|INSERT|UPDATE|AND|WITH) "
    r"|(?:const|let|var|public|private|function) \w"
    r"|\S*[A-Z]\w*(?:Error|Exception|Warning)\b(?::|$)"
    r"|[\w.\[\]'\"]+ ?(?:[-+*/|&]?=|<-|->|=>) ?\S|[^,\s]*,[^,\s]+,[^,]*$|[^\t]*\t"
    r"|[\"'\w-]+: ?(?:[\d\"'\[{]|true|false|null)|[^?]*[;{}]\s*$|\[?\d{4}-\d\d-\d\d|(?:INFO|WARN|ERROR|DEBUG)"
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_WORDS = re.compile(r"[^\W\d_\u3040-\uffff]+(?:['’][a-z]+)?|[\u3040-\u9fff\uac00-\ud7af]|\d+")
_ENDS = re.compile(r"[.!?。！？](?=\s|$)|[。！？]")


_TOLD = {
    "#ends?": "ends with a question",
    "#number": "figures",
    "#pasted": "something pasted",
    "#error": "a pasted error",
    "#questions2": "several questions",
    "#sentences3": "three sentences",
    "#sentences4": "four sentences or more",
    "#commas3": "three commas",
    "#commas4": "four commas or more",
}


@dataclass(frozen=True)
class Route:
    """Which stages a question needs. `probabilities` are of each complexity, and sum to 1.

    `reasons` are the question's marks and words that spoke most for it, the strongest first.
    """

    complexity: Complexity
    probabilities: Mapping[Complexity, float]
    stages: tuple[str, ...]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        share = f"{self.complexity} ({100 * self.probabilities[self.complexity]:.0f} %)"
        return f"{share}: {', '.join(self.reasons)}" if self.reasons else share


Weights = tuple[list[float], dict[str, list[float]]]


def route(query: str, weights: Weights | None = None) -> Route:
    """How large an answer this needs, and so which stages. `weights` are the package's own if None."""
    bias, table = weights or load()
    simple, medium, complex_ = bias
    marks, words, grams = features(query)
    for names, share in (marks, words, grams):
        for name in table.keys() & names:
            row = table[name]
            simple += share * row[0]
            medium += share * row[1]
            complex_ += share * row[2]
    said = [(name, table[name]) for name in (*marks[0], *words[0]) if name in table]
    likely = _likely(simple, medium, complex_)
    place = decide(likely)
    return Route(
        CLASSES[place],
        dict(zip(CLASSES, likely, strict=True)),
        STAGES[CLASSES[place]],
        _reasons(said, place),
    )


def features(query: str) -> list[tuple[list[str], float]]:
    """The features of a question in groups, each with the weight of one feature in it.

    Marks (counts and kinds, "#…") weigh 1; words and n-grams as the root of their number.
    """
    ask, pasted = _parted(query)
    words = _WORDS.findall(ask)
    pairs = [f"{one} {other}" for one, other in itertools.pairwise(words)]
    named = list(dict.fromkeys(words + pairs))
    text = f" {' '.join(ask.split())} "
    grams = {text[at : at + size] for size in (3, 4, 5) for at in range(len(text) - size + 1)}
    marks = _marks(ask, words, pasted)
    return [(marks, 1.0), (named, _share(named)), (list(grams), _share(grams))]


def decide(likely: Sequence[float]) -> int:
    """The place of the complexity to act on: the least expected cost, the middle where unsure."""
    if max(likely) < UNSURE:
        return 1
    costs = [sum(p * COSTS[truth][place] for truth, p in enumerate(likely)) for place in range(3)]
    return costs.index(min(costs))


@functools.cache
def load() -> Weights:
    """The package's own weights."""
    return read(WEIGHTS)


def read(file: Path) -> Weights:
    """The bias and the weights of each feature, for simple, medium and complex."""
    stored = json.loads(file.read_text(encoding="utf-8"))
    return stored["bias"], stored["weights"]


def _reasons(said: list[tuple[str, list[float]]], place: int) -> tuple[str, ...]:
    """What spoke most for this complexity against the others: marks and words, in words."""
    spoke = [(row[place] - sum(row) / 3, name) for name, row in said if _told(name)]
    return tuple(_told(name) for weight, name in sorted(spoke, reverse=True)[:3] if weight > 0.1)


def _told(name: str) -> str:
    """A feature for people; '' for an n-gram."""
    if name in _TOLD:
        return _TOLD[name]
    if name.startswith("#words"):
        end = int(name.removeprefix("#words"))
        return f"at most {end} words" if end <= _LENGTHS[-1] else f"over {_LENGTHS[-1]} words"
    # The little words count, and tell a reader nothing.
    return f"“{name}”" if name.isalpha() and len(name) > 3 else ""


def _parted(query: str) -> tuple[str, list[str]]:
    """What is asked, in lower case and cut to what is scored, and the lines that are pasted."""
    if len(query) > _LOOKED_AT:
        query = f"{query[: _LOOKED_AT // 2]}\n{query[-_LOOKED_AT // 2 :]}"
    asked: list[str] = []
    pasted: list[str] = []
    fenced = False
    for line in query.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif line.strip():
            (pasted if fenced or _is_pasted(line) else asked).append(line)
    ask = "\n".join(asked or pasted).strip().lower()
    if len(ask) > _ASK_HEAD + _ASK_TAIL:
        ask = f"{ask[:_ASK_HEAD]} {ask[-_ASK_TAIL:]}"
    return ask, pasted if asked else []


def _is_pasted(line: str) -> bool:
    return line.startswith(("    ", "\t")) or _PASTED.match(line.lstrip()) is not None


def _marks(ask: str, words: list[str], pasted: list[str]) -> list[str]:
    """What is counted: the ask's length, its sentences and marks, and what was pasted."""
    length = next((end for end in _LENGTHS if len(words) <= end), 999)
    marks = [f"#words{length}", f"#sentences{min(len(_ENDS.findall(ask)), 4)}"]
    marks.append(f"#commas{min(ask.count(',') + ask.count('，') + ask.count('、'), 4)}")
    marks.append(f"#questions{min(ask.count('?') + ask.count('？'), 2)}")
    marks += ["#ends?"] if ask.endswith(("?", "？")) else []
    marks += ["#number"] if any(word.isdigit() for word in words) else []
    if pasted:
        marks += ["#pasted", f"#pasted{min(len(pasted).bit_length(), 5)}"]
        marks += (
            ["#error"] if any("Error" in line or "Traceback" in line for line in pasted) else []
        )
    return marks


def _share(names: Collection[str]) -> float:
    return 1 / math.sqrt(len(names)) if names else 0.0


def _likely(*scores: float) -> list[float]:
    top = max(scores)
    odds = [math.exp(score - top) for score in scores]
    return [each / sum(odds) for each in odds]
