"""A comparison as its reader holds it: the columns, with all the ways to show them."""

from __future__ import annotations

from mirador_magic.workbench.compare import page
from mirador_magic.workbench.compare.columns import Columns


class SideBySide(Columns):
    """What `compare()` gives. `str()` of it is all of the answers with their figures.

    `names` are those of the models, the stages or the prompts, as `kind` says; `chosen` is the one
    that was picked, or None.
    """

    def __str__(self) -> str:
        return page.plain(self)

    def __repr__(self) -> str:
        picked = "nothing picked" if self.chosen is None else f"{self.chosen} picked"
        return f"<SideBySide {self.question[:40]!r}: {', '.join(self.names)}; {picked}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return page.bundle(self)

    def _ipython_display_(self) -> None:
        """Where a kernel shows it, with its buttons; in a terminal as text."""
        from mirador_magic.workbench.compare.shown import display  # it brings IPython

        display(self)
