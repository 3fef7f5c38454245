"""What goes on at once: at home one run, on an endpoint as many as it takes, and none waits for
another place's. Of compare, tune and benchmark.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.display_functions import DisplayHandle

from mirador_magic.engines.base import ChatRequest, Chunk, Engine
from mirador_magic.engines.by_endpoint import Endpoints, Part
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, ModelMissing
from mirador_magic.pipeline.at_once import Place, each, place_of, resident
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.settings import settings as settings_
from mirador_magic.views.answer_buttons import controls
from mirador_magic.workbench.benchmark.lanes import Lanes
from mirador_magic.workbench.benchmark.plan import Arm, Trial, arms
from mirador_magic.workbench.benchmark.suite import Suite
from mirador_magic.workbench.compare import _ask_all
from mirador_magic.workbench.compare.board import Board
from mirador_magic.workbench.compare.contest import Contest, Unseen
from mirador_magic.workbench.compare.result import SideBySide
from mirador_magic.workbench.compare.variants import variants
from mirador_magic.workbench.tune.grid import Grid, Progress
from mirador_magic.workbench.tune.plan import plan_of
from mirador_magic.workbench.tune.record import record_of
from mirador_magic.workbench.tune.table import Table
from tests.support.openai_server import OpenAIServer
from tests.support.virtual_time import now, run

STAGE = "quick_response"


# a line for each place

PLACES = st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1)


@given(PLACES, st.data())
def test_each_place_is_full_and_in_order_and_waits_for_no_other(
    places: Mapping[str, int], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(places)), max_size=30))
    begun: list[tuple[str, int]] = []
    going: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def do(item: tuple[str, int]) -> None:
        begun.append(item)
        going[item[0]] += 1
        most[item[0]] = max(most[item[0]], going[item[0]])
        await asyncio.sleep(1)
        going[item[0]] -= 1

    async def main() -> float:
        items = [(name, number) for number, name in enumerate(names)]
        await each(items, lambda item: Place(item[0], places[item[0]]), do)
        return now()

    took = run(main())
    counts = Counter(names)
    assert took == max((-(-count // places[name]) for name, count in counts.items()), default=0)
    assert most == {name: min(count, places[name]) for name, count in counts.items()}
    for name in places:
        numbers = [number for place, number in begun if place == name]
        assert numbers == sorted(numbers)
        assert len(numbers) == counts[name]


def test_an_error_ends_its_place_and_no_other() -> None:
    done: list[str] = []

    async def do(item: str) -> None:
        await asyncio.sleep(1)
        if item == "bad":
            raise EngineUnavailable("nobody answers", "start it")
        done.append(item)

    async def main() -> None:
        items = ["bad", "a2", "a3", "a4", "b1", "b2", "b3"]
        await each(items, lambda item: Place("b" if item in ("b1", "b2", "b3") else "a", 2), do)

    with pytest.raises(EngineUnavailable, match="nobody answers"):
        run(main())
    assert sorted(done) == ["a2", "b1", "b2", "b3"]


def test_a_cancel_reaches_all_that_goes_on() -> None:
    begun: list[int] = []
    cancelled: list[int] = []

    async def do(item: int) -> None:
        begun.append(item)
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    async def main() -> None:
        going = asyncio.create_task(each(range(6), lambda item: Place(str(item % 2), 2), do))
        await asyncio.sleep(1)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    run(main())
    assert sorted(begun) == sorted(cancelled) == [0, 1, 2, 3]


def test_the_home_is_opened_only_where_something_is_there() -> None:
    endpoints = Endpoints({"cluster": Endpoint("cluster", "http://h/v1")})
    opened: list[str] = []

    async def home() -> Engine:
        opened.append("home")
        engine = ScriptedEngine({"m": Script("hm")})
        engine.loaded.append("m:latest")
        return engine

    async def away() -> Engine:
        raise EngineUnavailable("nobody answers", "start it")

    async def main() -> list[set[str]]:
        there = [await resident(endpoints, models, home) for models in (["cluster/m"], ["m"])]
        return [*there, await resident(endpoints, ["m"], away)]

    assert run(main()) == [set(), {"m"}, set()]
    assert opened == ["home"]


def test_a_place_takes_what_its_limit_says() -> None:
    endpoints = Endpoints(
        {
            "cluster": Endpoint("cluster", "http://h/v1", limit=5),
            "lab": Endpoint("lab", "http://h", "ollama", limit=1),
        }
    )
    found = [place_of(endpoints, model) for model in ("cluster/m", "lab/m", "m", "other/m")]
    assert found == [Place("cluster", 5), Place("lab", 1), Place("", 1), Place("", 1)]


# in a session


class Counted(ScriptedEngine):
    """Tells when each of its streams began and ended, and how many there were at once."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        super().__init__(scripts)
        self.going = self.most = 0
        self.ended = 0.0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            async for chunk in super().stream(request):
                yield chunk
        finally:
            self.going -= 1
            self.ended = now()

    def waiting(self, request: ChatRequest) -> bool:
        return False


