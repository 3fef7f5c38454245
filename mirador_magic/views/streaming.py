"""The widgets of one stage while it writes: what is finished stands, the rest is sent again.

The text is cut into pieces where its Markdown allows. A piece that is finished is a widget of its own
and never sent again; the last one is, and the longer it is the more new text it waits for. So what
goes over the wire grows with the text, not with its square.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Protocol

import ipywidgets
from ipywidgets.widgets.widget_string import HTMLMathStyle, HTMLStyle

from mirador_magic.answer import words
from mirador_magic.answer.answer import LIVE, StageAnswer
from mirador_magic.views import static
from mirador_magic.views.frame import GUARD, guarded
from mirador_magic.views.markdown import MATH, LiveMarkdown

SMALL = 800  # characters of HTML that are sent again for any new text
REDRAWN = 1 / 8  # of what is more: so much new text is worth sending it again
PATIENCE = 0.5  # seconds after which any new text is, and a clock is set
FULL = 12  # pieces in a box: a box tells all of its children again for each new one
THOUGHT = 2000  # characters in a piece of thinking


class Look:
    """What all widgets of all panels share: made once, so that a run need not send it."""

    def __init__(self) -> None:
        self.layout = ipywidgets.Layout(width="100%", margin="0", overflow="hidden")
        self.html = HTMLStyle()
        self.math = HTMLMathStyle()
        self.button = ipywidgets.ButtonStyle()

    @property
    def is_there(self) -> bool:
        """False after somebody closed all widgets."""
        return all(widget.comm for widget in vars(self).values())

    @classmethod
    def shared(cls) -> Look:
        """The one of this kernel."""
        if not (_looks and _looks[-1].is_there):
            _looks[:] = [cls()]
        return _looks[-1]


_looks: list[Look] = []


class PanelWidgets:
    """Makes a panel's widgets, and closes them together."""

    def __init__(self) -> None:
        self._look = Look.shared()
        self._made: list[ipywidgets.Widget] = []

    def html(self, value: str = "", *classes: str) -> ipywidgets.HTML:
        look = self._look
        return self._kept(
            ipywidgets.HTML(
                value, layout=look.layout, style=look.html, _dom_classes=(*GUARD, *classes)
            )
        )

    def math(self, value: str) -> ipywidgets.HTMLMath:
        """HTML in which the page typesets what is TeX: formulas alone, and no prices. It begins at the
        widget's own element, and sees no class of those around it."""
        look = self._look
        return self._kept(ipywidgets.HTMLMath(guarded(value), layout=look.layout, style=look.math))

    def box(self, children: Sequence[ipywidgets.Widget], *classes: str) -> ipywidgets.VBox:
        look = self._look
        return self._kept(ipywidgets.VBox(children, layout=look.layout, _dom_classes=classes))

    def button(self, description: str, tooltip: str, *classes: str) -> ipywidgets.Button:
        look = self._look
        return self._kept(
            ipywidgets.Button(
                description=description,
                tooltip=tooltip,
                layout=look.layout,
                style=look.button,
                _dom_classes=classes,
            )
        )

    def close(self) -> None:
        for widget in self._made:
            widget.close()
        self._made.clear()

    def _kept(self, widget: ipywidgets.Widget) -> ipywidgets.Widget:
        self._made.append(widget)
        return widget


class Source(Protocol):
    """Text that comes, and what is to be shown of it: finished pieces once, and the open rest."""

    def feed(self, text: str) -> None: ...
    def draw(self, *, ended: bool = False) -> tuple[str, str]: ...


class Thinking:
    """A model's thinking as it comes: no Markdown, for hardly anybody reads it."""

    def __init__(self) -> None:
        self._open = ""

    def feed(self, text: str) -> None:
        self._open += text

    def draw(self, *, ended: bool = False) -> tuple[str, str]:
        cut = len(self._open) if ended else self._open.rfind("\n") + 1
        if cut < len(self._open) and len(self._open) > 2 * THOUGHT:
            cut = len(self._open)  # without a line's end: anywhere
        if cut < THOUGHT and not ended:
            return "", static.thinking_html(self._open)
        done, self._open = self._open[:cut], self._open[cut:]
        return static.thinking_html(done), static.thinking_html(self._open)


