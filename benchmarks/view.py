"""What the live view costs, each figure beside its baselines in the same run.

    python -m benchmarks.view          # or: make bench; --rounds 1 --no-browser for a first look

An engine plays a Markdown answer word by word, each when it is due: a view that falls behind is seen
to. A word is a token. A real kernel; JupyterLab in a real Chromium. Machines are shared and noisy: the
arms take turns, and the medians and ratios are what counts. The baselines show each token as it comes,
by `print(flush=True)` and, 1,000 tokens only, `ipywidgets.HTML.value` and `Output.append_stdout`.

iopub          raw bytes of all frames of all messages
CPU            the kernel's for each token, less that of a bare loop over the same stream
pace           tokens a second that the engine gets rid of, beside the bare loop
first pixel    from the engine's first chunk, by the kernel's clock, until the page has made the frame
               that shows its word; the chunk comes at once (prompt) or in an empty panel (late)
longest task   of the page's main thread, until a second after the end; a browser tells of those of
               50 ms and more, and 50 stands for none
whole          how often the page shows the last word of the answer at the end

The kernel imports this module too: what runs there stands in the first half.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import platform
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import cache
from itertools import product
from pathlib import Path

import ipywidgets
from IPython.display import display

from mirador_magic import ModelOptions, Script, ScriptedEngine
from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.events import StreamEnd
from tests.support.kernels import Kernel, kernel

FIRST, LAST = "Certainly:", "Selah."  # they stand nowhere else
CHAPTER = 1000  # tokens
SENTENCES = (  # a text that repeats itself would be stopped
    "The {} follows the {}, since the nearer {} of any {} is pulled harder than the {}.",
    "A narrow {} can **amplify** the {} until {} rest on {} for half of the {}.",
    "Measure the {} with `gauge.read()` every six {}, and keep those raw {} as {}.",
    "When the {} falls by ten {}, {} rises by *roughly* ten {}.",
)
NOUNS = re.findall(
    r"\w+",
    "tide moon ocean bay swing boats mud afternoon level minutes figures barometer harbour pier "
    "current wave river estuary sand island storm wind pressure gauge ship sailor chart depth coast "
    "lighthouse anchor rope channel delta spring neap ebb flood salt reef shoal buoy dock quay crane",
)
FENCE = """```python
def level(hours: float, span: float) -> float:
    phase = 2 * math.pi * hours / 12.42
    return span / 2 * (1 - math.cos(phase))
```"""


@cache
def answer(tokens: int) -> list[str]:
    """The words, always the same: chapters of a thousand, so that lengths compare."""
    pick = random.Random(20)
    words = [word for _ in range(0, tokens, CHAPTER) for word in _chapter(pick)]
    return [FIRST, *words[: tokens - 2], f" {LAST}"]


def _chapter(pick: random.Random) -> list[str]:
    """Sections with a list, a fence or a table in each, and paragraphs to the end."""

    def some(count: int, mark: str = "", join: str = " ") -> str:
        told = (each.format(*pick.sample(NOUNS, 6)) for each in pick.choices(SENTENCES, k=count))
        return join.join(mark + each for each in told)

    rows = "".join(f"\n| Brest | {n} h | {pick.random():.2f} m |" for n in range(9))
    table = f"| port | time | level |\n|---|---:|---:|{rows}"
    blocks = (some(4, "- ", "\n"), FENCE, table, some(4, "1. ", "\n"), FENCE)
    text = "".join(f"\n\n{some(4)}\n\n## What is *known*\n\n{some(3)}\n\n{b}" for b in blocks)
    return re.findall(r"\s*\S+", text + f"\n\n{some(4)}" * 9)[:CHAPTER]


PLAYS = {  # tokens, tokens a second, and the seconds before them
    "short": (1000, 2000, 0.0),
    "long": (4000, 2000, 0.0),
    "slow": (200, 50, 0.0),
    "prompt": (40, 50, 0.0),
    "late": (40, 50, 0.5),
}


class Paced(ScriptedEngine):
    """Token k is due k / pace seconds after the first, whatever became of those before it."""

    def __init__(self) -> None:
        super().__init__({name: Script("") for name in PLAYS})
        self.firsts: list[float] = []  # of each stream, in seconds since 1970
        self.began = self.ended = 0.0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        loop = asyncio.get_running_loop()
        tokens, pace, silence = PLAYS[request.model]
        words = answer(tokens)
        await asyncio.sleep(silence)
        self.began = loop.time()
        self.firsts.append(time.time())
        for number, word in enumerate(words):
            if (early := self.began + number / pace - loop.time()) > 0:
                await asyncio.sleep(early)
            yield Chunk(text=word)
        self.ended = loop.time()
        yield Chunk(end=StreamEnd("stop"))


ENGINE = Paced()


def clocks() -> list[float]:
    """Seconds of CPU so far, and when the last stream began and ended."""
    return [time.process_time(), ENGINE.began, ENGINE.ended]


async def bare(play: str, show: Callable[[str], object] = lambda _: None) -> None:
    """The stream without a view, or with this one."""
    async with aclosing(ENGINE.stream(ChatRequest(play, [], ModelOptions()))) as chunks:
        async for chunk in chunks:
            show(chunk.text)


async def printed(play: str) -> None:
    await bare(play, lambda text: print(text, end="", flush=True))


async def output(play: str) -> None:
    display(shown := ipywidgets.Output())
    await bare(play, shown.append_stdout)


async def html_value(play: str) -> None:
    display(shown := ipywidgets.HTML(style={"white_space": "pre-wrap"}))
    texts: list[str] = []

    def show(text: str) -> None:
        texts.append(html.escape(text))
        shown.value = "".join(texts)

    await bare(play, show)


# From here on: what measures.

Turn = tuple[str, str]  # an arm and its play
Figures = dict[str, dict[Turn, list[float]]]  # of each measure, a figure a round
LOAD = """%load_ext mirador_magic
from benchmarks import view
from mirador_magic import use_engine
use_engine(view.ENGINE)"""
TURNS = [
    *product(("bare", "mirador"), ("short", "long", "slow")),
    ("printed", "short"),
    ("printed", "long"),
    ("html_value", "short"),  # a long one is 47 MB in two seconds, which no client keeps up with
    ("output", "short"),
]
PIXELS = list(product(("mirador", "printed"), ("prompt", "late")))
TASKS = [("mirador", "long"), ("html_value", "short")]
SETTLED_MS = 300  # without a message after the cell's end

# When the page has made the frame with the word, and its longest task.
_WATCH = """([number, word]) => {
    const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
    const cell = panel.querySelectorAll('.jp-Cell')[number];
    const {port1, port2} = new MessageChannel(), began = performance.now();
    port1.onmessage = () => { window.madeAt = performance.timeOrigin + performance.now(); };
    new MutationObserver((_, observer) => {
        if (!cell.querySelector('.jp-Cell-outputArea').textContent.includes(word)) return;
        observer.disconnect();
        requestAnimationFrame(() => port2.postMessage(null));
    }).observe(cell, {subtree: true, childList: true, characterData: true});
    window.madeAt = Infinity;
    window.longest = 50;
    window.tasks?.disconnect();
    window.tasks = new PerformanceObserver(list => list.getEntries().forEach(task => {
        if (task.startTime >= began) window.longest = Math.max(window.longest, task.duration);
    }));
    window.tasks.observe({type: 'longtask', buffered: true});
}"""
_CLEAR = "() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs').then(() => null)"

BESIDE = [turn for turn in TURNS if turn[0] not in ("bare", "mirador")]
ROWS: list[tuple[str, Turn, Turn, str]] = [
    *(("iopub B/B", ("mirador", turn[1]), turn, "at most 12") for turn in BESIDE),
    ("iopub B/B", ("mirador", "slow"), ("mirador", "short"), ""),
    ("iopub kB", ("mirador", "long"), ("mirador", "short"), "under 440 %"),
    *(("CPU µs", ("mirador", turn[1]), turn, "under 60") for turn in BESIDE),
    ("pace tok/s", ("mirador", "long"), ("bare", "long"), "at least 95 %"),
    ("first pixel ms", ("mirador", "prompt"), ("printed", "prompt"), "under 60"),
    ("first pixel ms", ("mirador", "late"), ("printed", "late"), "under 60"),
    ("longest task ms", TASKS[0], TASKS[1], "under 100"),
    ("whole %", TASKS[0], TASKS[1], "100"),
]


def told(figures: Figures, measure: str, ours: Turn, baseline: Turn, wanted: str) -> str:
    """A figure, its baseline in the same run, their ratio, and what is wanted of one of these."""
    own, base = (statistics.median(figures[measure][turn]) for turn in (ours, baseline))
    what = f"{measure:<16} {', '.join(ours):<16} / {', '.join(baseline)}"
    return f"{what:<55} {own:>8.1f} {base:>8.1f} {100 * own / (base or 1e-9):>8.1f} %   {wanted}"


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}", flush=True)
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "XDG_DATA_HOME": folder}
        environment |= {"MIRADOR_ENGINE": "scripted", "MIRADOR_PRE_WARM": "0"}
        in_a_kernel(figures, environment, given.rounds)
        if not given.no_browser:
            in_a_browser(figures, environment, Path(folder, "lab"), given.rounds)
    for row in ROWS:
        if row[0] in figures:
            print(told(figures, *row))
    if given.json:
        raw = {f"{m}: {', '.join(turn)}": figures[m][turn] for m in figures for turn in figures[m]}
        given.json.write_text(json.dumps(raw, indent=1))


def in_a_kernel(figures: Figures, environment: dict[str, str], rounds: int) -> None:
    """Every turn once a round, so that noise hits them alike."""
    with kernel(environment, LOAD) as running:
        for arm in dict(TURNS):
            played(running, (arm, "prompt"))
        for _ in range(rounds):
            loop: dict[str, float] = {}
            for turn in TURNS:
                words = answer(PLAYS[turn[1]][0])
                sent, messages, cpu, took = played(running, turn)
                loop.setdefault(turn[1], cpu)  # the bare loop's turn comes first
                for measure, figure in {
                    "iopub kB": sent / 1000,
                    "iopub B/B": sent / len("".join(words).encode()),
                    "messages": messages,
                    "CPU µs": 1e6 * (cpu - loop[turn[1]]) / len(words),
                    "CPU with the loop's µs": 1e6 * cpu / len(words),
                    "pace tok/s": len(words) / took,
                }.items():
                    figures[measure][turn].append(figure)


def played(running: Kernel, turn: Turn) -> tuple[int, int, float, float]:
    """Run a cell, and read iopub until the kernel is idle and then silent.

    The bytes and the messages there, the kernel's seconds of CPU, and those that the stream took.
    """
    socket, session = running.client.iopub_channel.socket, running.client.session
    assert socket
    sent = messages = 0
    is_over = is_whole = False
    cpu, *_ = json.loads(running.value("view.clocks()"))
    msg_id = running.send(cell(turn))
    while socket.poll(SETTLED_MS if is_over else 60_000):
        frames = socket.recv_multipart()
        sent += sum(len(frame) for frame in frames)
        messages += 1
        is_whole = is_whole or LAST.encode() in frames[-1]
        _, (_, header, parent, _, content, *_) = session.feed_identities(frames)
        if json.loads(header)["msg_type"] == "status" and msg_id.encode() in parent:
            is_over = json.loads(content)["execution_state"] == "idle"
    assert turn[0] == "bare" or is_whole, f"{turn}: the end of the answer was not sent"
    after, began, ended = json.loads(running.value("view.clocks()"))
    return sent, messages, after - cpu, ended - began


def cell(turn: Turn) -> str:
    arm, play = turn
    if arm == "mirador":
        return f"%%mirador --stages quick_response --model {play}\nWhen is high water?"
    return f"await view.{arm}({play!r})"


def in_a_browser(figures: Figures, environment: dict[str, str], folder: Path, rounds: int) -> None:
    """Four first pixels a round, then a longest task a round; the first of each is left out."""
    from tests.support.lab import LabServer, Notebook, open_page  # the kernel does without them
    from tests.support.real import chromium_binary

    turns = [*PIXELS, *TASKS]
    order = [*PIXELS * (4 * rounds + 1), *TASKS * (rounds + 1)]
    made: list[float] = []
    folder.mkdir()
    with LabServer(folder, **environment) as lab, open_page(chromium_binary(), lab) as page:
        cells = [LOAD, *map(cell, turns), "print(view.ENGINE.firsts)"]
        notebook = Notebook(page, lab, "view", cells)
        notebook.run(0)
        for turn in order:
            number = 1 + turns.index(turn)
            page.evaluate(_CLEAR)
            page.evaluate(_WATCH, [number, FIRST])
            notebook.run(number)
            page.wait_for_timeout(1000)
            made.append(page.evaluate("() => window.madeAt"))
            figures["longest task ms"][turn].append(page.evaluate("() => window.longest"))
            is_whole = LAST in (notebook.output(number).text_content() or "")
            figures["whole %"][turn].append(100.0 * is_whole)
        notebook.run(len(cells) - 1)
        firsts = json.loads(notebook.output(len(cells) - 1).inner_text())
    for turn, frame, first in zip(order, made, firsts, strict=True):
        figures["first pixel ms"][turn].append(frame - 1000 * first)
    for measure, turn in product(("first pixel ms", "longest task ms", "whole %"), turns):
        del figures[measure][turn][0]


if __name__ == "__main__":
    main()
