"""How far a stage may be trusted, in words and colours.

The bands are those of the panel: gray under 70 %, the text's own colour from 70 %, cyan from 90 %,
and a dashed, weaker look under 60 %.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """A range of confidence: its word and its bar; no colour means the text's own."""

    word: str
    colour: str | None
    dashed: bool = False


GRAY, CYAN, RED = "#808080", "#0891b2", "#d0453a"

UNSURE = Band("unsure", GRAY, dashed=True)
LOW = Band("low", GRAY)
FAIR = Band("fair", None)
SURE = Band("sure", CYAN)


def band(confidence: float) -> Band:
    """The band of a confidence in 0..1."""
    if confidence < 0.60:
        return UNSURE
    if confidence < 0.70:
        return LOW
    return FAIR if confidence < 0.90 else SURE
