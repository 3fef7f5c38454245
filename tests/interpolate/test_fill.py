"""What is filled, and how; that no text is too odd."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.interpolate import Filled, fill
from tests.interpolate.names import FRAME, LONG, NAMES, np, sheet

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
    ("{min(rows)} {tuple(rows)} {any(rows)} {all(rows)} {str(a)} {repr(s)}", None),
    ("{a + b} {a * b} {n // b} {n % b}", None),
    ("{day.year} {where.name} {tally.most_common(1)} {arr.shape}", None),
    ("{flag}: {nothing}", "True: None"),
    ("{np.pi:.3f} by {os.sep}", None),
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


@pytest.mark.parametrize(("text", "expected"), FILLED)
def test_what_the_notebook_knows_is_filled(text: str, expected: str | None) -> None:
    if expected is None:  # as Python itself writes it
        expected = eval(f"f{text!r}", dict(NAMES))
    assert sheet(text) == expected


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


def test_values_do_not_blow_a_text_up() -> None:
    filled = fill("why {q}\n" * 1000, {"q": "word " * 3000})
    assert 900_000 < len(filled.text) < 1_100_000


@settings(max_examples=50)
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


@settings(max_examples=50)
@given(st.text("{}abdfx()[].:,'\"!r%*+-=@ \\", max_size=40))
def test_no_expression_is_too_odd(inner: str) -> None:
    fill(f"why {{{inner}}}", {"a": 1, "b": "x", "d": {"a": 1}, "f": FRAME, "x": np.ones(3)})
