"""`%mirador settings`: every setting that is in force, and where it came from."""

from __future__ import annotations

from mirador_magic.answer.words import one_line
from mirador_magic.commands.line import Line
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    table = session.shown_settings()
    names = max(len(row.name) for row in table)
    values = max(len(_short(row.value)) for row in table)
    for row in table:
        print(f"{row.name:{names}}  {_short(row.value):{values}}  {row.source}".rstrip())


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 48 else f"{text[:47]}…"
