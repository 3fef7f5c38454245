"""What a click beside a finished answer does, as the kernel sees it: messages of the one hidden widget."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebook.test_kernel import NO_OLLAMA, OLD_KERNEL, SETUP
from tests.support.kernels import Kernel, kernel
from tests.support.patience import PATIENCE


@pytest.fixture(params=["ipykernel 7", "ipykernel 6"], scope="module")
def clicked_kernel(request: pytest.FixtureRequest) -> Iterator[Clicked]:
    env = NO_OLLAMA | ({"PYTHONPATH": str(OLD_KERNEL)} if request.param == "ipykernel 6" else {})
    with kernel(env, SETUP) as running:
        yield Clicked(running)


class Clicked:
    """A kernel whose controls are known; `click` is what their buttons send."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        cell = kernel.run("%%mirador\nthe first")
        opened = (c for c in cell.of("comm_open") if "_esm" in str(c))
        self.comm = next(opened)["comm_id"]

    def ask(self, line: str) -> str:
        """Run a cell; the name of its answer on the page."""
        cell = self.kernel.run(line)
        assert cell.status == "ok", cell.error
        told = [self.told(c) for c in cell.of("comm_msg")]
        return str(next(each["shown"] for each in told if each and "shown" in each))

    def told(self, content: dict[str, Any]) -> dict[str, Any] | None:
        """What the controls were told by this message, if it is one of theirs."""
        custom = content["comm_id"] == self.comm and content["data"]["method"] == "custom"
        return content["data"]["content"] if custom else None

    def click(self, **content: str) -> None:
        data = {"method": "custom", "content": content}
        message = self.kernel.client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self.kernel.client.shell_channel.send(message)

    def until_ended(self) -> None:
        """Until the run that a click began is over, and its display the static one."""
        for message in self.messages():
            if "text/markdown" in message["content"].get("data", {}):
                return

    def hear(self, kind: str) -> dict[str, Any]:
        """The next of these that the controls are told."""
        for message in self.messages():
            found = self.told(message["content"]) if message["msg_type"] == "comm_msg" else None
            if found and kind in found:
                return found
        raise AssertionError

    def messages(self, timeout: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """All that the kernel says, as long as it takes."""
        deadline = time.monotonic() + timeout
        while True:
            yield self.kernel.client.get_iopub_msg(timeout=deadline - time.monotonic())


def stages(clicked: Clicked) -> list[list[str]]:
    """Name, state and text of each stage of the last answer."""
    told = "__import__('json').dumps([(s.name, s.status, s.text) for s in mirador_answer.stages])"
    found: list[list[str]] = json.loads(clicked.kernel.value(told)[1:-1])
    return found


def test_go_deeper_adds_the_next_stage_which_reads_what_is_there(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador reply << --stages quick_response\nwhy deeper?")
    clicked_kernel.click(act="run", run=run, stage="deep_analysis")
    clicked_kernel.until_ended()
    assert stages(clicked_kernel) == [
        ["quick_response", "done", "a quick draft"],
        ["deep_analysis", "done", "a deep look"],
    ]
    assert clicked_kernel.kernel.value("reply is mirador_answer, reply.question") == (
        "(True, 'why deeper?')"
    )
    assert "a quick draft" in clicked_kernel.kernel.value(
        "engine.requests[-1].messages[-2].content"
    )


def test_an_answer_of_another_thread_has_buttons_that_work(clicked_kernel: Clicked) -> None:
    """Its own loop is gone by then."""
    code = (
        "import threading\n"
        "ask = lambda: get_ipython().run_line_magic('mirador', '--stages quick_response why far?')\n"
        "thread = threading.Thread(target=ask)\nthread.start()\nthread.join()"
    )
    run = clicked_kernel.ask(code)
    clicked_kernel.click(act="run", run=run, stage="deep_analysis")
    clicked_kernel.until_ended()
    assert [name for name, *_ in stages(clicked_kernel)] == ["quick_response", "deep_analysis"]
    assert clicked_kernel.kernel.value("mirador_answer.question") == "'why far?'"


def test_run_again_asks_one_stage_with_the_drafts_before_it(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador\nwhy again?")
    asked = clicked_kernel.kernel.value("len(engine.requests)")
    new = "engine.scripts[deep] = Script('a deeper look')"
    assert clicked_kernel.kernel.run(new).status == "ok"
    clicked_kernel.click(act="run", run=run, stage="deep_analysis")
    clicked_kernel.until_ended()
    assert stages(clicked_kernel) == [
        ["quick_response", "done", "a quick draft"],
        ["deep_analysis", "done", "a deeper look"],
        ["synthesis", "done", "the last word"],
    ]
    assert clicked_kernel.kernel.value("len(engine.requests)") == str(int(asked) + 1)
    prompt = clicked_kernel.kernel.value("[m.content for m in engine.requests[-1].messages]")
    assert "a quick draft" in prompt
    assert "the last word" not in prompt
    assert (
        clicked_kernel.kernel.run("engine.scripts[deep] = Script('a deep look', pace=0.15)").status
        == "ok"
    )


def test_a_second_click_starts_no_second_run(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador\nwhy twice?")
    asked = clicked_kernel.kernel.value("len(engine.requests)")
    for _ in range(3):
        clicked_kernel.click(act="run", run=run, stage="deep_analysis")
    clicked_kernel.until_ended()
    assert clicked_kernel.kernel.value("len(engine.requests)") == str(int(asked) + 1)


def test_a_second_run_that_fails_leaves_the_first_ones_text(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador\nwhy fail?")
    kept = "scripts, engine.scripts = engine.scripts, {}"
    assert clicked_kernel.kernel.run(kept).status == "ok"
    clicked_kernel.click(act="run", run=run, stage="synthesis")
    clicked_kernel.until_ended()
    assert clicked_kernel.kernel.run("engine.scripts = scripts").status == "ok"
    assert stages(clicked_kernel)[2] == ["synthesis", "done", "the last word"]
    notes = clicked_kernel.kernel.value("mirador_answer['synthesis'].notes[-1]")
    assert notes.startswith('"as it was before: the scripted engine has no script for')


def test_a_copy_is_the_answers_text_as_it_was_written(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador --stages quick_response,synthesis\nwhy copy?")
    clicked_kernel.click(act="copy", run=run)
    assert clicked_kernel.hear("copy")["text"] == "the last word"


def test_a_click_that_means_nothing_does_nothing(clicked_kernel: Clicked) -> None:
    run = clicked_kernel.ask("%%mirador\nwhy nothing?")
    asked = clicked_kernel.kernel.value("len(engine.requests)")
    clicked_kernel.click(act="run", run=run, stage="nowhere")
    clicked_kernel.click(act="run", run="0", stage="synthesis")
    clicked_kernel.click(act="dance", run=run)
    clicked_kernel.click(act="copy", run=run)
    clicked_kernel.hear("copy")  # what came before it has been seen to
    assert clicked_kernel.kernel.value("len(engine.requests)") == asked
    assert clicked_kernel.kernel.run("1 + 1").status == "ok"
