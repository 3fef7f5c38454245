"""Markdown that streams: what it shows, that it only grows, and that no text breaks out of it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it.token import Token

from mirador_magic.answer import words
from mirador_magic.views import markdown
from mirador_magic.views.markdown import MATH, STYLE, LiveMarkdown, render
from mirador_magic.views.markdown import parse as parsing
from mirador_magic.views.markdown.colours import LANGUAGES
from mirador_magic.views.markdown.cut import MOST, PIECE
from mirador_magic.views.markdown.draw import TOLD

BLOCKS = {"p", "div", "ul", "ol", "li", "blockquote", "table", "tr", "td", "th", "pre", "hr", "br"}
ALLOWED = {
    "a": {"href", "rel", "target", "title"},
    "b": {"class"},
    "i": {"class"},
    "span": {"class"},
    "button": {"type", "class", "data-act", "style", "title"},
    "div": {"class", "role", "aria-level", "dir", "style", "data-fence"},
    "ol": {"dir", "start", "style"},
    "pre": {"style"},
    "td": {"style"},
    "th": {"style"},
} | {tag: {"dir", "style"} for tag in ("p", "ul", "blockquote", "table")}
BARE = {"br", "code", "em", "hr", "li", "s", "strong", "tbody", "thead", "tr"}
FORMULA = "mirador-math mathjax_process tex2jax_process"


class Page(HTMLParser):
    """Well-nested HTML: its tags, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.parts: list[str] = []
        self.feed(html)
        self.close()
        assert self.stack == []
        self.text = " ".join("".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in ("br", "hr"):
            self.stack.append(tag)
        if tag in BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag in BLOCKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if "button" not in self.stack:
            self.parts.append(data)

    def values(self, attribute: str) -> list[str | None]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def shown(text: str) -> str:
    """The visible text of an answer that is still being written."""
    live = LiveMarkdown()
    live.feed(text)
    return Page("".join(live.draw())).text


def bare(html: str) -> str:
    """HTML without the attributes, which other tests are about."""
    return re.sub(r"<(\w+)[^>]*>", r"<\1>", html)


# What it shows


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "a *b* **c** ~~d~~ `e<`",
            "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e&lt;</code></p>",
        ),
        ("a\nb  \nc", "<p>a<br>b<br>c</p>"),
        (
            "- a\n- b\n  - c",
            "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul></li></ul>",
        ),
        ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
        ("> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"),
        ("a\n    $$b", "<p>a<br>$$b</p>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        (
            "|a|\n|-|\n|1|",
            (
                "<div><table><thead><tr><th>a</th></tr></thead>"
                "<tbody><tr><td>1</td></tr></tbody></table></div>"
            ),
        ),
        ("<b onclick=x>&amp;</b>", "<p>&lt;b onclick=x&gt;&amp;&lt;/b&gt;</p>"),
        ("<div>\n*a*", "<p>&lt;div&gt;<br><em>a</em></p>"),
        ("[a]: http://b.c\n\n[a]", "<p>[a]: <a>http://b.c</a></p><p>[a]</p>"),
        ("a\x1b[31m\x00b\r\nc", "<p>a[31mb<br>c</p>"),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert bare(render(text)) == html


@pytest.mark.parametrize(
    ("text", "level", "size"),
    [
        ("# a", "3", "1.2em"),
        ("a\n===", "3", "1.2em"),
        ("## a", "4", "1.1em"),
        ("a\n---", "4", "1.1em"),
        ("### a", "5", "1em"),
        ("#### a", "6", "1em"),
        ("###### a", "6", "1em"),
    ],
)
def test_a_heading_stays_out_of_the_table_of_contents(text: str, level: str, size: str) -> None:
    assert render(text) == (
        f'<div class="mirador-h" role="heading" aria-level="{level}" dir="auto" '
        f'style="font-weight:600;font-size:{size};margin:.8em 0 .3em">a</div>'
    )


def test_a_list_starts_where_it_says_and_a_cell_leans_as_it_says() -> None:
    assert Page(render("3. a\n4. b")).values("start") == ["3"]
    assert Page(render("1. a")).values("start") == []
    assert Page(render("|a|b|\n|:-:|--|\n|1|2|")).values("style")[2:] == ["text-align:center"] * 2


@pytest.mark.parametrize("text", ["# a", "a", "- a", "1. a", "> a", "|a|\n|-|"])
def test_a_block_takes_its_direction_from_its_text(text: str) -> None:
    assert Page(render(text)).values("dir") == ["auto"]


# Code


