"""`%mirador calibrate`: what the line asks for, and what it shows."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.workbench.calibrate import kept
from mirador_magic.workbench.calibrate.asking import calibrated, thumb
from mirador_magic.workbench.calibrate.report import Report, report

_THUMBS = {"up": True, "down": False}
_CURE = "%mirador calibrate questions.jsonl, or after an answer: %mirador calibrate up|down"


async def verb(session: Session, read: Line) -> object:
    """`calibrate FILE`, `up` or `down` for the last answer, `--show`, `--clear`; what is to be shown."""
    named = read.options.get("--stages")
    stages = None if named is None else tuple(filter(None, named.split(",")))
    if "--clear" in read.options:
        count = await asyncio.to_thread(kept.clear, stages)
        print(f"{count} labelled answer{'' if count == 1 else 's'} forgotten")
        return None
    if "--show" in read.options:
        return _shown(session, await asyncio.to_thread(report))
    if read.text in _THUMBS:
        await _thumbed(session, right=_THUMBS[read.text])
        return None
    if not read.text:
        raise UsageError("%mirador calibrate: on which questions?", _CURE)
    return _shown(session, await calibrated(session, read.text, stages, _Line()))


async def _thumbed(session: Session, *, right: bool) -> None:
    answer = thumb(session, right=right)
    await asyncio.to_thread(kept.keep, [answer])
    print(f"kept: this answer of {answer.stage} is {'right' if right else 'wrong'}")


def _shown(session: Session, found: Report) -> Report:
    """In a notebook with its picture above it, where matplotlib can draw one."""
    if session.in_notebook and found.judgements and (png := found.png()):
        display: Callable[..., object] = importlib.import_module("IPython.display").display
        display({"image/png": png, "text/plain": "reliability"}, raw=True)
    return found


class _Line:
    """How far it is, on a line that is written over itself."""

    def __call__(self, done: int, total: int, seconds: float) -> None:
        left = f", about {seconds / done * (total - done):.0f} s left" if done else ""
        text = f"{done} of {total} questions{left if done < total else ''}"
        print(f"\r{text:48}", end="\n" if done == total else "", flush=True)