class Streamed:
    """A text in a column of widgets; the last of them holds what is not finished.

    Each widget is three messages of a kilobyte or so, two of them for its beginning and its end.
    """

    def __init__(self, kit: PanelWidgets, source: Source, text: str, *classes: str) -> None:
        self._kit = kit
        self._source = source
        self._waiting = 0  # characters that are not drawn yet
        self._drawn_at = float("-inf")
        source.feed(text)
        finished, rest = source.draw()
        self._open = kit.html(rest)
        pieces = [*self._piece(finished), self._open]
        self._page = self.box = kit.box(pieces, *classes)

    def feed(self, text: str) -> None:
        self._source.feed(text)
        self._waiting += len(text)

    def paint(self, now: float, *, ended: bool = False) -> None:
        """Draw what is new, where that is worth it."""
        enough = self._waiting >= REDRAWN * (len(self._open.value) - SMALL)
        if ended or self._waiting and (enough or now - self._drawn_at >= PATIENCE):
            self._waiting = 0
            self._drawn_at = now
            finished, rest = self._source.draw(ended=ended)
            if not finished:
                self._open.value = rest
            elif MATH in finished:
                self._put(self._kit.math(finished), self._open)
                self._open.value = rest
            else:
                self._open.value = finished
                if rest:
                    self._open = self._kit.html(rest)
                    self._put(self._open)

    def _piece(self, finished: str) -> list[ipywidgets.Widget]:
        if not finished:
            return []
        return [self._kit.math(finished) if MATH in finished else self._kit.html(finished)]

    def _put(self, *new: ipywidgets.Widget) -> None:
        """Add these at the end. Children that stay where they were are not made again by the page, so
        nothing flickers; but a box tells all of them each time, so a full one gets another inside."""
        kept = [child for child in self._page.children if child not in new]
        if len(kept) < FULL:
            self._page.children = (*kept, *new)
            return
        self._page.children = kept
        self._page = self._kit.box(new)
        self.box.children = (*self.box.children, self._page)


class LiveStage:
    """A stage that has begun: its line, its thinking, its text and what there is to say of it."""

    def __init__(self, stage: StageAnswer, kit: PanelWidgets, *, is_open: bool) -> None:
        self._kit = kit
        self._text = Streamed(kit, LiveMarkdown(), stage.text, "mirador-text", *GUARD)
        self._thinking: Streamed | None = None
        self._head = kit.html(static.head_html(stage), "mirador-head")
        self._foot: ipywidgets.HTML | None = None
        self._state: tuple[object, ...] = ()
        self._told_at = float("-inf")
        self._over = False
        name = f"{stage.name}: show or fold"
        self._shown = [kit.html(_fold(name, "", is_open=is_open), "mirador-fold"), self._head]
        self._shown.append(self._text.box)
        if stage.thinking:
            self._shown[2:2] = self._thinks(stage.thinking)
        self.box = kit.box(self._shown, *_look(stage))

    def wrote(self, text: str) -> None:
        self._text.feed(text)

    def thought(self, text: str) -> None:
        if self._thinking:
            self._thinking.feed(text)
        else:
            self._shown[2:2] = self._thinks(text)
            self.box.children = self._shown

    def _thinks(self, text: str) -> list[ipywidgets.Widget]:
        fold = self._kit.html(_fold("thinking", "thinking", is_open=False), "mirador-thinking")
        self._thinking = Streamed(self._kit, Thinking(), text, "mirador-thoughts")
        return [fold, self._thinking.box]

    def paint(self, stage: StageAnswer, earlier: StageAnswer | None, now: float) -> None:
        """Draw the stage as it stands at `now`, in seconds."""
        if self._over:
            return
        self._over = stage.status not in ("waiting", *LIVE)
        for streamed in filter(None, (self._thinking, self._text)):
            streamed.paint(now, ended=self._over)
        state = (stage.status, stage.model, words.look(stage), stage.notes)
        if state != self._state or now - self._told_at >= PATIENCE:
            self._tell(stage, earlier, now)
            self._state = state

    def _tell(self, stage: StageAnswer, earlier: StageAnswer | None, now: float) -> None:
        self._told_at = now
        self._head.value = static.head_html(stage)
        self.box._dom_classes = _look(stage)
        if foot := static.foot_html(stage, earlier):
            if self._foot is None:
                self._foot = self._kit.html(foot)
                self._shown.append(self._foot)
                self.box.children = self._shown
            self._foot.value = foot


def _fold(label: str, shown: str, *, is_open: bool) -> str:
    """A handle that the page itself opens and closes: never sent again, so it stays as it was left."""
    label, opened = html.escape(label), " open" if is_open else ""
    return f'<details{opened}><summary aria-label="{label}">{shown}</summary></details>'


def _look(stage: StageAnswer) -> tuple[str, ...]:
    """The classes of the bar and the caret."""
    found = words.look(stage)
    word = "failed" if stage.status == "failed" else found.word if found else "none"
    caret = ("mirador-writing",) if words.is_live(stage) else ()
    return ("mirador-stage", f"mirador-{word}", *caret)