def test_a_fence_has_a_number_and_a_button_to_copy_it() -> None:
    button = (
        '<button type="button" class="mirador-act" data-act="copy-code" '
        'title="Copy this code" style="display:none">Copy</button>'
    )
    for number, html in enumerate(render("```\na < b\n```\n\n    a < b\n").split("<div ")[1:]):
        assert html.startswith(f'class="mirador-code" data-fence="{number}" ')
        assert html.count(button) == 1
        assert html.endswith("<code>a &lt; b\n</code></pre></div>")


@pytest.mark.parametrize("info", ["python", "py title=x", "Python", "{python}", "python3"])
def test_code_of_a_known_language_is_coloured(info: str) -> None:
    assert (
        '<b class="k">def</b> <span class="n">f</span>():\n    '
        '<b class="k">return</b> <span class="s">"a"</span>, <span class="m">1</span>  '
        '<i class="c"># b</i>\n'
    ) in render(f'```{info}\ndef f():\n    return "a", 1  # b\n```')


@pytest.mark.parametrize("info", ["", "text", "brainfuck", "no such", "pythn", "<b>"])
def test_code_of_no_known_language_is_plain(info: str) -> None:
    assert "<code>def f(): 1\n</code>" in render(f"```{info}\ndef f(): 1\n```")


@pytest.mark.parametrize("language", LANGUAGES.split())
def test_colours_leave_the_code_as_it_is(language: str) -> None:
    code = "\n\n a\t= 'b'; <c>\u2028# “d”\n@e { 1.5 }\n\n$ f\n\n\n"
    page = Page(render(f"```{language}\n{code}```"))
    assert "".join(page.parts).strip(" ") == code


def test_colours_are_those_of_the_theme() -> None:
    assert STYLE.splitlines()[0] == (
        ".mirador-text code .k{color:var(--jp-mirror-editor-keyword-color)}"
    )
    assert re.findall(r"\.(\w) ?{", STYLE) == list("ksmnc")


def test_lexers_are_not_loaded_before_the_first_code() -> None:
    code = (
        "import sys; from mirador_magic.views.markdown import render; render('```x\\na\\n```');"
        "sys.exit(any(name.startswith('pygments.lexers') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Links


@pytest.mark.parametrize(
    ("text", "address", "words"),
    [
        ("[a](http://b.c/d)", "http://b.c/d", "a"),
        ('[a *b*](https://b.c "d")', "https://b.c", "a b"),
        ("[a](HTTPS://b.c)", "HTTPS://b.c", "a"),
        ("[a](<https://b.c/d e>)", "https://b.c/d%20e", "a"),
        ("[a [b] c](https://b.c/(d))", "https://b.c/(d)", "a [b] c"),
        ("[a](mailto:b@c.d)", "mailto:b@c.d", "a"),
        ("<https://b.c?d&e>", "https://b.c?d&e", "https://b.c?d&e"),
        ("<a@b.c>", "mailto:a@b.c", "a@b.c"),
        ("![a](https://b.c/d.png)", "https://b.c/d.png", "image: a"),
        ("[![a](https://b.c/d.png)](https://b.c)", "https://b.c", "image: a"),
        ('[a](https://b.c/"onclick="d)', "https://b.c/%22onclick=%22d", "a"),
        ("[a](https://b.c/\u202ed)", "https://b.c/%5BU+202E%5Dd", "a"),
        ("[a](https://b\u0430nk.c)", "https://xn--bnk-6cd.c", "a"),
    ],
)
def test_a_link_leads_to_the_web_or_to_mail(text: str, address: str, words: str) -> None:
    page = Page(render(text))
    how = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
    assert page.tags[1:2] == [("a", {"href": address, "title": address} | how)]
    assert page.values("href") == [address]
    assert page.text == words


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#115;cript:alert(1)",
        "&#106;avascript:alert(1)",
        "\x01javascript:alert(1)",
        "java\u200bscript:alert(1)",
        "data:text/html,a",
        "vbscript:a",
        "file:///etc/passwd",
        "ftp://a.b",
        "//a.b",
        "/a",
        "a.html",
        "#a",
        "http&#58;//a.b",
        "",
    ],
)
def test_every_other_address_stays_text(address: str) -> None:
    for text in (f"[a]({address})", f"![a]({address})", f"[a](<{address}>)", f"<{address}>"):
        page = Page(render(text))
        assert [tag for tag, _ in page.tags] == ["p"], text
        assert "a" in page.text or not address


