"""What a model could write to break out, through each view that needs no browser."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.answer.run_state import RunState
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    StreamEnd,
)
from mirador_magic.stages import ModelStage
from mirador_magic.views import markdown, static
from mirador_magic.views.frame import CLIPPED, GUARD
from mirador_magic.views.markdown import LiveMarkdown
from mirador_magic.views.markdown.draw import TOLD
from mirador_magic.views.terminal import TerminalView
from tests.support.hostile import HOSTILE, LARGE, marker

each_text = pytest.mark.parametrize("name", HOSTILE)

BARE = {"br", "code", "em", "hr", "li", "s", "strong", "tbody", "thead", "tr"}
MARKDOWN = {
    "a": {"href", "rel", "target", "title"},
    "b": {"class"},
    "blockquote": {"dir", "style"},
    "button": {"type", "class", "data-act", "style", "title"},
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
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")

Tag = tuple[str, tuple[tuple[str, str | None], ...]]


class Page(HTMLParser):
    """A page's tags with their attributes, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self._parts: list[str] = []
        self.feed(page)
        self.close()
        self.text = squeezed("".join(self._parts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        self._parts.append(" " if tag in ("p", "div", "li", "td", "th", "br", "pre") else "")

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    @property
    def hrefs(self) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs if name == "href"]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def is_long(name: str) -> bool:
    """Whether the end of the text is not saved, with what tells so in its place."""
    return len(HOSTILE[name]) > words.SAVED


def check_page(shown: str, name: str, stages: int, allowed: dict[str, set[str]]) -> Page:
    """The HTML is ours: allow-listed, without anything that runs, loads or hides, and readable."""
    page = Page(shown)
    assert "<!" not in shown and "<?" not in shown
    assert sum(tag == "section" for tag, _ in page.tags) == stages
    assert not CONTROL.search(shown)
    for tag in page.tags:
        check_tag(tag, allowed)
    assert marker(name) in squeezed(page.text.replace(TOLD, " ")) or is_long(name)
    return page


def check_tag(found: Tag, allowed: dict[str, set[str]]) -> None:
    tag, attrs = found
    values = dict(attrs)
    assert tag in allowed, tag
    assert len(values) == len(attrs), found
    assert values.keys() <= allowed[tag], found
    assert STYLE.fullmatch(values.get("style") or ""), found
    assert tag != "a" or LINK.match(values["href"] or ""), found
    assert tag != "button" or values["style"] == "display:none", found


def pieces(text: str, size: int) -> Iterator[str]:
    for begin in range(0, len(text), size):
        yield text[begin : begin + size]


# Markdown


@each_text
def test_markdown_shows_it_and_is_harmless_in_pieces_and_whole(name: str) -> None:
    text, live, done = HOSTILE[name], LiveMarkdown(), []
    for part in pieces(text, max(7, len(text) // 40)):
        live.feed(part)
        finished, rest = live.draw()
        done.append(finished)
        for tag in Page(rest).tags:
            check_tag(tag, MARKDOWN)
    done.append(live.draw(ended=True)[0])
    for page in ("".join(done), markdown.render(text)):
        check_page(page, name, 0, MARKDOWN)
        assert not DIRECTION.search(page)


# What a reader does not see, and need not: a link's title, the address of an image within a link.
UNSEEN = {"attributes": {"title", "onmouseover"}, "remote images": {"inner", "title"}}


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - LARGE))
def test_no_word_of_the_text_is_lost(name: str) -> None:
    page = Page(markdown.render(HOSTILE[name]))
    fences = re.compile(r"(?m)^(?:```|~~~)\S+.*$")  # a language is not shown
    written = html.unescape(words.clean(fences.sub("", HOSTILE[name])))
    seen = said(" ".join([page.text, *map(unquote, page.hrefs)]))
    assert said(written) - seen <= UNSEEN.get(name, set())


def said(text: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z]{4,}", text))


@pytest.mark.parametrize("text", ["a&#13;b", "a&#12;b", "a&#x0D;b", "# a&#12;b"])
def test_an_entity_leaves_no_control_character(text: str) -> None:
    assert not CONTROL.search(markdown.render(text))


# The static twin, and what is made of it elsewhere


def twin(name: str) -> dict[str, str]:
    """An answer whose second stage and all that a server says of it hold the text; then it is compared."""
    text, short = HOSTILE[name], HOSTILE[name][:2000]
    hostile = StageAnswer(
        "b", short, 0.5, "failed", text, error=short, notes=(short,), thinking=text
    )
    stages = (done("a", "A draft."), hostile, done("c", text), done("d", text))
    return static.bundle(Answer(text, short, stages, "answered", 0.1, 1.0), "run1", "synthesis")


def done(name: str, text: str) -> StageAnswer:
    return StageAnswer(name, "m", 0.9, "done", text)


@each_text
def test_the_twin_holds_as_many_frames_as_stages_and_nothing_foreign(name: str) -> None:
    forms = twin(name)
    page = check_page(forms["text/html"], name, 4, ALLOWED)
    end = "more characters, while the kernel runs" if is_long(name) else marker(name)
    assert page.text.count(end) >= 4  # three texts and a thought
    for form in forms.values():
        assert not CONTROL.search(form)
        assert end in squeezed(form)


@pytest.mark.parametrize(
    "stage",
    [
        StageAnswer("a", "\u202eevil", 0.5, "done", "A draft."),
        StageAnswer("a", "m", 0.5, "failed", error="no model \u202eevil"),
        StageAnswer("a", "m", 0.5, "done", "A draft.", notes=("\u202eevil is not installed",)),
    ],
    ids=["model", "error", "note"],
)
def test_a_name_or_a_note_turns_no_direction(stage: StageAnswer) -> None:
    for form in static.bundle(Answer("q", "engine", (stage,), "failed")).values():
        assert not DIRECTION.search(form)


@pytest.mark.parametrize(
    ("before", "after"), [("A draft.", "Turned \u202eevil."), ("\u202ea b c.", "d")]
)
def test_a_comparison_turns_no_direction(before: str, after: str) -> None:
    answer = Answer("q", "engine", (done("a", before), done("b", after)), "answered")
    assert not DIRECTION.search(static.bundle(answer)["text/html"])


def exported(outputs: Iterable[str], kind: str) -> Page:
    """The page that nbconvert makes of a notebook with these outputs, its sanitiser off."""
    cells = [
        new_code_cell(id=f"cell{n}", outputs=[new_output("display_data", {kind: output})])
        for n, output in enumerate(outputs)
    ]
    notebook = new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    exporter = HTMLExporter(sanitize_html=False)  # type: ignore[no-untyped-call]
    return Page(exporter.from_notebook_node(notebook)[0])


@pytest.mark.parametrize(("kind", "frames"), [("text/html", 4), ("text/markdown", 0)])
def test_nbconvert_shows_it_without_a_sanitiser(kind: str, frames: int) -> None:
    small = sorted(HOSTILE.keys() - LARGE)
    page = exported((twin(name)[kind] for name in small), kind)
    bare = exported(("" for _ in small), kind)
    for tag in Counter(page.tags) - Counter(bare.tags):
        check_tag(tag, ALLOWED)
    assert sum(tag == "section" for tag, _ in page.tags) == frames * len(small)
    for name in small:
        assert marker(name) in page.text


def test_an_address_in_an_error_frees_no_tag_in_markdown() -> None:
    stage = StageAnswer("a", "m", 0.5, "failed", error="lost: http://a<img src=x onerror=alert(1)>")
    form = static.bundle(Answer("q", "engine", (stage,), "failed"))["text/markdown"]
    assert "img" not in {tag for tag, _ in exported([form], "text/markdown").tags}


def test_a_dollar_in_a_name_begins_no_formula_in_markdown() -> None:
    stage = StageAnswer("a", "$\\rule{9em}{9em}$", 0.5, "done", "costs $5 or $6", notes=("$x$",))
    form = static.bundle(Answer("q", "$y$", (stage,), "answered"))["text/markdown"]
    head, fenced, foot = form.partition("```text\ncosts $5 or $6\n```")
    assert fenced and not re.search(r"(?<!\\)\$", head + foot)


def test_the_twins_frame_and_each_text_are_clipped_and_guarded() -> None:
    page = static.bundle(Answer("q", "e", (done("a", "$x$"), done("b", "- c")), "answered"))
    tags = [dict(attrs) for _, attrs in Page(page["text/html"]).tags]
    assert {*GUARD} <= set((tags[0]["class"] or "").split())
    clipped = [tag for tag in tags if CLIPPED in (tag.get("style") or "")]
    assert [tag["class"] for tag in clipped[1:]] == ["mirador-text"] * 2 and clipped[0] is tags[0]


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
    events: list[Event] = [
        RunStarted(0.0, "why?", (stage,)),
        StageStarted(0.0, "quick"),
        *(ChunkReceived(float(at), "quick", part) for at, part in enumerate(parts, 1)),
        StageFinished(9.0, "quick", StreamEnd("stop")),
        RunFinished(9.0, "answered"),
    ]
    for event in events:
        state(event)
        view(event)
    return out.getvalue()


@each_text
def test_a_pipe_gets_text_alone(name: str) -> None:
    out = played(io.StringIO(), HOSTILE[name])
    assert not CONTROL.search(out)
    assert not DIRECTION.search(out)
    assert marker(name) in squeezed(out)


OWN_CODES = re.compile(r"\x1b\[(?:\d(?:;\d)*m|\d*A|2K|\?25[hl])|\r(?=\x1b\[)")


@each_text
def test_a_terminal_is_not_steered(name: str) -> None:
    """Of escape codes there are those of rich's live part and its styles, and none of the text's."""
    left = OWN_CODES.sub("", played(Tty(), HOSTILE[name]))
    assert not CONTROL.search(left)
    assert not DIRECTION.search(left)
    assert marker(name) in squeezed(re.sub("[│┃▌]", " ", left))
