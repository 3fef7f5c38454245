"""What the tests start hears its signals, though the tests themselves are started deaf."""

import json
import signal
import subprocess
import sys

import pytest

from tests.support.signals import HEARD

HEARS = f"""
import json, signal
ignored = [n for n in {HEARD!r} if signal.getsignal(getattr(signal, n)) is signal.SIG_IGN]
print(json.dumps(ignored), flush=True)
"""
DEAF = """
import os, signal, subprocess, sys
from tests.support.signals import HEARD, let_children_hear
for name in HEARD:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
if sys.argv[1] == "heard":
    let_children_hear()
subprocess.run([sys.executable, "-c", sys.argv[2]], check=True)
for name in HEARD:
    os.kill(os.getpid(), getattr(signal, name))
print("alive")
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to inherit there")


@pytest.mark.parametrize(("how", "ignored"), [("as they are", [*HEARD]), ("heard", [])])
def test_the_deaf_stay_deaf_and_what_they_start_hears(how: str, ignored: list[str]) -> None:
    command = [sys.executable, "-c", DEAF, how, HEARS]
    told, alive = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert (json.loads(told), alive) == (ignored, "alive")


def test_what_these_tests_start_hears() -> None:
    told = subprocess.run([sys.executable, "-c", HEARS], capture_output=True, check=True).stdout
    assert json.loads(told) == []
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
