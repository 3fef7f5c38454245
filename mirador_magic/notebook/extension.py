"""`%load_ext mirador_magic` and its undoing: what one shell is given, and what is taken from it again."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import cast

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.interactiveshell import InteractiveShell

from mirador_magic.answer.answer import Answer
from mirador_magic.commands import completion
from mirador_magic.errors import UsageError
from mirador_magic.kernel.lines import MiradorCall
from mirador_magic.kernel.loop import (
    CellRewriter,
    can_rewrite,
    complete,
    kernel_of,
)
from mirador_magic.notebook.magics import MiradorMagics
from mirador_magic.notebook.showing import draws, put
from mirador_magic.routing import router
from mirador_magic.session import session as sessions
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES

Matcher = Callable[[CompletionContext], SimpleMatcherResult]


def _completer(session: Session) -> Matcher:
    """What IPython asks for the words that may come next."""

    def mirador_matcher(context: CompletionContext) -> SimpleMatcherResult:
        try:
            stages = list(session.stages)
        except UsageError:
            stages = [stage.name for stage in DEFAULT_STAGES]
        before = context.full_text[: context.cursor_position]
        found = completion.complete(before, stages, session.models)
        if found is None:
            return {"completions": []}
        fragment, words = found
        return {
            "completions": [SimpleCompletion(word, type="mirador") for word in words],
            "matched_fragment": fragment,
            "suppress": bool(words),
        }

    return cast(Matcher, context_matcher()(mirador_matcher))


def _prepare(magics: MiradorMagics) -> asyncio.Task[None] | None:
    """Bring in the background what the first cell will need; None where no loop runs."""

    async def bring() -> None:
        await asyncio.to_thread(importlib.import_module, "mirador_magic.views.panel")
        await asyncio.to_thread(importlib.import_module, "mirador_magic.interpolate")
        await asyncio.to_thread(router.route, "")
        with contextlib.suppress(UsageError):  # the first cell says what cannot be read
            await magics.session.look()
            if magics.session.settings()["pre_warm"]:
                await magics.session.readiness.keep_warm()

    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop().create_task(bring(), name="mirador warm-up")
    return None


def load(shell: InteractiveShell) -> None:
    """Bring the magic into this shell. Loading it again starts it anew."""
    unload(shell)
    magics = MiradorMagics(shell, sessions.current())
    shell.register_magics(magics)
    magics.session.in_notebook = draws(shell)

    def show(value: object) -> None:
        # The cell's own value was shown while it ran; anything else is shown as asked.
        shown = magics.was_shown(value)
        if isinstance(value, Answer) and not shown:
            put(value)
        elif kernel_of(shell) is None or not shown:
            print(repr(value))  # a terminal has written "Out[n]:" already

    assert shell.display_formatter is not None
    for kind in (Answer, Handle):
        shell.display_formatter.ipython_display_formatter.for_type(kind, show)
    shell.input_transformer_manager.token_transformers.append(MiradorCall)
    magics.completer = _completer(magics.session)
    shell.Completer.custom_matchers.append(magics.completer)
    if can_rewrite(shell):
        shell.input_transformers_post.append(CellRewriter(shell))
        magics.warming = _prepare(magics)
    else:  # a terminal, where nothing can be brought in the background
        importlib.import_module("mirador_magic.views.terminal")


def unload(shell: InteractiveShell) -> None:
    """Take the magic out of this shell again, end its warm-up and release what the engines hold."""
    lines, after = shell.input_transformer_manager.token_transformers, shell.input_transformers_post
    lines[:] = [each for each in lines if each is not MiradorCall]
    after[:] = [each for each in after if not isinstance(each, CellRewriter)]
    magics = shell.magics_manager.registry.pop("MiradorMagics", None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("mirador", None)
    if board := sys.modules.get("mirador_magic.workbench.controls"):
        board.leave(magics.session)
    if board := sys.modules.get("mirador_magic.workbench.dashboard.widget"):
        board.leave(magics.session)
    if boards := sys.modules.get("mirador_magic.workbench.tune.board"):
        boards.leave()
    if magics.completer in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.completer)
    if magics.warming:
        magics.warming.cancel()
    session = magics.session
    try:
        session.closing = asyncio.get_running_loop().create_task(session.aclose())
    except RuntimeError:  # a terminal: no loop runs between the cells
        complete(session.aclose())