@pytest.mark.parametrize(
    ("text", "address", "left"),
    [
        ("See https://b.c/d_e_f.", "https://b.c/d_e_f", "See ."),
        ("(http://b.c/d_(e))", "http://b.c/d_(e)", "()"),
        ("**https://b.c/?d=e&f**", "https://b.c/?d=e&f", ""),
        ("HTTPS://b.c/*d*, e", "HTTPS://b.c/*d", "*, e"),
        ("“https://b.c”，d", "https://b.c", "“”，d"),
        ("| a |\n|---|\n| https://b.c |", "https://b.c", "a"),
        ("[a]( \u00a0https://b.c)", "https://b.c", "[a]( )"),
    ],
)
def test_a_bare_address_is_a_link(text: str, address: str, left: str) -> None:
    page = Page(render(text))
    assert page.values("href") == [address]
    assert page.text.replace(address, "").split() == left.split()


@pytest.mark.parametrize(
    "text", ["`https://b.c`", "xhttps://b.c", "https://", "https:// b", "ftp://b.c", "b.c/d"]
)
def test_what_is_no_address_is_no_link(text: str) -> None:
    page = Page(render(text))
    assert page.values("href") == []
    assert page.text == text.strip("`")


def test_an_address_in_a_link_s_text_is_no_link_of_its_own() -> None:
    assert Page(render("[https://a.b](https://c.d)")).values("href") == ["https://c.d"]


# What models write beside CommonMark


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a<br>b<BR />c `<br>`", "<p>a<br>b<br>c <code>&lt;br&gt;</code></p>"),
        ("- [ ] a\n- [x] b", "<ul><li><p>☐ a</p></li><li><p>☑ b</p></li></ul>"),
        ("1. [X] a", "<ol><li><p>☑ a</p></li></ol>"),
        ("- [y] a", "<ul><li><p>[y] a</p></li></ul>"),
        ("[ ] a", "<p>[ ] a</p>"),
        ("是**“重点”**的", "<p>是<strong>“重点”</strong>的</p>"),
        ("**注意：**这里", "<p><strong>注意：</strong>这里</p>"),
        ("これは**「強調」**です", "<p>これは<strong>「強調」</strong>です</p>"),
        ("a** b**", "<p>a** b**</p>"),
        (
            "H<sub>2</sub>O <kbd>a</kbd>",
            "<p>H&lt;sub&gt;2&lt;/sub&gt;O &lt;kbd&gt;a&lt;/kbd&gt;</p>",
        ),
        ("a[^1]\n\n[^1]: *b*", "<p>a[^1]</p><p>[^1]: <em>b</em></p>"),
        ("a\n: b", "<p>a<br>: b</p>"),
        ("##a", "<p>##a</p>"),
        ("a\\", "<p>a\\</p>"),
        (r"\d+ \( a", r"<p>\d+ \( a</p>"),
        ("1) a\n2) b", "<ol><li><p>a</p></li><li><p>b</p></li></ol>"),
    ],
)
def test_what_others_show_is_shown_and_the_rest_stays_as_written(text: str, html: str) -> None:
    assert bare(render(text)) == html


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (r"| x \| y | z |", ["x | y", "z"]),
        (r"| `a \| b` | z |", ["a | b", "z"]),
        ("| `a | b` | z |", ["a | b", "z"]),
        ("| $|x|$ | z |", [r"\(|x|\)", "z"]),
        ("| \\(P(a|b)\\) | $|x|$ |", [r"\(P(a|b)\)", r"\(|x|\)"]),
        ("$|x|$ | z", [r"\(|x|\)", "z"]),
        ("| $5 | $6 |", ["$5", "$6"]),
        ("| a | b | c | d |", ["a", "b | c | d"]),
        ("| a<br>b | c |", ["a b", "c"]),
        ("| a |", ["a", ""]),
    ],
)
def test_a_table_s_cells_keep_what_stands_in_them(row: str, cells: list[str]) -> None:
    for table in (f"| p | q |\n|---|---|\n{row}\n", f"text\np | q\n--|--\n{row}"):
        html = render(table)
        body = html[html.index("<tbody>") :]
        assert [Page(cell).text for cell in re.findall("<td>(.*?)</td>", body)] == cells


def test_a_formula_in_a_table_s_header_separates_nothing() -> None:
    html = render("| $|x|$ | b |\n|---|---|\n| 1 | 2 |")
    assert re.findall("<th>(.*?)</th>", html) == [f'<span class="{FORMULA}">\\(|x|\\)</span>', "b"]


def test_a_header_of_other_columns_is_no_table() -> None:
    assert "<table" not in render("| a | b | c |\n|---|---|\n| 1 | 2 |")


INNER = "# A\n\n```python\nprint(1)\n```\n\n~~~\nb\n~~~\n\nend\n"


@pytest.mark.parametrize("mark", ["```", "~~~", "````"])
@pytest.mark.parametrize("info", ["markdown", " md", "Markdown title=x"])
def test_a_fence_of_markdown_ends_at_its_own_end(mark: str, info: str) -> None:
    inner = INNER.replace("\n~~~\nb", "\n~~~py\nb")
    page = Page(render(f"{mark}{info}\n{inner}{mark}\nafter *it*"))
    assert page.values("data-fence") == ["0"]
    assert page.text == f"{' '.join(inner.split())} after it"
    assert page.tags[-1][0] == "em"


