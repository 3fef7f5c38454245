"""How the magic's line is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.commands import line as lines
from mirador_magic.commands.line import Line, read
from mirador_magic.commands.stage import stage_of
from mirador_magic.errors import UsageError
from mirador_magic.stages import nearest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Line("ask", "")),
        ("What's up?", Line("ask", "What's up?")),
        ('Is "x - y" -1?', Line("ask", 'Is "x - y" -1?')),
        ("ask last year's sales?", Line("ask", "last year's sales?")),
        ("last", Line("last", "")),
        ("status", Line("status", "")),
        ("help", Line("help", "")),
        ("--help", Line("help", "")),
        ("-V", Line("version", "")),
        ("help me to sleep", Line("ask", "help me to sleep")),
        ("version 2 of what?", Line("ask", "version 2 of what?")),
        ("ask laste", Line("ask", "laste")),
        ("water", Line("ask", "water")),
        ("lasting effects?", Line("ask", "lasting effects?")),
        (
            "--stages a,b --bg Why --not?",
            Line("ask", "Why --not?", options={"--stages": "a,b", "--bg": ""}),
        ),
        (
            "ask --model=m:7b -- what",
            Line("ask", "-- what", options={"--model": "m:7b"}),
        ),
        ("reply << why?", Line("ask", "why?", "reply")),
        (
            "--v2 reply<< --engine auto",
            Line("ask", "", "reply", {"--traditional": "", "--engine": "auto"}),
        ),
        ("--model 'a b.gguf' x", Line("ask", "x", options={"--model": "a b.gguf"})),
        (
            'stage critic --model m --system "Find the flaw." --temperature .5',
            Line(
                "stage",
                "critic",
                options={"--model": "m", "--system": "Find the flaw.", "--temperature": ".5"},
            ),
        ),
    ],
)
def test_reads(text: str, expected: Line) -> None:
    assert read(text) == expected


def test_in_a_cell_the_first_word_is_never_a_verb() -> None:
    either = Line("calibrate", "q.jsonl", options={"--stages": "a,b"})
    assert read("calibrate q.jsonl --stages a,b") == either
    assert read("calibrate --stages a,b q.jsonl") == either
    assert read("compare --models a,b", cell="why?").text == "why?"
    assert read("compare these", cell="two").verb == "ask"
    assert read("last", cell="") == Line("ask", "last")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--stges a", "did you mean --stages?"),
        ("--model", "--model has no value → write --model gemma2:9b"),
        ("--model --bg x", "--model has no value"),
        ("last week's sales", "to ask it: %mirador ask last week's sales"),
        ("stage", "the stage has no name"),
        ("stage critic --modl x", "did you mean --model?"),
        ("stage critic --system Find the flaw", "put a value with spaces in quotes"),
        ("--temprature 1 why?", "did you mean --temperature?"),
        ("deep_analysis.temprature=1 why?", "did you mean temperature?"),
        ("laste", "did you mean %mirador last? To ask it: %mirador ask laste"),
        ("--fast stats", "did you mean %mirador status?"),
        ("serve-check", "serve-check is a verb of a shell → to ask it: %mirador ask serve-check"),
        ("last --bg", "there is no option --bg here; it takes none"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_cure(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        line = read(text)
        (stage_of if line.verb == "stage" else lines.layer_of)(line)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.text())
def test_any_line_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        assert read(text).verb in lines.VERBS
    except UsageError as error:
        assert "\n" not in str(error)


ASK = lines.VERBS["ask"].known("notebook")


def _is_no_verb(word: str) -> bool:
    """Nor close to one: alone on a line it would be a slip."""
    return not nearest(word, lines.VERBS, cutoff=0.75) and word != "serve-check"


_WORDS = st.from_regex(r"[a-z0-9:._]{1,9}", fullmatch=True).filter(_is_no_verb)


@given(
    st.dictionaries(st.sampled_from(sorted({each.name for each in ASK.values()})), _WORDS),
    st.none() | st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    st.lists(_WORDS, min_size=1, max_size=4).map(" ".join),
)
def test_what_is_written_is_what_is_read(
    options: dict[str, str], name: str | None, question: str
) -> None:
    given_ = {option: value if ASK[option].value else "" for option, value in options.items()}
    head = [f"{option} {value}".strip() for option, value in given_.items()]
    head += [f"{name} <<"] if name else []
    assert read(" ".join([*head, question])) == Line("ask", question, name, given_)
