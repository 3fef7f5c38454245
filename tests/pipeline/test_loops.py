"""A model that repeats itself is stopped after a bound; what is alike for good reason goes on."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer
from mirador_magic.confidence import LOOPED, UNSURE, band
from mirador_magic.engines.base import Message
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.pipeline.loops import Loops
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.virtual_time import run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
ROOT = Path(__file__).parents[2]
PROSE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def ends_at(text: str, size: int = 5) -> int | None:
    """After how many characters it is a loop; None where it is none."""
    loops = Loops()
    for place in range(0, len(text), size):
        if loops.feed(text[place : place + size]):
            return place
    return None


# From answers of SmolLM2: each went on to the stage's limit.
LOOPS = {
    "a word": "ribs, rib, " + "rib, " * 200,
    "two words": "Das kann Schwarz in German, " + 'die "black" ist, ' * 80,
    "a sentence": "The sky is blue because of the way light scatters. " * 30,
    "sentences that take turns": "".join(
        f"{who} is {also}a member of the elven clan. "
        for who, also in itertools.islice(
            itertools.cycle([("He", "also "), ("Gandalf", ""), ("He", ""), ("Gandalf", "also ")]),
            60,
        )
    ),
    "a paragraph": (PROSE[400:640] + " ") * 20,
    "a path": "Set it in /usr/local/mysql-1.1.1.1" + "/mysql/mysql-1.1.1.1" * 60,
    "a number without end": "It is 1/1" + "0" * 400,
    "Chinese": "天空是蓝色的因为光的散射。" * 30,
    "in code, for long": "```\n" + "x = x + 1\n" * 300,
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_what_goes_round_in_circles_is_a_loop(text: str) -> None:
    found = ends_at(text)
    assert found is not None and found < 0.8 * len(text)
    assert ends_at(PROSE[:3000] + text) is not None


ALIKE = {
    "counting": ", ".join(map(str, range(1, 400))),
    "rows of zeros": "\n".join(["0 0 0 0 0 0 0 0 0 0"] * 60),
    "a numbered list": "\n".join(
        f"{n}. Open the file number {n} and read line {n}." for n in range(1, 60)
    ),
    "a times table": "\n".join(
        f"{a} times {b} is {a * b}" for a in range(1, 13) for b in range(1, 13)
    ),
    "a table": "| name | set |\n|---|---|\n" + "\n".join(f"| key{n} | yes |" for n in range(50)),
    "a table of yes and no": "| a | b | c |\n|---|---|---|\n" + "| yes | no | yes |\n" * 30,
    "a truth table": "| p | q | r |\n|---|---|---|\n"
    + "".join(f"| {' | '.join(row)} |\n" for row in itertools.product(["true", "false"], repeat=5)),
    "code that is alike": "```html\n" + "<tr><td></td><td></td></tr>\n" * 20 + "```\n",
    "a refrain": "".join(
        f"{PROSE[at : at + 260]}\nRow, row, row your boat, gently down the stream.\n"
        for at in range(500, 4500, 260)
    ),
    "a poem's beginning": "And I said yes, and I said yes again, " * 2 + PROSE[:500],
    "digits of a number": "".join(random.Random(1).choices("0123456789", k=500)),
    "a hash": "".join(random.Random(2).choices("0123456789abcdef", k=500)),
    "asked for ten times": "I will not be late. " * 10,
}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_what_is_alike_for_good_reason_is_none(text: str) -> None:
    assert ends_at(text) is None


def test_no_document_and_no_module_of_ours_is_one() -> None:
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *(ROOT / "mirador_magic").rglob("*.py")]
    assert len(files) > 150
    assert [file.name for file in files if ends_at(file.read_text(encoding="utf-8"), 97)] == []
    answers = (ROOT / "training" / "confidence" / "questions.jsonl").read_text(encoding="utf-8")
    questions = [json.loads(line)["question"] for line in answers.splitlines()]
    assert ends_at("\n".join(questions)) is None


@given(st.integers(1, 40), st.sampled_from([*LOOPS.values()]))
def test_it_does_not_matter_how_it_comes(size: int, text: str) -> None:
    found = ends_at(text, size)
    assert found is not None
    assert abs(found - (ends_at(text, 1) or 0)) <= size


@given(st.text(max_size=300), st.integers(1, 9))
def test_whatever_is_written_is_taken(text: str, size: int) -> None:
    ends_at(text, size)


@given(st.lists(st.sampled_from(PROSE.split()), min_size=61, max_size=200, unique=True))
def test_words_that_differ_are_no_loop(found: list[str]) -> None:
    assert ends_at(" ".join(found)) is None


# in a run


SENTENCE = "Bees dance to tell where flowers stand. "


def asked(quick: Script) -> tuple[Answer, ScriptedEngine]:
    engine = ScriptedEngine({QUICK: quick, DEEP: Script("deeper"), SYNTHESIS: Script("all in all")})

    async def main() -> Answer:
        session = Session()
        session.configure({"engine": "scripted", "metrics": False})
        session.use(engine)
        names = tuple(stage.name for stage in DEFAULT_STAGES)
        handle = session.start(Request("Why do bees dance?", names))
        await handle.wait()
        await session.aclose()
        return handle.answer

    return run(main()), engine


def test_a_stage_that_loops_is_stopped_told_and_no_draft() -> None:
    answer, engine = asked(Script(SENTENCE * 500))
    quick, deep, synthesis = answer.stages
    assert engine.closed_early == [QUICK]  # the model writes no more
    assert (quick.status, quick.is_looping, deep.is_looping) == ("done", True, False)
    assert quick.text.startswith(SENTENCE) and len(quick.text) < 20 * len(SENTENCE)
    assert quick.notes == ("■ stopped: it repeated itself",)
    assert quick.confidence <= LOOPED and band(quick.confidence) is UNSURE
    assert "not above 19 %, since it repeats itself" in words.trust_told(quick)
    drafts = [request.messages for request in engine.requests]
    assert [message.role for message in drafts[1]] == ["system", "user"]
    assert Message("assistant", "deeper") in drafts[2]
    assert (deep.status, synthesis.status, answer.text) == ("done", "done", "all in all")


def test_a_later_stage_that_loops_does_not_stand() -> None:
    engine_texts = {QUICK: Script("Bees dance to tell."), DEEP: Script(SENTENCE * 500)}
    engine = ScriptedEngine(engine_texts)

    async def main() -> Answer:
        session = Session()
        session.configure({"engine": "scripted", "metrics": False})
        session.use(engine)
        answer = await session.start(Request("Why?", ("quick_response", "deep_analysis")))
        await session.aclose()
        return answer

    answer = run(main())
    assert answer.text == "Bees dance to tell."
    assert words.standing(answer).endswith("deep_analysis repeats itself")


def test_a_model_that_loops_while_it_thinks_is_told_so() -> None:
    answer, _ = asked(Script("never", thinking="Wait, let me think again. " * 200))
    quick = answer.stages[0]
    assert quick.status == "failed" and quick.error
    assert "repeated itself while it thought" in quick.error and "--think off" in quick.error
    assert re.match("Wait, let me think", quick.thinking)
