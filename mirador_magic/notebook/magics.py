"""`%%mirador` and `%mirador`: read the line, start the run, show it, bind the answer.

`mirador_magic.kernel.loop` tells how a cell comes to be awaited, `mirador_magic.commands.line` how a line
is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import TraitError, TraitType

from mirador_magic.answer.answer import KINDS, Answer
from mirador_magic.commands import line as lines
from mirador_magic.commands import verbs
from mirador_magic.commands.line import DEPTHS, Line
from mirador_magic.errors import MiradorError, RunInterrupted, UsageError
from mirador_magic.events import Event, RunFinished
from mirador_magic.interpolate.question import compose
from mirador_magic.kernel.loop import complete, outlives_the_cell
from mirador_magic.notebook.showing import Showing
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings
from mirador_magic.settings.keys import KEYS
from mirador_magic.stages import nearest

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4


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
        self._showing = Showing(shell, session, self._bind)
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
        %mirador pull smollm2                   fetch a small real model for the embedded engine, once;
                                                also hf:ORG/REPO/FILE.gguf, or a GGUF file of yours
        %mirador doctor [--json]                what is wrong here, and what mends it

        %mirador metrics [--hours N] [--by model] [--json | --csv | --clear]   how the last runs went
        %mirador dashboard                      what runs now, and the last runs, live
        %mirador benchmark [--models a,b | --stages fast,deep] [--questions FILE] [--repeats N]
                [--json FILE] [--against FILE|last]   progressive against traditional; the questions
                                                may be a cell's lines: %%mirador benchmark
        %mirador compare --models a,b QUESTION  side by side; also --stages a,b, --system one.md,two.md
        %mirador tune [STAGE]                   try prompts and options by hand
        %mirador calibrate FILE|up|down [--stages a,b] [--show] [--clear]   how often answers of a
                                                confidence are right; a line of JSON for each question:
                                                {"question": …, "exact"|"number"|"pattern"|"thumbs": …}
        %mirador endpoints                      each endpoint: reachable or not, its models, latency

        which stages
          --fast, --balanced, --deep   quick_response; and synthesis; and deep_analysis. Without
                            them the question decides
          --stages a,b      these stages, in this order

        options
          --engine ENGINE   auto (Ollama where it has a model, else embedded), ollama, embedded, scripted
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
          --timeout SECONDS  --confidence 0..1  --think on|off  --keep-alive SECONDS
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
        read = dataclasses.replace(lines.read(line, cell), awaited=awaited)
        if read.verb == "ask" and (read.text or read.options or cell is not None):
            return await self._ask(read)
        if read.verb == "compare":
            read = dataclasses.replace(read, text=compose(read.text, self._names()))
        if (value := await verbs.do(self.session, read)) is not None:
            if self.session.in_notebook:
                display(value)
            else:
                print(value)
        return None

    async def _ask(self, read: Line) -> object:
        """Start the run and see it to its end, or leave it to the background.

        An interrupt is not raised here: as a KeyboardInterrupt it would leave a task, and so the
        loop, on the spot. The answer says it, and `_value` raises it.
        """
        background = "--bg" in read.options
        if background and not (read.awaited or outlives_the_cell(self.shell)):
            raise UsageError("--bg needs a notebook: here the loop ends with the cell", "omit it")
        kind = read.options.get("--as", "")
        if kind and kind not in KINDS:
            raise UsageError(f"--as {kind}: there are {', '.join(KINDS)}", nearest(kind, KINDS))
        request = self._request(read)
        if "--show-prompt" in read.options:
            print(self.session.prompt(request))
            return None
        clickable = read.awaited or background
        awaits = self._showing.can_ask_back(read, clickable=clickable)
        handle = self.session.start(request, awaits=awaits)
        view = self._showing.view(handle, read, request, clickable=clickable)
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

    def _request(self, read: Line) -> Request:
        """What the line and the cell ask, with what they name of the notebook."""
        stages = read.options.get("--stages")
        cells = read.options.get("--context", "0")
        if not cells.isdigit():
            raise UsageError(f"--context {cells} is not a count of cells", "--context 3")
        depths = [DEPTHS[option] for option in read.options if option in DEPTHS]
        return Request(
            question=compose(
                read.text, self._names(), raw="--raw" in read.options, cells=int(cells)
            ),
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

    def _bind(self, event: Event, handle: Handle, name: str | None) -> None:
        if isinstance(event, RunFinished):
            answer = handle.answer
            self._put("mirador_answer", answer)
            self._put(name, answer)

    def _put(self, name: str | None, value: object) -> None:
        if name:
            self.shell.user_ns[name] = value

    def _configured(self, change: Mapping[str, object]) -> None:
        self.session.configure({str(change["name"]): change["new"]}, "%config")


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
        raise RunInterrupted("the cell was cut short; what it has shown stays") from None
