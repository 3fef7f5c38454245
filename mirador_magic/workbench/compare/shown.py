"""A comparison on the page, with the buttons that pick: they work while the kernel lives."""

from __future__ import annotations

import os
import uuid

from IPython.core.display_functions import DisplayHandle
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.getipython import get_ipython

from mirador_magic.kernel.loop import kernel_of
from mirador_magic.workbench.compare import page
from mirador_magic.workbench.compare.columns import Columns
from mirador_magic.workbench.compare.contest import Unseen


class Shown:
    """The twin in a display: a new one, or in the place of what is shown there. A pick redraws it."""

    def __init__(self, result: Columns, within: DisplayHandle | None = None) -> None:
        from mirador_magic.views.answer_buttons import Actions, controls

        self._result = result
        self._run = uuid.uuid4().hex
        self._display = within or DisplayHandle()
        if within:
            self._redraw()
        else:
            self._display.display(page.bundle(result, self._run), raw=True)
        result.watchers.append(self._redraw)
        places = {str(place): name for place, name in enumerate(result.names)}
        deeds = Actions(
            run=lambda place: result.pick(places.get(place, place)),
            copy=lambda: page.plain(result),
            late=lambda seconds: None,
        )
        controls().show(self._run, deeds)

    def _redraw(self) -> None:
        self._display.update(page.bundle(self._result, self._run), raw=True)


class AtTheEnd(Unseen):
    """Shows a comparison once, when it is over."""

    def __init__(self, result: Columns) -> None:
        self._result = result

    def close(self) -> None:
        Shown(self._result)


def display(result: Columns) -> None:
    """Show it where the kernel's front end is, or print it."""
    shell = get_ipython()
    if shell is None or kernel_of(shell) is None:
        print(page.plain(result))
    else:
        Shown(result)


def can_change() -> bool:
    """Whether a display may be changed after it was made: %%capture keeps each change, nbval none."""
    captured = isinstance(getattr(get_ipython(), "display_pub", None), CapturingDisplayPublisher)
    return not captured and ".ipynb::" not in os.environ.get("PYTEST_CURRENT_TEST", "")
