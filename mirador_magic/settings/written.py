"""Settings as a line of text has them: `think=low options.top_k=20 options.stop='["a b"]'`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from mirador_magic.errors import UsageError


def read(text: str) -> dict[str, str]:
    """The values by their names, as they were typed. Raises UsageError for what is no such line."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError(f"a quote is not closed in {text!r}", "options.stop='END'") from None
    pairs = [word.partition("=") for word in words]
    if wrong := [name for name, is_there, value in pairs if not (name and is_there and value)]:
        raise UsageError(f"{wrong[0]!r} has no value", "think=low options.top_k=20")
    return {name: value for name, _, value in pairs}


def written(values: Mapping[str, object]) -> str:
    """The line that `read` takes apart again."""
    return " ".join(f"{name}={shlex.quote(_typed(value))}" for name, value in values.items())


def _typed(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
