"""The ranges of confidence: each its word and its bar."""

from __future__ import annotations

from dataclasses import dataclass

UNCALIBRATED_MOST = 0.89  # a number that no labelled answer stands behind is never cyan
HELD = 0.69  # an answer that is not whole stays gray
LOOPED = 0.19  # one that repeats itself is unsure


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
