"""What stays as it was: braces of other kinds, and code; and that this is known in no time."""

from __future__ import annotations

import time

import pytest

from mirador_magic.interpolate import Filled, fill
from tests.interpolate.names import NAMES

NAMELESS = [
    *["{}", "{ }", "{zz}", "{list}", "{type}", "{len}", "{1}", "{'a'}", "{3 + 4}", "{len('abc')}"],
    *["{True}", "{None}", "{_}", "{__name__}"],
]
NO_VALUES = [
    *["why {np}", "why {main}", "why {Order}", "why {df.head}", "why {rows.append}", "why {len}"],
]
OTHER_BRACES = [
    *["${a}", "why ${a} in a shell", "{{a}}", "why {{ a }} in Jinja", "{% if a %}", "{{{a}}}"],
    *["\\cmd{a}", "\\frac{a}{b}", "what is $\\frac{a}{b}$", "\\sqrt[3]{a}", "\\section*{a}"],
    *["\\{a\\}", "$x_{a}$ and $x^{a}$", "$$ {a} \\over 2 $$", "why \\( {a} \\) so", "#{a}", "@{a}"],
    *["%{a}", "a{a}", "[a-z]{a}", "(ab){a}", "{a}_{b}", "{ a }", "{a b}", "{a: 1}", "why {a:1}"],
    *["why {a:b}", "why {a:d}", "{a: b}", '{"a": {b}}', '{"a": [{b}]}', '{\n  "a": 1,\n  {b}\n}'],
    *['"a": {b}', '"a": {b},', "set: {a, b}", "{a,}", "{*rows}", "{**data}"],
    *["p {color: red; c: {a}}", "p {\n  {a}\n}", "{{a}", "why {a}} so", "{a}^2"],
]
CODE = [
    *["`{a}`", "why ``x ` {a}`` so", "why `{a}\n{b}` so", "```\n{a}\n```", "~~~python\n{a}\n~~~"],
    *["```\n{a}", "- ```\n  {a}\n  ```", "> ```\n> {a}\n> ```", "````\n```\n{a}\n```\n````"],
    *["s = {a}", "    return {a}", "for z in {a}:", "for z in rows:\n    {a}"],
    *["for z in rows:\n\n    {a}\n    {b}", 'print("{a}".format(a=1))'],
    *['why does "{a}".format(a=1) fail', 'why does print(f"{a}") fail', "why does rf'{a}' fail"],
    *['why does f"say \\"{a}\\"" fail', 'text = f"""\nDear {a},\n"""'],
    *['text = """\nDear {a},\n"""', "def f():\n    '''Give {a}.'''\n    {a}"],
    *["def f(\n    q,\n) -> None:\n    {a}", "try:\n    {a}\nexcept E:\n    {b}", "else: {a}"],
    *["match q:\n    case 1:\n        {a}", "print({a})", "why does print(1, {a}) fail"],
    *["foo(\n    {a},\n    {b}\n)", "foo(1,\n    {a})", "z = 1\n{a}\nprint(z)", "s = \\\n    {a}"],
    *["{a} | {b}", "{a} <= {b}", "{a} if {b} else {c}", "assert z == {a}"],
    *["@d({a})\ndef f(): pass", ">>> {a}", "In [1]: {a}", "----> 3 s = {a}", "+    s = {a}"],
    *["> s = {a}", "- s = {a}", "!pip install {s}", "%timeit {a}", "let z = {a};", "const z = {a}"],
    *["z := {a}", "import {a} from 'z'", 'println!("{a}");', "int z[] = {a};"],
    *["if (q) {\n  {a}\n}", "} else { {a} }", "// {a}", "/* {a} */", "... {a}", "$ echo {a}"],
    *["z <- {a}", "let z = {a}", "} {a}", "if q:\n    {a}\nelif q:\n    {b}\nelse:\n    {c}"],
    *["class Q:\n    {a}", "while q:\n    {a}", "with q:\n    {a}"],
    *["try:\n    q()\nfinally:\n    {a}"],
]


@pytest.mark.parametrize(
    "text", [*NAMELESS, *NO_VALUES, *OTHER_BRACES, *CODE, "word " * 1100 + "{a}"]
)
def test_all_else_stays_byte_for_byte(text: str) -> None:
    assert fill(text, NAMES) == Filled(text, ())


MANY = 200_000
ORDINARY = 'The quick brown fox, which "jumps" over {it}; isn\'t (so) [it]?\n'
PASTES = {
    "prose": (ORDINARY * (MANY // len(ORDINARY)) + "Why {a}?", True),
    "log": ("12:00 INFO [main] request {id: 7} took 3 ms: `ok`\n" * 12_000 + "Why {a}?", True),
    "JSON": ('{"k": {"z": [1, 2]}, "t": "words"},\n' * (MANY // 38) + "Why {a}?", True),
    "newlines": ("\n" * MANY + "{a}", True),
    "many that resolve": ("why {a}\n" * (MANY // 8), False),
    "one line": ("{a}" * (MANY // 3), False),
    "opened": ("{" * 310_000 + "{a}", False),
    "nested": ("{" * (MANY // 2) + "a" + "}" * (MANY // 2), False),
    "mixed": ("([{" * (MANY // 3) + "{a}", False),
    "closed": (")]}" * (MANY // 3) + "{a}", False),
    "backticks": ("".join("`" * (1 + run % 50) + " " for run in range(MANY // 26)), False),
    "quotes": ("'" * MANY + " {a}", False),
    "f-strings": ("f'" * MANY + " {a}", False),
    "open f-strings": ("f'''f\"\"\"" * (MANY // 8) + " {a}", False),
    "escapes": ('f"\\' * (MANY // 3) + " {a}", False),
    "formats": ("\"x'.format " * (MANY // 11) + "{a}", False),
    "dollars": ("$ " * MANY + "{a}", False),
    "spaces": ("=" + " " * MANY + "{a}", False),
    "headers": ("if x:\n" * (MANY // 6) + "    {a}", False),
    "colons": (("if " + ":" * 4900 + "\n") * 60 + "return {a}", False),
    "steps": ("".join(" " * (at % 999) + "if x:\n" for at in range(1998)) + "return {a}", False),
    "fences": ("```\n" * (MANY // 4 + 1) + "{a}", False),
    "minuses": (("-" * 4900 + "return {a}\n") * 60, True),
    "parentheses": ("why {" + "(" * 90 + "a b" + ")" * 90 + "}\n", False),
}


@pytest.mark.parametrize("kind", PASTES)
def test_a_paste_of_any_kind_takes_no_time(kind: str) -> None:
    text, filled = PASTES[kind]
    began = time.process_time()  # what others have the processor for does not count
    assert fill(text, NAMES).names == (("a",) if filled else ())
    assert time.process_time() - began < 30  # well under a second; at its length's square, minutes
