"""Makes a panel's widgets, with as few messages as may be."""

from __future__ import annotations

from typing import Any

import ipywidgets

from mirador_magic.views.frame import GUARD


class BoardWidgets:
    """Makes the widgets. They share one layout, and their style by kind: each is a message more."""

    def __init__(self) -> None:
        self.layout = ipywidgets.Layout()
        self._styles: dict[type, ipywidgets.Widget] = {}
        self._made: list[ipywidgets.Widget] = []

    def make(self, kind: Any, *classes: str, **given: Any) -> Any:
        """A widget of this kind and of these CSS classes."""
        if kind in self._styles:
            given["style"] = self._styles[kind]
        if issubclass(kind, ipywidgets.HTML):
            classes = (*GUARD, *classes)
        widget = kind(layout=self.layout, _dom_classes=classes, **given)
        if widget.has_trait("style"):
            self._styles.setdefault(kind, widget.style)
        self._made.append(widget)
        return widget

    def close(self) -> None:
        for widget in (*self._made, *self._styles.values(), self.layout):
            widget.close()
