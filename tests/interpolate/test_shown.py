"""How values read in a prompt."""

from __future__ import annotations

import collections
import datetime
from pathlib import Path
from typing import Any

import pytest

from mirador_magic.interpolate import fill, shown
from tests.interpolate.names import FRAME, Order, Point, np, pd, sheet


def test_a_text_is_as_it_is_and_a_long_one_tells_what_is_left_out() -> None:
    assert shown("two\nwords") == "two\nwords"
    text = shown("a" * 15_000 + "b" * 100_000 + "c" * 5000)
    assert text == "a" * 15_000 + "\n[… 100,000 characters left out …]\n" + "c" * 5000


def test_a_frame_tells_its_shape_its_columns_and_its_rows() -> None:
    assert shown(FRAME).splitlines() == [
        "DataFrame, 3 rows × 2 columns",
        f"columns: price (float64), name ({FRAME.dtypes['name']})",
        "  | price | name",
        "0 | 1.5   | tea",
        "1 | 2.5   | jam",
        "2 | 4     | rye",
    ]


def test_a_large_frame_is_bounded_in_every_direction() -> None:
    frame = pd.DataFrame({f"c{at}": [f"{'w' * 100}\n{at}"] * 1000 for at in range(100)})
    lines = shown(frame).splitlines()
    assert lines[0] == "DataFrame, 1,000 rows × 100 columns"
    assert lines[1].endswith(f"c59 ({frame.dtypes['c0']}) [… 40 more columns …]")
    assert lines[-2:] == [
        "[… 84 columns left out of the table …]",
        "[… 990 rows left out …]",
    ]
    assert len(lines) == 2 + 11 + 2
    assert all(cell.strip() == "w" * 31 + "…" for cell in lines[3].split(" | ")[1:])


def test_odd_frames_are_shown_too() -> None:
    empty = shown(pd.DataFrame())
    assert empty.startswith("DataFrame, 0 rows × 0 columns")
    twice = pd.DataFrame([[1, 2]], columns=["q", "q"], index=pd.Index(["z"], name="key"))
    assert shown(twice).endswith("  | q | q\nz | 1 | 2")
    grouped = pd.DataFrame({"g": [1, 1], "v": [1.0, 2.0]}).groupby("g").agg(["min", "max"])
    assert "('v', 'min') (float64)" in shown(grouped)

    class Own(pd.DataFrame):  # type: ignore[misc]
        pass

    assert shown(Own({"q": [1]})).startswith("DataFrame, 1 row × 1 column\n")


def test_head_shows_all_the_rows_that_it_was_asked_for() -> None:
    frame = pd.DataFrame({"q": range(1000)})
    assert fill("{df.head(25)}", {"df": frame}).text.splitlines()[-1] == "24 | 24"


def test_a_series_tells_its_length_type_and_name() -> None:
    assert shown(FRAME["price"]) == "Series price, 3 values, float64\n0 | 1.5\n1 | 2.5\n2 | 4"
    long = shown(pd.Series(range(1000))).splitlines()
    assert long[0] == "Series, 1,000 values, int64"
    assert len(long) == 12 and long[-1] == "[… 990 rows left out …]"
    assert shown(FRAME.isna().sum()) == "Series, 2 values, int64\nprice | 0\nname  | 0"


def test_an_array_tells_its_shape_and_spread() -> None:
    assert shown(np.array([[1, 2], [3, 6]])) == (
        "ndarray, shape (2, 2), int64, min 1, mean 3, max 6\n[[1 2]\n [3 6]]"
    )
    head, *rest = shown(np.zeros((1000, 1000))).splitlines()
    assert head == (
        "ndarray, shape (1000, 1000), float64, min 0, mean 0, max 0; the first (20, 12) of it:"
    )
    assert len(rest) == 20
    cube = shown(np.ones((9, 9, 50), dtype="int8"))
    assert cube.startswith("ndarray, shape (9, 9, 50), int8") and "first (1, 9, 12) of it" in cube


def test_odd_arrays_are_shown_too() -> None:
    assert shown(np.array([])) == "ndarray, shape (0,), float64\n[]"
    assert shown(np.array(2.5)) == "ndarray, shape (), float64, min 2.5, mean 2.5, max 2.5\n2.5"
    assert shown(np.array(["q", "z"])) == "ndarray, shape (2,), <U1\n['q' 'z']"
    assert shown(np.array([True])) == "ndarray, shape (1,), bool\n[ True]"
    assert "min nan" in shown(np.array([np.nan, 1]))
    assert shown(np.float64(2.5)) == "2.5" and shown(np.int8(3)) == "3"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, "q"], "[1, 'q']"),
        ((1,), "(1,)"),
        ({"z": 1, "a": [2]}, "{'z': 1, 'a': [2]}"),
        ({}, "{}"),
        (set(), "set()"),
        (collections.deque([1]), "deque([1])"),
        (Point(1, 2), "Point(left=1, right=2)"),
        (collections.Counter("aab"), "Counter({'a': 2, 'b': 1})"),
        (datetime.date(2024, 5, 6), "2024-05-06"),
        (Path("some/where"), str(Path("some/where"))),
        (1 + 2j, "(1+2j)"),
        (None, "None"),
        (range(10**9), "range(0, 1000000000)"),
        (Order(1.0, []), "Order(total=1.0, lines=[])"),
    ],
)
def test_short_values_read_as_python_writes_them(value: object, expected: str) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        (list(range(1000)), "list of 1,000, the first 50: [0, 1, ", " 49]"),
        (tuple(range(51)), "tuple of 51, the first 50: (0, 1, ", " 49)"),
        (dict.fromkeys(range(90, -10, -1)), "dict of 100, the first 50: {90: None, ", " 41: None}"),
        (set(range(1000)), "set of 1,000, the first 50: [", "]"),
        (collections.deque(range(60)), "deque of 60, the first 50: [0, ", " 49]"),
        (collections.Counter("q" * 9 + "".join(map(chr, range(200)))), "Counter of 200, the ", "}"),
        (b"q" * 9000, "bytes of 9,000, the first 4,000: b'q", "q'"),
    ],
)
def test_long_ones_tell_their_length(value: object, start: str, end: str) -> None:
    text = shown(value)
    assert text.startswith(start) and text.endswith(end)
    assert len(text) < 5000


