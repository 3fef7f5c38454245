"""A model's Markdown as safe HTML, while it streams.

    text as it comes -> open source --parse--> tokens --cut--> final: sent once
                                                          '--> the rest: drawn again next time

Only the open source is parsed, and it is never longer than MOST, so the work of a draw does not
depend on how much was written before. All top-level blocks but the last are final, and so are all
items but the last of a list, and the lines of a long fence.

What is drawn does not vanish again. Lines that may yet become something else are held back
(`_settled`), and what a paragraph has not closed yet is closed for the drawing (`_mended`).

The text is untrusted: tags, attributes and styles are those of this module, raw HTML shows as
text, links lead to the web or to mail alone, and nothing is ever loaded. Each search has a bound,
so that no text takes long.
"""

from __future__ import annotations

import functools
import html
import itertools
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

from mirador_magic.views import words

MATH = "mirador-math"  # class of an element that holds TeX
MOST = 8000  # characters of open source; more is cut by force
PIECE = 2000  # characters of an open fence that are worth a piece of their own
SHORT = 200  # characters that may be held back until a formula or a link is whole


class LiveMarkdown:
    """One answer's Markdown: fed as it comes, drawn when there is time."""

    def __init__(self) -> None:
        self._fed: list[str] = []
        self._open = ""
        self._fences = 0  # that are final
        self._number = 0  # of the next item or piece, when the open source goes on with a block

    def feed(self, text: str) -> None:
        """Take raw text as it comes."""
        self._fed.append(text)

    def draw(self, *, ended: bool = False) -> tuple[str, str]:
        """HTML of the pieces that were finished since the last draw, and of the open rest."""
        self._take(ended)
        done = []
        while len(self._open) > MOST:
            window = _window(self._open, MOST)
            done.append(self._freeze(_forced(self._parse(window), window), window))
        source = self._open if ended else _settled(self._open)
        tokens = self._parse(source, live=not ended and not source.endswith("\n\n"))
        cut = _all(tokens, source) if ended else _cut(tokens)
        done.append(self._freeze(cut, source))
        return "".join(done), _html(cut.rest)

    def _take(self, ended: bool) -> None:
        """Clean what was fed; a line's end of two characters may be cut between two feeds."""
        fed = "".join(self._fed)
        end = len(fed) - (fed.endswith("\r") and not ended)
        self._open += words.clean(fed[:end])
        self._fed = [fed[end:]]

    def _parse(self, source: str, *, live: bool = False) -> list[Token]:
        tokens = _parsed(source, live)
        if self._number and tokens:
            _go_on(tokens, self._number)
        for number, token in enumerate(filter(_is_code, tokens), self._fences):
            token.meta["fence"] = number
        return tokens

    def _freeze(self, cut: _Cut, source: str) -> str:
        """Take what is final from the open source, and draw it."""
        if cut.line:
            begin = sum(len(line) + 1 for line in source.split("\n")[: cut.line])
            self._open = cut.lead + self._open[min(begin, len(source)) :]
            self._number = cut.number
        fences = sum(map(_is_code, cut.done))
        goes_on = fences and cut.lead and _is_code(_leaf(cut.done))
        self._fences += fences - 1 if goes_on else fences
        return _html(cut.done)


@functools.lru_cache(maxsize=64)
def render(text: str) -> str:
    """The whole text at once as HTML."""
    whole = LiveMarkdown()
    whole.feed(text)
    return whole.draw(ended=True)[0]


def visible(text: str) -> str:
    """Text without characters that hide, and with those shown that turn its direction."""
    if text.isascii():
        return text
    text = re.sub("[\u00ad\u200b\u2060\ufeff\U000e0000-\U000e007f]", "", text)
    return re.sub("[\u202a-\u202e\u2066-\u2069]", lambda m: f"[U+{ord(m[0]):04X}]", text)


# Where the open source is cut


class _Cut(NamedTuple):
    """Tokens that are final, the tokens after them, and how the open source goes on."""

    done: list[Token]
    rest: list[Token]
    line: int  # of the source, where the rest begins
    lead: str = ""  # what must stand before the rest for it to parse alike
    number: int = 0  # of the next item or piece, when the last block is cut


def _cut(tokens: list[Token], *, forced: bool = False) -> _Cut:
    """After all blocks but the last; within that, before the last item or line."""
    if not tokens:
        return _Cut([], [], 0)
    last = _blocks(tokens)[-1]
    cut = None
    if tokens[last].type in ("bullet_list_open", "ordered_list_open"):
        cut = _cut_list(tokens, last)
    elif tokens[last].type == "fence" and (forced or len(tokens[last].content) > PIECE):
        cut = _cut_fence(tokens, last, MOST if forced else PIECE)
    return cut or _Cut(tokens[:last], tokens[last:], _lines(tokens[last])[0])


