"""The names of what may be set, each with how its value is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mirador_magic.engines.ollama.wire import Host
from mirador_magic.settings.values import (
    ENGINES,
    ESCALATE,
    LEVELS,
    OPTIONS,
    or_models_own,
    read_count,
    read_engine,
    read_escalate,
    read_flag,
    read_host,
    read_keep_alive,
    read_number,
    read_option,
    read_stages,
    read_text,
    read_texts,
    read_think,
    read_timeout,
    read_whole,
    read_word,
)


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


_SWITCH = ("on", "off")

OWN: Mapping[str, Key] = {
    "engine": Key(
        "what runs the models (auto: Ollama where it has one, else embedded)",
        "auto",
        read_engine,
        "MIRADOR_ENGINE",
        "auto",
        ENGINES,
        "ENGINE",
    ),
    "default_stages": Key(
        "the stages where a cell names none; auto: as the question needs",
        "quick_response,synthesis",
        read_stages,
        "MIRADOR_DEFAULT_STAGES",
        (),
    ),
    "streaming": Key(
        "show words while they are written", "on", read_flag, "MIRADOR_STREAMING", True, _SWITCH
    ),
    "pre_warm": Key(
        "load the stages' models beforehand", "on", read_flag, "MIRADOR_PRE_WARM", True, _SWITCH
    ),
    "host": Key(
        "the Ollama to ask",
        "http://127.0.0.1:11434",
        read_host,
        "OLLAMA_HOST",
        Host(""),
        value="ADDRESS",
    ),
    "models": Key("the folder of GGUF files", "~/models", read_text, "MIRADOR_MODELS", ""),
    "escalate": Key(
        "deeper stages where quick_response is unsure: ask, auto or never",
        "ask",
        read_escalate,
        "MIRADOR_ESCALATE",
        "ask",
        ESCALATE,
    ),
    "metrics": Key("keep each run's figures", "on", read_flag, "MIRADOR_METRICS", True, _SWITCH),
    "keep_texts": Key(
        "and its question and answers", "off", read_flag, "MIRADOR_KEEP_TEXTS", False, _SWITCH
    ),
    "keep_days": Key("days that they are kept", "90", read_count, "MIRADOR_KEEP_DAYS", 90),
    "pace": Key(
        "tokens a second of the embedded engine", "30", read_number(0, 1e6), "MIRADOR_PACE", 0.0
    ),
}
OF_A_STAGE: Mapping[str, Key] = {
    "model": Key(
        "the model, or the path of a .gguf file",
        "gemma2:9b",
        read_word,
        "MIRADOR_MODEL",
        value="MODEL",
    ),
    "system": Key("the system prompt", "Be brief.", read_text, value="PROMPT"),
    "timeout": Key(
        "seconds of silence before it is given up",
        "30",
        read_timeout,
        "MIRADOR_TIMEOUT",
        value="SECONDS",
    ),
    "keep_alive": Key(
        "how long its model stays in memory unasked, in seconds or as 30m; -1: for ever, 0: not at all",
        "1800",
        read_keep_alive,
        "MIRADOR_KEEP_ALIVE",
        value="TIME",
    ),
    "confidence": Key("declared, where none is measured", "0.8", read_number(0, 1), value="0..1"),
    "think": Key(
        "whether a thinking model is to think, or how much",
        "off",
        read_think,
        "MIRADOR_THINK",
        values=(*_SWITCH, *LEVELS),
        value="on|off|LEVEL",
    ),
    "temperature": Key(
        "how freely words are chosen; model: as the model has it",
        "0.3",
        or_models_own(read_number(0, 2)),
        "MIRADOR_TEMPERATURE",
        value="NUMBER",
    ),
    "top_p": Key(
        "share of the likeliest words; model: as the model has it",
        "0.9",
        or_models_own(read_number(0, 1)),
        "MIRADOR_TOP_P",
        value="NUMBER",
    ),
    "num_predict": Key(
        "most tokens of an answer", "300", read_count, "MIRADOR_NUM_PREDICT", value="TOKENS"
    ),
    "max_chars": Key(
        "characters after which an answer is cut off",
        "100000",
        read_count,
        "MIRADOR_MAX_CHARS",
        value="CHARACTERS",
    ),
    "num_ctx": Key(
        "tokens of context; model: as the model has it",
        "4096",
        or_models_own(read_count),
        "MIRADOR_NUM_CTX",
        value="TOKENS",
    ),
    "seed": Key(
        "makes the choice of words repeatable; model: none is asked",
        "7",
        or_models_own(read_whole),
        "MIRADOR_SEED",
        value="NUMBER",
    ),
}
KEYS: Mapping[str, Key] = {**OWN, **OF_A_STAGE}

_KEY = re.compile(rf"(?:(?!{OPTIONS}\.)(.+?)\.)?({OPTIONS}\.[^.]+|[^.]+)", re.DOTALL)
_OPTION_NAME = re.compile(r"[a-z]\w*", re.ASCII)
_OPTIONS: Mapping[str, Key] = {
    "top_k": Key("as many of the likeliest words", "40", read_whole),
    "min_p": Key("share of the likeliest word's probability", "0.05", read_number(0, 1)),
    "repeat_penalty": Key("against repeating", "1.1", read_number(-100, 100)),
    "stop": Key("texts at which it ends", '["END"]', read_texts),
    "num_gpu": Key("layers on the GPU", "99", read_whole),
}
_ANY_OPTION = Key("any other option of the engine", "20", read_option)


def parts(key: str) -> tuple[str, str]:
    """The stage of a key, "" for all of them, and its name: `critic.options.top_k`."""
    found = _KEY.fullmatch(key)
    return (found[1] or "", found[2]) if found else ("", key)


def as_option(word: str) -> str:
    """The key of an engine's option that a word names, such as --top-k; "" where it names none."""
    name = word.lstrip("-").partition("=")[0].replace("-", "_").lower()
    return f"{OPTIONS}.{name}" if name in _OPTIONS else ""


def known(name: str) -> Key | None:
    """What there is to be set under this name, that of an engine's option among it."""
    first, dot, option = name.partition(".")
    if not dot:
        return KEYS.get(name)
    is_own = option in OF_A_STAGE or not _OPTION_NAME.fullmatch(option)
    return None if first != OPTIONS or is_own else _OPTIONS.get(option, _ANY_OPTION)
