"""`%%mirador` and `%mirador`: read the line, start the run, show it, bind the answer.

`mirador_magic.notebook_loop` tells how a cell comes to be awaited, `mirador_magic.line` how a line
is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from IPython.core.display_functions import DisplayHandle
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from mirador_magic import line as lines
from mirador_magic import phrasebook
from mirador_magic import session as sessions
from mirador_magic.errors import MiradorError, RunInterrupted, UsageError
from mirador_magic.events import Event, RunFinished
from mirador_magic.line import Line
from mirador_magic.notebook_loop import (
    CellRewriter,
    can_rewrite,
    complete,
    ipykernel_version,
    keep_question_marks,
    kernel_of,
    outlives_the_cell,
)
from mirador_magic.provision import substitute
from mirador_magic.session import Handle, Request, Session
from mirador_magic.views import words
from mirador_magic.views.answer import Answer
from mirador_magic.warmup import Warmth

if TYPE_CHECKING:
    from mirador_magic.views.panel import Further

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4


class View(Protocol):
    """What shows a run."""

    def show(self) -> None: ...
    def __call__(self, event: Event) -> None: ...


@magics_class
class MiradorMagics(Magics):
    """The magic of one shell."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        super().__init__(shell)
        self.session = session
        self.last: Answer | None = None
        self._shown: tuple[object, int] = (None, 0)
        self.warming: asyncio.Task[None] | None = None

    @no_var_expand
    @line_cell_magic
    def mirador(self, line: str = "", cell: str | None = None) -> object:
        """Ask local language models: a quick answer first, deeper ones while you read.

        %%mirador [options] [NAME <<]           the cell's text is the question
        %mirador [ask] [options] [NAME <<] …    so is the rest of the line
        %mirador                                the engine, the stages and their models
        %mirador last                           show the last answer again
        %mirador stage NAME --model MODEL …     make a stage of your own, for --stages
        %mirador warm [MODEL …]                 load the stages' models and their prompts beforehand
        %mirador warm --status                  which are in memory, and how long they took
        %mirador pull hf:ORG/REPO/FILE.gguf     fetch a model for the embedded engine
        %mirador provision --phrasebook         put Mirador's own tiny model into Ollama too

        options
          --stages a,b      the stages to run, in this order; all three by default
          --model MODEL     run every stage on this model; a path to a .gguf file runs it embedded
          --engine ENGINE   auto (Ollama where it answers, else embedded), ollama, embedded, scripted
          --bg              go on in the background; the value is a handle to await, stop and read
          --traditional     show nothing before the end, as the old way did (also --v2)
          NAME <<           bind the answer to this name, besides mirador_answer

        options of a stage
          --model MODEL  --confidence 0..1  --timeout SECONDS  --system 'PROMPT'
          --temperature NUMBER  --top-p NUMBER  --num-predict TOKENS  --num-ctx TOKENS

        To stop, press the panel's Stop or interrupt the kernel: what was written is kept.
        """
        with _interrupts():
            value = complete(self._do(line, cell, awaited=False))
        return self._value(value)

    async def awaited(self, line: str, cell: str | None = None) -> object:
        """The same, as the coroutine that a cell is rewritten to await."""
        with _interrupts():
            value = await self._do(line, cell, awaited=True)
        return self._value(value)

    async def _do(self, line: str, cell: str | None, *, awaited: bool) -> Handle | Answer | None:
        read = lines.read(line, verbs=cell is None)
        if cell is not None or read.verb == "ask" and (read.text or read.options):
            return await self._ask(read, cell or "", awaited=awaited)
        if read.verb == "last":
            self._show_last()
        elif read.verb == "stage":
            self.session.add_stage(lines.stage_of(read))
        elif read.verb == "warm":
            await self._warm(read)
        elif read.verb == "pull":
            await self._pull(read.text)
        elif read.verb == "provision":
            await self._provision(read)
        else:
            print(await self._status())
        return None

    async def _ask(self, read: Line, cell: str, *, awaited: bool) -> Handle | Answer:
        """Start the run and see it to its end, or leave it to the background.

        An interrupt is not raised here: as a KeyboardInterrupt it would leave a task, and so the
        loop, on the spot. The answer says it, and `_value` raises it.
        """
        background = "--bg" in read.options
        if background and not (awaited or outlives_the_cell(self.shell)):
            raise UsageError("--bg needs a notebook: here the loop ends with the cell", "omit it")
        request = _request(read, cell)
        handle = self.session.start(request)
        view = self._view(handle, read, request, clickable=awaited or background)
        handle.watch(view)
        handle.watch(lambda event: self._bind(event, handle, read.name if not background else None))
        try:
            for _ in range(_STEPS):
                await asyncio.sleep(0)
            view.show()
            if background:
                self._put(read.name, handle)
                return handle
            await handle.wait()
        except asyncio.CancelledError:
            await handle.interrupt()
        except BaseException:
            await handle.interrupt()
            raise
        if handle.error:
            raise handle.error
        return handle.answer

    def _value(self, value: Handle | Answer | None) -> Handle | Answer | None:
        """The cell's value. Raises the interrupt that ended the run."""
        self._shown = (value, self.shell.execution_count)
        # Without an outcome its clean-up took too long to be waited for.
        if isinstance(value, Answer) and value.outcome in ("interrupted", None):
            raise RunInterrupted("what was written is kept → %mirador last, or mirador_answer")
        return value

    def was_shown(self, value: object) -> bool:
        """Whether the running cell has shown this already, while it was being written."""
        shown, cell = self._shown
        return shown is value and cell == self.shell.execution_count

    def _view(self, handle: Handle, read: Line, request: Request, *, clickable: bool) -> View:
        """What shows this run here."""

        def answer() -> Answer:
            return handle.answer

        buffered = "--traditional" in read.options or "--v2" in read.options
        if kernel_of(self.shell) is None:
            coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            from mirador_magic.views.terminal import TerminalView

            return TerminalView(answer, sys.stdout, coloured=coloured, buffered=buffered)
        if _is_nbval() or isinstance(self.shell.display_pub, CapturingDisplayPublisher):
            from mirador_magic.views.final import Final

            return Final(answer, self.session.deeper)
        from mirador_magic.views.panel import Panel  # imports ipywidgets: not before a run needs it

        further = self._further(handle, request, read.name if "--bg" not in read.options else None)
        outlives = "--bg" in read.options
        live = clickable and (outlives or ipykernel_version() >= (7,))
        stop = handle.stop if live else None
        return Panel(answer, stop, further, buffered=buffered, outlives=outlives)

    def _further(self, handle: Handle, request: Request, name: str | None) -> Further:
        """What a click beside this run's finished answer does."""
        from mirador_magic.views.panel import Further, Panel

        def run(stage: str, within: DisplayHandle) -> None:
            asked = dataclasses.replace(request, stages=(stage,))
            again = self.session.start(asked, past=handle.answer)
            further = self._further(again, request, name)
            panel = Panel(
                lambda: again.answer,
                again.stop,
                further,
                buffered=False,
                outlives=True,
                within=within,
            )
            again.watch(panel)
            again.watch(lambda event: self._bind(event, again, name))
            panel.show()

        return Further(run, self.session.deeper)

    def _bind(self, event: Event, handle: Handle, name: str | None) -> None:
        if isinstance(event, RunFinished):
            self.last = handle.answer
            self._put("mirador_answer", self.last)
            self._put(name, self.last)

    def _put(self, name: str | None, value: object) -> None:
        if name:
            self.shell.user_ns[name] = value

    def _show_last(self) -> None:
        if self.last is None:
            raise UsageError("there is no answer yet", "ask something: %mirador your question")
        _display(self.last)

    async def _warm(self, read: Line) -> None:
        def tell(warmth: Warmth) -> None:
            if warmth.state != "cold":
                print(words.warmth_line(warmth, time.perf_counter()))

        if "--status" not in read.options:
            await self.session.warm(read.text.split(), tell)
            return
        warmup = await self.session.warmth()
        for warmth in warmup.state:
            print(words.warmth_line(warmth, warmup.clock()))
        if first := warmup.leaves_first():
            print(words.leaving(first))

    async def _pull(self, text: str) -> None:
        from mirador_magic.views.progress import ProgressLine

        shown = ProgressLine(in_notebook=kernel_of(self.shell) is not None)
        file = await self.session.pull(text, shown)
        print(f"{file} is there → %%mirador --engine embedded --model {file.stem}")

    async def _provision(self, read: Line) -> None:
        if "--phrasebook" not in read.options:
            raise UsageError("%mirador provision: of what?", "%mirador provision --phrasebook")
        label = await self.session.provision_phrasebook()
        print(f"{label} has {phrasebook.NAME} now → %%mirador --model {phrasebook.NAME}")

    async def _status(self) -> str:
        """The engine, its models and the stages, as text."""
        stages = self.session.stages.values()
        try:
            engine = await self.session.engine()
            models = await engine.models()
            resident = {model.name for model in await engine.resident()}
        except MiradorError as error:
            rows = [f"  {stage.name}  {stage.model}" for stage in stages]
            return "\n".join([str(error), "stages:", *rows])
        names = {model.name for model in models}
        rows = []
        for stage in stages:
            instead = substitute(stage, models)
            other = f"{instead.model} answers" if instead else ""
            known = {stage.model, f"{stage.model}:latest"}  # as Ollama reads a name without a tag
            state = "in memory" if known & resident else "installed"
            if not known & names and not stage.model.endswith(".gguf"):
                state = ", ".join(filter(None, ("not installed", other)))
            rows.append(f"  {stage.name}  {stage.model}  {state}")
        there = ", ".join(sorted(names)) or "none"
        return "\n".join([f"engine: {engine.label}", f"models: {there}", "stages:", *rows])


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """An interrupt where no answer was under way, or a second one while the first is seen to."""
    try:
        yield
    except asyncio.CancelledError:
        raise RunInterrupted("the cell was cut short → run it again, or %mirador last") from None


