"""Answers to rate without knowing whose they are: shuffled, and no name is shown before the end."""

from __future__ import annotations

import random
from typing import Protocol

from mirador_magic.answer import words
from mirador_magic.errors import UsageError
from mirador_magic.workbench.tune.tries import RATINGS, Try


class Rated(Protocol):
    """What keeps the ratings, and shows what came of them: a table."""

    tries: list[Try]

    def rate(self, number: int, rating: int) -> None: ...
    def _repr_mimebundle_(self) -> dict[str, str]: ...


class Cards:
    """The answers of a table, one at a time, in an order that tells nothing.

    Those of one question follow each other, since they are judged by each other.
    """

    def __init__(self, table: Rated, rng: random.Random) -> None:
        self.table = table
        self.ratings: dict[int, int] = {}  # by the try's number, those given here
        self.at = 0
        self._cards = _shuffled(table.tries, rng)
        if not self._cards:
            raise UsageError("there is no answer to rate", "run tune() first")

    def __len__(self) -> int:
        return len(self._cards)

    @property
    def is_over(self) -> bool:
        """Whether all were seen, so that names may be shown."""
        return self.at >= len(self._cards)

    @property
    def card(self) -> Try:
        """The answer that is to be rated now. Raises UsageError at the end."""
        if self.is_over:
            raise UsageError("all answers were seen", "look at .table")
        return self._cards[self.at]

    @property
    def heading(self) -> str:
        """Where one is, and what rating was given before."""
        given = self.ratings.get(self.card.number)
        before = f" · rated {given}" if given else ""
        return f"answer {self.at + 1} of {len(self)}{before}"

    def rate(self, rating: int) -> None:
        """Rate this answer, 1 (useless) to 5, and go on to the next."""
        card = self.card
        if rating not in RATINGS:
            raise UsageError(f"the rating {rating!r} is not in 1..5", "rate(4)")
        self.ratings[card.number] = rating
        self.table.rate(card.number, rating)
        self.at += 1

    def skip(self) -> None:
        """Go on without a rating."""
        self.at = min(self.at + 1, len(self))

    def back(self) -> None:
        """Go back to the answer before."""
        self.at = max(self.at - 1, 0)

    def __str__(self) -> str:
        if self.is_over:
            return str(self.table)
        card = self.card
        return "\n\n".join(
            [self.heading, words.one_line(card.question), words.clean(card.answer).strip()]
        )


def _shuffled(tries: list[Try], rng: random.Random) -> list[Try]:
    """The answers there are, questions and those of each question in a random order."""
    done = [each for each in tries if each.is_done]
    questions = list(dict.fromkeys(each.question for each in done))
    rng.shuffle(questions)
    cards: list[Try] = []
    for question in questions:
        own = [each for each in done if each.question == question]
        rng.shuffle(own)
        cards += own
    return cards
