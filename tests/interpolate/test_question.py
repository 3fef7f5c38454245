"""The question as it is asked: the notebook's values in it, its last cells below it."""

from __future__ import annotations

from mirador_magic.interpolate.question import CELLS, compose

NOTEBOOK: dict[str, object] = {
    "name": "Ada",
    "In": ["", "x = 1", "", "x + 1", "1 / 0", "%%mirador\nwhy?"],
    "Out": {3: 2},
}


def test_names_are_filled_and_raw_leaves_them() -> None:
    assert compose("Who is {name}, {nobody}?", NOTEBOOK) == "Who is Ada, {nobody}?"
    assert compose("Who is {name}?", NOTEBOOK, raw=True) == "Who is {name}?"


def test_the_last_cells_stand_below_with_their_values_and_this_one_does_not() -> None:
    asked = compose("why?", NOTEBOOK, cells=2)
    assert asked == (
        f"why?\n\n{CELLS}\n\nIn [3]:\n```\nx + 1\n```\nOut[3]:\n```\n2\n```\n\n"
        "In [4]:\n```\n1 / 0\n```"
    )
    assert "In [1]" in compose("why?", NOTEBOOK, cells=9)
    assert compose("why?", {"In": [""], "Out": {}}, cells=3) == "why?"


def test_a_cell_is_told_as_it_was_typed() -> None:
    made = {"In": ["", "await run('why?')", "now"], "_i1": "%%mirador\nwhy?"}
    assert "In [1]:\n```\n%%mirador\nwhy?\n```" in compose("so?", made, cells=1)


def test_a_cell_cannot_close_its_fence_and_a_long_one_is_cut() -> None:
    asked = compose("why?", {"In": ["", "```\nmore", "now"]}, cells=1)
    assert "````\n```\nmore\n````" in asked
    asked = compose("why?", {"In": ["", "x" * 9000, "now"]}, cells=1)
    assert "[… 5000 characters left out …]" in asked
    assert len(asked) < 4300
