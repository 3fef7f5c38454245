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
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.display_functions import DisplayHandle
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import TraitError, TraitType

from mirador_magic import completion, phrasebook, provision, router, settings, verbs
from mirador_magic import line as lines
from mirador_magic import session as sessions
from mirador_magic.errors import MiradorError, RunInterrupted, UsageError
from mirador_magic.events import Event, RunFinished
from mirador_magic.handle import Handle
from mirador_magic.line import DEPTHS, Line
from mirador_magic.notebook_loop import (
    CellRewriter,
    can_rewrite,
    complete,
    ipykernel_version,
    keep_question_marks,
    kernel_of,
    outlives_the_cell,
)
from mirador_magic.question import compose
from mirador_magic.session import Request, Session
from mirador_magic.setting_keys import KEYS
from mirador_magic.stages import DEFAULT_STAGES, nearest
from mirador_magic.views.answer import KINDS, Answer

if TYPE_CHECKING:
    from mirador_magic.views.panel import Further

_BUFFERED = {"--traditional", "--v2", "--no-stream", "--quiet"}

Matcher = Callable[[CompletionContext], SimpleMatcherResult]

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4


class View(Protocol):
    """What shows a run."""

    def show(self) -> None: ...
    def __call__(self, event: Event) -> None: ...


class _Set(TraitType[object, object]):
    """One setting, for `%config`: None where it is not set here."""

    default_value = None

    def validate(self, obj: object, value: object) -> object:
        try:
            return None if value is None else settings.read(str(self.name), value, "%config")
        except UsageError as error:
            raise TraitError(str(error)) from None


