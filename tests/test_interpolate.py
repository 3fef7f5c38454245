from __future__ import annotations

import builtins
import collections
import datetime
import importlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.interpolate import Filled, fill, shown

np: Any = importlib.import_module("numpy")
pd: Any = importlib.import_module("pandas")


class Point(NamedTuple):
    left: int
    right: int


@dataclass
class Order:
    total: float
    lines: list[str]

    @property
    def acted(self) -> str:
        raise AssertionError("a property of the notebook's was run")

    def mean(self) -> float:
        raise AssertionError("a method of the notebook's was run")


class Slotted:
    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 0.1


def failed() -> Exception:
    try:
        raise ValueError("no such column: price")
    except ValueError as error:
        return error


def main(*_: object) -> None:
    raise AssertionError("a function of the notebook's was run")


FRAME = pd.DataFrame({"price": [1.5, 2.5, 4.0], "name": ["tea", "jam", "rye"]})
LONG = "\n".join(f"line {number}" for number in range(5))
NAMES: dict[str, object] = {
    "a": 3,
    "b": 4,
    "c": "see",
    "x": 0.25,
    "n": 1234567,
    "s": "two words",
    "long": LONG,
    "df": FRAME,
    "data": {"col": FRAME["price"], "k": 1},
    "rows": [10, 20, 30],
    "names": ["tea", "jam"],
    "In": ["", "import os", "1 + 1", "df.head()"],
    "Out": {3: "three"},
    "Err": failed(),
    "arr": np.arange(6.0).reshape(2, 3),
    "order": Order(9.5, ["tea"]),
    "point": Point(1, 2),
    "slotted": Slotted(),
    "day": datetime.date(2024, 5, 6),
    "flag": True,
    "nothing": None,
    "holds": "{a} and {b}",
    "list_of": [1, 2],
    "np": np,
    "os": os,
    "main": main,
    "Order": Order,
    "id": 7,
}

FILLED = [
    ("{a}", "3"),
    ("Why is it {a}?", "Why is it 3?"),
    ("{a}{b}", "34"),
    ("from {a} to {b}.", "from 3 to 4."),
    ("I have {len(rows)} rows", "I have 3 rows"),
    ("Rows: {rows}", "Rows: [10, 20, 30]"),
    ("- {a}", "- 3"),
    ("- rows: {len(rows)}\n- mean: {df.price.max()}", "- rows: 3\n- mean: 4.0"),
    ("1. {a}\n2. {b}", "1. 3\n2. 4"),
    ("> {a} of them", "> 3 of them"),
    ("**{a}** is bold", "**3** is bold"),
    ("# Data {a}", "# Data 3"),
    ("{a} and {b}", "3 and 4"),
    ("{a}, {b}", "3, 4"),
    ("{x:.1f} or {x:.0%} or {n:,}", "0.2 or 25% or 1,234,567"),
    ("{a:03d} {x!r} {s!r} {s!s:>11}", "003 0.25 'two words'   two words"),
    ("on {day:%d.%m.%Y}", "on 06.05.2024"),
    ("at {data['col'].mean():.2f}", "at 2.67"),
    ("{df['name'].iloc[0]} it is", "tea it is"),
    ("{df.loc[1, 'name']} it is", "jam it is"),
    ("{df[['price']].shape} is its shape", "(3, 1) is its shape"),
    ("sum {sum(rows)}, top {max(rows)}, {sorted(rows, reverse=True)}", None),
    ("what is In {In[2]}?", "what is In 1 + 1?"),
    ("{Out[3]}: why?", "three: why?"),
    ("{rows[-1]} {rows[1:]} {rows[:-1]}", "30 [20, 30] [10, 20]"),
    ("last: {len(rows) - 1}; half of it: {a / b}", "last: 2; half of it: 0.75"),
    ("minus {-a}", "minus -3"),
    ("{s.upper()} {s.split()[0]}", "TWO WORDS two"),
    ("{', '.join(names)} are sold", "tea, jam are sold"),
    ("{type(df)} has {list(df.columns)}", None),
    ("{order.total} for {order.lines[0]}", "9.5 for tea"),
    ("{point.left} {slotted.rate} {Err.args[0]}", "1 0.1 no such column: price"),
    ("{data.get('k')} {abs(a)} {round(x, 1)}", "1 3 0.2"),
    ("{flag}: {nothing}", "True: None"),
    ("{np.pi:.3f} by {os.sep}", f"3.142 by {os.sep}"),
    ("{holds}", "{a} and {b}"),
    ("{holds} {a}", "{a} and {b} 3"),
    ("{id} is mine", "7 is mine"),
    ("{a} is big", "3 is big"),
    ("{a} not in stock", "3 not in stock"),
    ("it costs $5 and {a} of them $3", "it costs $5 and 3 of them $3"),
    ("(the frame has\n{len(df)} rows)", "(the frame has\n3 rows)"),
    ("Tags: <data>{s}</data>", "Tags: <data>two words</data>"),
    ('Sum up: """{s}"""', 'Sum up: """two words"""'),
    ("isn't {a} what's {b}?", "isn't 3 what's 4?"),
    ("列{a}はなぜ{b}か", "列3はなぜ4か"),
    ("`x` is {a}, `y` is {b}", "`x` is 3, `y` is 4"),
    ("```\n{a}\n```\nWhy {a}?", "```\n{a}\n```\nWhy 3?"),
    ("if x:\n    y = 1\n\nWhy is it {a}?", "if x:\n    y = 1\n\nWhy is it 3?"),
    ("foo(\n    {a},\n)\nWhy {a}?", "foo(\n    {a},\n)\nWhy 3?"),
    ('{"k": {a}}\nWhy {a}?', '{"k": {a}}\nWhy 3?'),
    ("a lone { and {a}", "a lone { and 3"),
    ("a lone } and {a}", "a lone } and 3"),
    ("{zz} but {a}\r\n", "{zz} but 3\r\n"),
    ("with {zz}, the {a}", "with {zz}, the 3"),
]

