"""The embedded engine against llama.cpp itself, and against stand-ins of it that misbehave."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from mirador_magic.engines.base import ChatRequest, Chunk, Engine, Message, ModelInfo
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.embedded.stream import paced
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    PromptTooLong,
    RequestRefused,
)
from mirador_magic.events import StreamEnd
from mirador_magic.session.engine_choice import Engines
from mirador_magic.settings.settings import Settings, of_environment
from mirador_magic.stages import ModelOptions
from tests.support import reciting_gguf, virtual_time
from tests.support.patience import PATIENCE
from tests.support.reciting_gguf import CHAT_TEMPLATE

SAID = "Größe zählt:\u0085 a new line\u2028and\u2029 others – 𝄞\x1c\x1d end.\r\nSecond\tline."
ENDLESS = reciting_gguf.Shape(width=512, layers=6, heads=8, feed_forward=2048)
"""About 100 tokens a second: a context of 8192 lasts longer than any test waits."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets there")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models: `recites` is short, `talks` has 200 words, `endless` never ends."""
    folder = tmp_path_factory.mktemp("gguf")
    words = [f" w{number}" for number in range(200)]
    reciting_gguf.write(folder / "recites.gguf", SAID)
    reciting_gguf.write(folder / "talks.gguf", words)
    reciting_gguf.write(folder / "endless.gguf", words, shape=ENDLESS, loop=True)
    return folder


@pytest.fixture(autouse=True)
def temp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Temporary folders go here, and after each test no child, folder or open file is left."""
    temp = tmp_path_factory.mktemp("t")
    files = psutil.Process().num_fds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temp))
        patch.setenv("TMPDIR", str(temp))
        yield temp
    assert children() == []
    assert os.listdir(temp) == []
    assert psutil.Process().num_fds() == files


def children(parent: int | None = None) -> list[psutil.Process]:
    """The child processes of this one (or of that one) that are an embedded engine's."""
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.ZombieProcess):  # killed, and not yet buried
            found += [child] if any("embedded/child.py" in arg for arg in child.cmdline()) else []
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for it; another process is at work."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # an orphan whom no init has buried
    except psutil.NoSuchProcess:
        return True


def request(model: str, text: str = "Why?", **options: float | None) -> ChatRequest:
    asked = ModelOptions(**options)  # type: ignore[arg-type]
    return ChatRequest(model, [Message("system", "Be brief."), Message("user", text)], asked)


async def ask(engine: Engine, model: str, text: str = "Why?", **options: float | None) -> str:
    """The whole text of an answer."""
    return (await hear(engine, request(model, text, **options)))[0]


async def hear(engine: Engine, asked: ChatRequest) -> tuple[str, StreamEnd]:
    chunks = []
    async with aclosing(engine.stream(asked)) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    end = chunks.pop().end
    assert end and not any(chunk.end for chunk in chunks)
    return "".join(chunk.text for chunk in chunks), end


def play(folder: Path, scene: Callable[[EmbeddedEngine], Awaitable[None]]) -> None:
    """Run a scene with an engine, and close it."""

    async def whole() -> None:
        async with aclosing(EmbeddedEngine(folder)) as engine:
            await scene(engine)

    asyncio.run(whole())


def failure(folder: Path, model: str) -> EngineError:
    """The error of asking this model; one line that ends with a cure."""

    async def scene(engine: EmbeddedEngine) -> None:
        await ask(engine, model)

    with pytest.raises(EngineError) as raised:
        play(folder, scene)
    assert "\n" not in str(raised.value)
    assert raised.value.cure
    return raised.value


# ── what it says ─────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_exact_and_counted(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        text, end = await hear(engine, request("recites"))
        assert text == SAID
        assert end.reason == "stop"
        assert end.prompt_tokens and end.prompt_tokens > 20
        assert end.output_tokens == len(reciting_gguf.split(SAID)) + 1
        assert end.load_s and end.prefill_s and end.decode_s
        assert not end.prompt_cut
        _, again = await hear(engine, request("recites"))
        assert again.load_s is not None and again.load_s < end.load_s
        assert again.prompt_tokens == end.prompt_tokens

    play(folder, scene)


