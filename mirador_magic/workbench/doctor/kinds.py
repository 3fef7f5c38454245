"""Every kind of thing that the doctor finds wrong, with its cure: the checks say these, and no others.

`docs/troubleshooting.md` is written of this table. Words in braces are filled in when it is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from mirador_magic.workbench.doctor.finding import Finding, Level, note


@dataclass(frozen=True)
class Kind:
    """What may be wrong with a `topic`; `what` and `cure` are templates of str.format.

    `when` tells it to readers of the page, where what it says is an error's own words.
    """

    topic: str
    what: str
    cure: str
    level: Level = "warn"
    when: str = ""

    def found(self, topic: str = "", **given: object) -> Finding:
        """The finding, its braces filled. A `topic` is given where several have it."""
        what, cure = self.what.format(**given), self.cure.format(**given)
        return note(self.level, topic or self.topic, what, cure)


TAKE = "the stages' models take {need}, more with their context"

_UPDATE = '%pip install -U "{package}>={minimum}", and restart the kernel'
_NESTER = '%pip install -U "nest-asyncio2>=1.7.3"'
_SMALLER = "take smaller models, or ask --fast: %mirador settings tells which are in force"
_OTHER = "take another model for it: %mirador settings tells which are in force"
_LESS_THINKING = "mirador_magic.configure(**{{'{stage}.think': 'off'}})"

SETTING = Kind("settings", "{error}", "{its_cure}", "bad", "a setting cannot be read")
KERNEL_OLD = Kind("kernel", "{package} {version} is old: {harm}", _UPDATE)
FRONT_END_OLD = Kind("front end", "{package} {version} is old: panels may not show", _UPDATE)
NO_WIDGETS = Kind(
    "front end",
    "JupyterLab here has no jupyterlab_widgets: panels show as text",
    "%pip install jupyterlab_widgets",
)
CLIENT_OLD = Kind("client", "{package} {version} is old: it tells no log-probabilities", _UPDATE)
LOOP_PATCHED = Kind(
    "loop",
    "nest_asyncio 1.6 has patched it: cells queued behind a nested run are lost",
    "apply nest_asyncio2 in its place, and restart the kernel",
)
NO_NESTER = Kind(
    "loop", "no nest_asyncio2: under %%time a cell runs in a thread of its own", _NESTER
)
NESTER_OLD = Kind(
    "loop",
    "nest_asyncio2 {version} loses cells that are queued behind one under %%time",
    f"{_NESTER}, and restart the kernel",
)
SURROUNDINGS = Kind(
    "proxy",
    "{error}",
    "{its_cure}",
    when="a variable of the environment names a proxy, or certificates, that cannot be read",
)
BEHIND_PROXY = Kind(
    "proxy",
    "Mirador goes past {names}, and {host} may be behind it",
    "tunnel to it: ssh -L 11434:127.0.0.1:11434 HOST, and %env OLLAMA_HOST={local}",
)
ENDPOINT = Kind("endpoints", "{error}", "{its_cure}", "bad", "an endpoint does not answer")
ENDPOINT_MODEL = Kind(
    "endpoints",
    "{stage}: {endpoint} does not list {model}",
    "%mirador endpoints lists those that it has",
    "bad",
)
CLEAR_KEY = Kind(
    "endpoints",
    "the key of {endpoint} goes over the network as clear text",
    "https:// in base_url below {table}",
)
CLEAR_LOGIN = Kind(
    "host",
    "the name and password of {host} go over the network as clear text",
    "https:// in OLLAMA_HOST, or a tunnel: ssh -L 11434:127.0.0.1:11434 HOST",
)
NO_ENGINE = Kind("engine", "{error}", "{its_cure}", "bad", "no engine answers")
OTHER_ENGINE = Kind("engine", "{error}; {engine} answers in its place", "{its_cure}")
_ELSEWHERE = "{setting} says {host}, but {engine} answers at {local}"
HOST_SET = Kind("host", _ELSEWHERE, "mirador_magic.configure(host='{local}')")
HOST_VARIABLE = Kind("host", _ELSEWHERE, "%env OLLAMA_HOST={local}")
SUBSTITUTED = Kind("models", "{stage}: {model} is not installed, {other} answers", "{install}")
NO_MODEL = Kind(
    "models", "{stage}: {model} is not installed, and nothing answers", "{install}", "bad"
)
COLD = Kind(
    "first token",
    "{model}: {time} cold, with loading it",
    "load it before the first question: %mirador warm; pre_warm = on does it by itself",
)
SLOW = Kind(
    "first token",
    "{model}: {time} warm",
    "a smaller model: mirador_magic.configure(**{{'{stage}.model': NAME}}), or a GPU",
)
THINKS_FIRST = Kind("first token", "{model}: {time} warm", f"it thinks first: {_LESS_THINKING}")
SILENT = Kind("first token", "{model} ended without a word", _OTHER, "bad")
ONLY_THINKS = Kind(
    "first token",
    "{model} has thought for {tokens} tokens, and written no word",
    _LESS_THINKING,
)
ONLY_THINKS_STILL = Kind("first token", ONLY_THINKS.what, _OTHER)
NO_PROBABILITIES = Kind(
    "confidence",
    "no log-probabilities come: it is only declared, the same for every question",
    "ask a real model: --engine auto",
)
OLLAMA_OLD = Kind(
    "confidence",
    NO_PROBABILITIES.what,
    "update Ollama to 0.12.11 or later: ollama --version tells which you have",
)
HALF_ON_GPU = Kind(
    "residency",
    "in memory: {models}; not all of it on the GPU",
    "where that is too slow, give {model} less context (--num-ctx 2048), or take a smaller model",
)
PUSHED_OUT = Kind(
    "residency",
    "{others} left memory while {model} was asked",
    "where they do not fit together, take smaller models, or less context: --num-ctx 2048",
)
TOO_LARGE = Kind(
    "memory", "the largest model alone has {most}, the machine {total}", _SMALLER, "bad"
)
CROWDED = Kind("memory", f"{TAKE}, the machine {{total}}: not all at once", _SMALLER)
FULL = Kind(
    "memory",
    f"{TAKE}; {{rest}} are still to come, {{free}} are free of {{total}}",
    "close what takes memory, or unload a model that you do not need: ollama stop NAME",
)
TIMED_OUT = Kind("any", "nothing came within {limit} s", "{usual_cure}", "bad")
FAILED = Kind("any", "{error}", "{its_cure}", "bad", "a step of the examination failed")