STAYS = [
    # no names of the notebook
    "{}",
    "{ }",
    "{zz}",
    "{list}",
    "{type}",
    "{len}",
    "{1}",
    "{'a'}",
    "{3 + 4}",
    "{len('abc')}",
    "{True}",
    "{None}",
    "{_}",
    "{__name__}",
    # no values
    "why {np}",
    "why {main}",
    "why {Order}",
    "why {df.head}",
    "why {rows.append}",
    "why {len}",
    # braces of other kinds
    "${a}",
    "why ${a} in a shell",
    "{{a}}",
    "why {{ a }} in Jinja",
    "{% if a %}",
    "{{{a}}}",
    r"\cmd{a}",
    r"\frac{a}{b}",
    r"what is $\frac{a}{b}$",
    r"\sqrt[3]{a}",
    r"\section*{a}",
    r"\{a\}",
    "$x_{a}$ and $x^{a}$",
    r"$$ {a} \over 2 $$",
    r"why \( {a} \) so",
    "#{a}",
    "@{a}",
    "%{a}",
    "a{a}",
    "[a-z]{a}",
    "(ab){a}",
    "{a}_{b}",
    "{ a }",
    "{a b}",
    "{a: 1}",
    "{a:1}",
    "{a:b}",
    "{a:d}",
    "{a: b}",
    '{"a": {b}}',
    '{"a": [{b}]}',
    '{\n  "a": 1,\n  {b}\n}',
    '"a": {b}',
    '"a": {b},',
    "set: {a, b}",
    "{a,}",
    "{*rows}",
    "{**data}",
    "p {color: red; c: {a}}",
    "p {\n  {a}\n}",
    # code
    "`{a}`",
    "why ``x ` {a}`` so",
    "why `{a}\n{b}` so",
    "```\n{a}\n```",
    "~~~python\n{a}\n~~~",
    "```\n{a}",
    "- ```\n  {a}\n  ```",
    "> ```\n> {a}\n> ```",
    "````\n```\n{a}\n```\n````",
    "s = {a}",
    "    return {a}",
    "for z in {a}:",
    "for z in rows:\n    {a}",
    "for z in rows:\n\n    {a}\n    {b}",
    'print("{a}".format(a=1))',
    'why does "{a}".format(a=1) fail',
    'why does print(f"{a}") fail',
    "why does rf'{a}' fail",
    'why does f"say \\"{a}\\"" fail',
    'text = f"""\nDear {a},\n"""',
    'text = """\nDear {a},\n"""',
    "def f():\n    '''Give {a}.'''\n    {a}",
    "def f(\n    q,\n) -> None:\n    {a}",
    "try:\n    {a}\nexcept E:\n    {b}",
    "else: {a}",
    "match q:\n    case 1:\n        {a}",
    "print({a})",
    "why does print(1, {a}) fail",
    "foo(\n    {a},\n    {b}\n)",
    "foo(1,\n    {a})",
    "z = 1\n{a}\nprint(z)",
    "s = \\\n    {a}",
    "{a} | {b}",
    "{a} <= {b}",
    "{a} if {b} else {c}",
    "assert z == {a}",
    "@d({a})\ndef f(): pass",
    ">>> {a}",
    "In [1]: {a}",
    "----> 3 s = {a}",
    "+    s = {a}",
    "> s = {a}",
    "- s = {a}",
    "!pip install {s}",
    "%timeit {a}",
    "let z = {a};",
    "const z = {a}",
    "z := {a}",
    "import {a} from 'z'",
    'println!("{a}");',
    "int z[] = {a};",
    "if (q) {\n  {a}\n}",
    "} else { {a} }",
    "word " * 1100 + "{a}",
]

