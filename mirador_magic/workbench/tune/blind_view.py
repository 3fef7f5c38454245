"""The blind view in a notebook: one answer, and buttons to rate it with."""

from __future__ import annotations

import functools
import html

import ipywidgets

from mirador_magic.answer import words
from mirador_magic.views import frame, markdown
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.tune.board import Board
from mirador_magic.workbench.tune.cards import Cards
from mirador_magic.workbench.tune.tries import RATINGS


class BlindView(Board):
    """The widget of `Table.blind()`. At the end the table stands in its place."""

    def __init__(self, blind: Cards) -> None:
        super().__init__()
        self.blind = blind
        self._is_revealed = False
        self.card = self.kit.make(ipywidgets.HTML)
        self.buttons = [
            self.button(
                str(rating), f"Rate it {rating} of 5", functools.partial(self._rate, rating)
            )
            for rating in RATINGS
        ]
        self.skip = self.button("Skip", "Go on without a rating", functools.partial(self._go, 1))
        self.back = self.button("Back", "To the answer before", functools.partial(self._go, -1))
        self.reveal = self.button("Show the names", "End it, and show the table", self._show)
        self.fill(self.card, self.row(*self.buttons, self.skip, self.back, self.reveal))
        self._paint()

    def _rate(self, rating: int) -> None:
        self.blind.rate(rating)
        self._paint()

    def _go(self, by: int) -> None:
        (self.blind.skip if by > 0 else self.blind.back)()
        self._paint()

    def _paint(self) -> None:
        if self.blind.is_over:
            self._show()
            return
        card = self.blind.card
        question = html.escape(words.one_line(card.question))
        self.card.value = (
            f'<div style="{QUIET}">{html.escape(self.blind.heading)}</div><div><b>{question}</b></div>'
            f'<div class="mirador-text" dir="auto" style="margin:6px 0">'
            f"{markdown.render(card.answer.strip())}</div>"
        )

    def _show(self) -> None:
        self._is_revealed = True
        self.close()

    def twin(self) -> dict[str, str]:
        if self._is_revealed:
            return self.blind.table._repr_mimebundle_()
        rated, all_ = len(self.blind.ratings), len(self.blind)
        told = f"{rated} of {all_} answers are rated: run this cell to rate them without names"
        return frame.bundle(html.escape(told), told)
