"""The logarithm of the odds, and the way back."""

from __future__ import annotations

import math


def logit(p: float) -> float:
    """log(p / (1 - p)), kept finite."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), which does not overflow."""
    return 0.5 * (1 + math.tanh(x / 2))
