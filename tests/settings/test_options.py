"""What Ollama takes, and any option of an engine: read alike in all places, and sent to the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.cli import argv
from mirador_magic.commands import line as lines
from mirador_magic.engines.base import ChatRequest, Message
from mirador_magic.engines.embedded import stream as embedded
from mirador_magic.engines.ollama import chat
from mirador_magic.engines.openai import wire
from mirador_magic.errors import UsageError
from mirador_magic.notebook.magics import MiradorMagics
from mirador_magic.residency import keep_alive
from mirador_magic.settings import settings, written
from mirador_magic.settings.change import changed
from mirador_magic.settings.settings import Settings, layer, of_environment, of_table
from mirador_magic.stages import DEFAULT_STAGES, FOR_EVER, ModelOptions, ModelStage, agree
from tests.cli.test_cli import run
from tests.support.fault_server import ANSWER, FAULTS, FaultServer
from tests.support.kernels import kernel

DEEP = DEFAULT_STAGES[1]


KEPT: Mapping[float, list[object]] = {
    FOR_EVER: ["-1", -1, "-5m", "inf"],
    0.0: ["0", 0, "0s"],
    1800.0: ["30m", "1800", 1800],
    5400.0: ["1h30m", "1.5h"],
    0.5: ["500ms", 0.5],
}


@pytest.mark.parametrize("seconds", KEPT)
def test_how_long_a_model_is_kept_is_read_as_ollama_reads_it(seconds: float) -> None:
    for typed in KEPT[seconds]:
        assert layer({"keep_alive": typed}, "here")["keep_alive"].value == seconds


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keep_alive", "soon"),
        ("keep_alive", "10x"),
        ("keep_alive", "nan"),
        ("keep_alive", True),
        ("think", "much"),
        ("num_ctx", "models"),
        ("num_ctx", "0"),
        ("options.top_k", "many"),
        ("options.min_p", "2"),
        ("options.stop", ""),
        ("options.stop", "[1]"),
        ("options.logit_bias", "{}"),
        ("options.x", float("nan")),
        ("options.temperature", "0.3"),
        ("options.", "1"),
        ("options.top k", "1"),
        ("deep_analysis.options.Ünder", "1"),
        ("option.top_k", "1"),
        ("deep_analysis.engine", "auto"),
        ("top_k", "1"),
    ],
)
def test_what_cannot_be_is_one_line(key: str, value: object) -> None:
    with pytest.raises(UsageError) as raised:
        Settings(layer({key: value}, "here")).stages(DEFAULT_STAGES)
    assert raised.value.cure and "\n" not in str(raised.value)


def test_a_name_that_is_an_option_of_the_engine_is_told_how_to_be_set() -> None:
    with pytest.raises(UsageError, match=r"→ options\.top_k = 40"):
        layer({"top_k": 20}, "here")
    with pytest.raises(UsageError, match=r"an option of the engine is options\.NAME"):
        layer({"mirostat": 2}, "here")
    with pytest.raises(UsageError, match=r"→ write options\.top_k=VALUE"):
        lines.read("--top-k 20 Why?")
    with pytest.raises(UsageError, match=r"→ --set options\.num_gpu=VALUE or"):
        argv.read(["--num-gpu=20", "Why?"])
    with pytest.raises(UsageError, match="→ temperature = VALUE"):
        layer({"options.temperature": 1}, "here")


VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(st.from_regex(r"x[a-z]{0,5}", fullmatch=True), VALUES | st.lists(VALUES)))
def test_any_option_is_the_same_from_a_line_as_from_a_table(given: dict[str, object]) -> None:
    table = layer({"options": given}, "here")
    line = written.read(written.written({key: each.value for key, each in table.items()}))
    typed = {k: "true" if v == "on" else "false" if v == "off" else v for k, v in line.items()}
    assert layer(typed, "here") == table


@given(st.lists(TEXTS, min_size=1))
def test_texts_at_which_it_ends_are_themselves(texts: list[str]) -> None:
    read = layer({"options.stop": json.dumps(texts)}, "here")["options.stop"].value
    assert read == tuple(texts) == layer({"options.stop": texts}, "here")["options.stop"].value
    assert written.read(written.written({"a": read})) == {
        "a": json.dumps(texts, ensure_ascii=False)
    }


@pytest.mark.parametrize("text", ["think", "think=", "=low", "a='b", "a=1 b"])
def test_a_line_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        written.read(text)


def test_a_stronger_place_wins_for_each_option_by_itself() -> None:
    weak = layer({"options": {"top_k": 1, "min_p": 0.1}, "deep_analysis.options.top_k": 2}, "a")
    strong = layer({"options.top_k": 3}, "b")
    more = Settings(weak, strong).stage(DEEP).options.more
    assert more == (("min_p", 0.1), ("top_k", 3))
    assert dict(Settings(weak).stage(DEEP).options.more)["top_k"] == 2
    rows = {row.name: row.value for row in settings.rows(Settings(weak, strong))}
    assert rows["deep_analysis.options.top_k"] == "3"
    assert rows["synthesis.options.min_p"] == "0.1"


def test_the_models_own_context_is_told_and_shared() -> None:
    set_so = Settings(layer({"deep_analysis.num_ctx": "model"}, "here"))
    own = set_so.stage(DEEP)
    assert own.options.num_ctx is None
    other = set_so.stage(DEFAULT_STAGES[0])
    same = [own, replace(other, model=own.model)]
    assert {stage.options.num_ctx for stage in agree(same)} == {None}
    rows = {row.name: row.value for row in settings.rows(set_so)}
    assert rows["deep_analysis.num_ctx"] == "model" and rows["synthesis.num_ctx"] == "4096"


def test_one_can_be_taken_back_and_so_can_all() -> None:
    before = changed({}, {"options": {"top_k": 1, "min_p": 0.5}, "temperature": 1}, "here")
    assert {*changed(before, {"options.top_k": None}, "here")} == {"options.min_p", "temperature"}
    assert {*changed(before, {"options": None}, "here")} == {"temperature"}


def test_how_long_the_warm_up_keeps_is_what_the_stage_says() -> None:
    stages = [Settings(layer({"keep_alive": "-1"}, "a")).stage(DEEP), DEEP]
    assert keep_alive.seconds(stages, 0) == FOR_EVER
    assert keep_alive.seconds(stages, 1) > 0


WISH = ModelOptions(
    num_ctx=None,
    more=(("min_p", 0.1), ("num_gpu", 9), ("num_keep", 5), ("odd", 1), ("stop", ("END", "."))),
)


def test_python_may_give_them_as_a_mapping() -> None:
    given = {"stop": ["END"], "min_p": 0.1}
    made = ModelOptions(more=given)  # type: ignore[arg-type]
    assert made.more == (("min_p", 0.1), ("stop", ("END",))) and hash(made)


ASKED = ChatRequest("m", [Message("user", "Why?")], WISH, "low", keep_alive=60.0)


def test_each_engine_is_sent_what_it_knows_and_says_what_it_does_not() -> None:
    ollama = chat.body(ASKED)
    assert ollama["options"] == dict(WISH.more) and ollama["think"] == "low"
    assert chat.unknown(ASKED) == ["odd"]
    inside = json.loads(embedded.body_of(ASKED))
    assert {"min_p": 0.1, "n_keep": 5, "stop": ["END", "."]}.items() <= inside.items()
    thinks = {"enable_thinking": True, "reasoning_effort": "low"}
    assert inside["chat_template_kwargs"] == thinks
    assert embedded.unknown(ASKED) == {"num_gpu", "odd", "keep_alive"} and "odd" not in inside
    away = wire.body(ASKED)
    assert (away["min_p"], away["odd"], away["reasoning_effort"]) == (0.1, 1, "low")
    assert away["chat_template_kwargs"] == thinks and "num_gpu" not in away
    assert wire.unknown(ASKED) == ["num_gpu", "num_keep"]


# ---- In every place, at the door ----

SET = {"keep_alive": "30m", "think": "low", "num_ctx": "model", "options.top_k": 20}
SET |= {"options.stop": ["END", "\n"], "options.num_gpu": 0}
SENT = {"top_k": 20, "stop": ["END", "\n"], "num_gpu": 0}


def check(body: Mapping[str, Any]) -> None:
    assert (body["keep_alive"], body["think"]) == (1800, "low")
    assert {k: v for k, v in body["options"].items() if k in SENT} == SENT
    assert "num_ctx" not in body["options"]


STOP = r"""options.stop='["END", "\n"]'"""
TYPED = f"--keep-alive 30m --think low --num-ctx model options.top_k=20 {STOP} options.num_gpu=0"
TABLE = """keep_alive = "30m"
think = "low"
num_ctx = "model"
options = { top_k = 20, stop = ["END", "\\n"], num_gpu = 0 }
"""
CALL = repr({**{k: v for k, v in SET.items() if "." not in k}, "options": SENT})
OWN = {key: value for key, value in SET.items() if "." not in key}
CONFIG = [f"%config MiradorMagics.{key} = {value!r}" for key, value in OWN.items()]
LINE = f"think=low num_ctx=model options.top_k=20 {STOP} options.num_gpu=0"
BOARD = f"""
board = mirador_magic.controls()
board.rows['fine'].kept.value = '30m'
board.rows['fine'].more.value = {LINE!r}
"""
FINE = "%mirador --stages fine Why?"
PLACES: Mapping[str, tuple[str, str]] = {  # what is done before, and the question
    "a line": ("", f"%mirador {TYPED} --stages fine Why?"),
    "a stage of one's own": (f"%mirador stage fine --model good {TYPED}", FINE),
    "%config": ("\n".join([*CONFIG, f"%config MiradorMagics.options = {SENT!r}"]), FINE),
    "configure": (f"mirador_magic.configure(**{SET!r})", FINE),
    "a call": ("", f"await mirador_magic.ask('Why?', stages=['fine'], **{CALL})"),
    "the controls": (BOARD, FINE),
}


@pytest.mark.parametrize("place", PLACES)
def test_in_a_notebook_it_is_set_in_every_place_and_sent(place: str) -> None:
    before, asking = PLACES[place]
    with FaultServer({"good": FAULTS["good"]}) as server:
        setup = "import mirador_magic\n%load_ext mirador_magic\n%mirador stage fine --model good"
        with kernel({"OLLAMA_HOST": server.host, "MIRADOR_PRE_WARM": "off"}, setup) as started:
            cell = started.run(before)
            assert cell.status == "ok", cell.error
            cell = started.run(asking)
            assert cell.status == "ok", cell.error
        check(server.chats()[-1].body)


def of_shell(words: list[str], host: str, **environ: str) -> str:
    asking = ["--quiet", "--stages", "quick_response", "--model", "good", *words, "Why?"]
    done = run(*asking, OLLAMA_HOST=host, MIRADOR_ENGINE="ollama", **environ)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize("place", ["options", "environment", "file"])
def test_in_a_shell_it_is_set_in_every_place_and_sent(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    environ: dict[str, str] = {}
    monkeypatch.chdir(tmp_path)
    if place == "options":
        words = ["--keep-alive", "30m", "--think", "low", "--num-ctx", "model"]
        for name, value in SENT.items():
            words += ["--set", f"quick_response.options.{name}={json.dumps(value)}"]
    elif place == "environment":
        environ = {f"MIRADOR_OPTIONS_{k.upper()}": json.dumps(v) for k, v in SENT.items()}
        environ |= {f"MIRADOR_{k.upper()}": str(v) for k, v in SET.items() if "." not in k}
    else:
        (tmp_path / "pyproject.toml").write_text(f"[tool.mirador.stages.quick_response]\n{TABLE}")
    with FaultServer({"good": FAULTS["good"]}) as server:
        assert of_shell(words, server.host, **environ) == f"{ANSWER}\n"
        check(server.chats()[-1].body)


@pytest.mark.parametrize(("typed", "sent"), [("-1", -1), ("0", 0), ("90", 90)])
def test_how_long_it_is_kept_is_sent_with_the_question(typed: str, sent: int) -> None:
    with FaultServer({"good": FAULTS["good"]}) as server:
        of_shell(["--keep-alive", typed], server.host)
        assert server.chats()[-1].body["keep_alive"] == sent
        of_shell([], server.host)
        assert server.chats()[-1].body.get("keep_alive") is None


def test_what_the_engine_does_not_know_is_said() -> None:
    with FaultServer({"good": FAULTS["good"]}) as server:
        environ = {"OLLAMA_HOST": server.host, "MIRADOR_PRE_WARM": "off"}
        with kernel(environ, "%load_ext mirador_magic") as started:
            cell = started.run("%mirador --fast --model good options.topk=20 Why?")
            shown = cell.shown[0]["text/plain"]
            assert "does not know topk → %mirador settings tells where it is set" in shown
            cell = started.run("%mirador --fast --model good options.top_k=20 Why?")
            assert "does not know" not in cell.shown[0]["text/plain"]
        assert [each.body["options"].get("topk") for each in server.chats()][-2:] == [20, None]


def test_a_variable_that_is_close_to_another_is_told_but_for_options() -> None:
    assert of_environment({"MIRADOR_OPTIONS_TOP_K": "20"})["options.top_k"].value == 20
    with pytest.raises(UsageError, match="MIRADOR_THINK"):
        of_environment({"MIRADOR_THINKS": "on"})


def test_a_table_may_hold_a_table_of_options() -> None:
    table: Callable[[Mapping[str, Any]], Any] = lambda given: {
        key: each.value for key, each in of_table(given, "a file").items()
    }
    given = {"options": {"top_k": 1}, "stages": {"a": {"model": "m", "options": {"min_p": 0.5}}}}
    assert table(given) == {"options.top_k": 1, "a.model": "m", "a.options.min_p": 0.5}


@pytest.mark.parametrize("key", ["temperature", "top_p", "seed", "num_ctx"])
def test_a_wish_is_taken_back_by_leaving_it_to_the_model(key: str) -> None:
    own = ModelStage("s", "m", 0.5, 1.0, "", ModelOptions(0.1, 0.9, 100, 4096, 7))
    found = Settings(layer({f"s.{key}": "model"}, "here")).stage(own)
    assert getattr(found.options, key) is None
    kept = {"temperature", "top_p", "num_predict", "num_ctx", "seed"} - {key}
    assert all(getattr(found.options, name) is not None for name in kept)


def test_configs_own_list_names_no_private_class() -> None:
    told = MiradorMagics.class_get_help()
    assert "MiradorMagics.temperature=<Setting>" in told and "<_" not in told