@magics_class
class MiradorMagics(Magics):
    """The magic of one shell. What may be set is added below, a trait for each key."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        super().__init__(shell)
        self.session = session
        self.last: Answer | None = None
        self._shown: tuple[object, int] = (None, 0)
        self.observe(self._configured, list(KEYS))
        self.warming: asyncio.Task[None] | None = None
        self.completer: object = None

    @no_var_expand
    @line_cell_magic
    def mirador(self, line: str = "", cell: str | None = None) -> object:
        """Ask local language models: a quick answer first, deeper ones while you read.

        %%mirador [options] [NAME <<]           the cell's text is the question
        %mirador [ask] [options] [NAME <<] …    so is the rest of the line
        %mirador                                the engine, the stages and their models
        %mirador last                           show the last answer again
        %mirador history                        what was asked; -c continues the last one
        %mirador reset                          forget it: the next -c has nothing to continue
        %mirador route QUESTION                 which stages it would go through, and why
        %mirador settings                       every setting, its value, where it came from
        %mirador controls                       a panel to set them with, and to warm models
        %mirador stage NAME --model MODEL …     make a stage of your own, for --stages
        %mirador warm [MODEL …]                 load the stages' models and their prompts beforehand
        %mirador warm --status                  which are in memory, and how long they took
        %mirador provision [--yes]              what the stages' models lack, and install it
        %mirador provision --phrasebook         put Mirador's own tiny model into Ollama too
        %mirador pull hf:ORG/REPO/FILE.gguf     fetch a model for the embedded engine
        %mirador doctor [--json]                what is wrong here, and what mends it

        which stages
          --fast, --balanced, --deep   quick_response; and synthesis; and deep_analysis. Without
                            them the question decides
          --stages a,b      these stages, in this order

        options
          --engine ENGINE   auto (Ollama where it answers, else embedded), ollama, embedded, scripted
          --host ADDRESS    the Ollama to ask
          --bg              go on in the background; the value is a handle to await, stop and read
          --traditional     show nothing before the end, as the old way did (also --v2)
          --continue, -c    continue the conversation of the last answer
          --context N       tell the models the last N cells too
          --raw             leave braces alone
          --show-prompt     show what would be asked, and ask nothing
          --as KIND         text, markdown, json or code: what the value is, instead of the answer
          NAME <<           bind the answer to this name, besides mirador_answer

        options of the stages: for all of them, or for one as deep_analysis.temperature=0.3
          --model MODEL (a path to a .gguf file runs it embedded)  --system 'PROMPT'
          --timeout SECONDS  --confidence 0..1  --think on|off
          --temperature NUMBER  --top-p NUMBER  --num-predict TOKENS  --num-ctx TOKENS  --seed NUMBER

        In the text {name}, {df.head()}, {In[3]} and {Err} (the last error) stand for what the notebook
        has by these names; other braces stay as they are.

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

    async def _do(self, line: str, cell: str | None, *, awaited: bool) -> object:
        read = lines.read(line, verbs=cell is None)
        if cell is not None or read.verb == "ask" and (read.text or read.options):
            return await self._ask(read, cell or "", awaited=awaited)
        if read.verb == "last":
            self._show_last()
        elif read.verb in _NOTEBOOK:
            await _NOTEBOOK[read.verb](self, read)
        else:
            await verbs.VERBS.get(read.verb, verbs.status)(self.session, read)
        return None

    async def _ask(self, read: Line, cell: str, *, awaited: bool) -> object:
        """Start the run and see it to its end, or leave it to the background.

        An interrupt is not raised here: as a KeyboardInterrupt it would leave a task, and so the
        loop, on the spot. The answer says it, and `_value` raises it.
        """
        background = "--bg" in read.options
        if background and not (awaited or outlives_the_cell(self.shell)):
            raise UsageError("--bg needs a notebook: here the loop ends with the cell", "omit it")
        kind = read.options.get("--as", "")
        if kind and kind not in KINDS:
            raise UsageError(f"--as {kind}: there are {', '.join(KINDS)}", nearest(kind, KINDS))
        request = self._request(read, cell)
        if "--show-prompt" in read.options:
            print(self.session.prompt(request))
            return None
        handle = self.session.start(request)
        view = self._view(handle, read, request, clickable=awaited or background)
        handle.watch(view)
        name = None if background else read.name
        handle.watch(lambda event: self._bind(event, handle, name))
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
        answer = handle.answer
        if not kind or answer.outcome not in ("answered", "stopped"):
            return answer
        value = answer.as_(kind)
        self._put(name, value)
        return None if name else value

    def _request(self, read: Line, cell: str) -> Request:
        """What the line and the cell ask, with what they name of the notebook."""
        stages = read.options.get("--stages")
        cells = read.options.get("--context", "0")
        if not cells.isdigit():
            raise UsageError(f"--context {cells} is not a count of cells", "--context 3")
        asked = "\n".join(filter(None, (read.text, cell.strip())))
        depths = [DEPTHS[option] for option in read.options if option in DEPTHS]
        return Request(
            question=compose(asked, self._names(), raw="--raw" in read.options, cells=int(cells)),
            stages=tuple(filter(None, stages.split(","))) if stages is not None else None,
            depth=depths[-1] if depths else None,
            settings=lines.layer_of(read),
            turns=self.session.conversation() if {"-c", "--continue"} & set(read.options) else (),
        )

    def _names(self) -> dict[str, object]:
        """What braces may name: the user's names, and Err, the last error that was none of ours."""
        last = getattr(sys, "last_value", None)
        ours = last is None or isinstance(last, MiradorError | RunInterrupted)
        return ({} if ours else {"Err": last}) | dict(self.shell.user_ns)

    def _value(self, value: object) -> object:
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

        buffered = bool(_BUFFERED & set(read.options)) or not self.session.in_force["streaming"]
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
            asked = dataclasses.replace(request, stages=(stage,), depth=None)
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

    def _configured(self, change: Mapping[str, object]) -> None:
        self.session.configure({str(change["name"]): change["new"]}, "%config")

    def _show_last(self) -> None:
        if self.last is None:
            raise UsageError("there is no answer yet", "ask something: %mirador your question")
        _display(self.last)

    async def _pull(self, read: Line) -> None:
        from mirador_magic.views.progress import ProgressLine

        shown = ProgressLine(in_notebook=kernel_of(self.shell) is not None)
        file = await self.session.pull(read.text, shown)
        print(f"{file} is there → %%mirador --engine embedded --model {file.stem}")

    async def _controls(self, read: Line) -> None:
        from mirador_magic.switchboard import switchboard

        display(switchboard(self.session))

    async def _provision(self, read: Line) -> None:
        if "--phrasebook" in read.options:
            label = await self.session.provision_phrasebook()
            print(f"{label} has {phrasebook.NAME} now → %%mirador --model {phrasebook.NAME}")
            return
        context = read.options.get("--context")
        needs = await self.session.plan(Path(context) if context else None)
        print("\n".join(filter(None, [*map(provision.told, needs), provision.note(needs)])))
        if all(need.action == "none" for need in needs):
            print("nothing is missing")
        elif "--yes" in read.options:
            from mirador_magic.views.progress import InstallLine

            shown = InstallLine(in_notebook=kernel_of(self.shell) is not None)
            await self.session.provision(needs, shown)
        else:
            given = f" --context {context}" if context else ""
            print(f"to do it: %mirador provision --yes{given}")


_NOTEBOOK: Mapping[str, Callable[[MiradorMagics, Line], Awaitable[None]]] = {
    "controls": MiradorMagics._controls,
    "pull": MiradorMagics._pull,
    "provision": MiradorMagics._provision,
}


for _name, _key in KEYS.items():
    _trait = _Set(help=f"{_key.what}, such as {_key.example}").tag(config=True)
    setattr(MiradorMagics, _name, _trait)
    _trait.class_init(MiradorMagics, _name)
MiradorMagics.setup_class(MiradorMagics.__dict__)  # type: ignore[arg-type]


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """An interrupt where no answer was under way, or a second one while the first is seen to."""
    try:
        yield
    except asyncio.CancelledError:
        raise RunInterrupted("the cell was cut short → run it again, or %mirador last") from None


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
        await asyncio.to_thread(importlib.import_module, "mirador_magic.interpolate")
        await asyncio.to_thread(router.load)
        with contextlib.suppress(UsageError):  # the first cell says what cannot be read
            await magics.session.look()
            if magics.session.settings()["pre_warm"]:
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
    magics.completer = _completer(magics.session)
    shell.Completer.custom_matchers.append(magics.completer)
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
    if board := sys.modules.get("mirador_magic.switchboard"):
        board.leave(magics.session)
    if magics.completer in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.completer)
    if magics.warming:
        magics.warming.cancel()
    session = magics.session
    try:
        session.closing = asyncio.get_running_loop().create_task(session.aclose())
    except RuntimeError:  # a terminal: no loop runs between the cells
        complete(session.aclose())