HOSTILE = [
    "{__import__('os').system('x')}",
    "{os.system('x')}",
    "{os.environ}",
    "{os.environ['PATH']}",
    "{os.getcwd()}",
    "{df.to_csv('x')}",
    "{df.to_string('x')}",
    "{df.to_string(buf='x')}",
    "{df.to_pickle('x')}",
    "{df.eval('price')}",
    "{df.query('price > 1')}",
    "{df.sort_values('price', inplace=True)}",
    "{df.apply(main)}",
    "{df.pop('price')}",
    "{df.info()}",
    "{df.sample(1000000000000, replace=True)}",
    "{df.sample(frac=1000000000, replace=True)}",
    "{df.sample(2, random_state=None)}",
    "{arr.mean(0, None, arr)}",
    "{arr.sum(out=arr)}",
    "{arr.tofile('x')}",
    "{arr.fill(0)}",
    "{a.__class__}",
    "{a.__class__.__mro__}",
    "{df._mgr}",
    "{main()}",
    "{main.__globals__}",
    "{Order(1, [])}",
    "{exit()}",
    "{quit(a)}",
    "{open('f').read()}",
    "{open(s).read()}",
    "{[].append(1)}",
    "{rows.append(1)}",
    "{rows.pop()}",
    "{rows.clear()}",
    "{rows.sort()}",
    "{data.update(a=1)}",
    "{data.setdefault('z', 1)}",
    "{data.pop('k')}",
    "{data['missing']}",
    "{eval(s)}",
    "{exec(s)}",
    "{compile(s, s, s)}",
    "{getattr(df, s)}",
    "{setattr(order, s, a)}",
    "{vars(order)}",
    "{globals()['a']}",
    "{input(s)}",
    "{print(a)}",
    "{breakpoint()}",
    "{next(rows)}",
    "{map(main, rows)}",
    "{sorted(rows, key=main)}",
    "{max(rows, key=len)}",
    "{(a := 1)}",
    "{a:=1}",
    "{a=}",
    "{lambda: a}",
    "{(lambda: a)()}",
    "{[q for q in rows]}",
    "{sum(q for q in rows)}",
    "{await a}",
    "{(yield a)}",
    "{a if b else c}",
    "{a and b}",
    "{not a}",
    "{a == b}",
    "{a ** a ** a ** a}",
    "{a << 99999999}",
    "{s * 99999999999}",
    "{rows * 99999999999}",
    "{a:99999999999}",
    "{a:.99999999999f}",
    "{round(a, -99999999999)}",
    "{f'{a}'}",
    "{order.acted}",
    "{order.mean()}",
    "{order.total.real.imag.nothing}",
    "{len(*rows)}",
    "{len(obj=rows)}",
    "{rows.count(**data)}",
    "{list(range(99999999999))}",
    "{((((((((((((((((((((a))))))))))))))))))))}",
    "{" + "(" * 90 + "a b" + ")" * 90 + "}",
    "{a\0}",
    "{a" + ".real" * 39 + ".x}",
    "{1 // (a - a)}",
    "{rows[99]}",
    "{import os; a}",
    "{a; b}",
]


