"""Several stages on one model: the route ends earlier where it was measured that its last adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirador_magic import confidence
from mirador_magic.answer.answer import Answer
from mirador_magic.engines.base import is_same
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.shown import Shown
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.routing import router
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.calibrate import kept
from mirador_magic.workbench.calibrate.fit import Point
from mirador_magic.workbench.calibrate.kept import Answered
from tests.support.virtual_time import run

NAMES = tuple(stage.name for stage in DEFAULT_STAGES)
ANSWER = Script("Rain is water that falls from clouds.")


def asked(
    monkeypatch: pytest.MonkeyPatch, complexity: router.Complexity, *models: str, **request: object
) -> Answer:
    likely = dict.fromkeys(router.CLASSES, 0.1) | {complexity: 0.8}
    found = router.Route(complexity, likely, router.STAGES[complexity], ("a reason",))
    monkeypatch.setattr(router, "route", lambda query: found)
    monkeypatch.setenv("MIRADOR_DEFAULT_STAGES", "")

    async def main() -> Answer:
        session = Session()
        session.configure({"engine": "scripted", "metrics": False, "escalate": "never"})
        session.use(ScriptedEngine(dict.fromkeys(models, ANSWER)))
        handle = session.start(Request("What is rain?", **request))  # type: ignore[arg-type]
        answer = await handle
        # what is kept of the run is of the stages that it had
        assert [each.stage for each in handle.metrics.stages] == [s.name for s in answer.stages]
        await session.aclose()
        return answer

    return run(main())


def told(answer: Answer) -> list[tuple[str, str]]:
    return [(stage.name, stage.status) for stage in answer.stages]


def done(*names: str) -> list[tuple[str, str]]:
    return [(name, "done") for name in names]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    confidence.forget()
    return confidence.user_file()


@pytest.mark.parametrize(("complexity", "stages"), [("medium", NAMES[:1]), ("complex", NAMES[:2])])
def test_on_smollm2_alone_the_last_stage_is_left_out_and_the_header_says_so(
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    complexity: router.Complexity,
    stages: tuple[str, ...],
) -> None:
    answer = asked(monkeypatch, complexity, SMOLLM2.name)
    assert told(answer) == done(*stages)
    assert answer.route == (
        f"{complexity} (80 %): a reason; without synthesis, which on one model is right no more often"
    )


def test_who_asks_for_all_of_them_gets_all(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(asked(monkeypatch, "complex", SMOLLM2.name, depth="complex")) == done(*NAMES)
    assert told(asked(monkeypatch, "complex", SMOLLM2.name, stages=NAMES)) == done(*NAMES)


def test_of_a_model_that_was_not_measured_nothing_is_left_out(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(asked(monkeypatch, "complex", "llama3.2:3b")) == done(*NAMES)


def test_on_a_model_of_its_own_the_last_stage_stays(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, deep = (stage.model for stage in DEFAULT_STAGES[:2])
    kept.keep(labelled(DEFAULT_STAGES[2].model, better=False))
    every = asked(monkeypatch, "complex", quick, deep, DEFAULT_STAGES[2].model)
    assert told(every) == done(*NAMES)


def labelled(model: str, *, better: bool) -> list[Answered]:
    """A hundred questions, in all stages: half right in the first, and in the last too, or all there."""
    return [
        Answered(
            model, name, str(n), Point(n / 100, n % 2 == 0 or (better and name == "synthesis"))
        )
        for name in NAMES
        for n in range(100)
    ]


@pytest.mark.parametrize("better", [False, True])
def test_the_users_own_labelled_answers_tell_it_of_any_model(
    own: Path, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    kept.keep(labelled("llama3.2:3b", better=False))
    if better:  # so many are right that nothing can be fitted, but for two of a kind
        answers = labelled("llama3.2:3b", better=True)
        some = [
            Answered(e.model, e.stage, e.question, Point(e.point.measured, False))
            for e in answers[-6:]
        ]
        kept.keep([*answers[:-6], *some])
    confidence.forget()
    line = json.loads(own.read_text())["llama3.2:3b"]["synthesis"]
    assert (line["gain"] > 0.3) is better
    expected = NAMES if better else NAMES[:2]
    assert told(asked(monkeypatch, "complex", "llama3.2:3b")) == done(*expected)


def test_too_few_questions_in_common_tell_nothing(own: Path) -> None:
    answers = labelled("tiny", better=False)
    kept.keep(
        [each for each in answers if each.stage != "quick_response" or int(each.question) < 49]
    )
    assert "gain" not in json.loads(own.read_text())["tiny"]["synthesis"]


def test_names_of_the_same_weights_are_one_model() -> None:
    engine = OllamaEngine("127.0.0.1:9")
    engine._shown |= {"a": Shown(weights="f00d"), "b": Shown(weights="f00d"), "c": Shown()}
    assert is_same(engine, "a:latest", "b") and is_same(engine, "c", "c:latest")
    assert not is_same(engine, "a", "c") and not is_same(engine, "a", "d")
    assert is_same(ScriptedEngine(), "a", "a:latest") and not is_same(ScriptedEngine(), "a", "b")
