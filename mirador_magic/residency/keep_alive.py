"""How long a warm-up keeps a model in memory unasked, by its stage's place in the route."""

from __future__ import annotations

from collections.abc import Sequence

from mirador_magic.stages import ModelStage

# Ollama makes room by letting go of the model with the shortest one, and never counts uses: the
# first stage's model is wanted first, and the last one's costs most to load again.
KEEP_ALIVE_FIRST = 3600.0
KEEP_ALIVE_LAST = 1800.0
KEEP_ALIVE_BETWEEN = 1200.0


def seconds(stages: Sequence[ModelStage], place: int) -> float:
    """What the stage says, FOR_EVER among it, else the first one's longest and the last one's next."""
    own = stages[place].keep_alive
    if own is not None:
        return own
    if place == 0:
        return KEEP_ALIVE_FIRST
    return KEEP_ALIVE_LAST if place == len(stages) - 1 else KEEP_ALIVE_BETWEEN