ACTING = [(builtins, name) for name in ("eval", "exec", "open", "input", "print", "breakpoint")]
ACTING += [(os, "system"), (os, "getcwd")]


def sheet(text: str) -> str:
    return fill(text, NAMES).text


@pytest.mark.parametrize(("text", "expected"), FILLED)
def test_what_the_notebook_knows_is_filled(text: str, expected: str | None) -> None:
    if expected is None:  # as Python itself writes it
        expected = eval(f"f{text!r}", dict(NAMES))
    assert sheet(text) == expected


@pytest.mark.parametrize("text", STAYS)
def test_all_else_stays_byte_for_byte(text: str) -> None:
    assert fill(text, NAMES) == Filled(text, ())


@pytest.mark.parametrize("text", HOSTILE)
def test_what_might_act_stays(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    before = repr([value for value in NAMES.values() if value is not main])
    monkeypatch.chdir(tmp_path)
    for module, name in ACTING:
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: called.append(name))
    assert fill(f"Why {text} so?", NAMES) == Filled(f"Why {text} so?", ())
    monkeypatch.undo()
    assert repr([value for value in NAMES.values() if value is not main]) == before
    assert not called and not list(tmp_path.iterdir())


def test_the_names_are_told_in_order_and_once() -> None:
    filled = fill("{b} {a} {zz} {b} {x:.1f} `{c}`", NAMES)
    assert filled == Filled("4 3 {zz} 4 0.2 `{c}`", ("b", "a", "x:.1f"))


def test_an_expression_is_read_once_however_often_it_stands() -> None:
    class Counted:
        times = 0

        def __repr__(self) -> str:
            Counted.times += 1
            return "it"

    assert fill("{q} {q}\n{q}", {"q": Counted()}).text == "it it\nit"
    assert Counted.times == 1


def test_a_value_of_several_lines_stands_on_lines_of_its_own() -> None:
    assert sheet("Look at {long} here") == f"Look at \n{LONG}\n here"
    assert sheet("{long}") == LONG
    assert sheet("See:\n{long}\nand {long}") == f"See:\n{LONG}\nand \n{LONG}"
    assert sheet("{long}{long}\n") == f"{LONG}\n{LONG}\n"
    assert fill("{q} so", {"q": "1\n2\n"}).text == "1\n2\n so"


def test_a_builtin_that_the_notebook_covers_is_not_called() -> None:
    def own(_: object) -> int:
        raise AssertionError("it was called")

    assert fill("{len(q)}", {"len": own, "q": [1]}).names == ()


def test_to_read_a_dict_puts_nothing_into_it() -> None:
    counts: dict[str, list[int]] = collections.defaultdict(list)
    assert fill("{counts['z']}", {"counts": counts}).names == ()
    assert counts == {}


def test_nothing_is_used_up() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    names: dict[str, object] = {"q": numbers(), "rows": iter([1, 2])}
    text = "{q} {list(q)} {sum(q)} {max(rows)} {rows}"
    assert fill(text, names) == Filled(text, ())
    assert list(names["q"]) == [0, 1, 2]  # type: ignore[call-overload]


def test_a_sample_leaves_the_random_numbers_alone() -> None:
    np.random.seed(1)
    random.seed(1)
    expected = np.random.rand(), random.random()
    np.random.seed(1)
    random.seed(1)
    assert "2 rows × 2 columns" in sheet("Some: {df.sample(2)}")
    assert (np.random.rand(), random.random()) == expected


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), RecursionError(), MemoryError()])
def test_a_value_that_cannot_be_written_is_left_alone(error: BaseException) -> None:
    assert fill("why {q}", {"q": Raising(error)}) == Filled("why {q}", ())


def test_an_interrupt_ends_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        fill("why {q}", {"q": Raising(KeyboardInterrupt())})


def test_a_pasted_warning_stays_silent(recwarn: pytest.WarningsRecorder) -> None:
    fill('why {s.strip("\\d")} and\nz = "\\d", {a}', NAMES)
    assert not recwarn.list


@given(st.text() | st.text("{}abx()[].:,'\"`~\\$#=- \n\t", max_size=60))
def test_without_names_a_text_comes_back(text: str) -> None:
    assert fill(text, {}) == Filled(text, ())
    assert fill(text, {"not_there": 1}) == Filled(text, ())