def test_num_predict_ends_it_by_length(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        text, end = await hear(engine, request("talks", num_predict=3))
        assert (text, end.reason, end.output_tokens) == (" w0 w1 w2", "length", 3)

    play(folder, scene)


def test_options_are_passed_on_and_a_lone_surrogate_is_no_error(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        told = request("talks", "\udcff?", temperature=0.2, top_p=0.9, seed=7, num_predict=1)
        assert (await hear(engine, told))[0] == " w0"

    play(folder, scene)


def test_a_prompt_that_does_not_fit(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        with pytest.raises(PromptTooLong, match=r"has \d{4} tokens.* room for 512 → .*num_ctx"):
            await ask(engine, "recites", "x" * 2000, num_ctx=512)
        assert await ask(engine, "recites", num_ctx=512) == SAID

    play(folder, scene)


def test_a_request_that_the_server_refuses(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        with pytest.raises(RequestRefused, match="refuses this"):
            await ask(engine, "recites", temperature="hot")  # type: ignore[arg-type]

    play(folder, scene)


# ── models ───────────────────────────────────────────────────────────────────────────────────────


def test_models_are_the_files_of_the_folder(folder: Path, tmp_path: Path) -> None:
    sizes = {path.stem: path.stat().st_size for path in folder.iterdir()}

    async def scene(engine: EmbeddedEngine) -> None:
        kept: Engine = engine
        *own, packaged = await kept.models()
        assert own == [ModelInfo(name, sizes[name]) for name in sorted(sizes)]
        assert packaged == ModelInfo("smollm2", SMOLLM2.size or 0, spare=True)
        assert await kept.resident() == []
        assert kept.label == "embedded llama.cpp"
        await kept.probe()
        await kept.load(ChatRequest("recites", [], ModelOptions()))
        (resident,) = await kept.resident()
        assert resident.name == "recites" and resident.size > sizes["recites"]
        assert await EmbeddedEngine(tmp_path / "none").models() == [packaged]

    play(folder, scene)


def test_the_folder_comes_from_the_settings(folder: Path) -> None:
    engines = Engines()

    def engine(environ: dict[str, str]) -> EmbeddedEngine:
        made = engines.named("embedded", Settings(of_environment(environ)))
        assert isinstance(made, EmbeddedEngine)
        return made

    own = engine({"MIRADOR_MODELS": str(folder), "MIRADOR_PACE": "30"})
    assert (own.folder, own.pace) == (folder, 30.0)
    assert engine({}).folder == Path(os.environ["XDG_DATA_HOME"]) / "mirador" / "models"
    assert engine({"MIRADOR_MODELS": str(folder), "MIRADOR_PACE": "30"}) is own


def test_a_model_may_be_a_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        assert await ask(engine, str(folder / "recites.gguf")) == SAID
        monkeypatch.chdir(folder)
        assert await ask(engine, "recites.gguf") == SAID
        assert len(children()) == 1

    play(tmp_path, scene)


def test_what_is_not_there_or_no_model(folder: Path, tmp_path: Path) -> None:
    missing = failure(folder, "gemma2:9b")
    assert isinstance(missing, ModelMissing)
    assert missing.what == f"there is no model gemma2:9b in {folder}"
    assert "--model path" in missing.cure
    assert isinstance(failure(folder, "some/where.gguf"), ModelMissing)
    (tmp_path / "web.gguf").write_text("<html>not found</html>")
    assert "is not a GGUF file: it begins with b'<htm'" in str(failure(tmp_path, "web"))


TEMPLATES = {
    "{% for m in messages %}{{ m.content }}": "Unexpected token type",
    "{{ messages | nosuch }}": "Unknown (built-in) filter 'nosuch' for type Array",
    "{{ raise_exception('No roles!') }}": "Jinja Exception: No roles!",
}


def test_llama_cpp_says_why_a_file_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "recites.gguf").read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "odd.gguf").write_bytes(whole.replace(b"llama", b"lxama"))
    (tmp_path / "seven.gguf").write_bytes(whole[:4] + b"\x07" + whole[5:])
    assert "corrupted or incomplete" in str(failure(tmp_path, "half"))
    assert "odd cannot be loaded: unknown model architecture: 'lxama'" in str(
        failure(tmp_path, "odd")
    )
    assert "version 7" in str(failure(tmp_path, "seven"))
    room = len(CHAT_TEMPLATE.encode())
    for template, why in TEMPLATES.items():
        other = template.encode().ljust(room)
        (tmp_path / "other.gguf").write_bytes(whole.replace(CHAT_TEMPLATE.encode(), other))
        refused = failure(tmp_path, "other")
        assert refused.what == f"llama.cpp does not take the chat template in other: {why}"
        assert "--model path.gguf" in refused.cure and "anew" not in refused.cure

    async def two_at_once(engine: EmbeddedEngine) -> None:
        errors = await asyncio.gather(
            ask(engine, "half"), ask(engine, "half"), return_exceptions=True
        )
        assert ["corrupted" in str(error) for error in errors] == [True, True]

    play(tmp_path, two_at_once)


# ── processes ────────────────────────────────────────────────────────────────────────────────────


def test_no_port_is_open_and_the_socket_is_the_users_alone(folder: Path, temp: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        await ask(engine, "recites")
        (child,) = children()
        assert child.net_connections("inet") == []
        (private,) = os.listdir(temp)
        (socket,) = os.listdir(temp / private)
        mode = os.stat(temp / private / socket).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(os.stat(temp / private).st_mode) == 0o700
        assert os.getpgid(child.pid) != os.getpgid(0)  # where the notebook's interrupt goes

    play(folder, scene)


def test_two_streams_at_once_share_a_child(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        texts = await asyncio.gather(*(ask(engine, "talks") for _ in range(2)))
        assert [text.split()[-1] for text in texts] == ["w199", "w199"]
        assert len(children()) == 1

    play(folder, scene)


def test_two_models_have_two_children(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        await asyncio.gather(ask(engine, "talks"), ask(engine, "recites"))
        assert {model.name for model in await engine.resident()} == {"talks", "recites"}
        assert len(children()) == 2

    play(folder, scene)


def test_another_context_replaces_the_child_after_its_last_stream(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        async with aclosing(engine.stream(request("endless", num_ctx=8192))) as stream:
            await anext(stream)
            assert await ask(engine, "endless", num_ctx=1024, num_predict=2) == " w0 w1"
            assert (await anext(stream)).text == " w1"
            assert len(children()) == 2
        (child,) = children()
        assert '"num_ctx": 1024' in child.cmdline()[-1]
        await engine.load(ChatRequest("endless", [], ModelOptions(num_ctx=512)))
        assert child.pid not in [each.pid for each in children()]

    play(folder, scene)


def test_a_child_outlives_the_event_loop(folder: Path) -> None:
    engine = EmbeddedEngine(folder)
    assert asyncio.run(ask(engine, "recites")) == SAID
    (child,) = children()
    assert asyncio.run(ask(engine, "recites")) == SAID
    texts: list[str] = []
    other = threading.Thread(target=lambda: texts.append(asyncio.run(ask(engine, "recites"))))
    other.start()
    other.join()
    assert texts == [SAID]
    assert [each.pid for each in children()] == [child.pid]
    asyncio.run(engine.aclose())
    assert children() == []
    assert asyncio.run(ask(engine, "recites")) == SAID
    asyncio.run(engine.aclose())


def test_a_forgotten_engine_leaves_nothing(folder: Path) -> None:
    engine = EmbeddedEngine(folder)
    asyncio.run(ask(engine, "recites"))
    assert len(children()) == 1
    del engine
    assert children() == []


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_an_answer_that_is_cut_short_ends_at_the_source(folder: Path, how: str) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        heard = asyncio.Event()

        async def listen() -> None:
            async with aclosing(engine.stream(request("endless", num_ctx=8192))) as stream:
                async for _ in stream:
                    if heard.is_set() and how == "closed":
                        break
                    heard.set()

        task = asyncio.create_task(listen())
        await heard.wait()
        if how == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(PATIENCE):
            assert await ask(engine, "endless", num_ctx=8192, num_predict=3) == " w0 w1 w2"

    play(folder, scene)


def test_a_child_that_dies_in_mid_answer(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        heard: list[Chunk] = []
        with pytest.raises(EngineLost, match="killed by SIGKILL.* → .*next question"):
            async with aclosing(engine.stream(request("endless"))) as stream:
                async for chunk in stream:
                    heard.append(chunk)
                    for child in children():
                        child.kill()
        assert heard[0].text == " w0"
        assert await ask(engine, "endless", num_predict=2) == " w0 w1"

    play(folder, scene)


def test_a_pace_is_kept_and_never_made_up_for() -> None:
    async def answer() -> AsyncGenerator[Chunk, None]:
        for word in "abcd":
            await asyncio.sleep(1.0 if word == "c" else 0.0)
            yield Chunk(text=word)

    async def times() -> list[tuple[str, float]]:
        return [(chunk.text, virtual_time.now()) async for chunk in paced(answer(), 4)]

    assert virtual_time.run(times()) == [("a", 0), ("b", 0.25), ("c", 1.25), ("d", 1.5)]


def test_leaving_a_paced_answer_ends_it_at_once() -> None:
    ended = []

    async def answer() -> AsyncGenerator[Chunk, None]:
        try:
            while True:
                yield Chunk(text="on ")
        finally:
            ended.append(virtual_time.now())

    async def leave() -> None:
        async with aclosing(paced(answer(), 2)) as chunks:
            await anext(chunks)
            await anext(chunks)

    virtual_time.run(leave())
    assert ended == [0.5]


def test_closing_it_in_mid_answer_says_so(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        async with aclosing(engine.stream(request("endless"))) as stream:
            await anext(stream)
            with pytest.raises(EngineLost, match="was closed"):
                await asyncio.gather(engine.aclose(), exhaust(stream))

    play(folder, scene)


async def exhaust(stream: AsyncGenerator[Chunk, None]) -> None:
    async for _ in stream:
        pass


def test_a_child_that_died_unseen_is_started_anew(folder: Path) -> None:
    async def scene(engine: EmbeddedEngine) -> None:
        await engine.load(ChatRequest("recites", [], ModelOptions()))
        (child,) = children()
        child.kill()
        await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert await engine.resident() == []
        assert await ask(engine, "recites") == SAID

    play(folder, scene)


# ── the parent's end ─────────────────────────────────────────────────────────────────────────────

PARENT = """
import asyncio, os, sys
from pathlib import Path
from mirador_magic.engines.base import ChatRequest
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.stages import ModelOptions

folder, how = sys.argv[1:]
engine = EmbeddedEngine(Path(folder))
asyncio.run(engine.load(ChatRequest("recites", [], ModelOptions())))
fork = os.fork() if how.startswith("fork") else None
if fork == 0 and how == "fork waits":
    sys.stdin.read()
if fork == 0:
    sys.exit()
if how == "fork exits":
    os.waitpid(fork, 0)
print("ready", flush=True)
if how != "exits":
    sys.stdin.read()
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", ["alone", "fork waits", "fork exits"])
def test_the_child_is_gone_after_its_parents_kill(folder: Path, temp: Path, how: str) -> None:
    with start(PARENT, folder, how) as parent:
        assert parent.stdout and parent.stdout.readline() == "ready\n"
        (child,) = children(parent.pid)  # a fork that went away has not taken it along
        parent.kill()
        until(lambda: is_gone(child))
        assert os.listdir(temp) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it goes once it has loaded")
def test_the_child_is_gone_though_its_parent_is_killed_while_it_loads(
    folder: Path, temp: Path, tmp_path: Path, stand_in: Callable[..., None]
) -> None:
    sign = tmp_path / "loading"
    stand_in(
        server=f"""
import ctypes, pathlib
pathlib.Path({str(sign)!r}).touch()
ctypes.PyDLL(None).sleep(600)  # holds the GIL, as llama.cpp does
"""
    )
    with start(PARENT, folder, "alone") as parent:
        until(sign.exists)
        (child,) = children(parent.pid)
        parent.kill()
        until(lambda: is_gone(child))
    for empty in temp.iterdir():
        empty.rmdir()


def test_an_exit_leaves_nothing(folder: Path, temp: Path) -> None:
    with start(PARENT, folder, "exits") as parent:
        assert parent.communicate()[0] == "ready\n"
    assert os.listdir(temp) == []  # and the folder is removed after the child is buried


NESTED = """
import asyncio, sys
from pathlib import Path
import {nest} as nest
from mirador_magic.engines.base import (ChatRequest, Message)
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.stages import ModelOptions

async def ask():
    request = ChatRequest("recites", [Message("user", "Why?")], ModelOptions())
    return "".join([chunk.text async for chunk in engine.stream(request)])

async def cell():
    return asyncio.get_running_loop().run_until_complete(ask())

engine = EmbeddedEngine(Path(sys.argv[1]))
nest.apply()
loop = asyncio.new_event_loop()
nest.apply(loop)
print(ascii(loop.run_until_complete(cell()) + loop.run_until_complete(cell())))
loop.run_until_complete(engine.aclose())
loop.close()
"""


@pytest.mark.parametrize("nest", ["nest_asyncio", "nest_asyncio2"])
def test_it_answers_on_a_nested_loop(folder: Path, nest: str) -> None:
    with start(NESTED.format(nest=nest), folder) as parent:
        assert parent.communicate()[0] == f"{SAID + SAID!a}\n"
    assert parent.returncode == 0


# ── stand-ins for xllamacpp ──────────────────────────────────────────────────────────────────────

STAND_IN = """
import os, signal, socket, sys, threading
from types import SimpleNamespace

{module}

def CommonParams():
    threads = SimpleNamespace
    return SimpleNamespace(model=threads(), cpuparams=threads(), cpuparams_batch=threads())

def serve(listening, answer):
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as asked:
            length = 0
            while (line := asked.readline().lower()).strip():
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            asked.read(length)
            connection.sendall(answer)

class Server:
    def __init__(self, params):
        exec({server!r}, globals() | {{"params": params}})

def answer_always(params, answer):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(params.hostnames[0])
    listening.listen()
    threading.Thread(target=serve, args=(listening, answer), daemon=True).start()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a module on the path, before the true xllamacpp, that does something else."""

    def write(module: str = "", server: str = "") -> None:
        (tmp_path / "xllamacpp.py").write_text(STAND_IN.format(module=module, server=server))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.getcwd()}")

    return write


def test_a_missing_libgomp(folder: Path, stand_in: Callable[..., None]) -> None:
    reason = "libgomp.so.1: cannot open shared object file: No such file or directory"
    stand_in(module=f"raise ImportError({reason!r}, name='xllamacpp')")  # as it is raised
    error = failure(folder, "recites")
    assert isinstance(error, EngineUnavailable)
    assert reason in error.what
    assert error.cure == "with Debian or Ubuntu: apt-get install libgomp1"


@pytest.mark.parametrize("when", ["module", "server"])
def test_a_cpu_that_is_too_old(folder: Path, stand_in: Callable[..., None], when: str) -> None:
    stand_in(**{when: "os.kill(os.getpid(), signal.SIGILL)"})
    error = failure(folder, "recites")
    assert isinstance(error, EngineUnavailable)
    assert "this CPU lacks" in error.what and "AVX2" in error.what
    assert "Ollama" in error.cure


def test_a_cpu_that_is_too_old_shows_at_the_first_question(
    folder: Path, stand_in: Callable[..., None]
) -> None:
    stand_in(
        server="""
def serve(listening, answer):
    listening.accept()[0].close()  # the question whether it is there
    listening.accept()
    os.kill(os.getpid(), signal.SIGILL)
answer_always.__globals__["serve"] = serve
answer_always(params, b"")
"""
    )
    assert "this CPU lacks" in str(failure(folder, "recites"))


def test_xllamacpp_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = [entry for entry in sys.path if not (Path(entry) / "xllamacpp").exists()]
    monkeypatch.setattr(sys, "path", elsewhere)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    error = failure(folder, "recites")
    assert isinstance(error, EngineUnavailable)
    assert str(error) == "xllamacpp is not installed → pip install xllamacpp"
    with pytest.raises(EngineUnavailable, match="pip install xllamacpp"):
        asyncio.run(EmbeddedEngine(folder).probe())


def test_windows_is_told_of_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EngineUnavailable, match=r"unix sockets.* → use Ollama"):
        asyncio.run(EmbeddedEngine().probe())


@pytest.mark.parametrize(
    ("module", "server", "told"),
    [
        ("raise ImportError('no such symbol')", "", "cannot be imported: no such symbol"),
        ("raise KeyError('odd')", "", "exit status 1. KeyError: 'odd'"),
        ("", "raise RuntimeError('out of luck')", "cannot be loaded: RuntimeError: out of luck"),
        ("", "params.no_such.thing", "cannot be loaded: AttributeError"),
        (
            "",
            "os.kill(os.getpid(), signal.SIGKILL)",
            "killed by SIGKILL, by somebody or by a system",
        ),
        ("", "os._exit(3)", "exit status 3"),
    ],
)
def test_whatever_else_keeps_it_from_starting(
    folder: Path, stand_in: Callable[..., None], module: str, server: str, told: str
) -> None:
    stand_in(module=module, server=server)
    assert told in str(failure(folder, "recites"))


TOLD_LATE = """
def tell():
    threading.main_thread().join()
    print("0.00.001 E llama_model_load: error loading model: out of luck", file=sys.stderr)

threading.Thread(target=tell).start()
raise RuntimeError("Failed to init server")
"""


def test_a_reason_that_a_thread_tells_last_is_heard(
    folder: Path, stand_in: Callable[..., None]
) -> None:
    """As llama.cpp's logging does it beside a busy machine."""
    stand_in(server=TOLD_LATE)
    assert "recites cannot be loaded: out of luck" in str(failure(folder, "recites"))


def test_a_cancelled_start_leaves_no_orphan(
    folder: Path, tmp_path: Path, temp: Path, stand_in: Callable[..., None]
) -> None:
    sign = tmp_path / "loading"
    stand_in(server=f"open({str(sign)!r}, 'w').close(); threading.Event().wait()")

    async def scene(engine: EmbeddedEngine) -> None:
        first, second = (asyncio.create_task(ask(engine, "recites")) for _ in range(2))
        await asyncio.to_thread(until, sign.exists)
        first.cancel()
        await asyncio.wait([first])
        assert len(children()) == 1  # the second still waits for it
        second.cancel()
        await asyncio.wait([second])
        assert children() == []
        assert os.listdir(temp) == []

    play(folder, scene)


def test_closing_it_while_it_loads_says_so(
    folder: Path, tmp_path: Path, stand_in: Callable[..., None]
) -> None:
    sign = tmp_path / "loading"
    stand_in(server=f"open({str(sign)!r}, 'w').close(); threading.Event().wait()")

    async def scene(engine: EmbeddedEngine) -> None:
        asked = [asyncio.create_task(ask(engine, "recites")) for _ in range(2)]
        await asyncio.to_thread(until, sign.exists)
        await engine.aclose()
        for task in asked:
            with pytest.raises(EngineLost, match="was closed"):
                await task

    play(folder, scene)


def sse(*events: object) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in events]
    return head + b"".join(b"data: " + line + b"\n\n" for line in lines)


def delta(finish_reason: str | None = None, **delta: str | None) -> dict[str, object]:
    return {"choices": [{"finish_reason": finish_reason, "index": 0, "delta": delta}]}


def test_thinking_is_told_apart(folder: Path, stand_in: Callable[..., None]) -> None:
    answer = sse(
        delta(role="assistant", content=None),
        delta(reasoning_content="Hm."),
        delta(content="Yes."),
        delta("stop"),
        b"[DONE]",
    )
    stand_in(server=f"answer_always(params, b': ping\\n' and {answer!r})")

    async def scene(engine: EmbeddedEngine) -> None:
        async with aclosing(engine.stream(request("recites"))) as stream:
            heard = [chunk async for chunk in stream]
        assert heard[:2] == [Chunk(thinking="Hm."), Chunk(text="Yes.")]
        assert heard[2].end and heard[2].end.output_tokens is None

    play(folder, scene)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (sse(delta(content="Yes"), b"{broken"), BrokenStream, "cannot be read"),
        (sse(delta(content="Yes"), b'"\xff"'), BrokenStream, "cannot be read"),
        (sse(delta(content="Yes"), [1]), BrokenStream, "cannot be read"),
        (sse(delta(content="Yes"), {"choices": None}), BrokenStream, "cannot be read"),
        (sse(delta(content="Yes")), BrokenStream, "ended before the answer"),
        (sse(delta(content="Yes"), b"[DONE]"), BrokenStream, "ended before the answer"),
        (sse(delta(content="Yes"))[:-9], BrokenStream, "ended before the answer"),
        (sse({"error": {"type": "x", "message": "no luck"}}), RequestRefused, "no luck"),
        (b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n<oh>", RequestRefused, "<oh>"),
        (b"", BrokenStream, "hung up"),
        (b"nonsense\n", BrokenStream, "hung up"),
    ],
)
def test_a_stream_that_breaks(
    folder: Path,
    stand_in: Callable[..., None],
    answer: bytes,
    kind: type[EngineError],
    told: str,
) -> None:
    stand_in(server=f"answer_always(params, {answer!r})")
    error = failure(folder, "recites")
    assert isinstance(error, kind) and told in error.what
