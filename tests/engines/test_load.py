"""Load: 200 runs at once on one endpoint all end, in their order, and leave nothing behind.

How much they cost is measured in benchmarks/load.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirador_magic.events import ChunkReceived, Event
from mirador_magic.session.session import Session
from mirador_magic.settings import settings as settings_
from tests.support.load import Wave, objects, wave
from tests.support.paced_server import Counts, PacedServer, paced_server

RUNS, LIMIT, WORDS = 200, 16, 4


@pytest.fixture
def server() -> Iterator[PacedServer]:
    """One of its own for each test: what it counts, it counts from its start."""
    with paced_server(WORDS, pace=0.01) as running:
        yield running


@asynccontextmanager
async def on(server: PacedServer, folder: Path) -> AsyncIterator[Session]:
    """A session in this folder, where the server is the endpoint `cluster`."""
    table = f'[tool.mirador.endpoints.cluster]\nbase_url = "{server.base_url}"\nlimit = {LIMIT}\n'
    (folder / "pyproject.toml").write_text(table)
    session = Session()
    session.configure({"metrics": False})
    try:
        yield session
    finally:
        await session.aclose()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_, "user_file", lambda: tmp_path / "none.toml")
    return tmp_path


def test_many_runs_at_once_all_end_in_turn_and_leave_nothing(
    server: PacedServer, folder: Path
) -> None:
    async def main() -> tuple[list[Wave], list[int], Counts]:
        async with on(server, folder) as session:
            waves, counted = [], []
            for _ in range(3):
                waves.append(await wave(session, RUNS, "cluster/m"))
                assert not session.going
                assert asyncio.all_tasks() == {asyncio.current_task()}
                counted.append(objects())
            return waves, counted, await asyncio.to_thread(server.counts)

    waves, counted, counts = asyncio.run(main())
    for each in waves:
        assert each.outcomes == ["answered"] * RUNS
        assert each.words == [WORDS] * RUNS
        assert sorted(each.firsts) == [*range(RUNS)]
        assert max(each.late) < 2 * LIMIT  # a turn is given in order; within it any may be first
    assert counts.chats == 3 * RUNS
    assert counts.most == LIMIT
    assert counts.accepted <= LIMIT
    assert counted[2] - counted[1] < RUNS  # less than one object a run
    server.at_rest()


def test_half_of_them_stopped_in_mid_stream_leave_nothing(
    server: PacedServer, folder: Path
) -> None:
    async def main() -> Wave:
        async with on(server, folder) as session:
            is_stopped = False

            def stop_half(event: Event) -> None:
                nonlocal is_stopped
                if isinstance(event, ChunkReceived) and not is_stopped:
                    is_stopped = True
                    for handle in session.going[::2]:
                        handle.stop()

            session.started.append(lambda handle: handle.watch(stop_half))
            return await wave(session, RUNS, "cluster/m")

    ended = asyncio.run(main())
    assert ended.outcomes == ["stopped", "answered"] * (RUNS // 2)
    assert server.at_rest().chats <= RUNS // 2 + LIMIT
