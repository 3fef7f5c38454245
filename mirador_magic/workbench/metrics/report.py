"""The report of `%mirador metrics`, as its reader holds it: the figures, shown as a table."""

from __future__ import annotations

from mirador_magic.views import frame
from mirador_magic.workbench.metrics.figures import Figures
from mirador_magic.workbench.metrics.table import as_html, as_text


class Report(Figures):
    """The figures of what was asked in the last `hours`: one group of all runs, or one for each value
    of what they are grouped `by`. Shown as a table; times inside are in seconds.
    """

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return frame.bundle(as_html(self), str(self))
