"""Whatever a model writes, what is done with it in one step is bounded: sizes and counts, no seconds."""

from __future__ import annotations

import io
import random
import re
import string
from contextlib import suppress
from typing import Any

import pytest
from rich.text import Text

from mirador_magic import ModelStage, Script, ScriptedEngine, StreamingOrchestrator
from mirador_magic.answer import compare as comparing
from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.answer.run_state import RunState
from mirador_magic.engines.base import Chunk
from mirador_magic.errors import BrokenStream
from mirador_magic.events import ChunkReceived, Event, ThinkingReceived
from mirador_magic.pipeline.receiving import PIECE, Receiving
from mirador_magic.views import markdown, static, terminal_markdown
from mirador_magic.views.markdown import colours
from mirador_magic.views.markdown import parse as parsing
from mirador_magic.views.markdown.cut import MOST
from mirador_magic.views.markdown.draw import TOLD
from mirador_magic.views.markdown.work import LEXED, MARKDOWN, SIGN, weight
from mirador_magic.views.terminal_text import console_of, picture
from tests.support.virtual_time import run

LONG = 10_000  # characters that an answer may have here


def prose(count: int, seed: int = 1) -> str:
    pick = random.Random(seed)
    return " ".join("".join(pick.choices(string.ascii_lowercase, k=7)) for _ in range(count))


def asked(script: Script) -> tuple[StageAnswer, list[Event]]:
    """The stage, once it is over, and all that was told of it."""
    stage = ModelStage("quick_response", "tiny", 0.5, 10.0, "", max_chars=LONG)
    orchestrator = StreamingOrchestrator([stage], ScriptedEngine({"tiny": script}), pre_warm=False)
    events, state = list[Event](), RunState(lambda: 0.0)

    async def main() -> None:
        with suppress(BrokenStream):
            await orchestrator.run("why?", events.append).execute()

    run(main())
    for event in events:
        state(event)
    return state.answer().stages[0], events


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(prose(5000)), "cut off after 10,000 characters → --max-chars 20000"),
        (Script(["a " + prose(4000).replace(" ", "x")]), "cut off after 10,000 characters"),
        (Script("never", thinking=prose(5000)), "thought without end, and was stopped"),
    ],
    ids=["words without an end", "one word", "thoughts without an end"],
)
def test_an_answer_is_cut_off_at_its_limit_and_goes_on_in_pieces(script: Script, said: str) -> None:
    stage, events = asked(script)
    pieces = [e.text for e in events if isinstance(e, ChunkReceived | ThinkingReceived)]
    assert max(map(len, pieces)) <= PIECE
    assert len("".join(pieces)) == LONG == len(stage.text or stage.thinking)
    assert said in " ".join(words.notes(stage))
    assert stage.is_cut is bool(stage.text)


def test_a_piece_has_its_share_of_a_chunks_probabilities() -> None:
    told: list[Chunk] = []
    stage = ModelStage("a", "m", 0.5, 10.0, "")
    received = Receiving(stage, lambda _, piece: told.append(piece))
    chunk = Chunk(prose(1000), logprobs=tuple(-n / 1000 for n in range(999)))
    assert run(received.take(chunk)) is False
    assert "".join(piece.text for piece in told) == chunk.text
    assert sum((piece.logprobs for piece in told), ()) == chunk.logprobs
    assert len(told) == 4 and all(piece.logprobs for piece in told)


