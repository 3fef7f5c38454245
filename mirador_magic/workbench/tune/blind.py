"""The answers of a table to rate blindly, as their reader holds them."""

from __future__ import annotations

from mirador_magic.workbench.tune.cards import Cards


class Blind(Cards):
    """What `Table.blind()` gives: answers, one at a time, in an order that tells nothing.

    In a notebook it shows itself with buttons; elsewhere `print(blind)` and `blind.rate(4)`.
    """

    def __repr__(self) -> str:
        return f"<Blind: {len(self.ratings)} of {len(self)} rated>"

    def _ipython_display_(self, **_: object) -> None:
        from mirador_magic.session.session import current

        if not current().in_notebook:
            print(self)
            return
        from mirador_magic.workbench.tune.blind_view import BlindView

        BlindView(self)._ipython_display_()
