"""`%mirador help` and `version`."""

from __future__ import annotations

import importlib

from mirador_magic.commands.line import Line
from mirador_magic.session.session import Session


async def help_(session: Session, read: Line) -> None:
    from mirador_magic.commands.manual import manual

    print(manual())


async def version(session: Session, read: Line) -> None:
    # By name: the package's own imports lead to every room.
    print(f"mirador {importlib.import_module('mirador_magic').__version__}")
