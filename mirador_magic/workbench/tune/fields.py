"""The controls of the tuner: a stage's settings as fields, and what stands in them as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from mirador_magic.settings.keys import OF_A_STAGE
from mirador_magic.settings.written import read, written
from mirador_magic.views.board_widgets import BoardWidgets
from mirador_magic.workbench.tune.tries import Settings

OPTIONS = ("temperature", "top_p", "num_predict")
MORE = "think=low options.top_k=20"
SHOWN = ("system", "model", *OPTIONS)


class Fields:
    """The fields of one stage. What has none of its own, as a seed, stands in `more`, as `seed=7`."""

    def __init__(self, kit: BoardWidgets, settings: Settings) -> None:
        self.system = kit.make(ipywidgets.Textarea, description="System", rows=4)
        self.model = kit.make(ipywidgets.Combobox, description="Model")
        self.options: dict[str, Any] = {
            key: kit.make(ipywidgets.Text, description=key, tooltip=OF_A_STAGE[key].what)
            for key in OPTIONS
        }
        self.questions = kit.make(
            ipywidgets.Textarea, description="Questions", rows=2, placeholder="one a line"
        )
        self.more = kit.make(
            ipywidgets.Text,
            description="More",
            tooltip=f"other settings, such as {MORE}",
            placeholder=MORE,
        )
        self.show(settings, settings)

    def offer(self, models: Sequence[str]) -> None:
        """These models are installed."""
        self.model.options = tuple(dict.fromkeys(models))

    def show(self, settings: Settings, usual: Settings) -> None:
        """Fill the fields with these settings; `usual` are the stage's own."""
        for key in SHOWN:
            self._of(key).value = str(settings.get(key, ""))
        others = {key: value for key, value in settings.items() if key not in SHOWN}
        self.more.value = written(
            {key: value for key, value in others.items() if usual.get(key) != value}
        )

    @property
    def values(self) -> Mapping[str, object]:
        """What is set by the fields, as it was typed; an empty one leaves it to the stage. Raises
        UsageError where `more` cannot be read."""
        given = {key: self._of(key).value for key in SHOWN}
        typed = {key: text.strip() for key, text in given.items() if key != "system"}
        filled = {key: text for key, text in typed.items() if text}
        return {"system": given["system"], **filled, **read(self.more.value)}

    @property
    def shown(self) -> Mapping[str, str]:
        """What stands in the fields, by their names, be it right or wrong."""
        given = {key: str(self._of(key).value) for key in SHOWN}
        return given | ({"more": self.more.value} if self.more.value else {})

    @property
    def asked(self) -> list[str]:
        """The questions, one a line."""
        return [line.strip() for line in self.questions.value.splitlines() if line.strip()]

    def _of(self, key: str) -> Any:
        return {"system": self.system, "model": self.model, **self.options}[key]
