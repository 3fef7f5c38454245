"""Where the open source is cut: what stands before is final."""

from __future__ import annotations

from typing import NamedTuple

from markdown_it.token import Token

from mirador_magic.views.markdown.fences import open_fences, opener

MOST = 8000  # characters of open source; more is cut by force
PIECE = 2000  # characters of an open fence that are worth a piece of their own


class Cut(NamedTuple):
    """Tokens that are final, the tokens after them, and how the open source goes on."""

    done: list[Token]
    rest: list[Token]
    line: int  # of the source, where the rest begins
    lead: str = ""  # what must stand before the rest for it to parse alike
    number: int = 0  # of the next item or piece, when the last block is cut


def finished(tokens: list[Token], *, forced: bool = False) -> Cut:
    """After all blocks but the last; within that, before the last item or line."""
    if not tokens:
        return Cut([], [], 0)
    last = _blocks(tokens)[-1]
    cut = None
    if tokens[last].type in ("bullet_list_open", "ordered_list_open"):
        cut = _cut_list(tokens, last)
    elif tokens[last].type == "fence" and (forced or len(tokens[last].content) > PIECE):
        cut = _cut_fence(tokens, last, MOST if forced else PIECE)
    return cut or Cut(tokens[:last], tokens[last:], _lines(tokens[last])[0])


def by_force(tokens: list[Token], source: str) -> Cut:
    """Some progress in a source that fills the window: at its end if nowhere else."""
    if len(blocks := _blocks(tokens)) > 1:
        return Cut(tokens[: blocks[-1]], [], _lines(tokens[blocks[-1]])[0])
    cut = _cut_table(tokens, source) or finished(tokens, forced=True)
    if not cut.line:
        cut = everything(tokens, source)
        if tokens and _goes_on(last := leaf(tokens), source):
            cut = cut._replace(lead=opener(last, last.content), number=1)
    return cut if len(cut.lead) < MOST // 8 else everything(tokens, source)


def everything(tokens: list[Token], source: str) -> Cut:
    return Cut(tokens, [], source.count("\n") + 1)


def _cut_list(tokens: list[Token], first: int) -> Cut | None:
    items = [
        n
        for n, token in enumerate(tokens[first:], first)
        if token.type == "list_item_open" and token.level == 1
    ]
    if len(items) < 2:
        return None
    number = int(tokens[first].attrs.get("start", 1)) + len(items) - 1
    rest = [tokens[first].copy(attrs={"start": number}), *tokens[items[-1] :]]
    line = _lines(tokens[items[-1]])[0]
    return Cut([*tokens[: items[-1]], tokens[-1]], rest, line, number=max(number, 1))


def _cut_fence(tokens: list[Token], first: int, size: int) -> Cut | None:
    """After whole lines of an open fence."""
    fence, content = tokens[first], tokens[first].content
    whole = window(content, size)
    if not whole.endswith("\n"):
        return None
    rest = fence.copy(content=content[len(whole) :], meta={**fence.meta, "more": True})
    line = _lines(fence)[0] + 1 + whole.count("\n")
    return Cut([*tokens[:first], fence.copy(content=whole)], [rest], line, opener(fence, whole), 1)


def _cut_table(tokens: list[Token], source: str) -> Cut | None:
    rows = [n for n, token in enumerate(tokens) if token.type == "tr_open" and token.level == 2]
    if len(rows) < 2 or tokens[0].type != "table_open":
        return None
    begin = _lines(tokens[0])[0]
    lead = "".join(line + "\n" for line in source.split("\n")[begin : begin + 2])
    done = [*tokens[: rows[-1]], *tokens[-2:]]
    return Cut(done, [], _lines(tokens[rows[-1]])[0], lead, 1)


def go_on(tokens: list[Token], number: int) -> None:
    """Change the first block's tokens: it was begun in an earlier piece."""
    first = tokens[0]
    first.meta["more"] = True
    if first.type == "ordered_list_open":
        first.attrs["start"] = number
    elif first.type == "table_open":
        del tokens[1 : [token.type for token in tokens].index("thead_close") + 1]


def window(text: str, size: int) -> str:
    """The first part of a long text: to an empty line, else a line's end, else a space."""
    for mark in ("\n\n", "\n", " "):
        if (end := text.rfind(mark, size // 2, size)) >= 0:
            return text[: end + len(mark)]
    return text[:size]


def _blocks(tokens: list[Token]) -> list[int]:
    return [n for n, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]


def leaf(tokens: list[Token]) -> Token:
    return next(token for token in reversed(tokens) if token.nesting >= 0)


def _lines(token: Token) -> list[int]:
    return token.map or [0, 0]


def is_code(token: Token) -> bool:
    return token.type in ("fence", "code_block")


def _goes_on(token: Token, source: str) -> bool:
    """Whether this is an open fence that its opener, set before the rest, goes on with."""
    if token.type != "fence":
        return False
    begin, end = _lines(token)
    lines = source.split("\n")
    before, last = lines[begin].partition(token.markup)[0], lines[end - 1].strip()
    closed = last.startswith(token.markup) and len(set(last)) == 1
    closed = closed and open_fences(token, token.content) == 1
    return not closed and len(before) < 4 and ">" not in before
