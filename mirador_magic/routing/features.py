"""What the router reads in a question: marks, cues, words, n-grams, and what its words mean."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mirador_magic.routing import cues
from mirador_magic.routing.ask import last, parted, words

_LENGTHS = (1, 2, 3, 5, 8, 12, 17, 24, 34, 50, 80)  # words: the ends of what counts as one length
_MARK, _CUE, _MEANING = 0.4, 0.3, 2.0  # how much of each kind a fit is to make use of

_ENDS = re.compile(r"[.!?。！？](?=\s|$)|[。！？]")


@dataclass(frozen=True)
class Features:
    """`marks` are counts and kinds ("#…"); `cues` by name ("?…", in the last of several sentences "!…"),
    with the words each was seen in.

    `said` are its words, each once; `pairs` two in a row; `grams` pieces of 2 to 4 characters.
    """

    marks: Sequence[str]
    cues: Mapping[str, str]
    said: Sequence[str]
    pairs: Sequence[str]
    grams: Sequence[str]

    def weighed(self) -> Iterator[tuple[Sequence[str], float]]:
        """Features that a fit has a weight for each, and how much each of them counts."""
        named = (*self.said, *self.pairs)
        yield self.marks, _MARK
        yield tuple(self.cues), _CUE
        yield named, 1 / math.sqrt(len(named) or 1)
        yield self.grams, 1 / math.sqrt(len(self.grams) or 1)

    def meaning(self) -> float:
        """How much the meaning of each word counts: that of a question is their mean."""
        return _MEANING / (len(self.said) or 1)


def features(query: str) -> Features:
    """The features of what is asked; of what is pasted, that it is."""
    ask, pasted = parted(query)
    spoken = words(ask)
    text = f" {' '.join(ask.split())} "
    end = last(ask)
    signs = {f"!{name}": seen for name, seen in cues.found(end).items()}
    return Features(
        _marks(ask, spoken, pasted) + ([f"#last{_length(words(end))}"] if end else []),
        signs | {f"?{name}": seen for name, seen in cues.found(ask).items()},
        list(dict.fromkeys(spoken)),
        list(dict.fromkeys(f"{one} {other}" for one, other in itertools.pairwise(spoken))),
        list(
            dict.fromkeys(text[at : at + n] for n in (2, 3, 4) for at in range(len(text) - n + 1))
        ),
    )


def _marks(ask: str, spoken: Sequence[str], pasted: Sequence[str]) -> list[str]:
    """What is counted: the ask's length, its sentences and marks, and what was pasted."""
    marks = [f"#words{_length(spoken)}", f"#sentences{min(len(_ENDS.findall(ask)), 4)}"]
    marks.append(f"#commas{min(ask.count(',') + ask.count('，') + ask.count('、'), 4)}")
    marks.append(f"#questions{min(ask.count('?') + ask.count('？'), 2)}")
    marks += ["#ends?"] if ask.endswith(("?", "？")) else []
    marks += ["#number"] if any(word.isdigit() for word in spoken) else []
    if pasted:
        marks += ["#pasted", f"#pasted{min(len(pasted).bit_length(), 5)}"]
        marks += (
            ["#error"] if any("Error" in line or "Traceback" in line for line in pasted) else []
        )
    return marks


def _length(spoken: Sequence[str]) -> int:
    return next((end for end in _LENGTHS if len(spoken) <= end), 999)