def _request(read: Line, cell: str) -> Request:
    stages = read.options.get("--stages")
    request = Request(
        question="\n".join(filter(None, (read.text, cell.strip()))),
        stages=tuple(filter(None, stages.split(","))) if stages is not None else None,
        model=read.options.get("--model"),
    )
    engine = read.options.get("--engine")
    return dataclasses.replace(request, engine=engine) if engine else request


def _is_ours(transformer: object) -> bool:
    return transformer is keep_question_marks or isinstance(transformer, CellRewriter)


def _display(answer: Answer) -> None:
    from mirador_magic.views.static import bundle

    display(bundle(answer), raw=True)


def _is_nbval() -> bool:
    return ".ipynb::" in os.environ.get("PYTEST_CURRENT_TEST", "")


def _prepare(magics: MiradorMagics) -> asyncio.Task[None] | None:
    """Bring in the background what the first cell will need; None where no loop runs."""

    async def bring() -> None:
        await asyncio.to_thread(importlib.import_module, "mirador_magic.views.panel")
        if os.environ.get("MIRADOR_PRE_WARM", "1") not in ("0", "false", "no", "off"):
            await magics.session.keep_warm()

    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop().create_task(bring(), name="mirador warm-up")
    return None


def load(shell: InteractiveShell) -> None:
    """Bring the magic into this shell. Loading it again starts it anew."""
    unload(shell)
    magics = MiradorMagics(shell, sessions.current())
    shell.register_magics(magics)

    def show(value: object) -> None:
        # The cell's own value was shown while it ran; anything else is shown as asked.
        shown = magics.was_shown(value)
        if isinstance(value, Answer) and not shown:
            _display(value)
        elif kernel_of(shell) is None or not shown:
            print(repr(value))  # a terminal has written "Out[n]:" already

    assert shell.display_formatter is not None
    for kind in (Answer, Handle):
        shell.display_formatter.ipython_display_formatter.for_type(kind, show)
    shell.input_transformers_cleanup.append(keep_question_marks)
    if can_rewrite(shell):
        shell.input_transformers_post.append(CellRewriter(shell))
        magics.warming = _prepare(magics)
    else:  # a terminal, where nothing can be brought in the background
        importlib.import_module("mirador_magic.views.terminal")


def unload(shell: InteractiveShell) -> None:
    """Take the magic out of this shell again, end its warm-up and release what the engines hold."""
    for transformers in (shell.input_transformers_cleanup, shell.input_transformers_post):
        transformers[:] = [each for each in transformers if not _is_ours(each)]
    magics = shell.magics_manager.registry.pop("MiradorMagics", None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("mirador", None)
    if magics.warming:
        magics.warming.cancel()
    session = magics.session
    try:
        session.closing = asyncio.get_running_loop().create_task(session.aclose())
    except RuntimeError:  # a terminal: no loop runs between the cells
        complete(session.aclose())
