"""What the controls are made of: their rows and their style."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets

STYLE = """<style>
.mirador-board {max-width: 960px; overflow: visible}
.mirador-board > .mirador-sheet {display: none}
.mirador-board .mirador-row {display: flex; flex-wrap: wrap; align-items: center; gap: 2px 12px;
  margin: 2px 0; overflow: visible}
.mirador-board .widget-checkbox label {display: flex; align-items: center; line-height: 28px}
.mirador-board .widget-checkbox input {margin: 0 6px 0 0}
.mirador-board .mirador-row input[type=text], .mirador-board select {height: 26px; line-height: 24px}
.mirador-board .mirador-row > * {margin: 0; width: auto}
.mirador-board .mirador-row > .widget-checkbox {flex: 0 0 auto; min-width: 0}
.mirador-board .mirador-row > .widget-dropdown {flex: 0 1 300px}
.mirador-board .mirador-row > .widget-dropdown ~ .widget-dropdown {flex: 0 1 190px}
.mirador-board .widget-dropdown .widget-label {width: auto; margin-right: 6px}
.mirador-board .mirador-stage-row > .widget-checkbox {flex: 0 0 150px}
.mirador-board .mirador-stage-row > .widget-text {flex: 1 1 190px; max-width: 330px}
.mirador-board .mirador-stage-row > .mirador-kept {flex: 0 0 80px; min-width: 0}
.mirador-board .mirador-stage-row > .mirador-more {flex: 0 1 150px; min-width: 0}
.mirador-board .mirador-row > .widget-html {flex: 1 1 180px; min-width: 0; font-size: 13px}
.mirador-board .widget-html-content {line-height: 1.5; overflow-wrap: anywhere}
.mirador-board .mirador-row > .jupyter-button {flex: 0 0 auto; height: 24px; line-height: 22px;
  padding: 0 10px; font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}
.mirador-board .mirador-row > .jupyter-button:hover:enabled {border-color: currentcolor;
  box-shadow: none}
</style>"""


@dataclass(frozen=True)
class Row:
    """The widgets of one stage."""

    ask: ipywidgets.Checkbox
    model: ipywidgets.Combobox
    kept: ipywidgets.Text
    more: ipywidgets.Text
    lamp: ipywidgets.HTML
    warm: ipywidgets.Button
    leave: ipywidgets.Button
    box: ipywidgets.HBox
