"""The clock of the tests stands still while a thread works."""

import asyncio

from tests.support.virtual_time import now, run


def test_what_a_thread_does_takes_no_time_and_its_loop_ends_well() -> None:
    async def main() -> tuple[bool, float]:
        work = asyncio.create_task(asyncio.to_thread(sum, range(10**6)))
        done, _ = await asyncio.wait({work}, timeout=5)
        return bool(done), now()

    assert [run(main()) for _ in range(10)] == [(True, 0.0)] * 10
