"""Finding the settings of a stage that answer best: by hand, and by grid, in one record of tries.

    tuner("deep_analysis")                      a widget: set, run, compare, rate, go back, use
    found = await tune(                         every variant answers every question
        "deep_analysis",
        [{"temperature": 0.2}, {"system": "Be brief.", "name": "brief"}, {}],
        ["Why is the sky blue?", …],
        expect="scatter",
    )
    found.winner, found.frame, found.blind()

A variant holds settings of the stage (`%mirador settings` has their names), and a name if one likes;
{} is the stage as it is. Where a stage shares its model with another one, both get the larger num_ctx.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session, current
from mirador_magic.stages import choose

if TYPE_CHECKING:
    from mirador_magic.workbench.tune.grid import Grid
    from mirador_magic.workbench.tune.scoring import Expect, Score
    from mirador_magic.workbench.tune.table import Table

__all__ = ["tune", "tuner", "verb"]


def tuner(stage: str = "quick_response") -> object:
    """A widget to tune a stage by hand: `%mirador tune STAGE`.

    Raises UsageError for an unknown stage, and where there is no notebook.
    """
    return _tuner(current(), stage)


async def tune(
    stage: str,
    variants: Iterable[Mapping[str, object]],
    queries: Iterable[str],
    score: Score | None = None,
    expect: Expect | None = None,
    repeats: int = 1,
) -> Table:
    """Ask each question of the stage in each variant, `repeats` times; the table of what came of it.

    `score(question, answer)` gives a number, or a coroutine of one; `expect` is a pattern that is looked
    for in the answers, a list of one for each question, or a mapping of them by question: 1 or 0. The
    table's winner is named where the scores show a difference between the variants.

    After a stop or an interrupt the same call goes on, and repeats nothing that is done; in another
    kernel only where `keep_texts` is on. Raises UsageError for what cannot be asked, EngineUnavailable
    where no engine answers, and whatever `score` raises.
    """
    from mirador_magic.workbench.tune.grid import Grid
    from mirador_magic.workbench.tune.plan import plan_of
    from mirador_magic.workbench.tune.scoring import score_of

    session = current()
    plan = plan_of(session, stage, variants, queries, repeats)
    return await watched(session, Grid(session, plan, score_of(score, expect, plan.questions)))


async def watched(session: Session, grid: Grid) -> Table:
    """Run the grid, and show how far it is, in the notebook or the terminal."""
    if not session.in_notebook:
        from mirador_magic.workbench.tune import terminal

        grid.tell = terminal.line
        try:
            return await grid.run()
        finally:
            terminal.end_line()
    from mirador_magic.workbench.tune.live import Live

    bar = Live(grid.stop)
    grid.tell = bar
    bar._ipython_display_()
    said = "tuning ended early; what is done is kept → the same tune() again goes on from here"
    try:
        table = await grid.run()
        said = "\n".join([table.title, *table.told()])
        return table
    finally:
        bar.finish(said)


async def verb(session: Session, read: Line) -> object:
    """`%mirador tune [STAGE]`: the tuner; in a terminal the stage's tries as text."""
    stage = read.text or "quick_response"
    if session.in_notebook:
        return _tuner(session, stage)
    from mirador_magic.workbench.tune import sheet
    from mirador_magic.workbench.tune.record import record_of

    choose(list(session.stages.values()), [stage])
    text = sheet.bundle(stage, record_of(session).of(stage))["text/plain"]
    return f"{text}\nto try others: await tune({stage!r}, variants, questions), or a notebook"


def _tuner(session: Session, stage: str) -> object:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("tuner() needs a notebook", "%mirador tune") from None
    from mirador_magic.workbench.tune.by_hand import Tuner

    return Tuner(session, stage)