def test_what_is_deep_or_wide_inside_is_cut() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert len(shown(deep)) < 100
    assert len(shown([["w" * 1000] * 50] * 50)) < 4100

    class Wide:
        def __repr__(self) -> str:
            return "w" * 100_000

    assert "[… 96,000 characters left out …]" in shown(Wide())


def test_an_error_is_shown_with_its_traceback() -> None:
    text = sheet("Why?\n{Err}")
    assert text.startswith("Why?\nTraceback (most recent call last):\n")
    assert 'raise ValueError("no such column: price")' in text
    assert text.endswith("ValueError: no such column: price")
    long = shown(ValueError("w" * 100_000))
    assert len(long) < 6100 and "characters left out" in long


def foreign(module: str, kind: str, **members: object) -> Any:
    return type(kind, (), {"__module__": module, **members})()


class Rows(list[Any]):
    """As much of a frame of polars as is needed: its rows, and its head."""

    def head(self, many: int) -> Rows:
        return Rows(self[:many])

    def rows(self) -> list[Any]:
        return list(self)

    to_list = rows


def test_frames_of_polars_are_shown_alike() -> None:
    rows = Rows((at, "tea") for at in range(40))
    frame = foreign(
        "polars.dataframe.frame",
        "DataFrame",
        shape=(40, 2),
        columns=["q", "name"],
        dtypes=["Int64", "String"],
        head=rows.head,
    )
    lines = shown(frame).splitlines()
    assert lines[:3] == [
        "polars DataFrame, 40 rows × 2 columns",
        "columns: q (Int64), name (String)",
        "q | name",
    ]
    assert lines[-1] == "[… 30 rows left out …]" and len(lines) == 14


def test_series_of_polars_are_shown_alike() -> None:
    series = foreign(
        "polars.series.series",
        "Series",
        name="q",
        dtype="Int64",
        head=Rows([1, 2]).head,
        __len__=lambda _: 2,
    )
    assert shown(series) == "polars Series q, 2 values, Int64\n1\n2"
    assert fill("{q} and {len(q)}", {"q": series}).text.endswith(" and 2")


class Torch:
    """As much of a tensor of whole numbers as is needed."""

    def __init__(self, values: Any, dtype: str = "torch.int64") -> None:
        self.values, self.dtype, self.shape = values, dtype, values.shape

    def __getitem__(self, key: object) -> Torch:
        return Torch(self.values[key], self.dtype)

    def double(self) -> Torch:
        return Torch(self.values, "torch.float64")

    def mean(self) -> float:
        if "int" in self.dtype:
            raise RuntimeError("mean(): could not infer output dtype")
        return float(self.values.mean())

    def min(self) -> int:
        return int(self.values.min())

    def max(self) -> int:
        return int(self.values.max())

    def __repr__(self) -> str:
        return f"tensor({self.values.tolist()})"


def test_tensors_are_shown_as_arrays_are() -> None:
    tensor = type("Tensor", (Torch,), {"__module__": "torch"})(np.array([[1, 2], [3, 8]]))
    assert shown(tensor) == (
        "Tensor, shape (2, 2), torch.int64, min 1, mean 3.5, max 8\ntensor([[1, 2], [3, 8]])"
    )
    assert fill("at most {t.max()}", {"t": tensor}).text == "at most 8"


def test_a_kin_that_reads_otherwise_shows_its_repr() -> None:
    odd = foreign("torch", "Tensor", __repr__=lambda _: "tensor(..., device='meta')")
    assert shown(odd) == "tensor(..., device='meta')"


def test_a_network_is_a_value_though_it_can_be_called() -> None:
    network = foreign(
        "__main__",
        "Net",
        state_dict=dict,
        __call__=lambda _: None,
        __repr__=lambda _: "Net(\n  (linear): Linear(2, 1)\n)",
    )
    assert fill("{net}", {"net": network}).text == "Net(\n  (linear): Linear(2, 1)\n)"


def test_an_answer_reads_as_its_text() -> None:
    answer = foreign("mirador_magic.answer.answer", "Answer", text="Because.")
    assert fill("Shorter: {q}", {"q": answer}).text == "Shorter: Because."
