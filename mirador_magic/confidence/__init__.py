"""How far a stage may be trusted: measured from its tokens' probabilities, in words and colours.

The bands are those of the panel: gray under 70 %, the text's own colour from 70 %, cyan from 90 %,
and a dashed, weaker look under 60 %.

    gauge        the tokens' log-probabilities, as they come: the measured confidence
    agreement    how far two stages say the same; imported when there are two
    calibrated   what labelled answers say of a measured confidence
"""

from mirador_magic.confidence.bands import (
    CYAN,
    FAIR,
    GRAY,
    HELD,
    LOW,
    RED,
    SURE,
    UNCALIBRATED_MOST,
    UNSURE,
    Band,
    band,
)
from mirador_magic.confidence.calibrated import Calibration, calibration_of, forget, user_file
from mirador_magic.confidence.curves import logit, sigmoid
from mirador_magic.confidence.gauge import WINDOW, Gauge
from mirador_magic.confidence.judge import LEAST_PAST, How, Judged, judged

__all__ = [
    "CYAN",
    "FAIR",
    "GRAY",
    "HELD",
    "LEAST_PAST",
    "LOW",
    "RED",
    "SURE",
    "UNCALIBRATED_MOST",
    "UNSURE",
    "WINDOW",
    "Band",
    "Calibration",
    "Gauge",
    "How",
    "Judged",
    "band",
    "calibration_of",
    "forget",
    "judged",
    "logit",
    "sigmoid",
    "user_file",
]