def test_a_long_fence_of_markdown_is_cut_and_still_ends_at_its_own_end() -> None:
    inner = "".join(f"## {n}\n\n```python\n" + f"x = {n}\n" * 200 + "```\n\n" for n in range(9))
    text = f"```markdown\n{inner}```\n\nafter *it*"
    live, html = LiveMarkdown(), ""
    for begin in range(0, len(text), 300):
        live.feed(text[begin : begin + 300])
        html += live.draw()[0]
    for page in (Page(html + live.draw(ended=True)[0]), Page(render(text))):
        assert page.text.split() == f"{inner} after it".split()
        assert set(page.values("data-fence")) == {"0"}
        assert page.tags[-1][0] == "em"


# Maths


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a $x<1$ b", rf'a <span class="{FORMULA}">\(x&lt;1\)</span> b'),
        (r"a \(x\) b", rf'a <span class="{FORMULA}">\(x\)</span> b'),
        ("a $$x$$ b", rf'a <span class="{FORMULA}">\[x\]</span> b'),
        (r"a \[x\] b", rf'a <span class="{FORMULA}">\[x\]</span> b'),
        ("$a_1*b*c_2$ 3", rf'<span class="{FORMULA}">\(a_1*b*c_2\)</span> 3'),
    ],
)
def test_a_formula_within_a_line(text: str, html: str) -> None:
    assert MATH in html
    assert html in render(text)


@pytest.mark.parametrize(
    "text",
    ["$$\nx\n+ y\n$$", "$$x\n+ y$$", "a\n$$\nx\n+ y\n$$\nb", "\\[\nx\n+ y\n\\]", "\\[ x\n+ y \\]"],
)
def test_a_formula_of_its_own_lines(text: str) -> None:
    assert f'<div class="{FORMULA}">\\[x\n+ y\\]</div>' in render(text)


@pytest.mark.parametrize(
    "text",
    [
        "$$\nx\n\n+ y\n$$",
        "a\n$$\nx\n\n+ y\n$$\nb",
        "\\[\nx\n\n+ y\n\\]",
        "> $$\n> x\n>\n> + y\n> $$",
        "- a\n\n  $$\n  x\n\n  + y\n  $$\n- b",
        "\\[ x\n\n+ y \\]",
    ],
)
def test_a_formula_may_hold_an_empty_line(text: str) -> None:
    assert f'<div class="{FORMULA}">\\[x\n\n+ y\\]</div>' in render(text)


@pytest.mark.parametrize("name", ["equation", "align*", "pmatrix", "gather"])
def test_an_environment_alone_is_a_formula(name: str) -> None:
    tex = f"\\begin{{{name}}}\na &= b \\\\\n\nc\n\\end{{{name}}}"
    shown = tex.replace("&", "&amp;")
    assert f'<p>so</p><div class="{FORMULA}">\\[{shown}\\]</div>' in bare_of_styles(
        f"so\n{tex}\nand"
    )
    line = tex.replace("\n", " ")
    assert f'<span class="{FORMULA}">\\[{line.replace("&", "&amp;")}\\]</span>' in render(
        f"so {line}"
    )


def test_an_environment_that_is_no_formula_stays_as_it_was_written() -> None:
    tex = "\\begin{tabular}{ll}\na & b \\\\\n\nc\n\\end{tabular}"
    assert MATH not in render(tex)
    assert Page(render(tex)).text == " ".join(tex.split())


def test_a_formula_with_empty_lines_is_held_back_until_it_is_whole() -> None:
    for text in ("$$\na\n\nb", "\\begin{align}\na\n\nb\n", "\\[\na\n\nb"):
        assert shown(f"so\n\n{text}") == "so"
        assert Page(render(text)).text == " ".join(text.split())  # at the end it is as written


