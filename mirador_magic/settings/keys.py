"""The names of what may be set, each with how its value is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mirador_magic import plugins
from mirador_magic.engines.ollama.wire import Host
from mirador_magic.stages import nearest

ENGINES = ("auto", "ollama", "embedded", "scripted")
ESCALATE = ("ask", "auto", "never")
ROUTED = "auto"  # default_stages: those that the question needs


class Unfit(Exception):
    """The value cannot be this key's; says why, to stand behind the value."""


@dataclass(frozen=True)
class Key:
    """One thing that may be set: what it is, an example, and how its value is read.

    `variable` is that of the environment, `default` the value where nothing is set (a stage has its
    own), `values` all that it may be, where these are few, and `value` else a word for it.
    """

    what: str
    example: str
    read: Callable[[object], object]
    variable: str = ""
    default: object = None
    values: tuple[str, ...] = ()
    value: str = "VALUE"


def _flag(given: object) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if (word := str(given).strip().lower()) not in words:
        raise Unfit("is neither on nor off")
    return words[word]


def _number(low: float, high: float) -> Callable[[object], float]:
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


def _count(given: object) -> int:
    if isinstance(given, bool) or not str(given).strip().isdigit() or int(str(given)) < 1:
        raise Unfit("is not a count, 1 or more")
    return int(str(given))


def _whole(given: object) -> int:
    try:
        return int(str(given))
    except ValueError:
        raise Unfit("is not a whole number") from None


def _timeout(given: object) -> float:
    seconds = _number(0, 86400)(given)
    if not seconds:
        raise Unfit("is not above 0")
    return seconds


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise Unfit("is not a text")
    return given


def _word(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise Unfit("is not a name")
    return given.strip()


def _host(given: object) -> Host:
    """The address; its name and password go with it, and are shown by nothing."""
    host = Host(_text(given))
    if len(hosts := str(given).replace(",", " ").split()) > 1:
        raise Unfit(f"names {len(hosts)} hosts, and a cell asks one")
    return host


def shown(key: str, given: object) -> object:
    """A given value as an error may repeat it."""
    return Host(given) if key == "host" and isinstance(given, str) else given


def engines() -> tuple[str, ...]:
    """Mirador's own engines, and those that other packages bring."""
    return tuple(dict.fromkeys((*ENGINES, *plugins.names("engine"))))


def _engine(given: object) -> str:
    if given not in ENGINES and not plugins.brings("engine", str(given)):
        near = nearest(str(given), engines())
        raise Unfit(f"is no engine; there are: {', '.join(engines())}{near and f' - {near}'}")
    return str(given)


def _escalate(given: object) -> str:
    if given not in ESCALATE:
        raise Unfit(f"is none of: {', '.join(ESCALATE)}")
    return str(given)


def _stages(given: object) -> tuple[str, ...]:
    """() where the question's route decides."""
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)):
        raise Unfit("is not a list of stages")
    names = tuple(str(name).strip() for name in names if str(name).strip())
    return () if names == (ROUTED,) else names


_SWITCH = ("on", "off")

OWN: Mapping[str, Key] = {
    "engine": Key(
        "what runs the models (auto: Ollama where it has one, else embedded)",
        "auto",
        _engine,
        "MIRADOR_ENGINE",
        "auto",
        ENGINES,
        "ENGINE",
    ),
    "default_stages": Key(
        "the stages where a cell names none; auto: as the question needs",
        "quick_response,synthesis",
        _stages,
        "MIRADOR_DEFAULT_STAGES",
        (),
    ),
    "streaming": Key(
        "show words while they are written", "on", _flag, "MIRADOR_STREAMING", True, _SWITCH
    ),
    "pre_warm": Key(
        "load the stages' models beforehand", "on", _flag, "MIRADOR_PRE_WARM", True, _SWITCH
    ),
    "host": Key(
        "the Ollama to ask",
        "http://127.0.0.1:11434",
        _host,
        "OLLAMA_HOST",
        Host(""),
        value="ADDRESS",
    ),
    "models": Key("the folder of GGUF files", "~/models", _text, "MIRADOR_MODELS", ""),
    "escalate": Key(
        "deeper stages where quick_response is unsure: ask, auto or never",
        "ask",
        _escalate,
        "MIRADOR_ESCALATE",
        "ask",
        ESCALATE,
    ),
    "metrics": Key("keep each run's figures", "on", _flag, "MIRADOR_METRICS", True, _SWITCH),
    "keep_texts": Key(
        "and its question and answers", "off", _flag, "MIRADOR_KEEP_TEXTS", False, _SWITCH
    ),
    "keep_days": Key("days that they are kept", "90", _count, "MIRADOR_KEEP_DAYS", 90),
    "pace": Key(
        "tokens a second of the embedded engine", "30", _number(0, 1e6), "MIRADOR_PACE", 0.0
    ),
}
OF_A_STAGE: Mapping[str, Key] = {
    "model": Key(
        "the model, or the path of a .gguf file", "gemma2:9b", _word, "MIRADOR_MODEL", value="MODEL"
    ),
    "system": Key("the system prompt", "Be brief.", _text, value="PROMPT"),
    "timeout": Key(
        "seconds of silence before it is given up",
        "30",
        _timeout,
        "MIRADOR_TIMEOUT",
        value="SECONDS",
    ),
    "keep_alive": Key(
        "seconds that its model stays in memory unasked", "1800", _timeout, value="SECONDS"
    ),
    "confidence": Key("declared, where none is measured", "0.8", _number(0, 1), value="0..1"),
    "think": Key(
        "whether a thinking model is to think", "off", _flag, values=_SWITCH, value="on|off"
    ),
    "temperature": Key(
        "how freely words are chosen",
        "0.3",
        _number(0, 100),
        "MIRADOR_TEMPERATURE",
        value="NUMBER",
    ),
    "top_p": Key(
        "share of the likeliest words", "0.9", _number(0, 1), "MIRADOR_TOP_P", value="NUMBER"
    ),
    "num_predict": Key(
        "most tokens of an answer", "300", _count, "MIRADOR_NUM_PREDICT", value="TOKENS"
    ),
    "num_ctx": Key("tokens of context", "4096", _count, "MIRADOR_NUM_CTX", value="TOKENS"),
    "seed": Key("makes the choice of words repeatable", "7", _whole, value="NUMBER"),
}
KEYS: Mapping[str, Key] = {**OWN, **OF_A_STAGE}