TEN_S = Script("w1 w2 w3 w4 w5 w6 w7 w8 w9 w10", first=1.0, pace=1.0)
CLUSTER = """
[tool.mirador.endpoints.cluster]
base_url = "http://127.0.0.1:9/v1"
limit = 2
"""


class Two:
    """A session with a script at home and one past this machine, in virtual time."""

    def __init__(self, home: Mapping[str, Script], away: Mapping[str, Script]) -> None:
        self.session = Session()
        self.session.configure({"engine": "scripted", "metrics": False})
        self.home, self.away = Counted(home), Counted(away)
        self.session.use(self.home)
        known = self.session.endpoints()
        part = Part(known.known["cluster"])
        part.engine = self.away
        known._part = lambda endpoint: part  # type: ignore[method-assign]  # in whatever loop

    def compared(self, *models: str) -> SideBySide:
        return SideBySide("why?", *variants(self.session, models=models))

    def grid(
        self, *models: str, questions: int = 1, tell: Callable[[Progress], None] = lambda _: None
    ) -> Grid:
        given = [{"model": model} for model in models]
        asked = [f"question {number}" for number in range(questions)]
        return Grid(self.session, plan_of(self.session, STAGE, given, asked), tell=tell, clock=now)


def ten_s(*models: str) -> Mapping[str, Script]:
    return dict.fromkeys(models, TEN_S)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_, "user_file", lambda: tmp_path / "none.toml")
    (tmp_path / "pyproject.toml").write_text(CLUSTER)
    return tmp_path


def test_a_comparison_asks_the_cluster_at_once_and_home_in_order() -> None:
    two = Two(ten_s("a", "b"), ten_s("x", "y", "z"))
    two.home.loaded.append("b")

    async def main() -> SideBySide:
        result = two.compared("cluster/x", "a", "cluster/y", "b", "cluster/z")
        await Contest(two.session, result.columns).run(Unseen())
        return result

    result = run(main())
    assert {str(answer.outcome) for answer in result.answers.values()} == {"answered"}
    assert (two.home.most, two.away.most) == (1, 2)
    assert [request.model for request in two.home.requests] == ["b", "a"]
    assert [request.model for request in two.away.requests] == ["x", "y", "z"]
    assert (two.home.ended, two.away.ended) == (20.0, 20.0)  # each place took its own time


def test_a_stop_ends_all_that_write_and_asks_no_more() -> None:
    two = Two(ten_s("a"), ten_s("x", "y", "z"))

    async def main() -> SideBySide:
        result = two.compared("a", "cluster/x", "cluster/y", "cluster/z")
        contest = Contest(two.session, result.columns)
        asyncio.get_running_loop().call_later(3.5, contest.stop)
        await contest.run(Unseen())
        return result

    columns = run(main()).columns
    assert [column.stage.status for column in columns] == ["stopped"] * 3 + ["skipped"]
    assert [column.stage.text.split() for column in columns[:3]] == [["w1", "w2", "w3"]] * 3
    assert two.home.closed_early + two.away.closed_early == ["a", "x", "y"]


