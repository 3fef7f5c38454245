"""What the kept runs tell: how often they answered, how fast, and with how many tokens.

report(session, hours=24, by=None) -> Report       shown as a table; .to_json .to_csv .to_dataframe
verb(session, read)                                `%mirador metrics`
"""

from __future__ import annotations

import asyncio
import math
import time

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session, current
from mirador_magic.stages import nearest
from mirador_magic.store import By, Store
from mirador_magic.store.rows import BYS
from mirador_magic.workbench.metrics.report import Report
from mirador_magic.workbench.metrics.summary import Group, Spread, summary

__all__ = ["Group", "Report", "Spread", "report", "run_metrics", "summary", "verb"]

_HOUR = 3600.0


async def verb(session: Session, read: Line) -> Report | None:
    """`%mirador metrics`: the report, which is to be shown; None where it was printed."""
    if "--clear" in read.options:
        await asyncio.to_thread(_clear, session)
        return None
    hours, by = _hours(read.options.get("--hours", "24")), _by(read.options.get("--by"))
    found = await asyncio.to_thread(report, session, hours, by)
    if "--json" in read.options:
        print(found.to_json())
    elif "--csv" in read.options:
        print(found.to_csv(), end="")
    else:
        return found
    return None


def report(session: Session, hours: float = 24, by: By | None = None) -> Report:
    """The figures of what was asked in the last hours, by all kernels; all together, or `by` one of
    stage, model, engine, route.

    Raises UsageError where the file cannot be read, or `by` is none of these.
    """
    if by not in (None, *BYS):
        raise _unknown(str(by))
    _flush(session)
    store = Store()
    try:
        rows = store.figures(by, time.time() - hours * _HOUR)
        return Report(hours, by, tuple(summary(rows)), store.file)
    finally:
        store.close()


def run_metrics(hours: float = 24, by: By | None = None) -> Report:
    """How the runs of the last hours went: `%mirador metrics`. `by` is stage, model, engine or route."""
    return report(current(), hours, by)


def _clear(session: Session) -> None:
    _flush(session)
    store = Store()
    try:
        count = store.clear()
    finally:
        store.close()
    told = "1 run is" if count == 1 else f"{count} runs are"
    print(f"{told} forgotten; what was picked and tuned stays in {store.file}")


def _flush(session: Session) -> None:
    if session.recorder:
        session.recorder.flush()


def _hours(given: str) -> float:
    try:
        hours = float(given)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise UsageError(f"--hours {given} is no number of hours", "%mirador metrics --hours 24")
    return hours


def _by(given: str | None) -> By | None:
    for by in BYS:
        if by == given:
            return by
    if given is not None:
        raise _unknown(given)
    return None


def _unknown(by: str) -> UsageError:
    return UsageError(
        f"there are no figures by {by!r}", nearest(by, BYS) or f"by: {', '.join(BYS)}"
    )