def bare_of_styles(text: str) -> str:
    return re.sub(r' (?:dir|style)="[^"]*"', "", render(text))


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $10",
        "from $5 to $10 or so",
        "a $ b $",
        "$ a$",
        r"\$a$",
        "`$a$`",
        "$$",
        "a $x",
        "$$$",
    ],
)
def test_prices_are_no_formula(text: str) -> None:
    assert MATH not in render(text)


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{a}{b}",
        r"\url{a}",
        r"\require{html}",
        r"\htmlClass{a}{b}",
        r"\htmlData{a}{b}",
        r"\unicode{x41}",
        r"\style{a}{b}",
        r"\class{a}{b}",
        r"\cssId{a}{b}",
        r"\includegraphics{a}",
        r"\def\a{\a\a}\a",
        r"\newcommand\a{b}",
        r"\renewcommand{\a}{b}",
        r"\let\a\b",
        r"a \) b",
        r"a \\\] b",
        r"\rlap{\hspace{29em}\smash{\raise 3.6em {\colorbox{white}{\sf● 0.99 sure }}}}",
        r"\rule{3000px}{3000px}",
        r"\kern-40em x",
        r"\color{white}{x}",
        r"\phantom{x}",
        r"\mathmakebox[0pt]{x}",
        r"\Huge x",
        r"x \\[-40em] y",
        r"x \\[400pt] y",
        r"x \\ [40em] y",
        r"\begin{array}{c@{\hskip -40em}c} x \end{array}",
        r"\begin{array}{p{400em}} x \end{array}",
        r"\begin {picture} x \end{picture}",
        r"\begin{alignat}{\kern9em} x \end{alignat}",
        r"\nobody knows",
        "x \\",
    ],
)
def test_tex_that_is_not_listed_is_shown_as_code(tex: str) -> None:
    html = render(f"$${tex}$$")
    assert MATH not in html
    assert Page(html).text == tex


@pytest.mark.parametrize(
    "tex",
    [
        r"\frac{a}{b}",
        r"\displaystyle x",
        r"a \\[2pt] b",
        r"\deg \det \left\{ x \right\}",
        r"\begin{array}{c|cc} a & b & c \\ \hline d & e & f \end{array}",
        r"f(x) = \begin{cases} x^2 & \text{if } x \ge 0 \\ -x & \text{otherwise} \end{cases}",
        r"\hat\theta = \operatorname*{arg\,max}_{\theta \in \Theta} \prod_{i=1}^n p(x_i \mid \theta)",
        r"\oint_{\partial\Omega} \mathbf{E} \cdot d\mathbf{A} = \frac{Q}{\varepsilon_0} \tag{1}",
        r"A = \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}, \quad \lVert v \rVert_2 \leqslant 5\,\%",
        r"\underbrace{a + \dots + a}_{n} \implies \lim_{n\to\infty} \sqrt[n]{n!} \; \Big| \; \overline{z}",
        r"\mathcal{L}\{f\} \xrightarrow{t \to \infty} \boxed{\mathbb{R}^n} \not\subset \mathrm{d}x",
    ],
)
def test_tex_that_is_listed_is_a_formula(tex: str) -> None:
    assert MATH in render(f"$${tex}$$")


# Characters that hide or turn


def test_hidden_characters_are_shown_or_dropped() -> None:
    assert words.clean("a\u202eb\u2066c\u2069\u202a") == "a[U+202E]b[U+2066]c[U+2069][U+202A]"
    assert words.clean("a\u200b\u2060\ufeff\u00ad\U000e0041b") == "ab"
    assert words.clean("a\u200c\u200d\u200e\u200fä") == "a\u200c\u200d\u200e\u200fä"


@pytest.mark.parametrize(
    "text", ["{}", "`{}`", "```py\n'{}'\n```", "${}$", "[{}](http://a.b)", "# {}"]
)
@pytest.mark.parametrize("mark", ["\u202e", "&#x202e;", "&#8238;"])
def test_no_text_turns_the_direction(text: str, mark: str) -> None:
    assert "\u202e" not in render(text.format(mark))


# Nothing that is drawn vanishes

