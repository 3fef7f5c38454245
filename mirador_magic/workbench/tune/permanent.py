"""What makes a stage's settings permanent, as Python and as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping


def python(stage: str, values: Mapping[str, object]) -> str:
    """The call that sets these values of a stage for the rest of the session."""
    rows = [f"    {f'{stage}.{key}'!r}: {value!r}," for key, value in values.items()]
    return "\n".join(["configure(**{", *rows, "})"])


def toml(stage: str, values: Mapping[str, object]) -> str:
    """The lines for pyproject.toml, which set them for whoever works in its folder."""
    name = stage if stage.isascii() else _quoted(stage)
    rows = [f"{key} = {_written(value)}" for key, value in values.items()]
    return "\n".join([f"[tool.mirador.stages.{name}]", *rows])


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """As a basic string of TOML: JSON's, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
