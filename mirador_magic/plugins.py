"""What other packages bring: engines and stages, found by their entry points.

    [project.entry-points."mirador_magic.engines"]
    echo = "mirador_echo:EchoEngine"        # called without arguments, it gives an Engine

    [project.entry-points."mirador_magic.stages"]
    critic = "mirador_echo:CRITIC"          # a ModelStage of this name

To look for them takes some 20 ms. So nothing does at import, nor before an answer, unless a name is
asked for that is none of Mirador's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from mirador_magic.errors import EngineUnavailable, MiradorError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["engine", "stage"]

_ERRORS: Mapping[Kind, type[MiradorError]] = {"engine": EngineUnavailable, "stage": UsageError}

_seen: dict[tuple[Kind, str], EntryPoint] = {}  # kept: a setting is read anew for every question


def names(kind: Kind) -> tuple[str, ...]:
    """The names of all that is installed now."""
    from importlib.metadata import entry_points

    found = {each.name: each for each in entry_points(group=f"mirador_magic.{kind}s")}
    _seen.update({(kind, name): each for name, each in found.items()})
    return tuple(found)


def brings(kind: Kind, name: str) -> bool:
    """Whether another package brings one of this name."""
    return (kind, name) in _seen or name in names(kind)


def load(kind: Kind, name: str) -> object:
    """What the entry point of this name stands for; it has to be there.

    Raises EngineUnavailable or UsageError, one line, whatever another package's import raises.
    """
    if not brings(kind, name):
        raise _ERRORS[kind](f"no package brings the {kind} {name!r}")
    entry = _seen[kind, name]
    try:
        return entry.load()
    except Exception as error:
        raise broken(kind, name, f"{type(error).__name__}: {error}") from error


def broken(kind: Kind, name: str, why: str) -> MiradorError:
    """The error of an entry point that is not what it has to be."""
    entry = _seen[kind, name]
    package = entry.dist.name if entry.dist else entry.value
    what = f"the {kind} {name!r} of {package} cannot be used: {why}"
    return _ERRORS[kind](what, f"mend {package}, or remove it")