PROSE = """\
Hello **world**, this is *an __old__ story* with `code`, ~~no~~ and snake_case_names, 2 * 3 * 4!

It costs $5 and then $10. AT&T &amp; co; a < b, <https://a.b/c>, [0, 1] and f[i](j), 50 % — *so*.
A line \\*escaped\\* ends here\\
and goes on with ***both** kinds*, "quotes", ``a ` b`` and **a `b` *c***.
"""
HEADINGS = """\
# One *two*

Text
## Three `four` ##
Text
with two lines
===
- - -
2024 was a year. 1.5 is a number.
3.5 too

***

**Bold** begins. #hash
"""
LISTS = """\
Steps:
- **one**: first
- two
  with a line
  * nested `a`
  * nested b
    1. deep
    2. deeper
- three

Then:

1. a

   paragraph
2. b

   ```sh
   # a comment
   ls | wc -l
   ```
3. c
10. d

- [ ] open
- [x] done

End.
"""
TABLES = """\
A table:

| Name | **Value** | `c` |
|:-----|----------:|-----|
| a    | 1         | *x* |
| b    | 2         | a\\|b |

a | b
c

|x| is a value, not a table.
|y| neither.

> | q | r |
> |---|---|
> | 1 | 2 |

Done.
"""
CODE = """\
Run:
```python
# a comment
def f(x):
    '''Doc
    | a | b |
    - no list
    '''
    return {"a": x ** 2, 'b': `1`}

12
=====
```
then
~~~
```
not closed
```
~~~

    indented
    code

```
plain
"""
QUOTES = """\
> A quote with **bold
> text** and
> - a list
> - of two
>
> ```js
> let x = 1
> ```
lazy

> > deeper
text
"""
LINKS = """\
See [the *docs*](https://a.b/c_(d) "title") and [mail](mailto:a@b.c), or <mail@b.c>.
An image ![of a cat](https://a.b/c.png) and **[bold](http://a.b)**, but [not](javascript:x) this.
[start](http://a.b/x_y_z) and arr[0], [note] [1](http://a.b) ![x] (y) wow![z](https://a.b)
"""
MATHS = """\
Let $x_1 * y_2 * z$ be \\(\\alpha_i\\) and:

$$
a + b
= c
$$

Also \\[ \\frac{a}{b} \\] inline, and

\\[
\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}
\\]

- item $a$ of $b^2$.
  $$c = d$$
- $2 \\times 3 = 6$, not $7.

So $\\text{it is}$ done.
"""
BESIDE = """\
Beside: https://a.b/c_d_e_(f), **https://a.b**; a<br>b<br />c is 是**“重点”**的 **注意：**这里.

- [ ] open <br> it
- [x] see http://a.b/c.

| a | b |
|---|---|
| $|x|$ | `c | d` | e
| f<br>g | https://a.b | h |

$$
a

= b
$$

\\begin{align}
a &= b \\\\

c
\\end{align}
Inline \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix} too, and \\beta.

```markdown
# T
```py
x
```
end
```
"""
DOCUMENTS = [PROSE, HEADINGS, LISTS, TABLES, CODE, QUOTES, LINKS, MATHS, BESIDE]


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: text.split()[0])
def test_what_is_drawn_only_grows(text: str) -> None:
    live, frozen, before = LiveMarkdown(), "", ""
    for end, char in enumerate(text, 1):
        live.feed(char)
        done, rest = live.draw()
        frozen += Page(done).text + " " if done else ""
        now = " ".join(f"{frozen}{Page(rest).text}".split())
        assert now.startswith(before), repr(text[:end])
        before = now
    done, rest = live.draw(ended=True)
    assert rest == ""
    assert " ".join(f"{frozen}{Page(done).text}".split()) == Page(render(text)).text


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        # lines that are marks alone so far
        *((f"a\n\n{marks}", "a") for marks in ("#", "## ", "-", "- ", "1", "12.", "> ", "***", "")),
        *((f"a\n{marks}", "a") for marks in ("=", "--", "```", "~~~", "|", "> - ", "- 1. ", "::")),
        ("- a\n  -", "a"),
        ("12 a", "12 a"),
        ("1.5", "1.5"),
        # the header of a table, and its rows
        ("a\n| b", "a"),
        ("a\n\n| b | c |\n", "a"),
        ("a\n\n| b | c |\n|--", "a"),
        ("a\n\n| b | c |\n|--|--|\n", "a b c"),
        ("a\n\n| b | c |\nd", "a | b | c | d"),
        ("| b | c |\n|--|--|\n| d |", "b c"),
        ("| b | c |\n|--|--|\n| d | e |\n", "b c d e"),
        # fences
        ("a\n```py", "a"),
        ("a\n```py\nb", "a b"),
        ("```\na\n``", "a"),
        ("```\n**a\n", "**a"),
        ("- ```p", ""),
        # emphasis and code
        ("a **", "a"),
        ("a **b", "a b"),
        ("a **b*", "a b"),
        ("a _b __c", "a b c"),
        ("a ***b** c", "a b c"),
        ("a ~~b", "a b"),
        ("a ~", "a"),
        ("a `b", "a b"),
        ("a `", "a"),
        ("a ``b `", "a b"),
        ("**a `b", "a b"),
        ("**a `", "a"),
        ("a * b", "a * b"),
        ("a_b", "a_b"),
        ("# a **b", "a b"),
        ("- a\n> *b", "a b"),
        ("**a\n\n", "**a"),
        # links
        ("a [b", "a"),
        ("a [b]", "a"),
        ("a [b](", "a"),
        ("a [b](htt", "a"),
        ("a [b](https://c", "a b"),
        ("**a [*b*](https://c", "a b"),
        ("a [b](c", "a [b](c"),
        ("a [b] c", "a [b] c"),
        ("a!", "a"),
        ("a ![b", "a"),
        ("a ![b](https://c", "a image: b"),
        (f"a [{'b' * 200}", f"a [{'b' * 200}"),
        ("a <https://b", "a"),
        ("a < b", "a < b"),
        # formulas
        ("a $", "a"),
        ("a $x", "a"),
        ("a $5 b", "a $5 b"),
        ("a $5 and $", "a $5 and"),
        ("a \\(x", "a"),
        ("a\n\n\\[\nx", "a"),
        ("a\n$$\nx\n+ y", "a"),
        (f"a $x{' y' * 100}", f"a $x{' y' * 100}"),
        # halves
        ("a\\", "a"),
        ("a &am", "a"),
        ("a & b", "a & b"),
    ],
)
def test_what_may_yet_change_is_held_back(text: str, drawn: str) -> None:
    assert shown(text) == drawn


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b", "<p>a <strong>b</strong></p>"),
        ("a **b *c", "<p>a <strong>b <em>c</em></strong></p>"),
        ("**a** *b* c_d _e", "<p><strong>a</strong> <em>b</em> c_d <em>e</em></p>"),
        ("a `b*", "<p>a <code>b*</code></p>"),
        ("a \\*b `c` ~~d", "<p>a *b <code>c</code> <s>d</s></p>"),
    ],
)
def test_what_is_open_is_closed_for_the_drawing(text: str, html: str) -> None:
    live = LiveMarkdown()
    live.feed(text)
    assert bare(live.draw()[1]) == html


