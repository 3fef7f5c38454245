"""`%mirador history`: what was asked, and how it ended."""

from __future__ import annotations

from mirador_magic.answer import words
from mirador_magic.commands.line import Line
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    if not session.asked:
        print("nothing was asked yet → %mirador your question")
    for number, answer in enumerate(session.asked, 1):
        mark = "↳ " if answer.turns else ""
        question = words.one_line(answer.question)
        stages = " → ".join(each.name for each in answer.stages)
        told = f"{stages}, {answer.outcome} after {words.seconds(answer.total)}"
        print(f"{number}  {mark}{question[:70]}{'…' if len(question) > 70 else ''}  ({told})")
