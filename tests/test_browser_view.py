"""The view in JupyterLab: what hostile texts do there, what can be read, clicked and heard.

A scripted engine plays the models, so that a run stands still where a test looks at it. Playwright
runs once at a time, so this module too has one server and one page.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Dialog, Locator, Page, Request, expect

from tests.support.hostile import ARMED, HOST, HOSTILE, marker
from tests.support.lab import LabServer, Notebook, dark, open_page, painted, record
from tests.test_browser import shoot

STAGES = {f"h{number}": name for number, name in enumerate(HOSTILE)}
LOAD = """\
%load_ext mirador_magic
import asyncio, json
from mirador_magic import DEFAULT_STAGES, ModelStage, Script, ScriptedEngine, add_stage, use_engine
from mirador_magic.errors import EngineLost
quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
texts = json.load(open("texts.json"))
scripts = {f"h{n}": Script(text) for n, text in enumerate(texts["hostile"])}
scripts |= {
    "hold": Script(["Holding on.", 3600.0]),
    "later": Script("Never said."),
    "count": Script(texts["count"], pace=0.01),
    quick: Script(texts["rich"], thinking="Let me think\\nabout it."),
    deep: Script(texts["richer"]),
    synthesis: Script(["Half of it, then", EngineLost("the cable fell out")]),
    "draft": Script("A short draft."), "deeper": Script("A deeper look."), "last": Script("Final."),
}
for name in (*scripts.keys() - {quick, deep, synthesis}, ):
    add_stage(ModelStage(name, name, {"hold": 0.95, "later": 0.5}.get(name, 0.6), 600.0, ""))
engine = ScriptedEngine(scripts)
use_engine(engine)"""
CODE = '''\
import math  # a comment

@decorated
class Circle(Shape):
    """A docstring."""

    def area(self) -> float:
        return 3.14 * self.radius ** 2 if self.radius else print("none")
'''
RICH = f"""\
# A heading

