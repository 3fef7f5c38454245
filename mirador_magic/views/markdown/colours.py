"""The colours of code: few tags, which look like something without a style sheet too."""

from __future__ import annotations

import functools
import html
import itertools
import re
import zlib
from typing import Any

from mirador_magic.answer import words
from mirador_magic.views.markdown.cut import PIECE, window

_KINDS = (("k", "b", "keyword"), ("c", "i", "comment"), ("s", "span", "string")) + (
    ("m", "span", "number"),
    ("n", "span", "def"),
)
STYLE = (
    "\n".join(
        f".mirador-text code .{name}{{color:var(--jp-mirror-editor-{colour}-color)}}"
        for name, _, colour in _KINDS
        if name != "c"  # the theme's is too faint on the ground of code
    )
    + "\n.mirador-text code .c {opacity:.75}"
)
_LONG = re.compile(r"\w{61}|[^\n]{161}")  # a word, or a line, that takes a lexer its square
# no more than these: each lexer is a set of regular expressions that a text may make slow
LANGUAGES = """
bash batch c c# c++ cmake cpp cs csharp css cuda dart diff docker dockerfile elixir erlang f#
fortran fsharp go golang graphql groovy haskell html ini java javascript js json jsx kotlin
latex lua make makefile nginx objective-c ocaml perl php powershell protobuf ps1 py py3
pycon python python3 r rb ruby rs rust scheme scss sh shell sql swift terraform tex toml ts
tsx typescript xml yaml yml zig zsh
"""


def escaped(text: str) -> str:
    """A text as HTML. An entity of Markdown's may have brought back what was cleaned."""
    return html.escape(words.clean(text), quote=False)


def is_short(code: str) -> bool:
    """Of short words and lines, and not the same over and over: what takes a lexer its square."""
    return not _LONG.search(code) and len(code) <= 10 * len(zlib.compress(code.encode()))


def language_of(info: str) -> str:
    """The language that a fence names; '' where it is none of those known."""
    name = re.match(r"\W*([\w+#-]*)", info)
    language = name[1].lower() if name else ""
    return language if language in LANGUAGES.split() else ""


def coloured(code: str, info: str) -> str:
    """Code by what its parts are; plain where the language is not known."""
    if not (language := language_of(info)):
        return escaped(code)
    pieces = []
    while code:
        pieces.append(window(code, PIECE))
        code = code[len(pieces[-1]) :]
    return "".join(_lexed(piece, _lexer(language)) for piece in pieces)


def _lexed(code: str, lexer: Any) -> str:
    if not is_short(code):
        return escaped(code)
    parts = itertools.groupby(lexer.get_tokens(code), lambda part: _kind(part[0]))
    return "".join(
        f"{begin}{escaped(''.join(text for _, text in texts))}{end}"
        for (begin, end), texts in parts
    )


@functools.cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@functools.cache
def _kind(token: Any) -> tuple[str, str]:
    """The tags around a part of this type."""
    from pygments import token as types  # type: ignore[import-untyped]

    families = (
        (types.Keyword, types.Operator.Word),
        (types.Comment,),
        (types.String,),
        (types.Number,),
        (types.Name.Function, types.Name.Class, types.Name.Builtin, types.Name.Tag),
    )
    for (name, tag, _), family in zip(_KINDS, families, strict=True):
        if any(token in kind for kind in family):
            return f'<{tag} class="{name}">', f"</{tag}>"
    return "", ""
