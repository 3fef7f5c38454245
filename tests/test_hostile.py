"""What a model could write to break out, through each view that needs no browser."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mirador_magic.events import (
    ChunkReceived,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    StreamEnd,
)
from mirador_magic.stages import ModelStage
from mirador_magic.views import markdown, static, words
from mirador_magic.views.answer import Answer, StageAnswer
from mirador_magic.views.markdown import LiveMarkdown
from mirador_magic.views.run_state import RunState
from mirador_magic.views.terminal import TerminalView
from tests.support.hostile import HOSTILE, marker

each_text = pytest.mark.parametrize("name", HOSTILE)

BARE = {"br", "code", "em", "hr", "li", "s", "strong", "tbody", "thead", "tr"}
MARKDOWN = {
    "a": {"href", "rel", "target", "title"},
    "b": {"class"},
    "blockquote": {"dir", "style"},
    "button": {"type", "class", "data-act", "hidden", "title"},
    "div": {"class", "role", "aria-level", "dir", "style", "data-fence"},
    "i": {"class"},
    "ol": {"dir", "start", "style"},
    "p": {"dir", "style"},
    "pre": {"style"},
    "span": {"class"},
    "table": {"dir", "style"},
    "td": {"style"},
    "th": {"style"},
    "ul": {"dir", "style"},
} | {tag: set() for tag in BARE}
FRAME: dict[str, set[str]] = {
    "b": {"role", "aria-level"},
    "button": {"data-stage"},
    "del": {"style"},
    "details": {"open", "style"},
    "ins": {"style"},
    "li": {"style"},
    "section": {"aria-label", "style"},
    "span": {"style", "title"},
    "summary": {"style"},
}
ALLOWED = {tag: MARKDOWN.get(tag, set()) | FRAME.get(tag, set()) for tag in MARKDOWN | FRAME}

STYLE = re.compile(r"[\w\s#.%;:!-]*")  # no url(), no expression(), no quote and no escape
LINK = re.compile("(?:https?|mailto):", re.IGNORECASE)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Tag = tuple[str, tuple[tuple[str, str | None], ...]]


class Page(HTMLParser):
    """A page's tags with their attributes, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self._parts: list[str] = []
        self.other: list[str] = []
        self.feed(page)
        self.close()
        self.text = squeezed("".join(self._parts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        self._parts.append(" " if tag in ("p", "div", "li", "td", "th", "br", "pre") else "")

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment

    @property
    def hrefs(self) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs if name == "href"]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def check_page(html: str, name: str, stages: int, allowed: dict[str, set[str]]) -> Page:
    """The HTML is ours: allow-listed, without anything that runs, loads or hides, and readable."""
    page = Page(html)
    assert not page.other
    assert sum(tag == "section" for tag, _ in page.tags) == stages
    assert not CONTROL.search(html)
    for tag in page.tags:
        check_tag(tag, allowed)
    assert marker(name) in page.text
    return page


def check_tag(found: Tag, allowed: dict[str, set[str]]) -> None:
    tag, attrs = found
    values = dict(attrs)
    assert tag in allowed, tag
    assert len(values) == len(attrs), found
    assert values.keys() <= allowed[tag], found
    assert STYLE.fullmatch(values.get("style") or ""), found
    assert tag != "a" or LINK.match(values["href"] or ""), found
    assert tag != "button" or "hidden" in values, found


def pieces(text: str, size: int) -> Iterator[str]:
    for begin in range(0, len(text), size):
        yield text[begin : begin + size]


# Markdown


@each_text
@pytest.mark.parametrize("share", [1, 40])
def test_markdown_shows_it_and_is_harmless_however_it_is_cut(name: str, share: int) -> None:
    text, live, done = HOSTILE[name], LiveMarkdown(), []
    for part in pieces(text, max(7, len(text) // share)):
        live.feed(part)
        finished, rest = live.draw()
        done.append(finished)
        for tag in Page(rest).tags:
            check_tag(tag, MARKDOWN)
    done.append(live.draw(ended=True)[0])
    check_page("".join(done), name, 0, MARKDOWN)
    check_page(markdown.render(text), name, 0, MARKDOWN)


@each_text
def test_no_word_of_the_text_is_lost(name: str) -> None:
    page = Page(markdown.render(HOSTILE[name]))
    seen = Counter(said(" ".join([page.text, *page.hrefs])))
    written = html.unescape(markdown.visible(words.clean(without_marks(HOSTILE[name]))))
    assert not Counter(said(written)) - seen


def without_marks(text: str) -> str:
    """The text without what Markdown reads as its own: a link's title, a fence's language."""
    text = re.sub(r"""(?m)^(?:```|~~~)\S+.*$| (?:"[^"\n]*"|'[^'\n]*')(?=\))""", "", text)
    return re.sub(r"(?m)^\|[:|-]+\|?$", "", text)


def said(text: str) -> list[str]:
    return re.findall(r"[a-zA-Z]{4,}", text)


# The static twin, and what is made of it elsewhere


def twin(name: str) -> dict[str, str]:
    """An answer in which every field that a model, a server or a user can fill holds the text."""
    text = HOSTILE[name]
    short = text[:2000]
    hostile = StageAnswer(
        name=short, model=short, confidence=0.5, status="failed", text=text, error=short,
        notes=(short,), warmth=short, thinking=text,
    )  # fmt: skip
    stages = (
        StageAnswer("a", "m", 0.9, "done", "A draft."),
        hostile,
        done("b", text),
        done("c", text),
    )
    return static.bundle(Answer(text, short, stages, "answered", 0.1, 1.0), "run1", short)


def done(name: str, text: str) -> StageAnswer:
    return StageAnswer(name, "m", 0.9, "done", text, thinking="Once more.")


@each_text
def test_the_twin_holds_as_many_frames_as_stages_and_nothing_foreign(name: str) -> None:
    forms = twin(name)
    page = check_page(forms["text/html"], name, 4, ALLOWED)
    assert page.text.count(marker(name)) >= 4  # a text and its thinking, and two more texts
    for form in forms.values():
        assert not CONTROL.search(form)
        assert marker(name) in squeezed(form)


@pytest.fixture(scope="module")
def exported() -> Callable[[str], Page]:
    """A page of nbconvert's, one output a text, from one form of its bundle."""

    def export(kind: str) -> Page:
        cells = [new_code_cell("", outputs=[shown(twin(name)[kind], kind)]) for name in HOSTILE]
        return Page(HTMLExporter(sanitize_html=False).from_notebook_node(notebook(cells))[0])

    return export


def notebook(cells: list[Any]) -> nbformat.NotebookNode:
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


def shown(text: str, kind: str) -> nbformat.NotebookNode:
    return new_output("display_data", {kind: text})


def bare_page() -> Page:
    """The page that nbconvert makes of as many outputs with nothing in them."""
    cells = [new_code_cell("", outputs=[shown("<p></p>", "text/html")]) for _ in HOSTILE]
    return Page(HTMLExporter(sanitize_html=False).from_notebook_node(notebook(cells))[0])


@pytest.mark.parametrize(("kind", "frames"), [("text/html", 4), ("text/markdown", 0)])
def test_nbconvert_shows_it_without_a_sanitiser(
    exported: Callable[[str], Page], kind: str, frames: int
) -> None:
    page = exported(kind)
    foreign = Counter(page.tags) - Counter(bare_page().tags)
    for tag in foreign:
        check_tag(tag, ALLOWED | {"div": ALLOWED["div"] | {"data-mime-type", "tabindex"}})
    assert sum(tag == "section" for tag, _ in page.tags) == frames * len(HOSTILE)
    for name in HOSTILE:
        assert marker(name) in page.text


# Lines of words, and the terminal


@each_text
def test_a_name_or_a_note_stays_on_its_line(name: str) -> None:
    stage = StageAnswer(
        "a", HOSTILE[name], 0.5, "failed", error=HOSTILE[name], notes=(HOSTILE[name],)
    )
    answer = Answer("q", HOSTILE[name], (stage,), "failed")
    for line in (words.header(answer), words.stage_line(stage), *words.notes(stage)):
        assert "\n" not in line
        assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", line)
        assert marker(name) in line


class Tty(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "100", "LINES": "30", "TERM": "xterm", "COLORTERM": ""}.items():
        monkeypatch.setenv(name, value)


def played(out: io.StringIO, text: str) -> str:
    """What is written of a run whose one stage says this text, in a few pieces."""
    state = RunState(clock=lambda: 1.0)
    view = TerminalView(state.answer, out, coloured=True, buffered=False)
    view.show()
    parts = list(pieces(text, max(7, len(text) // 4)))
    stage = ModelStage("quick", "tiny", 0.8, 9.0, "")
    for event in (
        RunStarted(0.0, "why?", (stage,)),
        StageStarted(0.0, "quick"),
        *(ChunkReceived(float(at), "quick", part) for at, part in enumerate(parts, 1)),
        StageFinished(9.0, "quick", StreamEnd("stop")),
        RunFinished(9.0, "answered"),
    ):
        state(event)
        view(event)
    return out.getvalue()


@each_text
def test_a_pipe_gets_text_alone(name: str) -> None:
    out = played(io.StringIO(), HOSTILE[name])
    assert not CONTROL.search(out)
    assert marker(name) in squeezed(out)


OWN_CODES = re.compile(r"\x1b\[(?:[\d;]*m|\d*A|2K|\?25[hl])|\r(?=\x1b\[2K|\n)")


@each_text
def test_a_terminal_is_not_steered(name: str) -> None:
    """Of escape codes there are those of rich's live part and its styles, and none of the text's."""
    left = OWN_CODES.sub("", played(Tty(), HOSTILE[name]))
    assert not CONTROL.search(left), CONTROL.search(left)
    assert marker(name) in squeezed(re.sub("[│┃▌]", " ", left))
