"""Runs on several event loops at once: who waits for their end is woken on its own loop."""

from __future__ import annotations

import asyncio
import threading

from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.residency.idle import Idle
from mirador_magic.residency.readiness import Readiness
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.patience import PATIENCE


def test_the_end_of_the_last_run_wakes_who_waits() -> None:
    async def main() -> list[str]:
        idle, seen = Idle(), list[str]()

        async def wait() -> None:
            await idle.wait()
            seen.append("idle")

        await wait()  # nothing is under way
        idle.begin()
        idle.begin()
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        idle.end()
        await asyncio.sleep(0)
        seen.append("one left")
        idle.end()
        await waiting
        return seen

    assert asyncio.run(main()) == ["idle", "one left", "idle"]


def test_a_run_that_ends_on_another_thread_wakes_a_loop_that_sleeps() -> None:
    async def main() -> None:
        idle, waits = Idle(), threading.Event()
        idle.begin()

        def elsewhere() -> None:
            waits.wait(PATIENCE)
            idle.end()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        asyncio.get_running_loop().call_soon(waits.set)
        async with asyncio.timeout(PATIENCE):
            await idle.wait()
        thread.join()

    asyncio.run(main())


def test_a_warm_up_that_another_loop_has_under_way_is_not_waited_for() -> None:
    """Its loop may be the one that waits for this thread."""
    engine = ScriptedEngine({stage.model: Script("a", load=0) for stage in DEFAULT_STAGES})
    known = {stage.name: stage for stage in DEFAULT_STAGES}

    async def main() -> None:
        held, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> ScriptedEngine:
            if threading.current_thread() is threading.main_thread():
                held.set()
                await go_on.wait()
            return engine

        readiness = Readiness(lambda: known, slow)
        here = asyncio.create_task(readiness.warm())
        await held.wait()
        there = await asyncio.to_thread(lambda: asyncio.run(readiness.warm()))
        assert [each.state for each in there] == ["warm"] * 3
        go_on.set()
        assert [each.state for each in await here] == ["warm"] * 3
        await readiness.aclose()

    asyncio.run(main())
