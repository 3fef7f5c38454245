"""A model's Markdown for a terminal: parsed as for a notebook, in the tokens that rich knows.

What rich has no way to show stays as it was written: formulas, images, HTML, unused references. What
Markdown decodes (entities) is cleaned once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mirador_magic.answer import words

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.markdown import Markdown


def markdown(text: str) -> Markdown:
    """The text as Markdown, each line break kept."""
    from rich.markdown import Markdown

    from mirador_magic.views.markdown.parse import parsed

    page = Markdown("", code_theme=_code_theme(), justify="default", hyperlinks=False)
    page.parsed = [each for token in parsed(words.clean(text), False) for each in _known(token)]
    for token in page.parsed:
        for each in (token, *(token.children or ())):
            each.content = words.clean(each.content)
    return page


def _known(token: Token) -> Iterator[Token]:
    """A block's token in rich's own; code that a lexer would take long for has no language."""
    from mirador_magic.views.markdown.colours import is_short, language_of
    from mirador_magic.views.markdown.maths import written

    if token.type == "math_block":
        formula = written(token.content, token.markup, token.info)
        yield token.copy(type="paragraph_open", tag="p", nesting=1)
        yield token.copy(type="inline", content="", children=list(_lines(token, formula)))
        yield token.copy(type="paragraph_close", tag="p", nesting=-1)
        return
    if token.type == "fence" and not (language_of(token.info) and is_short(token.content)):
        token.info = ""
    if token.children is not None:
        token.children = [each for child in _bare(token.children) for each in _inline(child)]
    yield token


def _bare(children: list[Token]) -> Iterator[Token]:
    """Without the links that show their own address, which rich would write twice."""
    own = ""
    for child, after in zip(children, [*children[1:], None], strict=False):
        if child.type == "link_open" and after:
            bare = child.attrs["href"] == after.content
            own = "bare" if bare and child.markup != "autolink" else child.markup
        if not own:
            yield child
        elif child.type == "text":
            yield _text(child, f"<{child.content}>" if own == "autolink" else child.content)
        own = "" if child.type == "link_close" else own


def _inline(token: Token) -> Iterator[Token]:
    match token.type:
        case "softbreak":
            yield token.copy(type="hardbreak")
        case "math_inline" | "math_display":
            yield from _lines(token, token.markup)
        case "image":
            yield _text(token, f"!{token.content} ({token.attrs['src']})")
        case _:
            yield token


def _lines(token: Token, text: str) -> Iterator[Token]:
    """A text as it was written, over as many lines."""
    for number, line in enumerate(text.strip("\n").split("\n")):
        if number:
            yield token.copy(type="hardbreak", content="", children=None)
        yield _text(token, line)


def _text(token: Token, text: str) -> Token:
    return token.copy(type="text", tag="", content=text, children=None)


def _code_theme() -> Any:
    """Code without colours. Markdown asks for a str, and hands it on to Syntax, which takes both."""
    from rich.style import Style
    from rich.syntax import ANSISyntaxTheme

    return ANSISyntaxTheme({("Comment",): Style(dim=True), ("Keyword",): Style(bold=True)})
