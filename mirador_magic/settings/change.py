"""What is in force in a notebook once something was set there, or taken back."""

from __future__ import annotations

from collections.abc import Mapping

from mirador_magic.settings.keys import parts
from mirador_magic.settings.settings import Given, Layer, flat, layer
from mirador_magic.settings.values import OPTIONS


def changed(before: Layer, values: Mapping[str, object], source: str) -> dict[str, Given]:
    """The layer with these values, by key or `stage.key`; None takes one back, and a None for `options`
    all of them. Raises UsageError for what cannot be read."""
    values = flat(values)
    given = {key: value for key, value in values.items() if value is not None}
    gone = values.keys() - given
    now = {**before, **layer(given, source)}
    return {key: each for key, each in now.items() if not {key, _table(key)} & gone}


def _table(key: str) -> str:
    """Where it stands among other options, `critic.options`; itself where it is none."""
    is_option = parts(key)[1].startswith(f"{OPTIONS}.")
    return key.rpartition(".")[0] if is_option else key