@pytest.mark.parametrize("text", ["a **", "a [b", "a\n#", "| a", "```py", "a &am", "a $x", "a\r"])
def test_at_the_end_everything_is_drawn_as_it_is(text: str) -> None:
    live = LiveMarkdown()
    live.feed(text)
    live.draw()
    assert live.draw(ended=True) == (render(text), "")


def test_a_line_end_may_be_cut_between_two_feeds() -> None:
    live = LiveMarkdown()
    live.feed("a\r")
    live.draw()
    live.feed("\nb")
    assert live.draw(ended=True)[0] == render("a\nb")


# What is finished is sent once


def drawn(live: LiveMarkdown, text: str) -> tuple[str, str]:
    live.feed(text)
    done, rest = live.draw()
    return bare(done), bare(rest)


def test_a_finished_block_is_sent_once() -> None:
    live = LiveMarkdown()
    assert drawn(live, "a") == ("", "<p>a</p>")
    assert drawn(live, "\n\nb") == ("<p>a</p>", "<p>b</p>")
    assert drawn(live, "c\n# d\n> e") == (
        "<p>bc</p><div>d</div>",
        "<blockquote><p>e</p></blockquote>",
    )


def test_finished_items_are_sent_once_and_keep_their_numbers() -> None:
    live = LiveMarkdown()
    live.feed("3. a\n3. b\n")
    done, rest = live.draw()
    assert (Page(done).values("start"), Page(done).text) == (["3"], "a")
    assert (Page(rest).values("start"), Page(rest).text) == (["4"], "b")
    live.feed("9. c\n9. d\n\ne")
    done, rest = live.draw()
    assert (Page(done).values("start"), Page(done).text) == (["4"], "b c d")
    live.feed("\n\n1. f\n1. g")
    done, rest = live.draw()
    assert (Page(done).values("start"), Page(rest).values("start")) == ([], ["2"])


