"""How a value that is to be set is read, wherever it was written: text of a line, or a value of TOML."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from mirador_magic import plugins
from mirador_magic.engines.ollama.wire import Host
from mirador_magic.stages import FOR_EVER, nearest

ENGINES = ("auto", "ollama", "embedded", "scripted")
ESCALATE = ("ask", "auto", "never")
LEVELS = ("low", "medium", "high")  # of thinking
MODELS_OWN = "model"  # nothing is asked: as the model, or whoever runs it, has it
OPTIONS = "options"  # options.NAME is any other option of an engine
ROUTED = "auto"  # default_stages: those that the question needs


PLAIN = (bool, int, float, str)


class Unfit(Exception):
    """The value cannot be this key's; says why, to stand behind the value."""


def read_flag(given: object) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if (word := str(given).strip().lower()) not in words:
        raise Unfit("is neither on nor off")
    return words[word]


def read_number(low: float, high: float) -> Callable[[object], float]:
    def read(given: object) -> float:
        if isinstance(given, bool) or not isinstance(given, (int, float, str)):
            raise Unfit("is not a number")
        try:
            number = float(given)
        except ValueError:
            raise Unfit("is not a number") from None
        if not low <= number <= high:
            raise Unfit(f"is not in {low:g}..{high:g}")
        return number

    return read


def read_count(given: object) -> int:
    if isinstance(given, bool) or not str(given).strip().isdigit() or int(str(given)) < 1:
        raise Unfit("is not a count, 1 or more")
    return int(str(given))


def read_whole(given: object) -> int:
    try:
        return int(str(given))
    except ValueError:
        raise Unfit("is not a whole number") from None


def read_timeout(given: object) -> float:
    seconds = read_number(0, 86400)(given)
    if not seconds:
        raise Unfit("is not above 0")
    return seconds


_LASTS = re.compile(r"(-?)((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_keep_alive(given: object) -> float:
    """In seconds, also as Ollama writes it: 30m, 1h30m; whatever is below 0 is FOR_EVER."""
    if found := _LASTS.fullmatch(str(given).strip()):
        parts = re.findall(r"([\d.]+)([a-z]+)", found[2])
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        return FOR_EVER if found[1] else seconds
    try:
        seconds = read_number(-math.inf, math.inf)(given)
    except Unfit:
        raise Unfit("is not a time, in seconds or as 30m") from None
    if math.isnan(seconds):
        raise Unfit("is not a time")
    return FOR_EVER if seconds < 0 or math.isinf(seconds) else seconds


def read_think(given: object) -> object:
    return given if given in LEVELS else read_flag(given)


def or_models_own(read: Callable[[object], object]) -> Callable[[object], object]:
    """Read so, or the word for what the model has itself."""
    return lambda given: MODELS_OWN if given == MODELS_OWN else read(given)


def read_option(given: object) -> object:
    """Any option of an engine: text is read as JSON where it is some, and stays text else."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return given
    if isinstance(given, list | tuple) and all(isinstance(each, PLAIN) for each in given):
        return tuple(given)
    if not isinstance(given, PLAIN) or (isinstance(given, float) and not math.isfinite(given)):
        raise Unfit("is no number, switch, text, or list of these")
    return given


def read_texts(given: object) -> tuple[str, ...]:
    read = read_option(given)
    texts = read if isinstance(read, tuple) else (given if isinstance(given, str) else read,)
    if not texts or not all(isinstance(each, str) and each for each in texts):
        raise Unfit("is no text, or list of texts")
    return tuple(map(str, texts))


def read_text(given: object) -> str:
    if not isinstance(given, str):
        raise Unfit("is not a text")
    return given


def read_word(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise Unfit("is not a name")
    return given.strip()


def read_host(given: object) -> Host:
    """The address; its name and password go with it, and are shown by nothing."""
    host = Host(read_text(given))
    if len(hosts := str(given).replace(",", " ").split()) > 1:
        raise Unfit(f"names {len(hosts)} hosts, and a cell asks one")
    return host


def shown(key: str, given: object) -> object:
    """A given value as an error may repeat it."""
    return Host(given) if key == "host" and isinstance(given, str) else given


def engines() -> tuple[str, ...]:
    """Mirador's own engines, and those that other packages bring."""
    return tuple(dict.fromkeys((*ENGINES, *plugins.names("engine"))))


def read_engine(given: object) -> str:
    if given not in ENGINES and not plugins.brings("engine", str(given)):
        near = nearest(str(given), engines())
        raise Unfit(f"is no engine; there are: {', '.join(engines())}{near and f' - {near}'}")
    return str(given)


def read_escalate(given: object) -> str:
    if given not in ESCALATE:
        raise Unfit(f"is none of: {', '.join(ESCALATE)}")
    return str(given)


def read_stages(given: object) -> tuple[str, ...]:
    """() where the question's route decides."""
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)):
        raise Unfit("is not a list of stages")
    names = tuple(str(name).strip() for name in names if str(name).strip())
    return () if names == (ROUTED,) else names
