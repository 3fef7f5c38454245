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
from mirador_magic.commands.line import Line
from mirador_magic.commands.manual import manual
from mirador_magic.errors import MiradorError, RunInterrupted, UsageError
from mirador_magic.events import Event, RunFinished
from mirador_magic.interpolate.question import compose, of_option
from mirador_magic.kernel.awake import awake
from mirador_magic.kernel.loop import complete, outlives_the_cell
from mirador_magic.notebook.showing import Showing, draws
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings
from mirador_magic.settings.keys import KEYS
from mirador_magic.settings.values import OPTIONS
from mirador_magic.stages import nearest

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4

_TABLE = '{"top_k": 20}'


class Setting(TraitType[object, object]):
    """One setting, for `%config`: None where it is not set here."""

    default_value = None

    def validate(self, obj: object, value: object) -> object:
        if not _is_ready(obj):  # IPython's configuration: see `_take_over`
            return value
        try:
            return None if value is None else settings.read(str(self.name), value, "%config")
        except UsageError as error:
            raise TraitError(str(error)) from None


class Table(TraitType[object, object]):
    """The options of an engine by their names, for `%config`: None where none is set here."""

    default_value = None

    def validate(self, obj: object, value: object) -> object:
        if value is None or not _is_ready(obj):
            return value
        if not isinstance(value, Mapping):
            raise TraitError(f"%config: options = {value!r} is no table → such as {_TABLE}")
        try:
            settings.layer({OPTIONS: value}, "%config")
        except UsageError as error:
            raise TraitError(str(error)) from None
        return dict(value)


def _is_ready(magics: object) -> bool:
    return hasattr(magics, "session")


@magics_class
class MiradorMagics(Magics):
    """The magic of one shell. What may be set is added below, a trait for each key."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        super().__init__(shell)
        self.session = session
        self._showing = Showing(shell, session, self._bind)
        self._shown: tuple[object, int] = (None, 0)
        self._take_over()
        self.observe(self._configured, [*KEYS, OPTIONS])
        self.warming: asyncio.Task[None] | None = None
        self.completer: object = None

    @no_var_expand
    @line_cell_magic
    def mirador(self, line: str = "", cell: str | None = None) -> object:
        with _interrupts():
            value = complete(self._do(line, cell, awaited=False))
        return self._value(value)

    async def awaited(self, line: str, cell: str | None = None) -> object:
        """The same, as the coroutine that a cell is rewritten to await."""
        with _interrupts(), awake():
            value = await self._do(line, cell, awaited=True)
        return self._value(value)

    async def _do(self, line: str, cell: str | None, *, awaited: bool) -> object:
        self.session.in_notebook = draws(self.shell)  # a notebook's kernel may have a console too
        read = dataclasses.replace(lines.read(line, cell), awaited=awaited)
        filled = {
            name: value if name == "--system" else of_option(value, self.shell.user_ns)
            for name, value in read.options.items()
        }
        read = dataclasses.replace(read, options=filled)
        if read.verb == "ask":
            if read.text or read.options or cell is not None:
                return await self._ask(read)
            read = dataclasses.replace(read, verb="status")
        if read.verb == "compare":
            read = dataclasses.replace(read, text=compose(read.text, self._names()))
        do = lines.VERBS[read.verb].load("notebook")
        if (value := await do(self.session, read)) is not None:
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
        cells = read.options.get("--context", "0")
        if not cells.isdigit():
            raise UsageError(f"--context {cells} is not a count of cells", "--context 3")
        return Request(
            question=compose(
                read.text, self._names(), raw="--raw" in read.options, cells=int(cells)
            ),
            stages=lines.stages_of(read),
            depth=lines.depth_of(read),
            settings=lines.layer_of(read),
            turns=self.session.conversation() if "--continue" in read.options else (),
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

    def _take_over(self) -> None:
        """Set what IPython's own configuration has for the traits; what was set here since stays.
        What cannot be read is told, and left out: the magic is there all the same."""
        for name in (*KEYS, OPTIONS):
            given = getattr(self, name)
            if given is None:
                continue
            try:
                setattr(self, name, given)  # as it is meant, now that it is validated
                new = settings.flat({name: getattr(self, name)})
                kept = {key: new[key] for key in new if key not in self.session.notebook}
                self.session.configure(kept, "IPython's configuration")
            except (TraitError, UsageError) as error:
                setattr(self, name, None)
                told = str(error).replace("%config: ", f"c.{type(self).__name__}.", 1)
                print(f"mirador: IPython's configuration: {told}", file=sys.stderr)

    def _configured(self, change: Mapping[str, object]) -> None:
        name, new = str(change["name"]), change["new"]
        if name == OPTIONS:  # the table is all that there is
            self.session.configure({name: None}, "%config")
        self.session.configure({name: new}, "%config")


_traits: dict[str, TraitType[object, object]] = {
    name: Setting(help=f"{key.what}, such as {key.example}") for name, key in KEYS.items()
}
_traits |= {OPTIONS: Table(help=f"any other options of the engine, such as {_TABLE}")}
for _name, _trait in _traits.items():
    setattr(MiradorMagics, _name, _trait.tag(config=True))
    _trait.class_init(MiradorMagics, _name)
MiradorMagics.mirador.__doc__ = manual()
MiradorMagics.setup_class(MiradorMagics.__dict__)  # type: ignore[arg-type]


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """An interrupt where no answer was under way, or a second one while the first is seen to."""
    try:
        yield
    except asyncio.CancelledError:
        raise RunInterrupted("the cell was cut short; what it has shown stays") from None