def test_a_long_fence_is_sent_in_pieces_that_join() -> None:
    code = "".join(f"x = {n}\n\n" for n in range(PIECE // 2))
    text = f"```py\n{code}```\n\n```\na\n```"
    live, html = LiveMarkdown(), ""
    for begin in range(0, len(text), 300):
        live.feed(text[begin : begin + 300])
        done, rest = live.draw()
        html += done
        assert len(Page(rest).text) < PIECE + 300
    page = Page(html + live.draw(ended=True)[0])
    fences = page.values("data-fence")
    assert fences == ["0"] * (len(fences) - 1) + ["1"]
    assert len(fences) > len(code) / PIECE
    assert len(page.values("data-act")) == 2
    assert page.text == f"{' '.join(code.split())} a"
    margins = [attrs["style"] for tag, attrs in page.tags if tag == "div"]
    assert margins == ["margin:.5em 0 0"] + ["margin:0"] * (len(fences) - 2) + ["margin:.5em 0 0"]


def test_a_fence_within_the_cap_is_one_piece_when_rendered_whole() -> None:
    code = "".join(f"x = {n}\n" for n in range(PIECE // 4))
    assert Page(render(f"```\n{code}```\n\n1. a\n2. b")).values("data-fence") == ["0"]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a" * 1_000_000, "a" * 1_000_000),
        (">" * 10_000 + " a", "a"),
        ("> " * 200 + "a", "a"),
        ("- " * 200 + "a", "a"),
        ("|a|b|\n|-|-|\n" + "|c|d|\n" * 3000, "a b" + " c d" * 3000),
        ("- a\n" * 3000, " ".join("a" * 3000)),
        ("1. a\n   - b\n   - c\n\n" * 300, " ".join("abc" * 300)),
        ("```py\n" + "a\n" * 20_000 + "```\n*b*", "a " * 20_000 + "b"),
        ("```\n" + "a" * 20_000 + "\nb\n```\n*c*", "a" * 20_000 + " b c"),
        ("1. a\n   ```py\n" + "   b\n" * 5000 + "   ```\n2. *c*", "a " + "b " * 5000 + "c"),
        (
            "- - - a\n      ```\n" + "      b\n" * 5000 + "      ```\n\n*c*",
            "a " + "b " * 5000 + "c",
        ),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_long_texts_are_cut_and_lose_nothing(
    text: str, words: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, longest = parsing.parsed, 0

    def parsed(source: str, live: bool) -> list[Token]:
        nonlocal longest
        longest = max(longest, len(source))
        return parse(source, live)

    monkeypatch.setattr(markdown, "parsed", parsed)
    answer, html = LiveMarkdown(), ""
    for begin in range(0, len(text), 7000 if live else len(text)):
        answer.feed(text[begin : begin + 7000] if live else text)
        html += answer.draw()[0] if live else ""
    page = Page(html + answer.draw(ended=True)[0])
    assert page.text.count(TOLD) <= 1
    assert re.findall(r"\w", page.text.replace(TOLD, "")) == re.findall(r"\w", words)
    assert longest <= MOST


@pytest.mark.parametrize(
    "unit", ["a ", "a **b** c.\n", "- a\n", "a\n\n", "> a\n", "```\na\n", "|a|\n"]
)
def test_the_work_is_linear_in_the_text(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse, work = parsing.parsed, 0

    def parsed(source: str, live: bool) -> list[Token]:
        nonlocal work
        work += len(source)
        return parse(source, live)

    def of(size: int) -> int:
        nonlocal work
        work, live = 0, LiveMarkdown()
        for _ in range(0, size, 2000):
            live.feed((unit * 2000)[:2000])
            live.draw()
        live.draw(ended=True)
        return work

    monkeypatch.setattr(markdown, "parsed", parsed)
    assert of(16_000) < 2.5 * of(8_000)
    assert work < 8_000 * (MOST / 2000)


# Whatever a model writes

MARKS = st.sampled_from(
    [
        *(
            "# ",
            "- ",
            "1. ",
            "> ",
            "```",
            "```py\n",
            "~~~",
            "    ",
            "\n",
            "\n\n",
            "\r\n",
            "\r",
            "|",
        ),
        *(
            "| a | b |\n",
            "|---|---|\n",
            "---\n",
            "*",
            "**",
            "_",
            "~~",
            "`",
            "$",
            "$$",
            "\\(",
            "\\)",
        ),
        *(
            "\\[",
            "\\]",
            "[",
            "](",
            "](http://a.b",
            ")",
            "![",
            "<",
            "<http://a.b>",
            "&#x202e;",
            "&am",
        ),
        *(
            "\\",
            "<br>",
            "https://a.b/c",
            "\\begin{align}",
            "\\end{align}",
            "```markdown\n",
            "| c | $|d|$ |\n",
            "“重点”",
            "javascript:",
            '"onclick="',
            "<script>",
            "\u202e",
            "\ud83d",
            "\0",
            "\x1b",
            "a",
            "5",
        ),
    ]
)
TEXTS = st.lists(MARKS | st.text(max_size=5), max_size=30)


@settings(max_examples=60)
@given(TEXTS, st.integers(1, 5))
def test_any_text_is_safe_in_any_cuts(parts: list[str], every: int) -> None:
    live, text = LiveMarkdown(), "".join(parts)
    pieces: list[str] = []
    for number, part in enumerate(parts):
        live.feed(part)
        if number % every == 0:
            pieces += live.draw()
    pieces += [*live.draw(ended=True), render(text)]
    for page in map(Page, pieces):
        for tag, attrs in page.tags:
            assert tag in BARE or attrs.keys() <= ALLOWED[tag]
            assert tag not in BARE or not attrs
        for href in page.values("href"):
            assert re.match("(?:https?|mailto):", href or "", re.IGNORECASE)
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.text)


@settings(max_examples=60)
@given(TEXTS)
def test_any_text_in_pieces_says_what_the_whole_says(parts: list[str]) -> None:
    live, html = LiveMarkdown(), ""
    for part in parts:
        live.feed(part)
        html += live.draw()[0]
    html += live.draw(ended=True)[0]
    assert Page(html).text.split() == Page(render("".join(parts))).text.split()
