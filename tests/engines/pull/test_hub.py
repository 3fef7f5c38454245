"""Fetching models, from a hub on the loopback that is slow, breaks off, refuses or lies."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.engines.pull import hub as pulling
from mirador_magic.engines.pull.hub import pull, read_source
from mirador_magic.engines.pull.hub_errors import Source
from mirador_magic.engines.pull.progress import Progress
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineUnavailable,
    ModelMissing,
    RequestRefused,
    UsageError,
)
from tests.support.hub import Hub
from tests.support.kernels import kernel
from tests.support.reciting_gguf import write

huggingface_hub = pytest.importorskip("huggingface_hub")

MODEL = b"GGUF" + bytes(range(256)) * 1200
SIZE = len(MODEL)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    huggingface_hub.close_session()
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
        huggingface_hub.close_session()


def source(hub: Hub, repo: str, file: str = "model.gguf", data: bytes = MODEL) -> Source:
    """A file of this repo, which the hub has from now on."""
    hub.repos.setdefault(repo, {})[file] = data
    return Source(repo, file)


def fetch(source: Source, folder: Path, tell: Callable[[Progress], None] = lambda _: None) -> Path:
    return asyncio.run(pull(source, folder, tell))


def told(source: Source, folder: Path) -> list[Progress]:
    heard: list[Progress] = []
    fetch(source, folder, heard.append)
    return heard


def failure(source: Source, folder: Path) -> EngineError:
    """The error of this pull, which leaves no model, and is one line."""
    with pytest.raises(EngineError) as raised:
        fetch(source, folder)
    assert "\n" not in str(raised.value)
    assert raised.value.cure
    assert models(folder) == []
    return raised.value


def models(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.gguf"))


def parts(folder: Path) -> list[int]:
    """How much of each unfinished download is kept, in bytes."""
    return [file.stat().st_size for file in (folder / ".pull").glob("*.part")]


def test_a_file_is_fetched_into_the_folder(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "models"
    file = fetch(source(hub, "acme/good", "q8/Model-Q8_0.GGUF"), folder)
    assert file == folder / "Model-Q8_0.gguf"
    assert file.read_bytes() == MODEL
    assert parts(folder) == []
    assert [get.range for get in hub.gets()] == [None]
    assert {request.agent for request in hub.requests} == {"mirador-magic"}


def test_progress_is_told_on_the_loops_thread(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_TELL_SECONDS", 0.0)
    threads: set[threading.Thread] = set()
    heard: list[Progress] = []

    def tell(progress: Progress) -> None:
        threads.add(threading.current_thread())
        heard.append(progress)

    fetch(source(hub, "acme/good"), tmp_path, tell)
    assert threads == {threading.current_thread()}
    assert {(p.file, p.total) for p in heard} == {("model.gguf", SIZE)}
    done = [p.done for p in heard]
    assert done == sorted(done)
    assert done[0] == 0 and done[-1] == SIZE and len(set(done)) > 2


class _Timeless(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return 1.0


def test_progress_is_not_told_more_often_than_it_may(hub: Hub, tmp_path: Path) -> None:
    heard: list[Progress] = []
    with asyncio.Runner(loop_factory=_Timeless) as runner:
        runner.run(pull(source(hub, "acme/good"), tmp_path, heard.append))
    assert [p.done for p in heard] == [0, SIZE]


def test_nothing_is_printed(hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(source(hub, "acme/good"), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_file_of_unknown_size_is_fetched(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/sizeless")
    heard = told(model, tmp_path)
    assert heard[0] == Progress("model.gguf", 0, None)
    assert heard[-1] == Progress("model.gguf", SIZE, SIZE)
    assert (tmp_path / "model.gguf").read_bytes() == MODEL


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/good")
    fetch(model, tmp_path)
    assert told(model, tmp_path) == [Progress("model.gguf", SIZE, SIZE)]
    assert len(hub.gets()) == 1


def test_a_file_of_another_size_is_replaced(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF of old")
    assert fetch(source(hub, "acme/good"), tmp_path).read_bytes() == MODEL


def test_the_login_stays_with_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the bytes of xet repos come by HTTP, from where the hub says."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with Hub() as store:
        hub.elsewhere = store.url
        model = source(hub, "acme/elsewhere")
        source(store, "acme/elsewhere")
        assert fetch(model, tmp_path).read_bytes() == MODEL
        assert [get.login for get in hub.gets()] == ["Bearer hf_secret"]
        assert [(get.login, get.sent) for get in store.requests] == [(None, SIZE)]


def test_a_download_that_broke_off_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/breaks")
    hub.cut = 100_000
    error = failure(model, tmp_path)
    assert type(error) is BrokenStream
    assert str(error).startswith("model.gguf broke off after 100,000 bytes: ")
    assert error.cure == "run it again: it goes on where it stopped"
    assert parts(tmp_path) == [100_000]

    assert told(model, tmp_path)[0] == Progress("model.gguf", 100_000, SIZE)
    assert (tmp_path / "model.gguf").read_bytes() == MODEL
    assert parts(tmp_path) == []
    assert [(get.range, get.sent) for get in hub.gets()] == [
        (None, 100_000),
        ("bytes=100000-", SIZE - 100_000),
    ]


def test_no_link_in_a_parts_place_is_followed(hub: Hub, tmp_path: Path) -> None:
    model, folder, mine = source(hub, "acme/breaks"), tmp_path / "models", tmp_path / "mine.txt"
    mine.write_text("my own")
    hub.cut = 100_000
    failure(model, folder)
    (part,) = (folder / ".pull").glob("*.part")
    part.unlink()
    part.symlink_to(mine)
    fetch(model, folder)
    assert (folder / "model.gguf").read_bytes() == MODEL
    assert mine.read_text() == "my own" and not (folder / "model.gguf").is_symlink()


def test_a_beginning_that_was_damaged_is_noticed_in_the_end(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/breaks")
    hub.cut = 100_000
    failure(model, tmp_path)
    (part,) = (tmp_path / ".pull").glob("*.part")
    part.write_bytes(bytes(100_000))
    assert "are not the hub's" in str(failure(model, tmp_path))
    assert models(tmp_path) == []
    assert parts(tmp_path) == []
    assert fetch(model, tmp_path).read_bytes() == MODEL


def test_in_a_notebook_the_bar_fills_and_the_model_answers(hub: Hub, tmp_path: Path) -> None:
    gguf = write(tmp_path / "made.gguf", "These words came from the hub.")
    source(hub, "acme/good", "reciter.gguf", gguf.read_bytes())
    env = {"HF_ENDPOINT": hub.url, "MIRADOR_MODELS": str(tmp_path / "models")}
    with kernel(env, "%load_ext mirador_magic") as running:
        cell = running.run("%mirador pull hf:acme/good/reciter.gguf")
        assert cell.status == "ok", cell.error
        size = f"{gguf.stat().st_size / 1e3:.3g} kB"
        assert cell.shown[0]["text/plain"] == f"reciter.gguf  {'█' * 24} 100 % of {size}"
        assert "%%mirador --engine embedded --model reciter" in cell.stdout
        answer = running.run("%%mirador --engine embedded --model reciter\nwhat?")
        assert "These words came from the hub." in answer.shown[0]["text/plain"]
        for line, said in {
            "pull": "UsageError: '' is no source: there are smollm2",
            "pull smolm2": "did you mean smollm2?",
            "pull hf:acme/good/reciter.bin": "is no source: one looks like",
        }.items():
            cell = running.run(f"%mirador {line}")
            assert said in cell.error
            assert "\n" not in cell.error


def test_what_is_whole_already_is_not_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = source(hub, "acme/good")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _disk_full)
        failure(model, tmp_path)
    assert parts(tmp_path) == [SIZE]
    assert fetch(model, tmp_path).read_bytes() == MODEL
    assert len(hub.gets()) == 1


def test_a_new_version_is_not_appended_to_the_old_one(hub: Hub, tmp_path: Path) -> None:
    hub.cut = 1000
    failure(source(hub, "acme/breaks"), tmp_path)
    newer = b"GGUF" + MODEL[:3:-1]
    assert fetch(source(hub, "acme/breaks", data=newer), tmp_path).read_bytes() == newer
    assert [get.range for get in hub.gets()] == [None, None]
    assert parts(tmp_path) == []


def cancelled(hub: Hub, model: Source, folder: Path) -> None:
    """Begins to fetch from a hub that falls silent, and cancels that as the kernel's interrupt does."""

    async def main() -> None:
        arrived = asyncio.Event()

        def tell(progress: Progress) -> None:
            if progress.done >= hub.cut:
                arrived.set()

        task = asyncio.create_task(pull(model, folder, tell))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_cancelled_download_ends_and_goes_on_later(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_TELL_SECONDS", 0.0)
    model = source(hub, "acme/slow")
    hub.cut = 150_000
    cancelled(hub, model, tmp_path)
    hub.wait_for(lambda: hub.gets()[0].ended)
    assert not hub.go.is_set(), "the hub saw the client go, it did not send the rest"
    assert models(tmp_path) == []
    assert parts(tmp_path) == [150_000]

    hub.go.set()
    assert fetch(model, tmp_path).read_bytes() == MODEL
    assert [(get.range, get.sent) for get in hub.gets()] == [
        (None, 150_000),
        ("bytes=150000-", SIZE - 150_000),
    ]


def test_a_server_without_ranges_sends_all_of_it_again(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/breaks")
    hub.cut, hub.ranges = 1000, "ignored"
    failure(model, tmp_path)
    assert fetch(model, tmp_path).read_bytes() == MODEL
    assert [(get.range, get.sent) for get in hub.gets()] == [(None, 1000), ("bytes=1000-", SIZE)]


def test_another_part_than_was_asked_for_is_refused(hub: Hub, tmp_path: Path) -> None:
    model = source(hub, "acme/breaks")
    hub.cut, hub.ranges = 1000, "misplaced"
    failure(model, tmp_path)
    error = failure(model, tmp_path)
    assert error.what == "the hub sent another part of model.gguf than it was asked for"
    assert error.cure == f"remove {tmp_path}/.pull and run it again"


def test_pulls_of_one_file_at_once_do_not_spoil_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = source(hub, "acme/good")
    size, others = pulling._size, threading.Barrier(3)

    def wait_for_the_others(file: Path) -> int | None:
        found = size(file)
        if file.suffix == ".part":
            with contextlib.suppress(threading.BrokenBarrierError):
                others.wait(
                    timeout=0.5
                )  # where nothing keeps them out, all go on from here at once
        return found

    async def main() -> list[Path]:
        return await asyncio.gather(*(pull(model, tmp_path, lambda _: None) for _ in range(3)))

    monkeypatch.setattr(pulling, "_size", wait_for_the_others)
    assert asyncio.run(main()) == [tmp_path / "model.gguf"] * 3
    assert (tmp_path / "model.gguf").read_bytes() == MODEL
    assert parts(tmp_path) == []


def test_without_the_package(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    error = failure(Source("acme/good", "model.gguf"), tmp_path)
    assert str(error) == (
        "the package huggingface_hub is not installed → pip install 'mirador-magic[hub]'"
    )


def _offline(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return os.environ["HF_ENDPOINT"].removeprefix("http://")


def _gone(patch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
    patch.setenv("HF_ENDPOINT", f"http://{host}")
    return host


@pytest.mark.parametrize("cut_off", [_offline, _gone])
def test_a_hub_that_cannot_be_reached(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut_off: Callable[[pytest.MonkeyPatch], str],
) -> None:
    model = source(hub, "acme/good")
    host = cut_off(monkeypatch)
    error = failure(model, tmp_path)
    assert type(error) is EngineUnavailable
    assert str(error).startswith(f"{host} was not reached: ")
    assert error.cure == f"connect, or copy the file by hand into {tmp_path}"

    (tmp_path / "model.gguf").write_bytes(MODEL)
    assert told(model, tmp_path) == [Progress("model.gguf", SIZE, SIZE)]


def test_a_store_that_cannot_be_reached_is_named(hub: Hub, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        host = _gone(patch)
    hub.elsewhere = f"http://{host}"
    error = failure(source(hub, "acme/elsewhere"), tmp_path)
    assert type(error) is EngineUnavailable
    assert str(error).startswith(f"{host} was not reached: ")


def test_an_address_that_is_none(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "no-scheme.invalid")
    error = failure(source(hub, "acme/good"), tmp_path)
    assert type(error) is EngineUnavailable
    assert "no-scheme.invalid" in str(error)


def test_a_hub_that_is_down(hub: Hub, tmp_path: Path) -> None:
    error = failure(source(hub, "acme/down"), tmp_path)
    assert type(error) is EngineUnavailable
    assert str(error).startswith(f"{hub.url} answers with HTTP 503")


def test_a_server_that_is_no_hub(hub: Hub, tmp_path: Path) -> None:
    hub.is_hub = False
    error = failure(source(hub, "acme/good"), tmp_path)
    assert str(error) == f"{hub.url} does not answer like a Hugging Face hub → check HF_ENDPOINT"


def test_a_repo_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    error = failure(Source("acme/missing", "model.gguf"), tmp_path)
    assert type(error) is ModelMissing
    assert error.what == "there is no repo acme/missing on the hub"
    assert error.cure == f"check its page: {hub.url}/acme/missing"


@pytest.mark.parametrize("lists", [True, False])
def test_a_file_that_is_not_there(hub: Hub, tmp_path: Path, lists: bool) -> None:
    for name in ("Qwen3-Q4_K_M.gguf", "Qwen3-Q8_0.gguf", "Qwen3-Q8.json"):
        source(hub, "acme/good", name)
    hub.lists = lists
    error = failure(Source("acme/good", "Qwen3-Q8.gguf"), tmp_path)
    assert type(error) is ModelMissing
    assert error.what == "acme/good has no file Qwen3-Q8.gguf"
    suggestion = "did you mean Qwen3-Q8_0.gguf? " if lists else ""
    assert error.cure == f"{suggestion}All its files: {hub.url}/acme/good/tree/main"


@pytest.mark.parametrize(
    ("repo", "said"),
    [("acme/gated", "is gated"), ("acme/private", "is private, or is not there")],
)
def test_a_repo_that_asks_for_a_login(hub: Hub, tmp_path: Path, repo: str, said: str) -> None:
    error = failure(Source(repo, "model.gguf"), tmp_path)
    assert type(error) is RequestRefused
    assert error.what == f"{repo} {said}"
    assert error.cure == f"ask for access on {hub.url}/{repo}, then: hf auth login"


def test_a_disk_without_room_is_found_out_beforehand(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SimpleNamespace(free=SIZE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    error = failure(source(hub, "acme/good"), tmp_path)
    assert str(error).startswith(f"model.gguf cannot be written to {tmp_path}: no space left")
    assert hub.gets() == []
    room.free = SIZE
    fetch(source(hub, "acme/good"), tmp_path)


def test_a_disk_that_fills_up(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", _disk_full)
    error = failure(source(hub, "acme/good"), tmp_path)
    assert type(error) is EngineError
    assert error.what.endswith("no space left on device")
    assert error.cure == "free some space there, or name another folder: MIRADOR_MODELS"


def _disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_is_none(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = failure(source(hub, "acme/good"), tmp_path / "file")
    assert error.what.endswith("/file: not a directory")


@pytest.mark.parametrize("data", [b"<html>sign in</html>", b"GGU", b""])
def test_a_file_that_is_no_gguf_is_removed(hub: Hub, tmp_path: Path, data: bytes) -> None:
    error = failure(source(hub, "acme/good", data=data), tmp_path)
    assert type(error) is BrokenStream
    assert error.what == "the hub's file is no GGUF file, so it was removed"
    assert parts(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b/c.gguf", Source("a/b", "c.gguf")),
        ("hf:a/b/c/d/e.f.GGUF", Source("a/b", "c/d/e.f.GGUF")),
        (
            "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
            Source("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf"),
        ),
    ],
)
def test_reads_a_source(text: str, expected: Source) -> None:
    assert read_source(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "llama3.2",
        "hf:",
        "hf:a/b",
        "hf:a/b/",
        "hf:a/b/.gguf",
        "hf:a/b/c.bin",
        "hf:a/b/c.gguf.exe",
        "hf:a/b/c.gguf\n",
        "hf:a/c.gguf",
        "a/b/c.gguf",
        "hf:../b/c.gguf",
        "hf:a/../c.gguf",
        "hf:a/b/../c.gguf",
        "hf:a/b/c..gguf",
        "hf:a/b/./c.gguf",
        "hf:a/b//c.gguf",
        "hf:/a/b/c.gguf",
        "hf:a/b/.pull/c.gguf",
        "hf:a/b/c\\d.gguf",
        "hf:a/b/c d.gguf",
        "hf:a/b/c%2fd.gguf",
        "hf:a/b/c?d.gguf",
        "hf:a/b/c#d.gguf",
        "hf:a/b/c:d.gguf",
        "hf:a/b/\x00.gguf",
        "hf:a/b/é.gguf",
        "hf:a--b/c/d.gguf",
        "hf:a/b.git/c.gguf",
        "hf:https://huggingface.co/a/b/c.gguf",
        "https://huggingface.co/a/b/resolve/main/c.gguf",
        f"hf:a/b/{'c' * 300}.gguf",
    ],
)
def test_refuses_what_is_no_source(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_source(text)
    assert "hf:ORG/REPO/FILE.gguf" in raised.value.what
    assert raised.value.cure == "%mirador pull hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"


@given(st.text("ab.-_/\\: ~%\n", max_size=30).map(lambda text: f"hf:{text}.gguf"))
def test_no_source_leads_out_of_the_folder(text: str) -> None:
    try:
        read = read_source(text)
    except UsageError:
        return
    huggingface_hub.utils.validate_repo_id(read.repo)
    folder = Path("/models")
    for name in (read.repo, read.file, Path(read.file).name):
        inside = Path(os.path.normpath(folder / name))
        assert inside.is_relative_to(folder) and inside != folder
        assert not any(part.startswith(".") for part in Path(name).parts)