def _forced(tokens: list[Token], source: str) -> _Cut:
    """Some progress in a source that fills the window: at its end if nowhere else."""
    if len(blocks := _blocks(tokens)) > 1:
        return _Cut(tokens[: blocks[-1]], [], _lines(tokens[blocks[-1]])[0])
    cut = _cut_table(tokens, source) or _cut(tokens, forced=True)
    if not cut.line:
        cut = _all(tokens, source)
        if tokens and _goes_on(leaf := _leaf(tokens), source):
            cut = cut._replace(lead=_opener(leaf), number=1)
    return cut if len(cut.lead) < MOST // 8 else _all(tokens, source)


def _all(tokens: list[Token], source: str) -> _Cut:
    return _Cut(tokens, [], source.count("\n") + 1)


def _cut_list(tokens: list[Token], first: int) -> _Cut | None:
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
    return _Cut([*tokens[: items[-1]], tokens[-1]], rest, line, number=max(number, 1))


def _cut_fence(tokens: list[Token], first: int, size: int) -> _Cut | None:
    """After whole lines of an open fence."""
    fence, content = tokens[first], tokens[first].content
    whole = _window(content, size)
    if not whole.endswith("\n"):
        return None
    rest = fence.copy(content=content[len(whole) :], meta={**fence.meta, "more": True})
    line = _lines(fence)[0] + 1 + whole.count("\n")
    return _Cut([*tokens[:first], fence.copy(content=whole)], [rest], line, _opener(fence), 1)


def _cut_table(tokens: list[Token], source: str) -> _Cut | None:
    rows = [n for n, token in enumerate(tokens) if token.type == "tr_open" and token.level == 2]
    if len(rows) < 2 or tokens[0].type != "table_open":
        return None
    begin = _lines(tokens[0])[0]
    lead = "".join(line + "\n" for line in source.split("\n")[begin : begin + 2])
    done = [*tokens[: rows[-1]], *tokens[-2:]]
    return _Cut(done, [], _lines(tokens[rows[-1]])[0], lead, 1)


def _go_on(tokens: list[Token], number: int) -> None:
    """Change the first block's tokens: it was begun in an earlier piece."""
    first = tokens[0]
    first.meta["more"] = True
    if first.type == "ordered_list_open":
        first.attrs["start"] = number
    elif first.type == "table_open":
        del tokens[1 : [token.type for token in tokens].index("thead_close") + 1]


