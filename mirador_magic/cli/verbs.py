"""What a verb does in a shell, where that differs from a notebook; each returns the exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.answer.words import one_line
from mirador_magic.cli.shell import here
from mirador_magic.commands import warm as warming
from mirador_magic.commands.line import Line
from mirador_magic.engines import provision
from mirador_magic.session.session import Session

if TYPE_CHECKING:
    from mirador_magic.engines.ollama.models import Installing
    from mirador_magic.engines.pull import Progress


async def dashboard(session: Session, read: Line) -> int:
    from mirador_magic.workbench.dashboard import terminal

    await terminal.show(session, here)
    return 0


async def warm(session: Session, read: Line) -> int:
    await warming.verb(session, read)
    warmup = session.readiness.warmup
    failed = warmup and any(each.state == "failed" for each in warmup.state)
    return int(bool(failed) and "--status" not in read.options)


async def doctor(session: Session, read: Line) -> int:
    from mirador_magic.workbench.doctor import as_json, examine, exit_code, line

    findings = []
    async with contextlib.aclosing(examine(session)) as found:
        async for each in found:
            finding = dataclasses.replace(each, what=here(each.what), cure=here(each.cure))
            findings.append(finding)
            if "--json" not in read.options:
                print(line(finding), flush=True)
    if "--json" in read.options:
        print(as_json(findings))
    return exit_code(findings)


async def provide(session: Session, read: Line) -> int:
    context = read.options.get("--context")
    needs = await session.plan(Path(context) if context else None)
    told = filter(None, [*map(provision.told, needs), provision.note(needs)])
    print("\n".join(map(here, told)), flush=True)
    if all(need.action == "none" for need in needs):
        print("nothing is missing")
    elif "--yes" in read.options or _agreed("shall it be done? [y/N] "):
        await session.provision(needs, _installing())
    else:
        given = f" --context {context}" if context else ""
        print(f"to do it: mirador provision --yes{given}")
    return 0


def _agreed(question: str) -> bool:
    """Whether the user types a yes; where there is no terminal, nobody does."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    # asyncio's own way with Ctrl-C would wait until the line is typed.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def _installing() -> Callable[[Installing], None]:
    """A bar on a terminal; elsewhere a line for each thing that is done."""
    if sys.stdout.isatty():
        from mirador_magic.views.progress import InstallLine

        return InstallLine(in_notebook=False)
    said: set[str] = set()

    def tell(step: Installing) -> None:
        line = one_line(f"{step.model}: {step.doing}")
        if line not in said:
            said.add(line)
            print(line, flush=True)

    return tell


async def pull(session: Session, read: Line) -> int:
    got = await session.pull(read.text, _fetching())
    print(f"{got.file} is there → mirador --engine embedded --model {got.model} QUESTION")
    return 0


def _fetching() -> Callable[[Progress], None]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stdout.isatty():
        return lambda progress: None
    from mirador_magic.views.progress import ProgressLine

    return ProgressLine(in_notebook=False)


async def help_(session: Session, read: Line) -> int:
    from mirador_magic.cli.argv import VERBS, parser

    print(parser(VERBS["ask"]).format_help(), end="")
    return 0


async def serve_check(session: Session, read: Line) -> int:
    engine = await session.engine()
    models = [each for each in await engine.models() if each.chats]
    if not models:
        print(f"{engine.label} answers, and has no model → mirador provision")
        return 1
    print(f"{engine.label} answers, and has {len(models)} model{'s' * (len(models) > 1)}")
    return 0
