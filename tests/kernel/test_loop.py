"""A coroutine that runs nested in a loop leaves that loop as it was."""

import subprocess
import sys

# In a process of its own: what nests, nests in all of it. One callback runs a coroutine to its end in
# the midst of the loop's pass over others, some of which that run takes from it.
NESTED = """
import asyncio

from mirador_magic.kernel.loop import complete

ran = []


async def turns():
    for _ in range(3):
        await asyncio.sleep(0)
    ran.append("nested")


async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: complete(turns()))
    for each in range(5):
        loop.call_soon(ran.append, each)
    await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    return ran


with asyncio.Runner() as runner:
    print(runner.run(main()))
"""


def test_a_nested_run_takes_no_callback_from_the_pass_that_it_is_in() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NESTED], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, 1, 2, 3, 4, 'nested']\n"
    assert done.stderr == ""
