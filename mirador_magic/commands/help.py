"""`%mirador help` and `%mirador version`, as people look for them."""

from __future__ import annotations

import mirador_magic
from mirador_magic.commands.line import Line
from mirador_magic.commands.manual import manual
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    print(manual())


async def version(session: Session, read: Line) -> None:
    print(f"mirador {mirador_magic.__version__}")
