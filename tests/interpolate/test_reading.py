"""That what stands in braces is read, and never run."""

from __future__ import annotations

import builtins
import collections
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirador_magic.interpolate import Filled, fill
from tests.interpolate.names import NAMES, main, np, sheet

HOSTILE = [
    *["{__import__('os').system('x')}", "{os.system('x')}", "{os.environ}", "{os.environ['PATH']}"],
    *["{os.getcwd()}", "{df.to_csv('x')}", "{df.to_string('x')}", "{df.to_string(buf='x')}"],
    *["{df.to_pickle('x')}", "{df.eval('price')}", "{df.query('price > 1')}"],
    *["{df.sort_values('price', inplace=True)}", "{df.apply(main)}", "{df.pop('price')}"],
    *["{df.info()}", "{df.sample(1000000000000, replace=True)}"],
    *["{df.sample(frac=1000000000, replace=True)}", "{df.sample(2, random_state=None)}"],
    *["{arr.mean(0, None, arr)}", "{arr.sum(out=arr)}", "{arr.tofile('x')}", "{arr.fill(0)}"],
    *["{a.__class__}", "{a.__class__.__mro__}", "{df._mgr}", "{main()}", "{main.__globals__}"],
    *["{Order(1, [])}", "{exit()}", "{quit(a)}", "{open('f').read()}", "{open(s).read()}"],
    *["{[].append(1)}", "{rows.append(1)}", "{rows.pop()}", "{rows.clear()}", "{rows.sort()}"],
    *["{data.update(a=1)}", "{data.setdefault('z', 1)}", "{data.pop('k')}", "{data['missing']}"],
    *["{eval(s)}", "{exec(s)}", "{compile(s, s, s)}", "{getattr(df, s)}", "{setattr(order, s, a)}"],
    *["{vars(order)}", "{globals()['a']}", "{input(s)}", "{print(a)}", "{breakpoint()}"],
    *["{next(rows)}", "{map(main, rows)}", "{sorted(rows, key=main)}", "{max(rows, key=len)}"],
    *["{(a := 1)}", "{a:=1}", "{a=}", "{lambda: a}", "{(lambda: a)()}", "{[q for q in rows]}"],
    *["{sum(q for q in rows)}", "{await a}", "{(yield a)}", "{a if b else c}", "{a and b}"],
    *["{not a}", "{a == b}", "{a ** a ** a ** a}", "{a << 99999999}", "{s * 99999999999}"],
    *["{rows * 99999999999}", "{a:99999999999}", "{a:.99999999999f}", "{round(a, -99999999999)}"],
    *["{f'{a}'}", "{order.acted}", "{order.mean()}", "{order.total.real.imag.nothing}"],
    *["{len(*rows)}", "{len(obj=rows)}", "{rows.count(**data)}", "{list(range(99999999999))}"],
    *["{((((((((((((((((((((a))))))))))))))))))))}"],
    "{((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((a b))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))}",
    *["{a\x00}"],
    "{a.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.real.x}",
    *["{1 // (a - a)}", "{rows[99]}", "{import os; a}", "{a; b}", "{sum(big)}", "{own + 1}"],
    *["{-own}"],
]
ACTING = [(builtins, name) for name in ("eval", "exec", "open", "input", "print", "breakpoint")]
ACTING += [(os, "system"), (os, "getcwd")]


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
