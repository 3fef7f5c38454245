"""`%mirador reset`: forget what was asked."""

from __future__ import annotations

from mirador_magic.commands.line import Line
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    session.reset()
