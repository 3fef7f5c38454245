"""What is remembered of the machine, in a file that anything may happen to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.residency.history import Effect, History

TABLES = ("load e", "fit e", "load", "load e x")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("x", "a b", *TABLES)), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_what_is_remembered_is_there_for_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.json"
    one = History(file)
    one.loaded("e", "x:latest", 2.12345)
    one.fitted("e", ["a:latest", "b"], True)
    one.took_effect("e", ["a", "b"], "load", Effect(30.0, 0.9, 0.2, 0.5))
    other = History(file)
    assert other.load_seconds("e", "x") == 2.123
    assert other.fit("e", ["a", "b:latest"]) is True
    assert other.effects("e", ["a", "b"], "load") == [Effect(30.0, 0.9, 0.2, 0.5)]
    assert (other.load_seconds("f", "x"), other.fit("e", ["b", "a"])) == (None, False)
    assert [each.name for each in file.parent.iterdir()] == ["history.json"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_that_models_were_not_together_is_not_believed_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    file.write_text(json.dumps({"fit e": {"a b": False}}))
    history = History(file)
    assert not history.fit("e", ["a", "b"])
    history.fitted("e", ["a", "b"], True)
    assert History(file).fit("e", ["a", "b"])


def test_of_each_answer_s_confidence_the_last_hundred_are_kept(tmp_path: Path) -> None:
    history = History(tmp_path / "h")
    for number in range(110):
        history.was_measured([("a:latest", "s", number / 110)])
    assert len(history.measured("a", "s")) == 100
    assert history.measured("a", "s")[-1] == pytest.approx(109 / 110, abs=1e-4)
    assert history.measured("a", "t") == history.measured("b", "s") == []


def test_of_each_plan_the_last_five_are_kept(tmp_path: Path) -> None:
    history = History(tmp_path / "h")
    for number in range(7):
        history.took_effect("e", "ab", "load", Effect(number, 1.0, 0.0, 0.0))
    assert [each.pace for each in history.effects("e", "ab", "load")] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("text", ["", "[]", '{"load e": {"x": "soon"}}', "\x00", '{"load e": 3}'])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "history.json"
    file.write_text(text)
    assert History(file).load_seconds("e", "x") is None
    History(file).loaded("e", "x", 2.0)
    assert History(file).load_seconds("e", "x") == 2.0


@given(JSON)
def test_whatever_stands_there_nothing_fails(
    tmp_path_factory: pytest.TempPathFactory, known: object
) -> None:
    file = tmp_path_factory.mktemp("history") / "history.json"
    file.write_text(json.dumps(known))
    history = History(file)
    assert history.load_seconds("e", "x") is None or known
    assert history.fit("e", "ab") in (None, True, False)
    assert all(len(each) == 4 for each in history.effects("e", "ab", "fit"))
    history.took_effect("e", "ab", "fit", Effect(1.0, 1.0, 0.0, 2.0))
    assert history.effects("e", "ab", "fit")[-1] == Effect(1.0, 1.0, 0.0, 2.0)


def test_one_that_cannot_be_written_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "history.json")
    history.loaded("e", "x", 2.0)
    assert history.load_seconds("e", "x") is None
