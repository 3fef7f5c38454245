"""Evidence after routing: what speaks for a deeper stage, and what is done about it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer
from mirador_magic.answer.run_state import RunState
from mirador_magic.engines.base import ChatRequest, Chunk, Engine
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.events import Event, RouteChosen, StreamEnd
from mirador_magic.pipeline.run import Deepen, Run
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.routing import evidence
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = DEFAULT_STAGES
CUT = StreamEnd("length", output_tokens=40, decode_s=1.0)


@pytest.mark.parametrize(
    "text",
    [
        "Paris. But I'm not entirely sure.",
        "I don’t know.",
        "I cannot determine this from the text.",
        "It depends on the load.",
        "There is not enough information to tell.",
        "No estoy seguro de eso.",
        "Depende de la versión.",
        "No lo sé.",
        "Ich bin mir nicht sicher.",
        "Es kommt darauf an.",
        "Das kann ich nicht sagen.",
        "我不确定。",
        "巴黎。不过这取决于版本。",
        "很难说。",
    ],
)
def test_a_hedge_is_heard_in_four_languages(text: str) -> None:
    assert evidence.hedge(f"First something else. {text} And more.") in text


@pytest.mark.parametrize(
    "text",
    [
        "If you are not sure, run it again.",
        "What the total costs depends on the load.",
        "She said: “I don't know.”",
        "> I don't know",
        'Print `I don\'t know` or "I am not sure".',
        "```\nI am not sure\n```\nDone.",
        "Wenn Sie nicht sicher sind, fragen Sie.",
        "El resultado no depende del orden.",
        "两者不同。",
        "Paris is the capital.",
        "",
    ],
)
def test_what_the_model_does_not_say_of_itself_is_no_hedge(text: str) -> None:
    assert evidence.hedge(text) == ""


@given(st.text(max_size=200))
def test_any_text_can_be_asked_for_its_hedge(text: str) -> None:
    assert evidence.hedge(text) in " ".join(text.split()) or evidence.hedge(text)


def test_unusual_is_below_the_tenth_percentile_of_twenty() -> None:
    past = [0.5 + number / 100 for number in range(20)]
    assert evidence.is_unusual(0.505, past)  # one of twenty was as unsure
    assert not evidence.is_unusual(0.515, past)  # two were
    assert not evidence.is_unusual(0.1, past[1:])


def test_the_reasons_are_told_the_surest_first() -> None:
    assert "cut off" in evidence.doubt("I don't know", cut=True, measured=0.1, past=[0.9] * 30)
    assert "hedges: “I don't know”" in evidence.doubt("I don't know", cut=False)
    unsure = evidence.doubt("Paris.", cut=False, measured=0.1, past=[0.9] * 30)
    assert "9 of 10 of its last 30" in unsure
    assert evidence.doubt("Paris.", cut=False, measured=0.9, past=[0.8] * 30) == ""


class Told(ScriptedEngine):
    """A scripted engine that tells log-probabilities where it is asked for them."""

    def __init__(self, scripts: dict[str, Script], p: float = 0.8) -> None:
        super().__init__(scripts)
        self.p = p

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                logs = (math.log(self.p),) if chunk.text else ()
                yield Chunk(chunk.text, chunk.thinking, logs, chunk.end)


def engine(quick: str = "Paris.", end: StreamEnd | None = None) -> Told:
    return Told(
        {
            QUICK.model: Script(quick, end=end or StreamEnd("stop")),
            DEEP.model: Script("Deep."),
            SYNTHESIS.model: Script("All."),
        }
    )


async def ran(
    engine: ScriptedEngine, deepen: Callable[[RunState], Deepen] | None = None
) -> tuple[RunState, list[Event]]:
    state, events = RunState(now, offers=True), list[Event]()

    async def opened() -> Engine:
        return engine

    def decide() -> tuple[str, Sequence[ModelStage]]:
        return "simple (80 %)", (QUICK,)

    further = deepen(state) if deepen else None
    watchers = Watchers([state, events.append])
    await Run(
        "why?", (QUICK,), opened, watchers, clock=now, decide=decide, deepen=further
    ).execute()
    return state, events


def deepens(state: RunState) -> Deepen:
    def deepen() -> tuple[str, Sequence[ModelStage]] | None:
        why = state.doubt()
        return (f"{state.route}; deeper: {why}", (QUICK, DEEP)) if why else None

    return deepen


@pytest.mark.parametrize(
    ("told", "said"),
    [(engine(end=CUT), "cut off"), (engine("I'm not sure."), "hedges"), (engine(), "")],
)
def test_a_quick_answer_alone_says_where_a_deeper_one_may_be_worth_it(
    told: Told, said: str
) -> None:
    state, _ = run(ran(told))
    assert said in state.answer().doubt
    assert bool(state.answer().doubt) is bool(said)
    assert said in words.doubt(state.answer(), "--deep")


def test_a_run_that_deepens_itself_goes_on_with_the_next_stage() -> None:
    state, events = run(ran(engine(end=CUT), deepens))
    answer = state.answer()
    assert [(each.name, each.status) for each in answer.stages] == [
        (QUICK.name, "done"),
        (DEEP.name, "done"),
    ]
    assert (answer.text, answer.doubt) == ("Deep.", "")
    routes = [event.why for event in events if isinstance(event, RouteChosen)]
    assert routes[0] == "simple (80 %)"
    assert routes[1].startswith("simple (80 %); deeper: quick_response was cut off")


def test_a_run_with_no_reason_to_deepen_ends() -> None:
    state, events = run(ran(engine(), deepens))
    assert [each.name for each in state.answer().stages] == [QUICK.name]
    assert sum(isinstance(event, RouteChosen) for event in events) == 1


def asked_of(
    monkeypatch: pytest.MonkeyPatch, told: Told, escalate: str, request: Request, times: int = 1
) -> list[Answer]:
    """The answers of a session on this engine."""
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setenv("MIRADOR_ESCALATE", escalate)
    monkeypatch.delenv("MIRADOR_DEFAULT_STAGES")

    async def main() -> list[Answer]:
        session = Session()
        session.use(told)
        answers = [await session.start(request) for _ in range(times)]
        await asyncio.sleep(0)
        await session.aclose()
        return answers

    return asyncio.run(main())  # the store writes in a thread


SIMPLE = Request("What is the capital of France?")


@pytest.mark.parametrize(
    ("escalate", "stages", "doubts"),
    [
        ("ask", [QUICK.name], True),
        ("auto", [QUICK.name, DEEP.name], False),
        ("never", [QUICK.name], False),
    ],
)
def test_a_session_asks_goes_on_or_lets_it_be(
    monkeypatch: pytest.MonkeyPatch, escalate: str, stages: list[str], doubts: bool
) -> None:
    (answer,) = asked_of(monkeypatch, engine(end=CUT), escalate, SIMPLE)
    assert [each.name for each in answer.stages] == stages
    assert bool(answer.doubt) is doubts


def test_whoever_names_the_depth_or_asks_for_a_benchmark_gets_that_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for request in (Request("why?", depth="simple"), Request("What is 2+2?", purpose="benchmark")):
        with monkeypatch.context() as patch:
            (answer,) = asked_of(patch, engine(end=CUT), "auto", request)
        assert [each.name for each in answer.stages] == [QUICK.name]


def test_an_answer_less_sure_than_usual_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = engine()
    told.scripts["other"] = told.scripts[QUICK.model]
    # a model of its own, so that no other test's answers count
    own = settings.layer({"quick_response.model": "other"}, "the test")
    request = Request(SIMPLE.question, settings=own)
    first = asked_of(monkeypatch, told, "ask", request, times=21)
    assert {answer.doubt for answer in first} == {""}
    monkeypatch.setenv("MIRADOR_DEFAULT_STAGES", "")
    told.p = 0.3
    (answer,) = asked_of(monkeypatch, told, "ask", request)
    assert "less sure than in 9 of 10 of its last 21 answers" in answer.doubt
