"""No secret of an endpoint is anywhere but in the requests to it, whatever the endpoint says back.

The loopback server knows the secrets and repeats them wherever a server can: in refusals, inside a
stream, in what cannot be read. Then everything that Mirador made is searched for them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from mirador_magic.engines.base import ChatRequest, Engine, Message
from mirador_magic.engines.by_endpoint import ByEndpoint, Endpoints, Part
from mirador_magic.engines.endpoints import Endpoint, secrets_of
from mirador_magic.engines.openai.engine import OpenAICompatibleEngine
from mirador_magic.engines.openai.errors import Faults
from mirador_magic.engines.openai.wire import Refusal, Told
from mirador_magic.errors import EngineUnavailable, MiradorError
from mirador_magic.stages import ModelOptions
from tests.support.fault_server import Behaviour, Raw, Refuse, Say
from tests.support.openai_server import ANSWER, FAULTS, PARTIAL, OpenAIServer, error
from tests.support.patience import PATIENCE

KEY = "sk-the-clusters-own-0123456789"
TEAM = "team-token-9876543210"
LITERAL = "written-in-the-file-13579"
SECRETS = (KEY, TEAM, LITERAL)
ENVIRON = {"CLUSTER_KEY": KEY, "TEAM_TOKEN": TEAM, "OTHER_TOKEN": LITERAL}

_ALL = " and ".join(SECRETS)
LOUD: dict[str, Behaviour] = {
    "loud_401": (Refuse(401, error(f"Incorrect API key provided: {_ALL}")),),
    "loud_403": (Refuse(403, error(f"{_ALL} may not")),),
    "loud_404": (Refuse(404, error(f"the model was not found for {_ALL}")),),
    "loud_429": (Refuse(429, error(f"too many of {_ALL}"), {"Retry-After": "99"}),),
    "loud_500": (Refuse(500, f"Traceback: headers were {_ALL}"),),
    "loud_stream": (Say(PARTIAL), Raw(f"data: {error(_ALL)}\n\n".encode())),
    "loud_bytes": (Say(PARTIAL), Raw(f"data: {{{_ALL}\n\n".encode())),
    "loud_whole": (Refuse(200, json.dumps({"said": _ALL})),),
}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer({**FAULTS, **LOUD}, key=KEY) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def guarded(server: OpenAIServer) -> Endpoint:
    headers = {"X-Team": "$TEAM_TOKEN", "X-Other": LITERAL}
    return server.endpoint(api_key_env="CLUSTER_KEY", headers=headers)


def found_in(text: str) -> list[str]:
    """The secrets that stand in the text, or a part of one that would do."""
    return [secret for secret in SECRETS if secret in text or secret[:16] in text]


def told(error: BaseException) -> str:
    """All that can be had of an error: its words, its traceback, and the errors beneath it."""
    parts = ["".join(traceback.format_exception(error)), repr(error.__dict__)]
    link: BaseException | None = error
    while link:
        parts += [repr(link), str(link), repr(link.args)]
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


async def _nowhere() -> Engine:
    raise EngineUnavailable("nothing runs at home")


def test_no_repr_log_or_error_holds_a_secret(
    server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each fault in turn, with the logs of the SDK and of what is under it at their loudest."""
    caplog.set_level(logging.DEBUG)
    part = Part(guarded(server))
    own = part.engine = OpenAICompatibleEngine(part.endpoint, sleep=_at_once)
    engine, endpoints = ByEndpoint({"cluster": part}, _nowhere), Endpoints({"c": part.endpoint})
    models = [*(name for name in FAULTS if "hangs" not in name), *LOUD]
    errors: dict[str, MiradorError] = {}

    async def ask(model: str) -> None:
        request = ChatRequest(f"cluster/{model}", [Message("user", "Why?")], ModelOptions())
        try:
            async with aclosing(engine.stream(request)) as chunks:
                async for _ in chunks:
                    pass
        except MiradorError as error:
            errors[model] = error

    async def main() -> list[str]:
        for model in models:
            await ask(model)
        looks = await endpoints.look()
        made: list[object] = [
            part,
            engine,
            part.endpoint,
            endpoints,
            looks,
            engine.key,
            engine.label,
        ]
        text = "\n".join([*map(repr, made), *map(str, made), repr(own), repr(vars(own))])
        await endpoints.aclose()
        await engine.aclose()
        return found_in(text)

    assert asyncio.run(main()) == []
    sent = server.headers[0]
    assert sent["authorization"] == f"Bearer {KEY}"
    assert (sent["x-team"], sent["x-other"]) == (TEAM, LITERAL)
    assert set(errors) == set(models) - set(WELL)
    assert [name for name, error in errors.items() if found_in(told(error))] == []
    records = [f"{record.__dict__!r} {record.getMessage()}" for record in caplog.records]
    assert {record.name.partition(".")[0] for record in caplog.records} >= {
        "openai",
        "mirador_magic",
    }
    assert found_in("\n".join(records)) == []


