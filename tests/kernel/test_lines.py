"""A question mark at the end of a call is the call's, wherever the line stands, and nobody else's."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mirador_magic.kernel.lines import MiradorCall


def python_of(cell: str) -> str:
    """What IPython makes of a cell."""
    manager = TransformerManager()
    manager.token_transformers.append(MiradorCall)
    return str(manager.transform_cell(cell))


def call(text: str) -> str:
    return f"get_ipython().run_line_magic('mirador', {text!r})\n"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        ("", "why?"),
        ("", "why??"),
        ("", "a? b?"),
        ("", "what's it, f(?"),
        ("", "$5 why?"),
        ("", "it's 'so', or \"not?"),
        ("", "why? # note"),
        ("", "# what?"),
        ("", "r << why?"),
        ("for q in qs:\n    ", "what is a {q} p-value?"),
        ("for q in qs: ", "what is {q}?"),
        ("with a as b, c:\n\t", "why?"),
        ("try:\n    a\nexcept E:\n    ", "{Err}?"),
        ("async def f():\n    await g\n    ", "why?"),
        ("def f():\n    return ", "why?"),
        ("x = 1; ", "why?"),
        ("f = lambda: ", "why?"),
        ("x = ", "why?"),
        ("x: str = ", "why?"),
        ("x += ", "why?"),
        ("a = b = ", "why?"),
        ("d['a'] = ", "why?"),
        ("d[f'{q}'][1:2] = ", "why?"),
        ("a.b = ", "why?"),
        ("a, *b = ", "why?"),
        ("x = \\\n    ", "why?"),
        ("print(a,\n    b); ", "why?"),
    ],
)
def test_a_question_mark_at_the_end_of_ours_is_ours(before: str, text: str) -> None:
    assert python_of(f"{before}%mirador {text}") == before + call(text)
    assert python_of(f"{before}%mirador {text}  \nlen?") == (
        f"{before}{call(text)}get_ipython().run_line_magic('pinfo', 'len')\n"
    )
    assert python_of(f"{before}%mirador {text[:-1]}") == before + call(text[:-1].rstrip())


def test_a_line_may_go_on_in_the_next_one() -> None:
    assert python_of("x = %mirador why \\\nis that?") == "x = " + call("why  is that?")


@pytest.mark.parametrize("outer", ["time", "timeit -n1", "timeit x ="])
def test_behind_another_magic_it_is_that_one_s_text(outer: str) -> None:
    name, _, rest = f"{outer} %mirador why?".partition(" ")
    assert (
        python_of(f"%{outer} %mirador why?")
        == f"get_ipython().run_line_magic({name!r}, {rest!r})\n"
    )


def test_automagic_s_question_is_a_question_too() -> None:
    for text in ("is it, or not?", "--stages a,b why?", "-c and why?", "2 + 2?", "{q}?"):
        assert python_of(f"mirador {text}") == call(text)
    assert python_of("mirador is it") == "mirador is it\n"  # IPython's prefilter sees to that


def test_a_cell_magic_in_the_midst_of_a_cell_is_no_help_on_its_last_word() -> None:
    assert "run_line_magic('%mirador', 'why?')" in python_of("a = 1\n%%mirador why?")


@pytest.mark.parametrize(
    ("cell", "helped"),
    [
        ("%mirador?", "%mirador"),
        ("%%mirador?", "%%mirador"),
        ("x = %mirador?", "%mirador"),
        ("mirador?", "mirador"),
        ("x = y % mirador?", "mirador"),
        ("mirador.a[0]?", "mirador.a[0]"),
        ("mirador = x?", "x"),
        ("mirador (x).y?", "y"),
        ("%time foo?", "foo"),
        ("foo.bar?", "foo.bar"),
        ("!echo %mirador why?", "why"),
    ],
)
def test_everybody_else_s_help_stays(cell: str, helped: str) -> None:
    assert python_of(cell) == f"get_ipython().run_line_magic('pinfo', {helped!r})\n"


@pytest.mark.parametrize("cell", ["s = '''\n%mirador why?\n'''\n", "x = 5  # %mirador why?\n"])
def test_what_stands_in_a_text_or_a_comment_stays(cell: str) -> None:
    assert python_of(cell) == cell
