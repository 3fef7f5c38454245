"""How far a stage may be trusted: measured from its tokens' probabilities, in words and colours.

The bands are those of the panel: gray under 70 %, the text's own colour from 70 %, cyan from 90 %,
and a dashed, weaker look under 60 %.

    gauge        the tokens' log-probabilities, as they come: the measured confidence
    said         the words that an answer brings, and how sure each was when it was first said
    calibrated   what labelled answers say of a measured confidence
"""

from mirador_magic.confidence.bands import (
    CYAN,
    FAIR,
    GRAY,
    HELD,
    LOOPED,
    LOW,
    RED,
    SURE,
    UNCALIBRATED_MOST,
    UNSURE,
    Band,
    band,
)
from mirador_magic.confidence.calibrated import (
    MEASURE,
    SHIPPED,
    Calibration,
    calibration_of,
    forget,
    user_file,
)
from mirador_magic.confidence.curves import logit, sigmoid
from mirador_magic.confidence.gauge import WINDOW, Features, Gauge
from mirador_magic.confidence.judge import LEAST_PAST, How, Judged, judged
from mirador_magic.confidence.said import content, recalled

__all__ = [
    "CYAN",
    "FAIR",
    "GRAY",
    "HELD",
    "LEAST_PAST",
    "LOOPED",
    "LOW",
    "MEASURE",
    "RED",
    "SHIPPED",
    "SURE",
    "UNCALIBRATED_MOST",
    "UNSURE",
    "WINDOW",
    "Band",
    "Calibration",
    "Features",
    "Gauge",
    "How",
    "Judged",
    "band",
    "calibration_of",
    "content",
    "forget",
    "judged",
    "logit",
    "recalled",
    "sigmoid",
    "user_file",
]
