"""Calls from threads other than the kernel's: each has a loop of its own, and answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.test_kernel import any_kernel  # noqa: F401  (its fixture)
from tests.support.kernels import Kernel, kernel
from tests.support.ollama_server import OllamaServer
from tests.support.openai_server import OpenAIServer

ANSWERS = """
from concurrent.futures import ThreadPoolExecutor
import asyncio, threading
from mirador_magic import ask, asked
call, call_cell = get_ipython().run_line_magic, get_ipython().run_cell_magic
def several(f, n=3):
    with ThreadPoolExecutor(n) as pool:
        return [answer.text for answer in pool.map(f, range(n))]
"""
LAST = ["the last word"] * 3
WAYS = {
    "a line": "print(several(lambda n: call('mirador', f'why {n}?')))",
    "a cell": "print(several(lambda n: call_cell('mirador', '', f'why {n}?')))",
    "ask": "print(several(lambda n: asyncio.run(ask(f'why {n}?'))))",
    "while the cell awaits": "print(await asyncio.to_thread(several, lambda n: call('mirador', f'why {n}?')))",
    "threads": """found = []
def work(n):
    found.append(call('mirador', f'why {n}?').text)
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)""",
    "from a thread whose own loop runs": """async def within(n):
    return call('mirador', f'why {n}?')
print(several(lambda n: asyncio.run(within(n))))""",
}


@pytest.mark.parametrize("way", WAYS)
def test_each_call_from_a_thread_answers(any_kernel: Kernel, way: str) -> None:  # noqa: F811
    any_kernel.run(f"{ANSWERS}before = len(asked())")
    cell = any_kernel.run(WAYS[way])
    assert cell.status == "ok", cell.error
    assert cell.stdout.strip() == str(LAST)
    shown = [data["text/plain"] for data in cell.shown]
    assert len(shown) == (0 if way == "ask" else 3)
    assert all("the last word" in each for each in shown)
    assert any_kernel.value("len(asked()) - before") == "3"
    assert any_kernel.value("sorted(a.question for a in asked()[-3:])") == (
        "['why 0?', 'why 1?', 'why 2?']"
    )
    after = any_kernel.run("%%mirador\nand now?")  # the kernel's own loop is as it was
    assert after.status == "ok", after.error


def test_a_thread_goes_on_while_the_kernel_s_own_cells_ask(any_kernel: Kernel) -> None:  # noqa: F811
    any_kernel.run(ANSWERS)
    any_kernel.run("found = []\ngo = threading.Event()")
    any_kernel.run(
        "def work():\n    go.wait()\n    found.append(call('mirador', 'from afar?').text)\n"
        "thread = threading.Thread(target=work)\nthread.start()"
    )
    cell = any_kernel.run("go.set()\nx = %mirador here?\nthread.join()\nprint(x.text, found)")
    assert cell.stdout.strip() == "the last word ['the last word']", cell.error


def test_what_goes_wrong_in_a_thread_is_raised_there(any_kernel: Kernel) -> None:  # noqa: F811
    any_kernel.run(ANSWERS)
    cell = any_kernel.run(
        "with ThreadPoolExecutor(1) as pool:\n"
        "    print(repr(pool.submit(call, 'mirador', '--model nothere why').exception()))"
    )
    assert "ModelMissing" in cell.stdout


def test_three_threads_ask_ollama(ollama: OllamaServer) -> None:
    with kernel({"OLLAMA_HOST": ollama.host}, f"%load_ext mirador_magic\n{ANSWERS}") as running:
        for way in ("a line", "ask"):
            cell = running.run(WAYS[way])
            assert cell.status == "ok", cell.error
            assert running.value("len({a.text for a in asked()[-3:]} - {''})") == "1"


def test_three_threads_ask_an_endpoint(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        table = f'[tool.mirador.endpoints.far]\nbase_url = "{server.base_url}"\n'
        (tmp_path / "pyproject.toml").write_text(table)
        first = f"import os; os.chdir({str(tmp_path)!r})\n%load_ext mirador_magic\n{ANSWERS}"
        with kernel({"OLLAMA_HOST": "127.0.0.1:9"}, first) as running:
            asking = "asyncio.run(ask(f'why {n}?', stages=['quick_response'], model='far/good'))"
            line = "--stages quick_response --model far/good"
            for code in (
                f"print(several(lambda n: call('mirador', f'{line} why {{n}}?')))",
                f"print(several(lambda n: {asking}))",
            ):
                cell = running.run(code)
                assert cell.status == "ok", cell.error
                assert len(set(eval(cell.stdout))) == 1 and eval(cell.stdout)[0]


def test_three_threads_ask_one_process_of_the_embedded_engine(
    smollm2: Path, tmp_path: Path
) -> None:
    nowhere = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(tmp_path)}
    with kernel(nowhere, f"%load_ext mirador_magic\n{ANSWERS}") as running:
        line = "--engine embedded --model smollm2 --stages quick_response"
        cell = running.run(
            f"said = several(lambda n: call('mirador', '{line} What is the capital of Peru?'))\n"
            "from mirador_magic.session.session import current\n"
            "engine = current().engines.named('embedded', current().settings())\n"
            "said += several(lambda n: asyncio.run(ask('What is the capital of Peru?',\n"
            "    stages=['quick_response'], engine='embedded', model='smollm2')))"
        )
        assert cell.status == "ok", cell.error
        assert running.value("len(said), all(map(str.strip, said))") == "(6, True)"
        assert running.value("len(engine._children)") == "1"