Plain, **bold**, *italic*, ~~struck~~, `code` and [a link](https://example.org). A second sentence.

## Another heading

- one item with `code`
- [another link](https://example.org/b)

1. first
2. second

> A quotation with **bold** and [a link](https://example.org/c).

| name | value |
|------|------:|
| `a`  | 1     |

```python
{CODE}```

```
no language
```

So $x_1 + y^2$ is small, and

$$
\\frac{{a}}{{b}} = c
$$

---

The end of it.
"""
RICHER = RICH.replace("A second sentence.", "A third sentence, all new.").replace("small", "large")
COUNT = "First words stand.\n\n" + "\n\n".join(
    " ".join(f"w{n}" for n in range(begin, begin + 25)) + "." for begin in range(0, 3000, 25)
)
MIXED = "%%mirador --stages quick_response,deep_analysis,synthesis,hold,later\nWhat now?"
PANEL = ".mirador"

Open = Callable[..., Notebook]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab with the scripted engine, and the texts beside its notebooks."""
    folder = tmp_path_factory.mktemp("lab-view")
    with LabServer(folder, MIRADOR_ENGINE="scripted", MIRADOR_PRE_WARM="0") as running:
        texts = {"hostile": [*HOSTILE.values()], "rich": RICH, "richer": RICHER, "count": COUNT}
        (running.notebooks / "texts.json").write_text(json.dumps(texts))
        yield running


@pytest.fixture(scope="module")
def page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    with open_page(chromium, lab) as opened:
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield opened


@pytest.fixture
def open_notebook(page: Page, lab: LabServer, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a notebook of these cells behind one that has loaded the magic and the scripts."""
    with contextlib.ExitStack() as end:

        def opened(*cells: str) -> Notebook:
            notebook = Notebook(page, lab, request.node.name, [LOAD, *cells])
            end.callback(notebook.discard)
            notebook.run(0)
            return notebook

        yield opened


def start(notebook: Notebook, number: int, text: str) -> Locator:
    """Start this cell; its output, once the text stands in it and the widgets are there."""
    notebook.start(number)
    notebook.wait_for_text(number, text)
    expect(notebook.output(number).locator(".jupyter-widgets.mirador")).to_be_visible()
    return notebook.output(number)


def stop(notebook: Notebook, number: int) -> Locator:
    """Stop the cell's run; its output, the twin."""
    notebook.output(number).get_by_role("button", name="Stop").click()
    notebook.wait(number)
    return twin_of(notebook, number)


def twin_of(notebook: Notebook, number: int) -> Locator:
    output = notebook.output(number)
    expect(output.locator(".mirador-saved")).to_have_count(1)
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    return output


def unfold(output: Locator) -> None:
    output.evaluate("it => it.querySelectorAll('details').forEach(each => { each.open = true; })")


def visible_buttons(output: Locator) -> list[str]:
    names = "all => all.filter(each => each.checkVisibility()).map(each => each.textContent)"
    found: list[str] = output.locator("button, [role=button], input, select").evaluate_all(names)
    return found


# Hostile texts


class Watch:
    """What the page did while it was looked at: hosts it asked, dialogs it opened."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str | None] = set()
        self.dialogs: list[str] = []
        page.on("request", self._asked)
        page.on("dialog", self._opened)

    def _asked(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname)

    def _opened(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            self.dialogs.append(dialog.message)


@pytest.mark.parametrize("name", ARMED)
def test_the_texts_bite_where_nobody_guards(page: Page, name: str) -> None:
    """The control of the test below: shown as HTML, each of these runs or asks its host."""
    victim = page.context.new_page()
    asked: list[str] = []
    try:
        victim.route("**/*", lambda route: (asked.append(route.request.url), route.abort()))
        victim.set_content(HOSTILE[name], wait_until="commit")
        victim.wait_for_function("() => window.pwned || document.images.length >= 0")
        with contextlib.suppress(Exception):
            victim.wait_for_function("() => window.pwned", timeout=1000)
        assert victim.evaluate("() => Boolean(window.pwned)") or any(HOST in url for url in asked)
    finally:
        victim.close()


# Of points all over the page: the widget that is seen there, for those outside of the notebook, and
# the elements of the output that are seen where it does not lie.
SEEN = """(output) => {
    const panel = output.closest('.jp-NotebookPanel-notebook');
    const view = panel.getBoundingClientRect(), own = output.getBoundingClientRect();
    const holds = (box, x, y) => x >= box.left && x < box.right && y >= box.top && y < box.bottom;
    const around = {}, strays = [];
    for (let x = 5; x < innerWidth; x += 15) for (let y = 5; y < innerHeight; y += 10) {
        const seen = document.elementFromPoint(x, y);
        if (!holds(view, x, y)) around[`${x} ${y}`] = seen?.closest('.lm-Widget')?.id ?? 'nothing';
        else if (output.contains(seen) && !holds(own, x, y)) strays.push(seen.outerHTML);
        if (!panel.contains(seen) && holds(view, x, y)) strays.push(seen?.outerHTML ?? 'nothing');
    }
    const {backgroundColor, backgroundImage, cursor, display, visibility} = getComputedStyle(document.body);
    const body = [backgroundColor, backgroundImage, cursor, display, visibility, document.title];
    return {around, strays, body, base: document.baseURI, frames: window.length};
}"""

# Elements within the models' texts that are none of ours, and attributes that run or load.
FOREIGN = """output => [...output.querySelectorAll('.mirador-text *, .mirador-thoughts *')]
    .filter(each => !each.closest('mjx-container'))
    .filter(each => !/^(a|b|blockquote|br|button|code|details|div|em|hr|i|li|ol|p|pre|s|span|strong|table|tbody|td|th|thead|tr|ul)$/i.test(each.tagName)
        || [...each.attributes].some(({name}) => /^on|^src|^data-command|^id$|^name$/i.test(name))
        || (each.tagName == 'A' && !/^(https?|mailto):$/.test(each.protocol))
        || /fixed|absolute|sticky/.test(getComputedStyle(each).position) && !each.matches('.mirador-code > .mirador-act')
        || getComputedStyle(each).backgroundImage != 'none'
        || (each.matches('button') && each.checkVisibility() && !each.matches('.mirador-code > [data-act=copy-code]')))
    .map(each => each.outerHTML.slice(0, 200))"""


def check_harmless(output: Locator, before: dict[str, Any], frames: int) -> None:
    """Nothing of the texts is more than text, and all of them can be read."""
    page = output.page
    output.evaluate("it => it.scrollIntoView({block: 'start'})")
    assert page.evaluate("() => window.pwned ?? null") is None
    assert output.evaluate(FOREIGN) == []
    assert output.evaluate(SEEN) == before
    assert output.locator("section, .mirador-stage").count() == frames
    shown = " ".join(output.inner_text().split())
    assert [name for name in HOSTILE if marker(name) not in shown] == []


def test_hostile_texts_stay_text_live_finished_and_reopened(open_notebook: Open) -> None:
    stages = ",".join([*STAGES, "hold"])
    notebook = open_notebook(f"%%mirador --stages {stages}\nWhat is this?")
    watch = Watch(notebook.page)
    before = notebook.output(1).evaluate(SEEN)
    assert set(before["around"].values()) > {"jp-top-panel"} or before["around"]
    output = start(notebook, 1, "Holding on.")
    check_harmless(output, before, len(STAGES) + 1)
    output = stop(notebook, 1)
    unfold(output)
    check_harmless(output, before, len(STAGES) + 1)
    notebook.save()
    notebook.close()
    notebook.open()
    assert notebook.is_trusted(1)
    unfold(notebook.output(1))
    check_harmless(notebook.output(1), before, len(STAGES) + 1)
    notebook.shut_down()
    notebook.close()
    notebook.open_without_kernel()
    assert not notebook.is_trusted(1)
    output = notebook.output(1)
    unfold(output)
    check_harmless(output, output.evaluate(SEEN), len(STAGES) + 1)
    assert visible_buttons(output) == []
    assert watch.dialogs == []
    assert watch.hosts <= {"127.0.0.1", None}


# Contrast

# Each visible text's contrast by WCAG 2: colours laid over one another from the page's root down, a
# group's opacity over all that is in it. Dots and bars of confidence are graphics: 3 is enough.
CONTRAST = """output => {
    const read = text => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return {rgb: [r, g, b].map(v => text.startsWith('color') ? v * 255 : v), a};
    };
    const mix = (under, over, a) => under.map((v, n) => v * (1 - a) + over[n] * a);
    const paint = (chain, under, colour) => {
        if (!chain.length) return colour ? mix(under, colour.rgb, colour.a) : under;
        const {backgroundColor, opacity} = getComputedStyle(chain[0]);
        const {rgb, a} = read(backgroundColor);
        return mix(under, paint(chain.slice(1), mix(under, rgb, a), colour), Number(opacity));
    };
    const light = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
    const ratio = (element, colour) => {
        const chain = [];
        for (let each = element; each; each = each.parentElement) chain.unshift(each);
        const pair = [paint(chain, [255, 255, 255]), paint(chain, [255, 255, 255], read(colour))].map(light);
        return (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
    };
    const found = [];
    const walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
        if (!text || !element.checkVisibility({visibilityProperty: true}) || element.closest(':disabled, style')) continue;
        const {color, fontSize, fontWeight} = getComputedStyle(element);
        const size = parseFloat(fontSize), dot = /^[●○]$/.test(text);
        const large = size >= 24 || size >= 18.66 && fontWeight >= 700;
        found.push({text: text.slice(0, 40), ratio: ratio(element, color), least: dot || large ? 3 : 4.5, color, size});
    }
    for (const glyph of output.querySelectorAll('mjx-c'))
        found.push({text: 'TeX', ratio: ratio(glyph, getComputedStyle(glyph).color), least: 4.5});
    for (const bar of output.querySelectorAll('.mirador-stage, section')) {
        if (/· (waiting|skipped)/.test(bar.textContent)) continue;
        const colour = getComputedStyle(bar).borderLeftColor;
        found.push({text: 'bar', ratio: ratio(bar, colour), least: 3, color: colour});
    }
    return found;
}"""


def check_contrast(output: Locator, *said: str) -> None:
    found = output.evaluate(CONTRAST)
    texts = " ".join(each["text"] for each in found)
    assert [
        each for each in (*said, "TeX", "bar", "●" if "●" in texts else "○") if each not in texts
    ] == []
    faint = [each for each in found if each["ratio"] < each["least"]]
    assert faint == []


SAID = (
    *("Plain", "bold", "A heading", "a link", "a comment", "class", "no language", "A quotation"),
    *("thinking", "Let me think", "compared with", "the cable fell out", "first", "declared"),
)


def show_all(output: Locator) -> None:
    """Unfold all, and wait until the page has typeset what is TeX."""
    unfold(output)
    expect(output.locator("mjx-container").first).to_be_visible()


def test_everything_can_be_read_in_both_themes(open_notebook: Open) -> None:
    notebook = open_notebook(MIXED)
    output = start(notebook, 1, "Holding on.")
    show_all(output)
    check_contrast(output, *SAID, "Stop")
    shoot(notebook, 1, "view-live-light")
    with dark(notebook.page):
        check_contrast(output, *SAID, "Stop")
        shoot(notebook, 1, "view-live-dark")
    output = stop(notebook, 1)
    show_all(output)
    check_contrast(output, *SAID, "■ stopped", "Go deeper", "Run again")
    shoot(notebook, 1, "view-done-light")
    with dark(notebook.page):
        check_contrast(output, *SAID, "■ stopped", "Go deeper", "Run again")
        shoot(notebook, 1, "view-done-dark")


# What is said


def line(output: Locator, stage: str) -> str:
    """A stage's line, as it is read."""
    heading = output.get_by_role("heading", name=stage, exact=True)
    return heading.locator("xpath=..").inner_text()


def test_states_and_confidence_are_said_in_words(open_notebook: Open) -> None:
    notebook = open_notebook(MIXED)
    output = start(notebook, 1, "Holding on.")
    for stage, state in (
        ("quick_response", "done"),
        ("deep_analysis", "done"),
        ("synthesis", "failed"),
        ("hold", "writing"),
        ("later", "waiting"),
    ):
        assert f"· {state}" in line(output, stage)
    expect(output.get_by_text("the cable fell out")).to_be_visible()
    check_confidence(output, "60 % low declared", "85 % fair declared", "95 % sure declared")
    output = stop(notebook, 1)
    for stage, state in (("quick_response", "done"), ("synthesis", "failed"), ("hold", "stopped")):
        assert f"· {state}" in line(output, stage)
    check_confidence(output, "60 % low declared", "85 % fair declared", "95 % sure declared")


def check_confidence(output: Locator, *said: str) -> None:
    """Number and word are shown, and how they were had is told where the pointer rests."""
    for number_and_word in said:
        trust = output.locator("[title^=Confidence]", has_text=number_and_word)
        title = trust.first.get_attribute("title") or ""
        number, word = number_and_word.removesuffix(" declared").rsplit(" ", 1)
        assert title.startswith(f"Confidence: {number}, {word}; declared: the same for every")


# Not a bug by test_static, which allows it; but no page tells that a stage was left out.
@pytest.mark.xfail(reason="static._html drops stages that were skipped; 'skipped' is never shown")
def test_a_stage_that_was_skipped_says_so(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages hold,later\nWhat now?")
    start(notebook, 1, "Holding on.")
    output = stop(notebook, 1)
    expect(output).to_contain_text("stopped")
    assert "skipped" in (output.text_content() or "")
