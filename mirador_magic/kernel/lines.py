"""`%mirador` in a line of code: what stands behind it is its text, a question mark at the end too.

IPython looks at the end of a statement first, and takes `p-value?` there for a wish for help on
`value`. The transformer here is asked before that one. It takes the call wherever a statement or a
value may begin: indented, behind an assignment of any kind, a colon, a semicolon or `return`, behind
another magic (`%time %mirador why?`), and without its sign, as automagic has it. `%mirador?` and
everybody else's `obj?` stay help.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Sequence
from itertools import pairwise

from IPython.core.inputtransformer2 import MagicAssign, TokenTransformBase

Tokens = Sequence[tokenize.TokenInfo]
Place = tuple[int, int]

_END = tokenize.NEWLINE
_BLANK = {tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT}
_BEFORE_A_VALUE = re.compile(r"[-+*/%@&|^]?=|\*\*=|//=|<<=|>>=|[:;]|return|yield")
_NO_PYTHON = re.compile(r"[\w\"'{-]").match  # as good as none, behind a name and a space
_ESCAPES = ("!", "?", "/", ",", "@")


class MiradorCall(TokenTransformBase):
    """Turns the call into Python as IPython turns `x = %magic text`; what stands before it stays."""

    priority = 1  # of those that begin at the same place the lowest is asked first; help has 5

    def __init__(self, begin: Place, call: Place) -> None:
        self.start_line, self.start_col = begin[0] - 1, begin[1]  # IPython sorts by it, as for help
        self._call = call

    @classmethod
    def find(cls, tokens_by_line: Sequence[Tokens]) -> MiradorCall | None:
        """The first call in the cell."""
        for line in tokens_by_line:
            tokens = [token for token in line if token.string.strip() or token.type == _END]
            tokens = [token for token in tokens if token.type not in _BLANK]
            if (at := _call(tokens)) is not None:
                return cls(tokens[0].start, at)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        number, column = self._call[0] - 1, self._call[1]
        line = lines[number]
        if line[column] != "%":
            lines = [*lines[:number], f"{line[:column]}%{line[column:]}", *lines[number + 1 :]]
        transformed: list[str] = MagicAssign(self._call).transform(lines)
        return transformed


def _call(statement: Tokens) -> Place | None:
    """Where a call begins in this statement."""
    depth, before = 0, ""
    for place, token in enumerate(statement):
        if depth == 0 and (not before or _BEFORE_A_VALUE.fullmatch(before)):
            line = [each for each in statement[place:] if each.start[0] == token.start[0]]
            if token.string == "%":
                inner = (n for n, each in enumerate(line) if each.string == "%")
                return token.start if any(_asks(line[n + 1 :]) for n in inner) else None
            if not before and _asks(line) and _NO_PYTHON(line[1].string) and _is_asked(line):
                return token.start
            if token.string in _ESCAPES:
                return None  # another one's: the rest of the line is its own
        depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
        before = token.string
    return None


def _asks(line: Tokens) -> bool:
    """Whether a text stands behind the name."""
    if len(line) < 2 or line[0].string != "mirador":
        return False
    is_text = line[1].string != "?" and line[1].type != _END
    return is_text and line[1].start > line[0].end


def _is_asked(line: Tokens) -> bool:
    """Whether it ends with a question mark. Where it does not, automagic takes it anyway."""
    return any(each.string == "?" and after.type == _END for each, after in pairwise(line))