def test_a_cancel_keeps_what_all_wrote() -> None:
    two = Two(ten_s("a"), ten_s("x", "y", "z"))

    async def main() -> SideBySide:
        result = two.compared("a", "cluster/x", "cluster/y", "cluster/z")
        going = asyncio.create_task(Contest(two.session, result.columns).run(Unseen()))
        await asyncio.sleep(3.5)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        return result

    columns = run(main()).columns
    assert [column.stage.status for column in columns] == ["stopped"] * 3 + ["skipped"]
    assert not two.session.going
    assert (two.home.going, two.away.going) == (0, 0)


def test_columns_that_write_at_once_are_all_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DisplayHandle, "display", lambda *_, **__: None)
    monkeypatch.setattr(DisplayHandle, "update", lambda *_, **__: None)
    two = Two(ten_s("a"), ten_s("x", "y", "z"))
    shown: list[list[str]] = []

    async def main() -> None:
        result = two.compared("a", "cluster/x", "cluster/y", "cluster/z")
        contest = Contest(two.session, result.columns)
        board = Board(result, contest.stop)
        going = asyncio.create_task(_ask_all(contest, result, board))
        for _ in range(2):
            await asyncio.sleep(9.7)
            shown.append([_last_word(side) for side in board._sides.values()])
        await going

    run(main())
    controls().close()
    controls.cache_clear()
    assert shown == [["w9", "w9", "w9", ""], ["w10", "w10", "w10", "w9"]]


def _last_word(widget: Any) -> str:
    """Of the script, as far as it is shown in the widget and those within it."""
    inside = "".join(map(_last_word, getattr(widget, "children", ())))
    found = re.findall(r"w(\d+)", f"{inside} {getattr(widget, 'value', '')}")
    return f"w{max(map(int, found))}" if found else ""


def test_a_grid_makes_what_each_place_takes_and_tells_how_far_it_is() -> None:
    two = Two(ten_s("a"), ten_s("x"))
    heard: list[tuple[int, float | None]] = []
    grid = two.grid(
        "a", "cluster/x", questions=4, tell=lambda told: heard.append((told.done, told.left))
    )
    table = run(grid.run())
    assert table.missing == 0
    assert (two.home.most, two.away.most) == (1, 2)
    assert (two.home.ended, two.away.ended) == (40.0, 20.0)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[0] == (0, None)
    assert heard[-1] == (7, 30 / 7)
    assert [request.model for request in two.away.requests] == ["x"] * 4


def test_a_grid_that_is_stopped_goes_on_with_what_was_cut() -> None:
    two = Two(ten_s("a"), ten_s("x"))
    grid = two.grid("a", "cluster/x", questions=4)

    async def main() -> tuple[Table, Table]:
        going = asyncio.create_task(grid.run())
        await asyncio.sleep(15.5)
        grid.stop()
        return await going, await two.grid("a", "cluster/x", questions=4).run()

    first, second = run(main())
    assert (first.missing, second.missing) == (5, 0)
    assert sorted(two.home.closed_early + two.away.closed_early) == ["a", "x", "x"]
    assert len(two.home.requests) + len(two.away.requests) == 8 + 3
    assert all(tried in second.tries for tried in first.tries)


def test_a_place_that_is_away_ends_no_try_elsewhere() -> None:
    two = Two(ten_s("a"), {"x": Script([EngineUnavailable("cluster does not answer", "start it")])})

    async def main() -> None:
        with pytest.raises(EngineUnavailable, match="cluster does not answer"):
            await two.grid("a", "cluster/x", questions=5).run()

    run(main())
    assert len(two.home.requests) == 5
    assert len(two.away.requests) == 2  # as many as had begun
    tries = record_of(two.session).of(STAGE)
    assert [tried.is_done for tried in tries] == [True] * 5


# a benchmark

MODELS = [f"{place}/{name}" for place in ("p", "q") for name in "abc"]


