"""What `%mirador VERB` does where a display is part of it: progress, the controls, the last answer."""

from __future__ import annotations

from pathlib import Path

from mirador_magic import provision, showing
from mirador_magic.errors import UsageError
from mirador_magic.line import Line
from mirador_magic.session import Session


async def last(session: Session, read: Line) -> None:
    if session.last is None:
        raise UsageError("there is no answer yet", "ask something: %mirador your question")
    (showing.put if session.in_notebook else showing.write)(session.last)


async def pull(session: Session, read: Line) -> None:
    from mirador_magic.views.progress import ProgressLine

    file = await session.pull(read.text, ProgressLine(in_notebook=session.in_notebook))
    print(f"{file} is there → %%mirador --engine embedded --model {file.stem}")


async def controls(session: Session, read: Line) -> object:
    from mirador_magic.switchboard import switchboard

    return switchboard(session)


async def provide(session: Session, read: Line) -> None:
    context = read.options.get("--context")
    needs = await session.plan(Path(context) if context else None)
    print("\n".join(filter(None, [*map(provision.told, needs), provision.note(needs)])))
    if all(need.action == "none" for need in needs):
        print("nothing is missing")
    elif "--yes" in read.options:
        from mirador_magic.views.progress import InstallLine

        await session.provision(needs, InstallLine(in_notebook=session.in_notebook))
    else:
        given = f" --context {context}" if context else ""
        print(f"to do it: %mirador provision --yes{given}")
