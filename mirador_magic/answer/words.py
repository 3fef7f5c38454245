"""The lines that every view says: in the panel, in the saved answer and in a terminal."""

from __future__ import annotations

import time

from mirador_magic import clean as cleaning
from mirador_magic.answer.answer import LIVE, Answer, Missing, StageAnswer
from mirador_magic.confidence import HELD, LOOPED, UNCALIBRATED_MOST, Band, How, band
from mirador_magic.engines.known_models import SMOLLM2, download, offered
from mirador_magic.residency.warmup import Warmth

clean, one_line = cleaning.clean, cleaning.one_line  # every view's words go through these

SAVED = 50_000  # characters of a stage's text, and as many of its thinking, in each form
_CELLS = 24  # of a bar
_SENTENCE = 200  # characters of one that is shown

_STATES = {"waiting": "waiting", "asked": "asked", "thinking": "thinking", "writing": "writing"}
_ENDS = {"done": "done", "failed": "failed", "stopped": "stopped", "skipped": "skipped"}

_HOW = {
    "declared": "the same for every question, since nothing was measured here",
    "measured": "measured from the probabilities of its words, not calibrated: how sure the model "
    "was of them, not how often it is right",
    "calibrated": "calibrated on {answers} labelled answers: how often such answers are right",
}
_BASIS = {
    "declared": "declared, not measured",
    "measured": "measured, not calibrated",
    "calibrated": "calibrated on {answers} labelled answers",
}


def saved(text: str) -> str:
    """As much of a text as a notebook keeps; a longer one says where the rest is."""
    if (more := len(text) - SAVED) <= 0:
        return text
    return f"{text[:SAVED]}\n\n… and {more:,} more characters, while the kernel runs: mirador_answer.text"


def seconds(value: float) -> str:
    """A time for people: two digits under a second, one above."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def header(answer: Answer) -> str:
    """The first line: the route and why, the engine, the first token and the total."""
    parts = ["mirador", *filter(None, [one_line(answer.route)])]
    parts.append(" → ".join(stage.name for stage in answer.stages))
    if answer.engine:
        since = f", since {answer.instead}" if answer.instead else ""
        parts.append(one_line(f"{answer.engine}{since}"))
    if answer.first_token is not None:
        parts.append(f"first token {seconds(answer.first_token)}")
    if answer.missing and answer.outcome is None:
        parts.append("waits for a model, and goes on as soon as there is one")
    if answer.outcome in (None, "answered"):
        parts.append(f"total {seconds(answer.total)}" if answer.outcome else seconds(answer.total))
    else:
        parts.append(f"{answer.outcome} after {seconds(answer.total)}")
    return " · ".join(parts)


def stage_line(stage: StageAnswer) -> str:
    """What stands beside a stage's name: its model, its state, its time and pace."""
    parts = [one_line(stage.model).removesuffix(":latest")]
    parts.append("warming" if is_warming(stage) else (_STATES | _ENDS)[stage.status])
    if stage.warmth:
        parts.append(stage.warmth)
    if stage.first_thought is not None and stage.first_token is not None:
        parts.append(f"thought {seconds(stage.first_token - stage.first_thought)}")
    if stage.seconds is not None:
        parts.append(seconds(stage.seconds))
    if stage.rate is not None:
        parts.append(f"{stage.rate:.0f} tok/s")
    return " · ".join(parts)


def look(stage: StageAnswer) -> Band | None:
    """The bar of a stage's confidence; None until there is one: of a failed stage there is none at all.

    What is only declared comes with the last word, and never looks sure.
    """
    if not stage.text or stage.status == "failed":
        return None
    if stage.how != "declared":
        return band(stage.confidence)
    return None if stage.status in LIVE else band(min(stage.confidence, UNCALIBRATED_MOST))


def trust(stage: StageAnswer) -> str:
    """The confidence in a number and a word, '' where there is none: "73 % fair"."""
    return trusted(stage.confidence, stage.how) if look(stage) else ""


def trusted(confidence: float, how: How) -> str:
    """A confidence in a number and a word: that of its band, or that it is only declared."""
    return f"{percent(confidence)} {how if how == 'declared' else band(confidence).word}"


def trust_told(stage: StageAnswer) -> str:
    """How the confidence was had, and what it says, for who asks."""
    told = [_HOW[stage.how].format(answers=stage.answers)]
    if stage.code is not None and stage.code != stage.measured:
        told.append(f"its code, apart: {percent(stage.code)}")
    if stage.is_looping:
        told.append(f"not above {percent(LOOPED)}, since it repeats itself")
    elif stage.is_cut or stage.status == "failed":
        told.append(f"not above {percent(HELD)}, since the answer is not whole")
    return f"Confidence: {trusted(stage.confidence, stage.how)}; {'; '.join(told)}"