def _window(text: str, size: int) -> str:
    """The first part of a long text: to an empty line, else a line's end, else a space."""
    for mark in ("\n\n", "\n", " "):
        if (end := text.rfind(mark, size // 2, size)) >= 0:
            return text[: end + len(mark)]
    return text[:size]


def _blocks(tokens: list[Token]) -> list[int]:
    return [n for n, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]


def _leaf(tokens: list[Token]) -> Token:
    return next(token for token in reversed(tokens) if token.nesting >= 0)


def _lines(token: Token) -> list[int]:
    return token.map or [0, 0]


def _is_code(token: Token) -> bool:
    return token.type in ("fence", "code_block")


def _opener(fence: Token) -> str:
    return f"{fence.markup}{fence.info}\n"


def _goes_on(token: Token, source: str) -> bool:
    """Whether this is an open fence that its opener, set before the rest, goes on with."""
    if token.type != "fence":
        return False
    begin, end = _lines(token)
    lines = source.split("\n")
    before, last = lines[begin].partition(token.markup)[0], lines[end - 1].strip()
    closed = last.startswith(token.markup) and len(set(last)) == 1
    return not closed and len(before) < 4 and ">" not in before


# What is held back, and what is closed for the drawing

_INTO = r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*"
_MARKS = re.compile(r"(?:[ \t>#*+\-|`=_~:]|\d{1,9}[.)](?=[ \t]|\Z))*+(?:\d{1,9})?")
_INFO = re.compile(_INTO + "(?:```+[^`]*|~~~.*)")
_ROW = re.compile(_INTO + r"\|")


def _settled(source: str) -> str:
    """The source without last lines that may yet become something else."""
    begin = source.rfind("\n") + 1
    last = source[begin:]
    if _MARKS.fullmatch(last) or _INFO.fullmatch(last) or _ROW.match(last):
        source = source[:begin]
    before, _, header = source[:-1].rpartition("\n")
    # a row that no row stands above may be a header: it waits for the line below it
    first = _ROW.match(header) and not _ROW.match(before.rpartition("\n")[2])
    return (before and before + "\n") if first and source.endswith("\n") else source


_LABEL = r"(?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.){0,200}+\]){0,1000}+"
_WEB = r"<?(?:https?|mailto):"
_LINK = re.compile(rf"!?\[{_LABEL}\]\([ \t\n]*+{_WEB}", re.DOTALL | re.IGNORECASE)
_FORMULA = (
    r"\$\$(?!\$)(?P<dollars>.{1,1000}?)\$\$|\\\[(?P<display>.{1,1000}?)\\\]"
    r"|(?<!\d)\$(?![\s$])(?P<dollar>(?:\\.|[^\\$]){1,1000}?)(?<!\s)\$(?!\d)"
    r"|\\\((?P<inline>.{1,1000}?)\\\)"
)
_TEX = re.compile(_FORMULA, re.DOTALL)
_PARTS = re.compile(
    rf"""(?=[`\\$<!&\[*_~]) (?: (?P<ticks>`++) (?: .+? (?<!`)(?P=ticks)(?!`) | (?P<code>.*) )
    | {_FORMULA} | (?P<tex>\\[(\[] | \$) | \\. | <[^\s<>]+>
    | (?P<half>[\\!~]\Z | <[^\s<>]{{0,200}}\Z | &\#?\w{{0,31}}\Z)
    | !?\[{_LABEL}\] \( (?: [^()\s] | \([^()\s]*\) | \s+"[^"]*" )*+ \)
    | (?P<link>(?P<image>!?) \[(?P<label>{_LABEL})\] \( (?P<to>[^()]* (?:\([^()]*\)?[^()]*)?)\Z)
    | (?P<bracket>!?\[{_LABEL}\]?\Z)
    | (?P<run>\*+ | _+ | ~~+))""",
    re.DOTALL | re.VERBOSE,
)
_PRICE = re.compile(r"\$\d[\d.,]*[A-Za-z]?[\s.,;:!?)]+[A-Za-z]")


class _Run(NamedTuple):
    """Emphasis that is open: its marks, and where they stand."""

    begin: int
    end: int
    marks: str


def _mended(text: str) -> str:
    """An unfinished paragraph, its open marks closed and what may yet change left out."""
    runs: list[_Run] = []
    sides, ticks = StateInline(text, _parser(), {}, []), ""
    for part in _PARTS.finditer(text):
        if part["run"] and part.end() < len(text):
            _emphasis(runs, part, sides.scanDelims(part.start(), part["run"][0] != "_"))
        elif (kept := _kept(part)) is not None:
            text = text[: part.start()] + kept
            ticks = part["ticks"] or "" if kept else ""
            break
    text = text.rstrip()
    while runs and runs[-1].end >= len(text):
        text = text[: runs.pop().begin].rstrip()
    return text + ticks + "".join(run.marks for run in reversed(runs))


def _kept(part: re.Match[str]) -> str | None:
    """What to draw of a part that is not whole; None where it is, or never will be."""
    short = len(part.string) - part.start() < SHORT
    if part["code"] is not None:
        code = part["code"].rstrip("`")
        return part["ticks"] + code if code.strip() else ""
    if part["link"]:
        return _kept_link(part)
    if part["tex"]:
        price = _PRICE.match(part.string, part.start())
        later = part["tex"] == "$" and "$" in part.string[part.end() + 1 :]
        return "" if short and not price and not later else None
    return "" if part["half"] or part["run"] or (part["bracket"] and short) else None


def _kept_link(part: re.Match[str]) -> str | None:
    """The text of a link whose address has begun; nothing until it is sure to be one."""
    if re.match(_WEB, part["to"], re.IGNORECASE):
        return ("image: " if part["image"] else "") + part["label"]
    begun = any(scheme.startswith(part["to"].lower()) for scheme in ("http:", "https:", "mailto:"))
    return "" if begun else None


def _emphasis(runs: list[_Run], part: re.Match[str], sides: Scanned) -> None:
    """Close the open runs that these marks can, and open one with the marks that are left."""
    marks = part["run"]
    while sides.can_close and marks and any(run.marks[0] == marks[0] for run in runs):
        while runs[-1].marks[0] != marks[0]:
            runs.pop()
        run = runs.pop()
        used = min(len(run.marks), len(marks))
        if left := run.marks[used:]:
            runs.append(run._replace(marks=left))
        marks = marks[used:]
    if sides.can_open and marks and len(runs) < 50:
        runs.append(_Run(part.start(), part.end(), marks))


# The parser


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return re.match(_WEB, url, re.IGNORECASE) is not None


@functools.cache
def _parser() -> MarkdownIt:
    # references are off: a definition would change what is final
    parser = _Parser("commonmark", {"html": False, "maxNesting": 100})
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    block, inline = parser.block.ruler, parser.inline.ruler
    block.at("table", _small_table, {"alt": ["paragraph"]})
    block.before("table", "deep", _deep)
    block.before("fence", "math", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    inline.before("escape", "math", _math_inline)
    inline.before("link", "no_link", _no_link)
    parser.core.ruler.before("inline", "mend", _mend)
    return parser


def _parsed(source: str, live: bool) -> list[Token]:
    return _parser().parse(source, {"live": live})


def _mend(state: StateCore) -> None:
    """Mend the last paragraph or heading of a source that is still being written."""
    opened = [n for n, token in enumerate(state.tokens) if token.nesting >= 0]
    if state.env["live"] and len(opened) > 1:
        last = state.tokens[opened[-1]]
        if last.type == "inline" and state.tokens[opened[-2]].tag not in ("th", "td"):
            last.content = _mended(last.content)


def _paragraph(state: StateBlock, begin: int, end: int) -> int:
    """The line where what begins here ends at the latest."""
    lines = range(begin + 1, min(end, begin + 60))
    inside = (not state.isEmpty(n) and state.sCount[n] >= state.blkIndent for n in lines)
    return begin + 1 + len(list(itertools.takewhile(bool, inside)))


def _deep(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Below 30 levels everything is plain text: the parser would drop it."""
    if state.level < 30:
        return False
    state.line = _paragraph(state, begin, end)
    state.push("paragraph_open", "p", 1).map = [begin, state.line]
    state.push("text", "", 0).content = state.getLines(begin, state.line, state.blkIndent, False)
    state.push("paragraph_close", "p", -1)
    return True


def _small_table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Rows are filled up to the header's columns: a few characters could ask for a million."""
    columns = state.src.count("|", state.bMarks[begin], state.eMarks[begin])
    return columns * (end - begin) < 2 * MOST and table(state, begin, end, silent)


def _math_block(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A formula on its own lines. It ends a paragraph even before it is sure to be one."""
    at = state.bMarks[begin] + state.tShift[begin]
    closer = {"$$": "$$", "\\[": "\\]"}.get(state.src[at : at + 2])
    if closer is None or state.is_code_block(begin):
        return False
    if silent:
        return True
    stop = _paragraph(state, begin, end)
    text = state.getLines(begin, stop, state.blkIndent, False).lstrip()[2:]
    tex, found, after = text.partition(closer)
    last = state.eMarks[stop - 1] + 1 >= len(state.src)
    waits = state.env["live"] and last and len(text) < SHORT and not found
    if not waits and (not found or not tex.strip() or after.partition("\n")[0].strip()):
        return False
    state.line = begin + tex.count("\n") + 1 if found else stop
    token = state.push("math_block" if found else "math_wait", "", 0)
    token.content, token.map = tex, [begin, state.line]
    return True


def _math_inline(state: StateInline, silent: bool) -> bool:
    found = _TEX.match(state.src, state.pos)
    if found is None or found.end() > state.posMax:
        return False
    if not silent:
        display = found["dollars"] or found["display"]
        token = state.push("math_display" if display else "math_inline", "", 0)
        token.content = display or found["dollar"] or found["inline"]
    state.pos = found.end()
    return True


def _no_link(state: StateInline, silent: bool) -> bool:
    """A bracket that begins no link is text: the parser would seek its end again and again."""
    begin = re.compile(r"!?\[").match(state.src, state.pos)
    if begin is None or _LINK.match(state.src, state.pos):
        return False
    if not silent:
        state.append_pending(begin[0])
    state.pos = begin.end()
    return True


# The HTML


def _html(tokens: list[Token]) -> str:
    return "".join(map(_tag, tokens))


def _tag(token: Token) -> str:
    if draw := _DRAWN.get(token.type):
        return draw(token)
    bare = f"</{token.tag}>" if token.nesting < 0 else f"<{token.tag}>"
    return _FIXED.get(token.type, bare)


def _text(text: str) -> str:
    return html.escape(visible(text), quote=False)


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
    text = _text(f"image: {token.content}")
    return text if inside else f"{_link_open(token)}{text}</a>"


def _link_open(token: Token) -> str:
    address = html.escape(visible(str(token.attrs.get("href") or token.attrs["src"])))
    how = 'rel="noopener noreferrer nofollow" target="_blank"'
    return f'<a href="{address}" {how} title="{address}">'


_LOADS = re.compile(
    r"\\(?:(?:html|require|provide|Declare|Newext|(?:re)?new(?!line))[A-Za-z]*|href|url|unicode|U"
    r"|style|class|cssId|data|includegraphics|bbox|mmlToken|(?:eq)?ref|(?:math|text)tip|toggle"
    r"|let|[gex]?def)(?![A-Za-z])"
)
_ENDS = re.compile(r"(?<!\\)(?:\\\\)*\\[()\[\]]")  # \( \) \[ \], but not a new line's \\[2pt]


def _math(token: Token) -> str:
    """TeX for the page's MathJax, unless it could load, link, define or leave the formula."""
    tex = token.content.strip()
    if _LOADS.search(tex) or _ENDS.search(tex):
        return f"<code>{_text(tex)}</code>"
    tag = "div" if token.type == "math_block" else "span"
    begin, end = ("\\(", "\\)") if token.type == "math_inline" else ("\\[", "\\]")
    kind = f"{MATH} mathjax_process tex2jax_process"
    return f'<{tag} class="{kind}">{begin}{_text(tex)}{end}</{tag}>'


def _code(token: Token) -> str:
    """A code block, or a piece of one, which joins the piece before it without a gap."""
    more, number = token.meta.get("more"), token.meta["fence"]
    if more and not token.content:
        return ""
    copy = "" if more else _COPY
    code, margin = _coloured(token.content, token.info), "0" if more else ".5em 0 0"
    return (
        f'<div class="mirador-code" data-fence="{number}" style="margin:{margin}">{copy}'
        f'<pre style="margin:0;overflow-x:auto"><code>{code}</code></pre></div>'
    )


_COPY = (
    '<button type="button" class="mirador-act" data-act="copy-code" hidden title="Copy this code">'
    "Copy</button>"
)

_FIXED = {
    "heading_close": "</div>",
    "blockquote_open": f'<blockquote{_AUTO} style="margin:.5em 0;padding:0 .8em;'
    'border-left:3px solid #80808055">',
    "bullet_list_open": f'<ul{_AUTO} style="margin:0">',
    "table_close": "</table></div>",
    "softbreak": "\n",
    "math_wait": "",
}
_DRAWN: dict[str, Callable[[Token], str]] = {
    "text": lambda token: _text(token.content),
    "code_inline": lambda token: f"<code>{_text(token.content)}</code>",
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

# The colours of code

_KINDS = (("k", "b", "keyword"), ("c", "i", "comment"), ("s", "span", "string")) + (
    ("m", "span", "number"),
    ("n", "span", "def"),
)
STYLE = "\n".join(
    f".mirador-text code .{name}{{color:var(--jp-mirror-editor-{colour}-color)}}"
    for name, _, colour in _KINDS
)
# no more than these: each lexer is a set of regular expressions that a text may make slow
_LANGUAGES = """
bash batch c c# c++ cmake cpp cs csharp css cuda dart diff docker dockerfile elixir erlang f#
fortran fsharp go golang graphql groovy haskell html ini java javascript js json jsx kotlin
latex lua make makefile nginx objective-c ocaml perl php powershell protobuf ps1 py py3
pycon python python3 r rb ruby rs rust scheme scss sh shell sql swift terraform tex toml ts
tsx typescript xml yaml yml zig zsh
"""


def _coloured(code: str, info: str) -> str:
    """Code by what its parts are; plain where the language is not known."""
    name = re.match(r"\W*([\w+#-]*)", info)
    language = name[1].lower() if name else ""
    if language not in _LANGUAGES.split():
        return _text(code)
    pieces = []
    while code:
        pieces.append(_window(code, PIECE))
        code = code[len(pieces[-1]) :]
    return "".join(_lexed(piece, _lexer(language)) for piece in pieces)


def _lexed(code: str, lexer: Any) -> str:
    """Short, and not the same over and over: what takes a lexer the square of its length."""
    if len(code) > 10 * len(zlib.compress(code.encode())):
        return _text(code)
    parts = itertools.groupby(lexer.get_tokens(code), lambda part: _kind(part[0]))
    return "".join(
        f"{begin}{_text(''.join(text for _, text in texts))}{end}" for (begin, end), texts in parts
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
