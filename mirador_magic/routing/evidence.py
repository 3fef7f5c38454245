"""What an answer itself says against its being enough: it was cut off, it hedges, it is unsure.

Evidence after routing: a question's words tell little of what it needs, the quick answer tells more
(FrugalGPT, AutoMix). Nothing here is needed before an answer is finished.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mirador_magic.confidence import LEAST_PAST

_UNSURE = 0.1  # of its own answers were as unsure
_MOST = 20_000  # characters of an answer that are looked at
_ROUNDED = 1e-4  # past ones are kept so

# Code, quotations and what stands in quotation marks are not what the model says of itself.
_OTHERS = re.compile(
    r"(?ms)^[ \t>]*(`{3,}|~{3,}).*?(?:^[ \t>]*\1|\Z)|`[^`\n]*`|^[ \t]*>.*?$"
    r"|\"[^\"\n]*\"|“[^”\n]*”|«[^»\n]*»|„[^“”\n]*[“”]|「[^」\n]*」"
)
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")

# Each holds for a sentence: the first ones where it begins, the others anywhere in it.
_BEGINS = (
    r"it (?:really |largely |all )?depends\b|(?:it is|it's|that is|that's) (?:hard|difficult) to say\b"
    r"|(?:eso |todo )?depende de\b|(?:es|resulta) difícil (?:de )?(?:decir|saber)\b"
    r"|(?:es|das) (?:kommt (?:ganz )?darauf an|hängt davon ab|ist schwer zu sagen)\b"
    r"|(?:这|那|这个|答案)?(?:取决于|要看|很难说|说不准|不好说)"
)
_HOLDS = (
    r"\bI(?:['’]m| am) (?:not (?:\w+ )?(?:sure|certain)|unsure|uncertain|unable to)\b"
    r"|\bI (?:do not|don['’]t) (?:really |actually )?(?:know|have (?:enough|sufficient))\b"
    r"|\bI (?:cannot|can['’]t|could not|couldn['’]t) (?:say|tell|determine|verify|be sure)\b"
    r"|\b(?:not enough|insufficient) (?:information|context|data) to\b"
    r"|\bno (?:estoy|me siento) (?:del todo |muy )?segur[oa]\b|^(?:lo siento, )?(?:yo )?no (?:lo )?sé\b"
    r"|\bno (?:puedo|podría) (?:decir|determinar|asegurar|saber)\b|\bno tengo (?:suficiente|bastante)"
    r"|\bich bin (?:mir )?(?:da )?(?:nicht (?:ganz )?sicher|unsicher)\b|\bich weiß (?:es |das )?nicht\b"
    r"|\bkann ich (?:dir |Ihnen )?nicht (?:sicher )?(?:sagen|beurteilen|bestimmen)\b"
    r"|我(?:也)?(?:不(?:太|是很|能)?(?:确定|清楚|知道)|无法(?:确定|判断|回答))|信息不足|无法确定"
)
_HEDGE = re.compile(rf"^\W*(?:{_BEGINS})|{_HOLDS}", re.IGNORECASE)


def hedge(text: str) -> str:
    """The first sentence in which the answer says that it may be wrong, in en, es, de or zh; or ''."""
    for sentence in _SENTENCE.split(_OTHERS.sub(" ", text[:_MOST])):
        if _HEDGE.search(sentence.strip()):
            return " ".join(sentence.split())
    return ""


def is_unusual(measured: float, past: Sequence[float]) -> bool:
    """Whether it lies below the 10th percentile of 20 past ones or more, by the same model and stage."""
    at_most = sum(each <= measured + _ROUNDED for each in past)
    return len(past) >= LEAST_PAST and at_most < _UNSURE * len(past)


def doubt(
    text: str,
    *,
    cut: bool,
    loops: bool = False,
    measured: float | None = None,
    past: Sequence[float] = (),
) -> str:
    """Why a deeper stage may be worth its time, in words to stand behind the stage's name; or ''.

    `cut` tells that the answer ended at its length limit, `loops` that it repeated itself; `measured` in 0..1, before calibration.
    """
    if loops:
        return "repeated itself"
    if cut:
        return "was cut off at its length limit"
    if said := hedge(text):
        return f"hedges: “{said if len(said) <= 90 else said[:89] + '…'}”"
    if measured is not None and is_unusual(measured, past):
        return f"is less sure than in 9 of 10 of its last {len(past)} answers"
    return ""
