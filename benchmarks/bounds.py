"""The longest step of the event loop while a hostile text is written, and what it leaves behind.

    python -m benchmarks.bounds          # or: make bench; names of texts for these alone

A real kernel, and a scripted engine that writes as fast as it is read. Machines are shared and noisy: a
step is what the loop cannot do anything else in, so one that another program took the core from is
longer than its work. The first code in a language has its lexer made, once, some 10 to 60 ms.

step       the longest of the loop's steps until the cell's end
work       the longest by the processor's time, which other programs change less
idle       from the end of the text, or from the interrupt, until the kernel is idle
largest    of the messages on iopub
sent       all of them

The kernel imports this module too: what runs there stands in the first half.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import random
import string
import tempfile
import threading
import time
from asyncio.events import Handle
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from pathlib import Path

from mirador_magic import Script, ScriptedEngine
from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.events import StreamEnd
from tests.support.hostile import HOSTILE
from tests.support.kernels import Kernel, kernel


def _words(count: int, seed: int = 1) -> Iterator[str]:
    """Words that never repeat for long: no loop."""
    pick = random.Random(seed)
    for _ in range(count):
        word = "".join(pick.choices(string.ascii_lowercase, k=pick.randint(2, 9)))
        yield word + pick.choices((" ", ". ", "\n\n"), (20, 3, 1))[0]


def _endless() -> Iterator[str]:
    return itertools.chain.from_iterable(_words(10_000, seed) for seed in itertools.count())


def _letters(count: int) -> str:
    return "".join(random.Random(2).choices(string.ascii_letters + "  {}[]=\"'$.", k=count))


def _one_word_alike(seed: int) -> str:
    """Sentences that all look like one another."""
    pick = random.Random(seed)
    common = [f"w{n}" for n in range(12)]
    return " ".join(" ".join(pick.sample(common, 9)) + f" n{n}." for n in range(1500))


def _code(language: str) -> str:
    lines = (f"{name} = {_letters(60)}\n" for name in _words(1500))
    return f"```{language}\n{''.join(lines)}```\n"


Pieces = Callable[[], Iterable[str]]
PLAYS: Mapping[str, tuple[Pieces, ...]] = {  # of each stage, the chunks
    "prose": (lambda: _words(600),),
    "endless": (_endless,),
    "terraform": (lambda: ["```terraform\n", _letters(100_000)],),
    "terraform_a": (lambda: ["```terraform\n", "a" * 100_000],),
    "tildes": (lambda: ["~" * 40_000], lambda: ["~" * 40_000]),
    "one_chunk": (lambda: ["".join(_words(500_000)) * 16],),
    "one_word": (lambda: ["x" * 50_000_000],),
    "alike": (lambda: [_one_word_alike(1)], lambda: [_one_word_alike(2)]),
    "code": (lambda: [_code("python")], lambda: [_code("scss")]),
    "signs": (lambda: ["".join(random.Random(3).choices("`*_[]()!<>|~#$\\&-\n ", k=100_000))],),
    "lines": (lambda: ["\n".join("- " * 30 + w for w in _words(5000))],),
    "hostile": (lambda: ["\n\n".join(HOSTILE.values())], lambda: ["\n\n".join(HOSTILE.values())]),
}
INTERRUPTED = {"endless": 20.0}  # seconds until it is


class Hostile(ScriptedEngine):
    """Plays each text as it is: `NAME.0` is what the first stage says."""

    def __init__(self) -> None:
        names = [f"{name}.{n}" for name, stages in PLAYS.items() for n in range(len(stages))]
        super().__init__({name: Script("") for name in names})
        self.texts: dict[str, list[str]] = {}
        self.ended = 0.0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        name, _, stage = request.model.rpartition(".")
        for piece in self.texts.get(request.model) or PLAYS[name][int(stage)]():
            await asyncio.sleep(0)
            self.ended = time.time()
            yield Chunk(text=piece)
        yield Chunk(end=StreamEnd("stop"))


ENGINE = Hostile()
LONGEST = (0.0, 0.0)


def watch() -> None:
    """Measure each step of the main thread's loop from now on."""
    run, main = Handle._run, threading.main_thread()

    def timed(self: Handle) -> None:
        if threading.current_thread() is not main:
            return run(self)
        global LONGEST
        began, at_work = time.perf_counter(), time.thread_time()
        run(self)
        LONGEST = (
            max(LONGEST[0], time.perf_counter() - began),
            max(LONGEST[1], time.thread_time() - at_work),
        )

    Handle._run = timed  # type: ignore[method-assign]


def prepare(name: str) -> None:
    """Have the texts at hand: to make them is no step of a run."""
    if name not in INTERRUPTED:
        ENGINE.texts = {f"{name}.{n}": [*make()] for n, make in enumerate(PLAYS[name])}


def fresh() -> None:
    """Forget the steps so far."""
    global LONGEST
    LONGEST = 0.0, 0.0


# From here on: what measures.

LOAD = """%load_ext mirador_magic
from benchmarks import bounds
from mirador_magic import use_engine
use_engine(bounds.ENGINE)
bounds.watch()"""


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(PLAYS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}", flush=True)
    print(
        f"{'text':<14}{'step ms':>10}{'work ms':>10}{'idle ms':>10}{'largest kB':>12}{'sent kB':>10}"
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "XDG_DATA_HOME": folder}
        environment |= {"MIRADOR_ENGINE": "scripted", "MIRADOR_PRE_WARM": "0"}
        with kernel(environment, LOAD) as running:
            played(running, "prose")  # what is imported in a first run is no text's fault
            for name in given.names or PLAYS:
                rows.append(row := {"text": name} | played(running, name))
                times = "".join(f"{row[what]:>10.1f}" for what in ("step", "work", "idle"))
                print(f"{name:<14}{times}{row['largest']:>12.1f}{row['sent']:>10.1f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


def played(running: Kernel, name: str) -> dict[str, float]:
    """Run the text's cell; milliseconds and kilobytes."""
    socket, session = running.client.iopub_channel.socket, running.client.session
    assert socket
    running.run(f"bounds.prepare({name!r})")
    stages = [f"s{n}" for n in range(len(PLAYS[name]))]
    for n, stage in enumerate(stages):
        running.run(f"%mirador stage {stage} --model {name}.{n}")
    interrupt = INTERRUPTED.get(name)
    running.run("bounds.fresh()")
    msg_id = running.send(f"%%mirador --stages {','.join(stages)}\nwhy?")
    sent_at = time.time()
    sizes, interrupted = [], 0.0
    while True:
        if interrupt and not interrupted and time.time() - sent_at > interrupt:
            interrupted = time.time()
            running.manager.interrupt_kernel()
        if not socket.poll(100):
            assert time.time() - sent_at < 600, f"{name}: no end"
            continue
        frames = socket.recv_multipart()
        sizes.append(sum(len(frame) for frame in frames))
        _, (_, header, parent, _, content, *_) = session.feed_identities(frames)
        is_status = json.loads(header)["msg_type"] == "status" and msg_id.encode() in parent
        if is_status and json.loads(content)["execution_state"] == "idle":
            break
    idle = time.time()
    running.client.get_shell_msg(timeout=60)
    ended = interrupted or float(running.value("bounds.ENGINE.ended"))
    return {
        "step": 1000 * float(running.value("bounds.LONGEST[0]")),
        "work": 1000 * float(running.value("bounds.LONGEST[1]")),
        "idle": 1000 * (idle - ended),
        "largest": max(sizes) / 1000,
        "sent": sum(sizes) / 1000,
    }


if __name__ == "__main__":
    main()
