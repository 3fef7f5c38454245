"""Tokens as HTML: the tags, attributes and styles are those of this module alone."""

from __future__ import annotations

import html
from collections.abc import Callable

from markdown_it.token import Token

from mirador_magic.answer import words
from mirador_magic.views.markdown.colours import coloured, escaped
from mirador_magic.views.markdown.tex import may_be

MATH = "mirador-math"  # class of an element that holds TeX


def html_of(tokens: list[Token]) -> str:
    return "".join(map(_tag, tokens))


TOLD = "long, so plain from here on:"


def plain(text: str, *, begins: bool = False) -> str:
    """Text as it was written, where it is too long for anything else; told where that begins."""
    told = f'<div style="opacity:.7;font-size:13px">{TOLD}</div>'
    shown = f'<div{_AUTO} style="white-space:pre-wrap;overflow-wrap:anywhere">{escaped(text)}</div>'
    return (told if begins else "") + (shown if text else "")


def _tag(token: Token) -> str:
    if draw := _DRAWN.get(token.type):
        return draw(token)
    bare = f"</{token.tag}>" if token.nesting < 0 else f"<{token.tag}>"
    return _FIXED.get(token.type, bare)


_AUTO = ' dir="auto"'


def _paragraph_open(token: Token) -> str:
    """In lists and quotes a paragraph has their direction, and no more space in loose lists."""
    return f'<p{_AUTO} style="margin:.5em 0">' if token.level == 0 else '<p style="margin:.2em 0">'


def _heading_open(token: Token) -> str:
    """No h1 to h6: JupyterLab would list them in the notebook's table of contents."""
    level = min(int(token.tag[1]) + 2, 6)
    size = {3: "1.2em", 4: "1.1em"}.get(level, "1em")
    style = f"font-weight:600;font-size:{size};margin:.8em 0 .3em"
    return f'<div class="mirador-h" role="heading" aria-level="{level}"{_AUTO} style="{style}">'


def _ordered_list_open(token: Token) -> str:
    start = token.attrs.get("start", 1)
    number = "" if start == 1 else f' start="{start}"'
    return f'<ol{_AUTO}{number} style="margin:0">'


def _table_open(token: Token) -> str:
    margin = "0" if token.meta.get("more") else ".5em 0 0"
    return f'<div style="overflow-x:auto"><table{_AUTO} style="margin:{margin}">'


def _cell(token: Token) -> str:
    style = token.attrs.get("style")
    return f'<{token.tag} style="{style}">' if style else f"<{token.tag}>"


def _inline(token: Token) -> str:
    """An image within a link is no link of its own."""
    parts, inside = [], False
    for child in token.children or []:
        inside = child.type == "link_open" or (inside and child.type != "link_close")
        parts.append(_image(child, inside) if child.type == "image" else _tag(child))
    return "".join(parts)


def _image(token: Token, inside: bool) -> str:
    text = escaped(f"image: {token.content}")
    return text if inside else f"{_link_open(token)}{text}</a>"


def _link_open(token: Token) -> str:
    address = html.escape(words.clean(str(token.attrs.get("href") or token.attrs["src"])))
    how = 'rel="noopener noreferrer nofollow" target="_blank"'
    return f'<a href="{address}" {how} title="{address}">'


def _math(token: Token) -> str:
    """TeX for the page's MathJax, where all of it may be."""
    tex = token.content.strip()
    if not may_be(tex):
        return f"<code>{escaped(tex)}</code>"
    tag = "div" if token.type == "math_block" else "span"
    begin, end = ("\\(", "\\)") if token.type == "math_inline" else ("\\[", "\\]")
    kind = f"{MATH} mathjax_process tex2jax_process"
    return f'<{tag} class="{kind}">{begin}{escaped(tex)}{end}</{tag}>'


def _code(token: Token) -> str:
    """A code block, or a piece of one, which joins the piece before it without a gap."""
    more, number = token.meta.get("more"), token.meta["fence"]
    if more and not token.content:
        return ""
    copy = "" if more else _COPY
    info = "" if token.meta.get("plain") else token.info
    code, margin = coloured(token.content, info), "0" if more else ".5em 0 0"
    return (
        f'<div class="mirador-code" data-fence="{number}" style="margin:{margin}">{copy}'
        f'<pre style="margin:0;overflow-x:auto"><code>{code}</code></pre></div>'
    )


_COPY = (
    '<button type="button" class="mirador-act" data-act="copy-code" title="Copy this code" '
    'style="display:none">Copy</button>'
)

_FIXED = {
    "heading_close": "</div>",
    "blockquote_open": f'<blockquote{_AUTO} style="margin:.5em 0;padding:0 .8em;'
    'border-left:3px solid #80808055">',
    "bullet_list_open": f'<ul{_AUTO} style="margin:0">',
    "table_close": "</table></div>",
    "hardbreak": "<br>",
    "softbreak": "<br>",  # models mean the ends of their lines
    "math_wait": "",
}
_DRAWN: dict[str, Callable[[Token], str]] = {
    "text": lambda token: escaped(token.content),
    "code_inline": lambda token: f"<code>{escaped(token.content)}</code>",
    "paragraph_open": _paragraph_open,
    "heading_open": _heading_open,
    "ordered_list_open": _ordered_list_open,
    "table_open": _table_open,
    "th_open": _cell,
    "td_open": _cell,
    "inline": _inline,
    "link_open": _link_open,
    "math_inline": _math,
    "math_display": _math,
    "math_block": _math,
    "fence": _code,
    "code_block": _code,
}
