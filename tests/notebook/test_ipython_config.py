"""What IPython's own configuration sets: automatic loading, and the traits of MiradorMagics."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.fault_server import FAULTS, FaultServer
from tests.support.kernels import Kernel, kernel
from tests.support.patience import PATIENCE

CONFIG = """
c.InteractiveShellApp.extensions = ["mirador_magic"]
c.MiradorMagics.temperature = 0.2
c.MiradorMagics.think = "low"
c.MiradorMagics.keep_alive = "30m"
c.MiradorMagics.options = {"top_k": 20}
c.MiradorMagics.host = "http://me:s3cret@gpu.invalid"
"""
WRONG = """
c.MiradorMagics.temperature = "hot"
c.MiradorMagics.options = {"top_k": "many"}
c.MiradorMagics.num_predict = 7
"""


def configured(folder: Path, *lines: str) -> Mapping[str, str]:
    """The variables of an IPython with this configuration."""
    profile = folder / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("".join(lines))
    return {"IPYTHONDIR": str(folder), "MIRADOR_ENGINE": "scripted"}


def rows(running: Kernel) -> dict[str, tuple[str, str]]:
    told = running.run("%mirador settings").stdout.splitlines()
    split = [line.split(None, 2) for line in told if len(line.split()) > 2]
    return {name: (value, source) for name, value, source in split}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Kernel]:
    with kernel(configured(tmp_path, CONFIG)) as started:
        yield started


def test_the_traits_are_in_force_from_the_first_cell_on_and_tell_where_they_stand(
    running: Kernel,
) -> None:
    found = rows(running)
    place = "IPython's configuration"
    assert found["deep_analysis.temperature"] == ("0.2", place)
    assert found["deep_analysis.think"] == ("low", place)
    assert found["deep_analysis.keep_alive"] == ("1800", place)
    assert found["deep_analysis.options.top_k"] == ("20", place)
    assert found["host"][0] == "http://…@gpu.invalid"
    assert "s3cret" not in running.value(
        "get_ipython().magics_manager.registry['MiradorMagics'].host"
    )


def test_what_is_set_afterwards_stays_and_is_stronger_also_after_another_load(
    running: Kernel,
) -> None:
    running.run("%config MiradorMagics.temperature = 0.5\n%reload_ext mirador_magic")
    found = rows(running)
    assert found["deep_analysis.temperature"] == ("0.5", "%config")
    assert found["deep_analysis.options.top_k"] == ("20", "IPython's configuration")
    running.run("%config MiradorMagics.options = {'min_p': 0.1}")
    options = {name: value for name, value in rows(running).items() if ".options." in name}
    assert {name.rpartition(".")[2] for name in options} == {"min_p"}
    running.run("%config MiradorMagics.options = None")
    assert not [name for name in rows(running) if ".options." in name]
    assert running.run("%config MiradorMagics.options = 3").status == "ok"
    assert not [name for name in rows(running) if ".options." in name]


def test_what_is_set_is_asked(tmp_path: Path) -> None:
    with FaultServer({"good": FAULTS["good"]}) as server:
        environ = configured(tmp_path, CONFIG, "c.MiradorMagics.host = None\n")
        environ = {**environ, "OLLAMA_HOST": server.host, "MIRADOR_ENGINE": "ollama"}
        with kernel({**environ, "MIRADOR_PRE_WARM": "off"}) as started:
            cell = started.run("%mirador --fast --model good Why?")
            assert cell.status == "ok", cell.error
        body = server.chats()[-1].body
    assert (body["options"]["temperature"], body["options"]["top_k"]) == (0.2, 20)
    assert (body["think"], body["keep_alive"]) == ("low", 1800)


def test_what_cannot_be_read_is_one_line_each_and_the_rest_holds(tmp_path: Path) -> None:
    """In a terminal's IPython, which is started by this configuration too."""
    script = tmp_path / "asked.ipy"
    script.write_text("%mirador settings")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", str(script)],
        env={**os.environ, **configured(tmp_path / "ipython", CONFIG, WRONG)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("mirador: ")]
    begin = "mirador: IPython's configuration: c.MiradorMagics."
    hot, many = (line.removeprefix(begin) for line in said)
    assert hot == "temperature = 'hot' is not a number → such as temperature = 0.3"
    wrong = "options.top_k = 'many' is not a whole number → such as options.top_k = 40"
    assert many == wrong
    assert "Traceback" not in done.stdout + done.stderr
    assert "deep_analysis.num_predict" in done.stdout and "s3cret" not in done.stdout + done.stderr
