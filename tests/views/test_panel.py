"""The live panel in virtual time: what it sends, and when. No kernel hears it; the messages are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ipywidgets
import pytest
from IPython.core.display_functions import DisplayHandle
from ipywidgets.widgets.widget import _instances

from mirador_magic import ModelStage, Script, ScriptedEngine
from mirador_magic.answer.run_state import RunState
from mirador_magic.engines.base import Engine
from mirador_magic.pipeline.run import Run
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.views.answer_buttons import controls
from mirador_magic.views.panel import FRAME, SLOWEST, Further, Panel
from tests.support.virtual_time import VirtualLoop, now, run

STAGE = ModelStage("a", "m", confidence=0.6, system_prompt="Be brief.", timeout=1e6)


@dataclass
class Sent:
    """What went to the page: (seconds, what) of displays and of widgets' new values."""

    shown: list[tuple[float, Any]] = field(default_factory=list)
    values: list[tuple[float, str]] = field(default_factory=list)

    @property
    def times(self) -> list[float]:
        return sorted({at for at, _ in self.values})

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    sent = Sent()

    def show(self: DisplayHandle, shown: object, **_: object) -> None:
        sent.shown.append((now(), shown))

    def send_state(self: ipywidgets.Widget, key: object = None) -> None:
        if key is not None and "value" in str(key):
            sent.values.append((now(), self.value))

    monkeypatch.setattr(DisplayHandle, "display", show)
    monkeypatch.setattr(DisplayHandle, "update", show)
    monkeypatch.setattr(ipywidgets.Widget, "send_state", send_state)
    yield sent
    controls().close()
    controls.cache_clear()


def _words(count: int, first: int = 0) -> str:
    """Words that all differ: a text that repeats itself is stopped."""
    return "".join(f"word{n} " for n in range(first, first + count))


async def play(script: Script, beside: Callable[[Panel], None] = lambda _: None) -> Panel:
    """A run of one stage on this script, in a panel."""

    async def opened() -> Engine:
        return ScriptedEngine({"m": script})

    state = RunState(clock=now)
    watchers = Watchers([state])
    going = Run("why?", [STAGE], opened, watchers, clock=now)
    further = Further(lambda stage, within: None, lambda answer: None)
    panel = Panel(state.answer, going.stop, further, buffered=False, outlives=False)
    watchers.add(panel)
    panel.show()
    beside(panel)
    await going.execute()
    return panel


def test_the_first_words_are_shown_when_they_come_and_the_twin_at_the_end(sent: Sent) -> None:
    run(play(Script("alpha beta", first=1.0, pace=1.0)))
    texts = [(at, shown) for at, shown in sent.shown if isinstance(shown, dict)]
    assert [at for at, shown in texts if "alpha" in shown["text/html"]] == [2.0]
    value = next(at for at, value in sent.values if "alpha" in value)
    assert value == 1.0
    assert "mirador-saved" in texts[-1][1]["text/html"]


def test_words_that_come_before_the_panel_are_in_its_first_message(sent: Sent) -> None:
    run(play(Script("one two three", pace=0.01)))
    assert sent.shown[0][0] == 0.0
    assert "one" in sent.shown[0][1]["text/html"]


@pytest.mark.parametrize("pace", [0.02, 0.0005])
def test_there_are_at_most_twenty_frames_a_second(sent: Sent, pace: float) -> None:
    run(play(Script(_words(3000), pace=pace)))
    seconds = sent.times[-1]
    assert len(sent.times) <= 20 * seconds
    assert len(sent.times) > 2 * seconds
    assert min(sent.gaps[:-1]) > FRAME / 2


def test_what_is_sent_grows_with_the_text_and_not_with_its_square(sent: Sent) -> None:
    for words in (1000, 8000):
        sent.values.clear()
        text = "a **word** stands here.\n\n" * (words // 4)
        run(play(Script(text, pace=0.0005)))
        assert sum(len(value) for _, value in sent.values) < 5 * len(text)


def test_a_page_that_is_late_gets_fewer_frames_and_then_more_again(sent: Sent) -> None:
    def late(panel: Panel) -> None:
        panel._loop.call_at(5.0, controls()._do, {"act": "late", "late": 300.0})

    run(play(Script("\n\n".join(_words(20, at) for at in range(0, 1000, 20)), pace=0.02), late))
    after = [gap for at, gap in zip(sent.times, sent.gaps, strict=False) if 4.9 <= at < 5.7]
    assert max(after) > 0.55
    later = [gap for at, gap in zip(sent.times, sent.gaps, strict=False) if 10 <= at < 15]
    assert max(later) < 2.5 * FRAME


def test_a_loop_that_is_held_up_draws_less_often(sent: Sent) -> None:
    def held_up(panel: Panel) -> None:
        loop = panel._loop
        assert isinstance(loop, VirtualLoop)
        for number in range(10):
            loop.call_at(5.05 + number, loop.skip, 0.4)

    run(play(Script(_words(1000), pace=0.02), held_up))
    calm = [at for at in sent.times if 0.5 <= at < 4.5]
    busy = [at for at in sent.times if 5 <= at < 9]
    assert len(busy) < 0.7 * len(calm)
    assert max(sent.gaps) <= SLOWEST + 0.5


def test_at_the_end_no_widget_is_left_but_those_that_all_panels_share(sent: Sent) -> None:
    run(play(Script(_words(100), pace=0.02)))
    before = set(_instances)
    run(
        play(
            Script(
                "".join(f"# a{n}\n\n$x_{n}$\n\nb " for n in range(100)),
                pace=0.02,
                thinking=_words(5000),
            )
        )
    )
    assert set(_instances) == before


def test_thinking_comes_in_pieces_that_are_sent_once(sent: Sent) -> None:
    thinking = "".join(f"thought {number}\n" for number in range(1000))
    run(play(Script("and so it is", first=1.0, pace=1.0, thinking=thinking)))
    told = "".join(value for _, value in sent.values)
    assert told.count("thought 10\n") <= 1