WELL = ("good", "paced", "limited", "thoughtful", "undone", "commented", "unfinished")


async def _at_once(seconds: float) -> None:
    """No time passes."""


def test_what_holds_the_secrets_shows_none(server: OpenAIServer) -> None:
    endpoint = guarded(server)
    secrets = secrets_of(endpoint)
    assert secrets.key == KEY and secrets.headers["X-Team"] == TEAM
    shown = f"{secrets!r} {secrets} {Faults(endpoint, secrets)!r} {endpoint!r}"
    assert found_in(shown) == []
    assert KEY not in str(dataclasses.asdict(endpoint))  # it is read where it is asked for
    assert found_in(secrets.hidden(f"{_ALL}, again {KEY}")) == []
    elsewhere = Refusal(Told(308, f"https://h/{KEY}/v1/chat/completions"))
    assert found_in(told(Faults(endpoint, secrets).of(elsewhere, "m").error)) == []


SETUP = """
import logging
logging.basicConfig(filename="everything.log", level=logging.DEBUG, force=True)
%load_ext mirador_magic"""
SEARCH = """
from mirador_magic.session import session
s = session.current()
print(repr(s.__dict__), s.endpoints().known, s.last, [vars(answer) for answer in s.asked])
await s.aclose()"""
CELLS = [
    SETUP,
    "%%mirador --stages good\nWhy is the sky blue?",
    *(f"%%mirador --stages {name}\nWhy is the sky blue?" for name in LOUD),
    "%mirador endpoints",
    "%mirador settings",
    "%mirador doctor",
    "%mirador controls",
    "%mirador metrics",
    "%mirador history",
    SEARCH,
]


def test_no_notebook_log_widget_or_store_holds_a_secret(
    server: OpenAIServer, tmp_path: Path
) -> None:
    """A notebook that asks, fails in every loud way, lists, examines and measures; then every byte
    that is on the disk."""
    data, work = tmp_path / "data", tmp_path / "work"
    work.mkdir()
    stages = "".join(
        f'[tool.mirador.stages.{name}]\nmodel = "cluster/{name}"\n' for name in ("good", *LOUD)
    )
    (work / "pyproject.toml").write_text(f"""
[tool.mirador]
engine = "scripted"
keep_texts = true
{stages}
[tool.mirador.endpoints.cluster]
base_url = "{server.base_url}"
api_key_env = "CLUSTER_KEY"
headers = {{ "X-Team" = "$TEAM_TOKEN", "X-Other" = "$OTHER_TOKEN" }}
""")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(
        notebook,
        timeout=PATIENCE,
        kernel_name="python3",
        allow_errors=True,
        store_widget_state=True,
    )
    client.resources = {"metadata": {"path": str(work)}}
    client.execute(env={**os.environ, **ENVIRON, "XDG_DATA_HOME": str(data)})
    written = io.StringIO()
    nbformat.write(notebook, written)
    saved = written.getvalue()
    assert ANSWER in saved and "does not take the key" in saved and "reachable, " in saved
    assert "sqlite" in "".join(p.suffix for p in data.rglob("*")) or list(data.rglob("*.db"))
    assert notebook.metadata.widgets  # the board's state
    files = {str(file): file.read_bytes().decode(errors="replace") for file in _files(tmp_path)}
    assert any("HTTP" in text for name, text in files.items() if name.endswith(".log"))
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    leaks = {name for name, text in (files | {"the notebook": saved}).items() if found_in(text)}
    assert leaks == set()


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
