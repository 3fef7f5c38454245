"""The answer shown once, at the end: where no display can be changed after it was made.

nbval ignores updates of a display, and %%capture keeps each update as one more output.
"""

from __future__ import annotations

from collections.abc import Callable

from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer.answer import Answer
from mirador_magic.events import Event, RunFinished
from mirador_magic.views.static import bundle


class Final:
    """A watcher that displays the static twin when the run ends, the same as a panel would leave.

    `deeper` names the stage that could go on from an answer.
    """

    def __init__(
        self, answer: Callable[[], Answer], deeper: Callable[[Answer], str | None]
    ) -> None:
        self._answer = answer
        self._deeper = deeper

    def show(self) -> None:
        """There is nothing to show before the end."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            answer, shown = self._answer(), DisplayHandle()
            shown.display(bundle(answer, str(shown.display_id), self._deeper(answer)), raw=True)
