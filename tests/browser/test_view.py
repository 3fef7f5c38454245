"""The view in JupyterLab: what hostile texts do there, what can be read, clicked and heard.

A scripted engine plays the models, so that a run stands still where a test looks at it. Playwright
runs once at a time, so this module too has one server and one page.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Dialog, Locator, Page, Request, expect

from mirador_magic.stages import DEFAULT_STAGES
from tests.browser.test_panel import shoot
from tests.support.hostile import ARMED, HOST, HOSTILE, LARGE, marker
from tests.support.lab import LabServer, Notebook, dark, open_page, painted, record

STAGES = {f"h{number}": name for number, name in enumerate(HOSTILE)}
LOAD = """\
%load_ext mirador_magic
import asyncio, json
from mirador_magic import (DEFAULT_STAGES, ModelStage, Script, ScriptedEngine, add_stage, use_engine)
from mirador_magic.errors import EngineLost
quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
texts = json.load(open("texts.json"))
scripts = {f"h{n}": Script(text) for n, text in enumerate(texts["hostile"])}
scripts |= {
    "hold": Script(["Holding on.", 3600.0]),
    "later": Script("Never said."),
    "beside": Script([texts["beside"], 3600.0]),
    "count": Script([texts["count"], 3600.0], pace=0.01),
    quick: Script(texts["rich"], thinking="Let me think\\nabout it."),
    deep: Script(texts["richer"]),
    synthesis: Script(["Half of it, then", EngineLost("the cable fell out")]),
    "slow": Script("Slow words come.", first=0.5, pace=0.2),
    "draft": Script("A short draft."), "deeper": Script("A deeper look."), "last": Script("Final."),
}
for name in (*scripts.keys() - {quick, deep, synthesis}, ):
    add_stage(ModelStage(name, name, {"hold": 0.95, "later": 0.5}.get(name, 0.6), 600.0, ""))
engine = ScriptedEngine(scripts)
use_engine(engine)
# Most of these texts repeat themselves and would be stopped: here the views are to stand all of them.
from mirador_magic.pipeline.loops import Loops
Loops.feed = lambda self, text: False"""
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
BESIDE = r"""Costs $5 and $6; 这是**“重点”**的.<br>See https://a.example/b_c_d.

| a | b |
|---|---|
| $|x|$ | one<br>two |
| `c | d` | $P(A\|B)$ | beyond |

- [x] done

$$
a = b

c = d
$$

\begin{align}
a &= b \\

c
\end{align}

```markdown
```py
x
```
inner
```

