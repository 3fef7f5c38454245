"""The benchmark in a notebook: a board while it runs, its tables and its picture at the end.

Painted between the runs alone, at most four times a second: nothing is drawn while a run is
measured. At the end the board's widgets are closed, and HTML and text stand in its place, the picture
below them, so that the saved notebook needs no kernel.
"""

from __future__ import annotations

import asyncio
import base64

from IPython.core.display_functions import DisplayHandle

from mirador_magic.kernel.loop import ipykernel_version
from mirador_magic.views import frame
from mirador_magic.views.streaming import PanelWidgets
from mirador_magic.views.style import PANEL
from mirador_magic.workbench.benchmark import sheet
from mirador_magic.workbench.benchmark.measured import Measured
from mirador_magic.workbench.benchmark.plot import picture, text_plot
from mirador_magic.workbench.benchmark.suite import Progress, Suite

PAINTS = 0.25  # seconds between two paints, at the least

_NO_BUTTON = "to stop, interrupt the kernel: what is measured is kept"


class Board:
    """Shows one suite in the current cell, from when it is made; belongs to the running loop."""

    def __init__(self, suite: Suite) -> None:
        self._loop = asyncio.get_running_loop()
        self._painted = float("-inf")
        self._kit = kit = PanelWidgets()
        self._sheet = kit.html()
        self.stop = kit.button("■ Stop", "End the benchmark and keep what was measured")
        # a click may come on a thread of its own
        self.stop.on_click(lambda _: self._loop.call_soon_threadsafe(suite.stop))
        is_live = ipykernel_version() >= (7,)  # before, a click comes after the cell
        parts = [self.stop] if is_live else [kit.html(_NO_BUTTON)]
        self._box = kit.box([*parts, self._sheet], "mirador", "jp-RenderedHTMLCommon")
        self._display = DisplayHandle()
        suite.tell = self
        self._sheet.value = PANEL
        self._display.display(self._box)

    def __call__(self, progress: Progress) -> None:
        """Paint how far it is, unless it was painted just now."""
        now = self._loop.time()
        if now - self._painted >= PAINTS:
            self._painted = now
            shown = sheet.live(progress.result, progress.left, progress.doing)
            self._sheet.value = PANEL + shown

    def close(self, result: Measured) -> None:
        """Put what was measured in its place, and leave no widget behind."""
        image = _image(result)
        self._display.update(_bundle(result, plotted=image is None), raw=True)
        self._kit.close()
        if image:
            DisplayHandle().display(image, raw=True)


def show(result: Measured) -> None:
    """Display a benchmark that was measured before."""
    image = _image(result)
    DisplayHandle().display(_bundle(result, plotted=image is None), raw=True)
    if image:
        DisplayHandle().display(image, raw=True)


def _bundle(result: Measured, *, plotted: bool) -> dict[str, str]:
    if not result.points:
        nothing = "mirador benchmark: nothing was measured"
        return frame.bundle(nothing, nothing)
    return frame.bundle(sheet.page(result, plotted=plotted), sheet.text(result))


def _image(result: Measured) -> dict[str, str] | None:
    """The picture as an output of its own, which every viewer of notebooks shows."""
    png = picture(result)
    if png is None:
        return None
    return {"image/png": base64.b64encode(png).decode(), "text/plain": text_plot(result)}