@pytest.fixture
def lexed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a lexer is given."""
    given: list[str] = []

    class Lexer:
        def __init__(self, real: Any) -> None:
            self.real = real

        def get_tokens(self, code: str) -> Any:
            given.append(code)
            return self.real.get_tokens(code)

    real = colours._lexer
    monkeypatch.setattr(colours, "_lexer", lambda language: Lexer(real(language)))
    return given


@pytest.mark.parametrize("language", ["terraform", "make", "python", "objective-c"])
def test_a_lexer_gets_short_lines_and_words_and_not_too_many(
    language: str, lexed: list[str]
) -> None:
    lines = "".join(f"{word} = call({word!r})\n" for word in prose(3000).split())
    for code in (prose(20_000), prose(20_000).replace(" ", ""), lines):
        markdown.render(f"```{language}\n{code}\n```")
    assert lexed  # of the lines
    assert sum(map(len, lexed)) <= 2 * LEXED  # of two texts
    assert max(len(line) for code in lexed for line in code.split("\n")) <= 160
    assert not re.search(r"\w{61}", "".join(lexed))


def test_a_terminals_lexer_gets_no_more() -> None:
    for code in (prose(2000), prose(2000).replace(" ", "")):
        page = terminal_markdown.markdown(f"```terraform\n{code}\n```\n")
        assert [token.info for token in page.parsed if token.type == "fence"] == [""]
    short = terminal_markdown.markdown("```terraform\na = 1\n```\n")
    assert [token.info for token in short.parsed if token.type == "fence"] == ["terraform"]


@pytest.mark.parametrize(
    "unit", ["a word ", "**a** `b` ", "| a | b |\n", "- a\n", "\\begin{align}\n", "> " * 9 + "a\n"]
)
@pytest.mark.parametrize("live", [False, True])
def test_so_much_is_parsed_and_the_rest_is_plain(
    unit: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, parsed = parsing.parsed, list[str]()

    def seen(source: str, live: bool) -> Any:
        parsed.append(source)
        return parse(source, live)

    monkeypatch.setattr(markdown, "parsed", seen)
    text, whole = unit * (100_000 // len(unit)), markdown.LiveMarkdown()
    whole.feed(text)
    html = "".join(whole.draw()) if live else whole.draw(ended=True)[0]
    assert TOLD in html and text[-50:].split()[-1] in html
    assert sum(map(weight, parsed)) <= 1.5 * MARKDOWN + SIGN * MOST


def test_prose_of_four_thousand_words_is_markdown_to_its_end() -> None:
    text = "\n\n".join(f"## *{n}*\n\n{prose(40, n)}\n\n- `{n}`" for n in range(80))
    assert len(text) > 25_000
    assert TOLD not in markdown.render(text)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("~" * 40_000, "~" * 40_000),
        (" ".join(f"a b c d e f g h {n}." for n in range(2000)),) * 2,
        (" ".join(f"a b c d e f g {n} h." for n in range(2000)), "a b c d e f g h i. " * 1500),
    ],
    ids=["tildes", "the same", "alike"],
)
def test_sentences_are_compared_so_often_and_no_more(
    earlier: str, later: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, seen = comparing._dice, [0]

    def counted(one: frozenset[str], other: frozenset[str]) -> float:
        seen[0] += len(one) + len(other)
        return dice(one, other)

    monkeypatch.setattr(comparing, "_dice", counted)
    comparing.compare.cache_clear()
    shown = comparing.comparison_html(comparing.compare(earlier, later), "a")
    assert seen[0] <= 2.5 * comparing._WORDS  # each pair that is alike is looked at once more
    assert len(shown) < 200_000


@pytest.mark.parametrize("text", ["<&>" * 400_000, prose(150_000), "```\n" + "x = 1\n" * 200_000])
def test_what_is_saved_is_bounded_whatever_the_limit_of_an_answer_is(text: str) -> None:
    stage = StageAnswer("a", "m", 0.9, "done", text, thinking=text)
    bundle = static.bundle(Answer("why?", "e", (stage,), "answered"))
    for form in bundle.values():
        assert "more characters, while the kernel runs: mirador_answer.text" in form
    assert len(bundle["text/plain"]) < words.SAVED + 1000 > len(bundle["text/markdown"]) - 1000
    assert len(bundle["text/html"]) < 2 * 5 * words.SAVED + 10_000  # "&amp;" is five


def test_a_line_without_an_end_is_broken_for_some_pages_alone() -> None:
    console = console_of(io.StringIO(), coloured=False)
    stage = StageAnswer("a", "m", 0.9, "writing", prose(50_000).replace(" ", "x"))
    broken: list[int] = []

    class Counted(Text):
        def wrap(self, *given: Any, **more: Any) -> Any:
            broken.append(len(self))
            return super().wrap(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.text.Text", Counted)
        picture(stage, console)
    assert broken and max(broken) <= 5 * console.width * console.height