PIECES = st.sampled_from(
    [
        *["{a}", "{b}", "{n:,}", "{zz}", "{{a}}", "{len(rows)}", "{a: 1}", "{", "}", "(", ")", "["],
        *["`", "```", "\n", "\n\n", "    ", "why is ", "word", " = ", "if x:", "return ", "'", '"'],
        *["f'", '"""', "$", "\\", "]", ", ", ": ", "- ", "> ", ";", "print(", "~~~\n", ".format"],
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_text_is_too_odd_and_a_filled_one_is_at_rest(text: str) -> None:
    plain = {"a": 3, "b": 4.5, "n": 1234, "rows": [1, 2]}
    filled = fill(text, plain)
    assert fill(filled.text, plain).text == filled.text
    assert bool(filled.names) == (filled.text != text)


@given(st.text("{}abdfx()[].:,'\"!r%*+-=@ \\", max_size=40))
def test_no_expression_is_too_odd(inner: str) -> None:
    fill(f"why {{{inner}}}", {"a": 1, "b": "x", "d": {"a": 1}, "f": FRAME, "x": np.ones(3)})


MANY = 1_000_000
ORDINARY = 'The quick brown fox, which "jumps" over {it}; isn\'t (so) [it]?\n'
PASTES = {
    "prose": (ORDINARY * (MANY // len(ORDINARY)) + "Why {a}?", True),
    "log": ("12:00 INFO [main] request {id: 7} took 3 ms: `ok`\n" * 20_000 + "Why {a}?", True),
    "JSON": ('{"k": {"z": [1, 2]}, "t": "words"},\n' * 25_000 + "Why {a}?", True),
    "newlines": ("\n" * MANY + "{a}", True),
    "many that resolve": ("why {a}\n" * (MANY // 8), False),
    "one line": ("{a}" * (MANY // 3), False),
    "opened": ("{" * MANY + "{a}", False),
    "nested": ("{" * (MANY // 2) + "a" + "}" * (MANY // 2), False),
    "mixed": ("([{" * (MANY // 3) + "{a}", False),
    "closed": (")]}" * (MANY // 3) + "{a}", False),
    "backticks": ("".join("`" * (1 + run % 50) + " " for run in range(MANY // 26)), False),
    "quotes": ("'" * MANY + " {a}", False),
    "f-strings": ("f'" * (MANY // 2) + " {a}", False),
    "open f-strings": ("f'''f\"\"\"" * (MANY // 8) + " {a}", False),
    "escapes": ('f"\\' * (MANY // 3) + " {a}", False),
    "formats": ("\"x'.format " * (MANY // 11) + "{a}", False),
    "dollars": ("$ " * (MANY // 2) + "{a}", False),
    "spaces": ("=" + " " * MANY + "{a}", False),
    "headers": ("if x:\n" * (MANY // 6) + "    {a}", False),
    "colons": (("if " + ":" * 4900 + "\n") * 200 + "return {a}", False),
    "steps": ("".join(" " * (at % 999) + "if x:\n" for at in range(1998)) + "return {a}", False),
    "fences": ("```\n" * (MANY // 4 + 1) + "{a}", False),
    "minuses": (("-" * 4900 + "return {a}\n") * 200, True),
    "parentheses": ("why {" + "(" * 90 + "a b" + ")" * 90 + "}\n", False),
}


@pytest.mark.timeout(30)  # each takes well under a second; at the square of its length, hours
@pytest.mark.parametrize("kind", PASTES)
def test_a_paste_of_a_million_characters_takes_no_time(kind: str) -> None:
    text, filled = PASTES[kind]
    assert fill(text, NAMES).names == (("a",) if filled else ())


def test_values_do_not_blow_a_text_up() -> None:
    filled = fill("why {q}\n" * 1000, {"q": "word " * 3000})
    assert 900_000 < len(filled.text) < 1_100_000


# ── How values read ───────────────────────────────────────────────────────────────────────────────


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
    answer = foreign("mirador_magic.views.answer", "Answer", text="Because.")
    assert fill("Shorter: {q}", {"q": answer}).text == "Shorter: Because."
