"""The saved answer: what it says, and that a model's text cannot break out of it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.views.static import bundle, plain

DONE = StageAnswer(
    "quick_response", "tiny", 0.6, "done", "first", 0.08, 0.61, tokens=100, rate=212.4
)
LAST = StageAnswer("synthesis", "big", 0.95, "done", "final & <b>bold</b>", 0.2, 1.7)
ANSWER = Answer("why?", "Ollama 0.34.1", (DONE, LAST), "answered", 0.08, 3.41)


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_header_tells_route_engine_and_times() -> None:
    assert plain(ANSWER).splitlines()[0] == (
        "mirador · quick_response → synthesis · Ollama 0.34.1 · first token 0.08 s · total 3.4 s"
    )


def test_plain_text_tells_each_stage_with_how_its_confidence_was_had() -> None:
    assert plain(ANSWER).split("\n\n")[1:] == [
        "quick_response · tiny · done · 0.61 s · 212 tok/s · 60 % declared\nfirst",
        (
            "synthesis · big · done · 1.7 s · 95 % declared\nfinal & <b>bold</b>\n"
            "(↺ compared with quick_response: adds 1 sentence, leaves out 1)"
        ),
        "confidence declared, not measured",
    ]


def test_the_last_stage_stands_open_and_the_earlier_ones_are_folded() -> None:
    tags = Tags(bundle(ANSWER)["text/html"]).tags
    bars = [attrs["style"] for _, attrs in tags if "border-left" in (attrs.get("style") or "")]
    folds = [attrs for tag, attrs in tags if tag == "details"]
    assert ["open" in attrs for attrs in folds] == [False, True, False]  # the last one compares
    assert [(bar or "").partition(";")[0] for bar in bars] == [
        "border-left:3px solid #808080",
        "border-left:3px solid",
    ]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (
            StageAnswer("a", "m", 0.5, "failed", "half", error="lost → ask again"),
            "lost → ask again",
        ),
        (
            StageAnswer("a", "m", 0.5, "stopped", "half", notes=("■ stopped: 1 word kept",)),
            "■ stop",
        ),
        (StageAnswer("a", "m", 0.5, "skipped"), "skipped"),
    ],
)
def test_how_a_stage_ended_is_said_in_every_form(stage: StageAnswer, said: str) -> None:
    answer = Answer("why?", "e", (stage, LAST), "answered", 0.1, 1.0)
    shown = bundle(answer)
    assert said in shown["text/plain"]
    assert said in Tags(shown["text/html"]).text or stage.status == "skipped"
    assert said in shown["text/markdown"].replace("\\", "")


def test_the_answers_text_is_the_last_finished_stage_else_the_last_that_was_begun() -> None:
    half = StageAnswer("synthesis", "big", 0.95, "stopped", "half")
    assert Answer("", "", (DONE, half)).text == "first"
    assert Answer("", "", (half,)).text == "half"
    assert Answer("", "", ()).text == ""
    assert str(ANSWER) == ANSWER["synthesis"].text


def test_the_sentence_it_was_least_sure_of_is_shown_on_demand() -> None:
    stage = StageAnswer("a", "m", 0.8, "done", "One. <b>Two</b>.", weakest="<b>Two</b>.")
    shown = bundle(Answer("why?", "e", (stage,), "answered", 0.1, 1.0))
    page = Tags(shown["text/html"])
    assert "least sure of one sentence" in page.text and page.text.count("<b>Two</b>.") >= 1
    assert [tag for tag, _ in page.tags].count("details") == 2
    assert "least sure" not in shown["text/plain"] + shown["text/markdown"]


def test_a_doubt_is_told_and_its_button_stands_out() -> None:
    doubted = Answer("why?", "e", (DONE,), "answered", doubt="quick_response hedges: “I <i>")
    shown = bundle(doubted, "run1", "deep_analysis")
    page = Tags(shown["text/html"])
    deeper = [attrs for _, attrs in page.tags if attrs.get("data-stage") == "deep_analysis"]
    assert len(deeper) == 1 and "font-weight:600" in (deeper[0]["style"] or "")
    assert "hedges: “I <i>; a deeper stage may know more" in page.text
    assert "→ ask it again with --deep" in shown["text/plain"]
    saved = Tags(bundle(doubted)["text/html"])
    assert "hedges" in saved.text and "button" not in [tag for tag, _ in saved.tags]
    usual = Tags(bundle(ANSWER, "run1", "deep_analysis")["text/html"])
    assert "Go deeper" in usual.text and "may know more" not in usual.text


OURS = {"section", "div", "span", "b", "details", "summary", "button", "ul", "li", "ins", "del"}
MARKDOWNS = {
    "p",
    "a",
    "strong",
    "em",
    "s",
    "code",
    "pre",
    "i",
    "ol",
    "blockquote",
    "hr",
    "br",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
ATTRIBUTES = {
    "style",
    "class",
    "title",
    "open",
    "dir",
    "href",
    "rel",
    "target",
    "start",
    "type",
    "role",
} | {
    "aria-label",
    "aria-level",
    "data-act",
    "data-fence",
    "data-stage",
}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></details></div><button>Stop</button>",
    "```\n</text>\n````` ![x](http://example.com/x.png)",
    "\x1b[31mred\x1b[0m \x07\x9b31m",
    "a\x85b\r\nc\u2028d",
    "half a pair: \ud83d",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    _check(text)


@given(
    st.text(
        alphabet=st.one_of(
            st.characters(exclude_categories=()), st.sampled_from("<>&`\"'\\\x1b\x9b~[]!")
        )
    )
)
def test_any_text_stays_text(text: str) -> None:
    _check(text)


def _check(text: str) -> None:
    stage = StageAnswer(
        "x", text, 0.5, "failed", f"a {text} b", error=text, notes=(text,), weakest=text
    )
    forms = bundle(Answer("q", text, (stage, stage), "failed", 0.1, 1.0, doubt=text))
    page = Tags(forms["text/html"])
    tags = [tag for tag, _ in page.tags]
    assert tags.count("section") == 2  # a frame for each stage, and none of the text's making
    assert set(tags) <= OURS | MARKDOWNS
    assert {name for _, attrs in page.tags for name in attrs} <= ATTRIBUTES
    for tag, attrs in page.tags:
        assert attrs.get("style") == "display:none" or tag != "button"
        assert (attrs.get("href") or "https:").startswith(("http:", "https:", "mailto:"))
    for form in forms.values():
        assert not any(ord(char) < 32 and char not in "\n\t" for char in form)
        assert not any(0x7F <= ord(char) < 0xA0 for char in form)
        form.encode()
    assert _fences_hold(forms["text/markdown"])


def _fences_hold(markdown: str) -> bool:
    """Every fence that opens is closed by its own line, and no other line of the text closes it."""
    fence = ""
    for line in markdown.split("\n"):
        mark = line.rstrip()
        if not fence and mark.startswith("```") and mark.endswith("text"):
            fence = mark.removesuffix("text")
        elif fence and set(mark) == {"`"} and len(mark) >= len(fence):
            fence = ""
    return not fence