def basis(answer: Answer) -> str:
    """How the confidences were had, for who has no pointer to hover with; '' where there are none."""
    hows = {
        _BASIS[each.how].format(answers=each.answers): None for each in answer.stages if look(each)
    }
    return f"confidence {'; '.join(hows)}" if hows else ""


def weakest(stage: StageAnswer) -> str:
    """The sentence that the model was least sure of, on one line; '' where none stands out."""
    sentence = one_line(stage.weakest)
    return sentence if len(sentence) <= _SENTENCE else f"{sentence[: _SENTENCE - 1]}…"


def standing(answer: Answer) -> str:
    """Whose answer stands, where it is not the last one's, and why; else ''."""
    found = answer.standing
    if not found or not found.why:
        return ""
    return f"the answer of {one_line(found.stage.name)} stands: {one_line(found.later)} {found.why}"


def doubt(answer: Answer, cure: str = "") -> str:
    """Why a deeper stage may be worth its time, and how to have it; '' where nothing says so."""
    told = f"{one_line(answer.doubt)}; a deeper stage may know more" if answer.doubt else ""
    return f"{told} → {cure}" if told and cure else told


FETCH = f"Fetch {SMOLLM2.name} ({download(SMOLLM2)}) and ask"  # what a button says


def missing(what: Missing) -> list[str]:
    """Why there is no model to ask, and the two ways to one, a line each."""
    why = f"{one_line(what.what)} → {one_line(what.cure)}" if what.cure else one_line(what.what)
    return [
        why,
        f"{SMOLLM2.what}: {offered(SMOLLM2)}, once",
        "Ollama, for larger ones: from ollama.com; then ollama serve, and %mirador provision",
    ]


def progress(file: str, done: int, total: int | None) -> str:
    """The bar, the share and the bytes; only the bytes where nobody knows how many there will be."""
    if not total:
        return f"{one_line(file)}  {_count(done)}"
    share = min(done / total, 1.0)
    full = int(share * _CELLS)
    bar = "█" * full + "░" * (_CELLS - full)
    return f"{one_line(file)}  {bar} {int(share * 100)} % of {_count(total)}"


def _count(count: int) -> str:
    """Bytes for people, in decimal units as the hub counts them."""
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.3g} {unit}"
    return f"{count} B"


def percent(confidence: float) -> str:
    """Rounded, but never into the next band, nor to certainty: 89.9 % is not 90 %, 99.9 % not 100."""
    shown = round(confidence * 100)
    if band(shown / 100) is not band(confidence) or shown == 100 > 100 * confidence:
        shown -= 1
    return f"{shown} %"


def notes(stage: StageAnswer) -> list[str]:
    """The small lines at a stage's foot: its error and what there is to say."""
    return [one_line(line) for line in ((stage.error,) if stage.error else ()) + stage.notes]


def is_warming(stage: StageAnswer) -> bool:
    """Whether the stage waits for its model to come into memory."""
    return stage.status == "asked" and stage.warmth.startswith("loading")


def is_live(stage: StageAnswer) -> bool:
    """Whether the stage is at work now."""
    return stage.status in LIVE


def readiness(warmth: Warmth, now: float) -> str:
    """How ready a model is, at `now` of the warm-up's clock: "loading 12 s of about 20 s"."""
    words: str = warmth.state
    if warmth.state == "loading":
        words += f" {now - warmth.since:.0f} s"
        words += f" of about {warmth.expected:.0f} s" if (warmth.expected or 0) >= 1 else ""
    elif warmth.state == "warm" and warmth.until is not None:
        words += time.strftime(" until %H:%M", time.localtime(warmth.until))
    return words


def warmth_line(warmth: Warmth, now: float) -> str:
    """A stage's model, how ready it is, and what there is to say about that."""
    parts = [readiness(warmth, now)]
    if warmth.state == "warm" and warmth.took is not None:
        parts.append(f"took {seconds(warmth.took)}")
    parts += [_bytes(warmth.size)] if warmth.size else []
    parts += [one_line(warmth.why)] if warmth.why else []
    return f"{warmth.stage}  {one_line(warmth.model)}  {', '.join(parts)}"


def leaving(model: str) -> str:
    """Which model leaves memory first."""
    return f"when room is needed, {one_line(model)} leaves first"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