@given(
    st.lists(st.lists(st.sampled_from([*MODELS, "m"]), min_size=1, max_size=3), min_size=2),
    st.fixed_dictionaries({"p": st.integers(1, 3), "q": st.integers(1, 3)}),
)
def test_no_run_of_a_benchmark_measures_another(
    arms_: list[list[str]], limits: dict[str, int]
) -> None:
    def at(model: str) -> Place:
        name = model.rpartition("/")[0]
        return Place(name, limits.get(name, 1))

    models = {f"arm{number}": own for number, own in enumerate(arms_)}
    lanes = Lanes(models, at)
    of = {arm: lanes.of(Trial(Arm(arm), 0, 0, False)) for arm in models}
    for one, other in itertools.combinations(models, 2):
        if of[one] != of[other]:
            assert not set(models[one]) & set(models[other])
            assert "m" not in models[one] + models[other]
    for name, limit in limits.items():
        assert len({of[a] for a in models if any(at(m).name == name for m in models[a])}) <= limit


def suite_of(two: Two, *models: str, repeats: int = 1) -> Suite:
    two.session.configure({"default_stages": STAGE})
    return Suite(two.session, ["why?", "how?"], arms(models), repeats, clock=now)


def test_different_models_past_this_machine_are_measured_at_the_same_time() -> None:
    two = Two({}, ten_s("x", "y", "z"))
    suite = suite_of(two, "cluster/x", "cluster/y", "cluster/z", repeats=2)
    heard: list[float | None] = []
    suite.tell = lambda progress: heard.append(progress.left)
    run(suite.run())
    assert two.away.most == 2
    assert two.away.ended == 80.0  # x and z share a lane of 2 x 2 x 10 s each
    assert len(suite.result.points) == suite.result.planned == 3 * 2 * 2
    assert not any(point.cold for point in suite.result.points)
    cold, lanes = suite.result.notes
    assert cold.startswith("no cold runs of cluster/x, cluster/y, cluster/z: what is in memory")
    assert lanes == "2 runs at once, each of models that no other one asked"
    assert heard[0] is None
    assert heard[2] == pytest.approx(70.0)
    assert (two.away.warmed, two.home.requests) == ([], [])


@pytest.mark.parametrize("models", [["cluster/x"], ["cluster/x", "a"], ["a", "b"]])
def test_one_model_or_one_at_home_is_measured_in_order(models: list[str]) -> None:
    two = Two(ten_s("a", "b"), ten_s("x"))
    suite = suite_of(two, *models)
    most = 0

    def look(handle: Handle) -> None:
        nonlocal most
        most = max(most, len(two.session.going))

    two.session.started.append(look)
    run(suite.run())
    assert most == 1
    assert {point.outcome for point in suite.result.points} == {"answered"}
    cold = {point.arm for point in suite.result.points if point.cold}
    assert cold == {model for model in models if "/" not in model}
    assert {asked.model for asked in two.home.warmed} == cold


def test_a_model_that_is_missing_ends_a_benchmark_of_several() -> None:
    two = Two({}, ten_s("x"))
    suite = suite_of(two, "cluster/x", "cluster/y")
    with pytest.raises(ModelMissing, match="no script for 'y'"):
        run(suite.run())
    assert len(two.away.requests) <= 2


def test_a_stop_ends_all_runs_of_a_benchmark() -> None:
    two = Two({}, ten_s("x", "y"))
    suite = suite_of(two, "cluster/x", "cluster/y", repeats=3)

    async def main() -> None:
        asyncio.get_running_loop().call_later(15.5, suite.stop)
        await suite.run()

    run(main())
    assert sorted(two.away.closed_early) == ["x", "y"]
    assert len(suite.result.points) == 2
    assert suite.result.notes[-1] == "stopped after 2 of 12 runs"


# on a real connection


def test_an_endpoint_gets_as_many_requests_at_once_as_it_takes(folder: Path) -> None:
    with OpenAIServer() as server:
        table = f'[tool.mirador.endpoints.cluster]\nbase_url = "{server.base_url}"\nlimit = 3\n'
        (folder / "pyproject.toml").write_text(table)

        async def main() -> Table:
            session = Session()
            session.configure({"metrics": False})
            given = [{"model": "cluster/paced", "seed": seed} for seed in range(3)]
            table = await Grid(session, plan_of(session, STAGE, given, ["why?", "how?"])).run()
            await session.aclose()
            return table

        assert asyncio.run(main()).missing == 0
        assert server.most == 3
        assert len(server.chats()) == 6
