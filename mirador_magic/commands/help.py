"""`%mirador help` and `%mirador version`, as people look for them."""

from __future__ import annotations

from importlib.metadata import version as version_of

from mirador_magic.commands.line import Line
from mirador_magic.commands.manual import manual
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    print(manual())


async def version(session: Session, read: Line) -> None:
    print(f"mirador {version_of('mirador-magic')}")