The end *of it*.
"""
# JavaScript: the texts of the cells, the links, and what of the page is typeset.
SHOWN = """output => ({
    cells: [...output.querySelectorAll('td')].map(each => each.innerText.trim()),
    links: [...output.querySelectorAll('a')].map(each => each.href),
    formulas: output.querySelectorAll('mjx-container').length,
    fences: [...output.querySelectorAll('pre')].map(each => each.innerText.trim()),
    paragraph: [...output.querySelectorAll('p')].find(each => /Costs/.test(each.innerText)).innerText,
    bold: output.querySelector('strong').innerText,
})"""
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
        texts = {"hostile": [*HOSTILE.values()], "rich": RICH, "richer": RICHER}
        texts |= {"count": COUNT, "beside": BESIDE}
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
    numbers = itertools.count()
    with contextlib.ExitStack() as end:

        def opened(*cells: str) -> Notebook:
            name = f"{request.node.name} {next(numbers)}"
            notebook = Notebook(page, lab, name, [LOAD, *cells])
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
    asked: list[str] = []
    assert page.context.browser
    with page.context.browser.new_context() as context:
        victim = context.new_page()
        context.route("**/*", lambda route: route.abort())
        victim.on("request", lambda request: asked.append(request.url))
        victim.set_content(f"<!doctype html><p>{HOSTILE[name]}")
        assert any(HOST in url for url in asked) or victim.evaluate("() => 'pwned' in window")


# Of points all over the page: the widget that is seen there, for those outside of the notebook, and
# the elements of the output that are seen where it does not lie.
SEEN = """(output) => {
    const panel = output.closest('.jp-NotebookPanel-notebook');
    const view = panel.getBoundingClientRect(), own = output.getBoundingClientRect();
    const holds = (box, x, y) => x >= box.left && x < box.right && y >= box.top && y < box.bottom;
    const around = {}, strays = [];
    for (let x = 5; x < innerWidth; x += 100) for (let y = 5; y < innerHeight; y += 50) {
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
    .filter(each => !each.closest('mjx-container') && !each.matches('.jupyter-widgets > .widget-label'))
    .filter(each => !/^(a|b|blockquote|br|button|code|details|div|em|hr|i|li|ol|p|pre|s|span|strong|table|tbody|td|th|thead|tr|ul)$/i.test(each.tagName)
        || [...each.attributes].some(({name}) => /^on|^src|^data-command|^id$|^name$/i.test(name))
        || (each.tagName == 'A' && !/^(https?|mailto):$/.test(each.protocol))
        || /fixed|absolute|sticky/.test(getComputedStyle(each).position) && !each.matches('.mirador-code > .mirador-act')
        || getComputedStyle(each).backgroundImage != 'none'
        || (each.matches('button') && each.checkVisibility() && !each.matches('.mirador-code > .mirador-act')))
    .map(each => each.outerHTML.slice(0, 200))"""


def check_harmless(output: Locator, before: dict[str, Any], names: list[str]) -> None:
    """Nothing of these texts is more than text, and all of them can be read."""
    page = output.page
    unfold(output)
    output.evaluate("it => it.scrollIntoView({block: 'start'})")
    assert page.evaluate("() => window.pwned ?? null") is None
    assert output.evaluate(FOREIGN) == []
    assert output.evaluate(SEEN) == before
    assert output.locator("section, .mirador-stage").count() == len(names) + 1  # one holds on
    shown = " ".join(output.inner_text().split())
    whole = [name for name in names if len(HOSTILE[name]) <= DEFAULT_STAGES[0].max_chars]
    assert [name for name in whole if marker(name) not in shown] == []


def names_of(texts: Iterable[str]) -> tuple[str, list[str]]:
    """The cell that runs these texts' stages and then holds on, and the names of the texts."""
    chosen = [stage for stage, name in STAGES.items() if name in texts]
    cell = f"%%mirador --stages {','.join([*chosen, 'hold'])}\nWhat is this?"
    return cell, [STAGES[stage] for stage in chosen]


def test_hostile_texts_stay_text_live_finished_and_reopened(open_notebook: Open) -> None:
    cell, names = names_of(HOSTILE.keys() - LARGE)
    notebook = open_notebook(cell)
    watch = Watch(notebook.page)
    before = notebook.output(1).evaluate(SEEN)
    check_harmless(start(notebook, 1, "Holding on."), before, names)
    check_harmless(stop(notebook, 1), before, names)
    notebook.save()
    notebook.close()
    notebook.open()
    expect(notebook.output(1)).to_contain_text("Holding on.")
    assert notebook.is_trusted(1)
    check_harmless(notebook.output(1), before, names)
    notebook.shut_down()
    notebook.close()
    notebook.open_without_kernel()
    output = notebook.output(1)
    expect(output).to_contain_text("Holding on.")
    assert not notebook.is_trusted(1)
    check_harmless(output, output.evaluate(SEEN), names)
    assert watch.dialogs == []
    assert watch.hosts <= {"127.0.0.1", None}


LARGEST = {
    "line of a million characters",
    "very long word",
    "ten thousand quotes",
}  # test_hostile has them all


def test_very_large_texts_stay_text_live_and_finished(open_notebook: Open) -> None:
    cell, names = names_of(LARGEST)
    notebook = open_notebook(cell)
    watch = Watch(notebook.page)
    before = notebook.output(1).evaluate(SEEN)
    check_harmless(start(notebook, 1, "Holding on."), before, names)
    check_harmless(stop(notebook, 1), before, names)
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
        const size = parseFloat(fontSize);
        const large = size >= 24 || size >= 18.66 && fontWeight >= 700;
        found.push({text: text.slice(0, 40), ratio: ratio(element, color), least: large ? 3 : 4.5,
            color, code: element.matches('pre b, pre i, pre span')});
    }
    for (const glyph of output.querySelectorAll('mjx-c'))
        found.push({text: 'TeX', ratio: ratio(glyph, getComputedStyle(glyph).color), least: 4.5});
    for (const bar of output.querySelectorAll('.mirador-stage, section')) {
        if (!/\\d % |failed/.test(bar.textContent)) continue;  // none yet
        const colour = getComputedStyle(bar).borderLeftColor;
        found.push({text: 'bar', ratio: ratio(bar, colour), least: 3, color: colour});
    }
    return found;
}"""


def check_contrast(output: Locator, *said: str) -> None:
    """All of this is shown, and all that is shown can be read, but for code, which has a test below."""
    for each in said:
        expect(output).to_contain_text(each)  # a frame may come after the words it was waited for
    found = output.evaluate(CONTRAST)
    texts = " ".join(each["text"] for each in found)
    assert [each for each in (*said, "TeX", "bar") if each not in texts] == []
    faint = [each for each in found if each["ratio"] < each["least"] and not each.get("code")]
    assert faint == []


def test_what_models_write_beside_commonmark_is_shown_live_and_saved(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages beside\nWhat now?")
    for output in (start(notebook, 1, "The end of it."), stop(notebook, 1)):
        expect(output.locator("mjx-container")).to_have_count(4)
        shown = output.evaluate(SHOWN)
        assert shown["paragraph"] == (
            "Costs $5 and $6; 这是“重点”的.\nSee https://a.example/b_c_d."
        )
        assert shown["links"] == ["https://a.example/b_c_d"]
        assert shown["cells"][1::2][0] == "one\ntwo" and shown["cells"][2] == "c | d"
        assert shown["cells"][3].endswith("| beyond") and len(shown["cells"]) == 4
        assert shown["fences"] == ["```py\nx\n```\ninner"]
        assert shown["bold"] == "“重点”"
        expect(output).to_contain_text("☑ done")


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
    notebook.page.set_viewport_size({"width": 1000, "height": 3000})  # for the pictures
    output = start(notebook, 1, "Holding on.")
    show_all(output)
    check_contrast(output, *SAID, "Stop")
    shoot(notebook, 1, "view-live-light")
    with dark(notebook.page):
        check_contrast(output, *SAID, "Stop")
        shoot(notebook, 1, "view-live-dark")
    output = stop(notebook, 1)
    show_all(output)
    check_contrast(output, *SAID, "■ stopped", "Run again")
    shoot(notebook, 1, "view-done-light")
    with dark(notebook.page):
        check_contrast(output, *SAID, "■ stopped", "Run again")
    notebook.page.set_viewport_size({"width": 1000, "height": 1000})


def test_the_colours_of_code_can_be_read_in_both_themes(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response\nWhat now?")
    notebook.run(1)
    faint = set()
    for theme in (contextlib.nullcontext(), dark(notebook.page)):
        with theme:
            found = twin_of(notebook, 1).evaluate(CONTRAST)
            code = [each for each in found if each.get("code")]
            if not code:
                pytest.fail("no code has colours", pytrace=False)
            faint |= {(e["text"], e["color"], e["ratio"]) for e in code if e["ratio"] < 4.5}
    assert faint == set()


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
    check_confidence(output, "60 % declared", "85 % declared")
    output = stop(notebook, 1)
    for stage, state in (("quick_response", "done"), ("synthesis", "failed"), ("hold", "stopped")):
        assert f"· {state}" in line(output, stage)
    check_confidence(output, "60 % declared", "85 % declared")


def check_confidence(output: Locator, *said: str) -> None:
    """Number and word are shown, and how they were had is told where the pointer rests."""
    for number_and_word in said:
        trust = output.locator("[title^=Confidence]", has_text=number_and_word)
        title = trust.first.get_attribute("title") or ""
        assert title.startswith(f"Confidence: {number_and_word}; the same for every")


def test_a_stage_that_was_skipped_says_so(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages hold,later\nWhat now?")
    start(notebook, 1, "Holding on.")
    output = stop(notebook, 1)
    expect(output).to_contain_text("stopped")
    assert "skipped" in (output.text_content() or "")


def test_the_parts_of_the_panel_have_roles_and_names(open_notebook: Open) -> None:
    notebook = open_notebook(MIXED)
    output = start(notebook, 1, "Holding on.")
    stages = ("quick_response", "deep_analysis", "synthesis", "hold", "later")
    for name in stages:
        expect(output.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()
    for name in stages[:4]:
        expect(output.get_by_label(f"{name}: show or fold")).to_be_visible()
    expect(output.get_by_label("thinking", exact=True)).to_be_visible()
    expect(output.get_by_role("button", name="Stop")).to_have_attribute(
        "title", "End the run and keep what was written"
    )
    output = stop(notebook, 1)
    for name in stages[:4]:
        expect(output.get_by_role("region", name=name, exact=True)).to_be_visible()
        expect(output.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()


def test_readers_who_listen_are_told_of_stages_and_not_of_words(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages slow,hold\nWhat now?")
    output = start(notebook, 1, "Holding on.")
    status = notebook.page.locator(".mirador-status").last  # see the bug below
    expect(status).to_have_attribute("role", "status")
    expect(status).to_contain_text("slow: ")
    expect(status).to_contain_text("done")
    record(notebook.page, ".mirador-status")
    stop(notebook, 1)
    expect(status).to_contain_text("hold: ")
    expect(status).to_contain_text("stopped")
    expect(output).to_contain_text("Holding on.")
    said = " ".join(text for texts in painted(notebook.page) for text in texts)
    assert "stopped" in said
    assert not any(word in said for word in ("Holding", "Slow", "words", "come"))


# What can be done

CLIPBOARD = "() => navigator.clipboard.readText()"


def test_code_and_the_whole_answer_can_be_copied(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response,draft\nWhat now?")
    notebook.run(1)
    output = twin_of(notebook, 1)
    unfold(output)
    for number, code in enumerate((CODE, "no language\n")):
        output.locator(".mirador-code").nth(number).get_by_role("button").click()
        notebook.page.wait_for_function(f"async code => await ({CLIPBOARD})() === code", arg=code)
    output.get_by_role("button", name="Copy").first.click()
    whole = f"## quick_response\n\n{RICH.strip()}\n\n## draft\n\nA short draft."
    notebook.page.wait_for_function(f"async text => await ({CLIPBOARD})() === text", arg=whole)


def test_code_can_be_copied_while_the_run_goes_on(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response,hold\nWhat now?")
    output = start(notebook, 1, "Holding on.")
    output.locator(".mirador-code").first.get_by_role("button").click()
    notebook.page.wait_for_function(f"async code => await ({CLIPBOARD})() === code", arg=CODE)
    stop(notebook, 1)


def test_a_copy_button_says_copied_and_then_copy_again(open_notebook: Open) -> None:
    cell = "%%mirador --stages quick_response\nWhat now?"
    notebook = open_notebook(cell)
    notebook.run(1)
    notebook.save()
    notebook.close()  # its kernel goes on
    notebook = open_notebook(cell)
    notebook.run(1)
    button = twin_of(notebook, 1).locator(".mirador-code > .mirador-act").first
    button.click()
    expect(button).to_have_text("Copied")
    expect(button).to_have_text("Copy")


RESTART = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"


def test_a_kernel_that_is_restarted_leaves_nothing_in_the_page(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages draft\nWhat now?")
    status = notebook.page.locator(".mirador-status")
    others = status.count()
    notebook.run(1)
    expect(status).to_have_count(others + 1)
    assert visible_buttons(twin_of(notebook, 1))
    notebook.page.evaluate(RESTART)
    expect(status).to_have_count(others)
    assert not visible_buttons(notebook.output(1))


def test_a_kernel_that_is_shut_down_leaves_nothing_in_the_page(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages draft\nWhat now?")
    status = notebook.page.locator(".mirador-status")
    others = status.count()
    notebook.run(1)
    expect(status).to_have_count(others + 1)
    notebook.shut_down()
    expect(status).to_have_count(others)
    assert not visible_buttons(notebook.output(1))


def test_a_stage_can_be_run_again(open_notebook: Open) -> None:
    notebook = open_notebook(
        "%%mirador --stages draft,deeper\nWhat now?",
        "engine.scripts['draft'] = Script('On second thoughts.')",
    )
    notebook.run(1)
    notebook.run(2)
    output = twin_of(notebook, 1)
    draft = output.get_by_role("region", name="draft")
    draft.get_by_role("button", name="Run again").click()
    expect(draft).to_contain_text("On second thoughts.")
    output = twin_of(notebook, 1)
    expect(output).not_to_contain_text("A short draft.")
    expect(output.get_by_role("region", name="deeper")).to_contain_text("A deeper look.")
    expect(output.get_by_role("region", name="draft").get_by_role("button")).to_have_text(
        "Run again"
    )


def test_go_deeper_works_while_another_cell_computes(open_notebook: Open) -> None:
    notebook = open_notebook(
        "%%mirador --stages quick_response\nWhat now?", "while True: await asyncio.sleep(0.05)"
    )
    notebook.run(1)
    notebook.start(2)
    expect(notebook.prompt(2)).to_have_text("[*]:")
    output = twin_of(notebook, 1)
    output.get_by_role("button", name="Go deeper").click()
    expect(output.get_by_role("region")).to_have_count(2)
    output = twin_of(notebook, 1)
    regions = output.get_by_role("region")
    expect(regions.nth(0)).to_contain_text("A second sentence.")
    expect(regions.nth(1)).to_contain_text("A third sentence")
    expect(notebook.prompt(2)).to_have_text("[*]:")
    expect(notebook.output(2)).to_be_empty()
    notebook.interrupt()
    notebook.wait(2)


# What has the focus, as a reader knows it.
FOCUS = """() => {
    const each = document.activeElement;
    if (!each.closest('.jp-OutputArea-output')) return null;
    return each.getAttribute('aria-label') || each.innerText || each.title || each.tagName;
}"""


def tab_to(notebook: Notebook, name: str) -> None:
    """Press Tab from the cell on until what has this name has the focus."""
    reached = []
    for _ in range(40):
        notebook.page.keyboard.press("Tab")
        reached.append(notebook.page.evaluate(FOCUS))
        if name in (reached[-1] or ""):
            return
    raise AssertionError(f"no {name} among {reached}")


def test_the_keyboard_reaches_all_and_works_them(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response,hold\nWhat now?")
    page, output = notebook.page, start(notebook, 1, "Holding on.")
    notebook.prompt(1).click()
    tab_to(notebook, "quick_response: show or fold")
    page.keyboard.press("Enter")
    expect(output.get_by_text("The end of it.")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(output.get_by_text("The end of it.")).to_be_visible()
    tab_to(notebook, "thinking")
    page.keyboard.press("Enter")
    expect(output.get_by_text("Let me think")).to_be_visible()
    notebook.prompt(1).click()
    tab_to(notebook, "Stop")
    page.keyboard.press("Enter")
    notebook.wait(1)
    output = twin_of(notebook, 1)
    notebook.prompt(1).click()
    for name in ("Go deeper", "quick_response", "Run again"):
        tab_to(notebook, name)
    tab_to(notebook, "hold")
    page.keyboard.press("Enter")
    expect(output.get_by_text("Holding on.")).to_be_visible()
    notebook.prompt(1).click()
    tab_to(notebook, "Go deeper")
    page.keyboard.press("Enter")
    expect(output.get_by_role("region", name="deep_analysis")).to_contain_text("A third sentence")


def test_what_is_folded_by_hand_stays_so_while_words_come(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response,count\nWhat now?")
    output = start(notebook, 1, "First words stand.")
    folded = output.get_by_text("The end of it.")
    expect(folded).to_be_visible()
    output.get_by_label("quick_response: show or fold").click()
    expect(folded).to_be_hidden()
    written = len(output.inner_text())
    notebook.page.wait_for_function(
        "([output, length]) => output.innerText.length > length + 500",
        arg=[output.element_handle(), written],
    )
    expect(folded).to_be_hidden()
    stop(notebook, 1)


def test_no_button_is_shown_that_does_nothing(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages draft\nWhat now?", "6 * 7")
    notebook.run(1)
    assert visible_buttons(twin_of(notebook, 1)) == ["Copy", "Go deeper", "Run again"]
    notebook.save()
    notebook.reload()
    notebook.run(2)  # all that the kernel had to say to the new page has been said
    check_buttons(notebook)
    notebook.save()
    notebook.close()
    notebook.open()
    notebook.wait_for_kernel()
    notebook.run(2)
    check_buttons(notebook)


def test_a_notebook_from_elsewhere_shows_no_button(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages quick_response,draft\nWhat now?")
    notebook.run(1)
    notebook.save()
    notebook.shut_down()
    notebook.close()
    notebook.open_without_kernel()
    output = notebook.output(1)
    expect(output).to_contain_text("A short draft.")
    if notebook.is_trusted(1):
        pytest.fail("the notebook is trusted", pytrace=False)
    unfold(output)
    assert visible_buttons(output) == []


def check_buttons(notebook: Notebook) -> None:
    """Either there is no button, or it works."""
    output = twin_of(notebook, 1)
    expect(output).to_contain_text("A short draft.")
    if visible_buttons(output):
        output.get_by_role("button", name="Go deeper").click()
        expect(output.get_by_role("region")).to_have_count(2)


# While it streams


def test_what_was_painted_stays_and_only_grows(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages count\nWhat now?")
    record(notebook.page, ".mirador-text")
    output = start(notebook, 1, "w30 ")
    first = output.locator(".mirador-text p").first
    first.evaluate("it => { it.isTheSame = true; }")
    notebook.wait_for_text(1, "w300 ")
    assert first.evaluate("it => it.isTheSame === true && it.textContent === 'First words stand.'")
    stop(notebook, 1)
    (texts,) = ([" ".join(text.split()) for text in texts] for texts in painted(notebook.page)[:1])
    assert len(texts) > 5
    for before, after in itertools.pairwise(texts):
        assert after.replace(" ", "").startswith(before.replace(" ", ""))


MOVES = """() => document.getAnimations().filter(each => each.playState === 'running'
    && each.effect.target.closest('.mirador')).length"""


def test_nothing_moves_for_readers_who_ask_for_that(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages hold\nWhat now?")
    start(notebook, 1, "Holding on.")
    notebook.page.wait_for_function(f"() => ({MOVES})() === 1")  # the caret
    notebook.page.emulate_media(reduced_motion="reduce")
    try:
        notebook.page.wait_for_function(f"() => ({MOVES})() === 0")
    finally:
        notebook.page.emulate_media(reduced_motion="no-preference")
    stop(notebook, 1)
