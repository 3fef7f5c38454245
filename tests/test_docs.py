"""The docs: they build without a warning, their links lead somewhere, and nothing in them is stale."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

import mirador_magic
from docs import generate, notebooks
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "mirador_magic"
API = (DOCS / "api.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def _done(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """The output of this environment's Python, which must succeed."""
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | env,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class _Page(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name == "id":
                self.places.add(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The docs, built anew with every warning an error, and no way to the network."""
    to = tmp_path_factory.mktemp("docs")
    nowhere = "http://127.0.0.1:9"
    build = ("-m", "sphinx", "-W", "--keep-going", "-q", "-d", to / "read", DOCS, to / "html")
    _done(*build, HTTP_PROXY=nowhere, HTTPS_PROXY=nowhere)
    return to / "html"


def test_every_link_within_the_docs_leads_somewhere(built: Path) -> None:
    pages = {path: _Page(path.read_text()) for path in built.rglob("*.html")}
    assert len(pages) > 15
    dead = [
        f"{path.relative_to(built)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not _is_there(path, link, pages)
    ]
    assert not dead


def _is_there(path: Path, link: str, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return True
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.fragment and file in pages and path.name not in ("genindex.html", "search.html"):
        return unquote(parts.fragment) in pages[file].places
    return file.exists()


def test_the_pages_load_nothing_from_elsewhere(built: Path) -> None:
    loads = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(https?:[^\"]+)")
    assert not [
        found for path in built.rglob("*.html") for found in loads.findall(path.read_text())
    ]


def test_each_guide_is_a_page_with_its_code_and_pictures(built: Path) -> None:
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        assert "highlight" in (built / "guides" / path.stem).with_suffix(".html").read_text()
    assert "live-light.png" in (built / "guides" / "01_quickstart.html").read_text()


def test_a_guides_outputs_are_shown_as_the_notebook_has_them() -> None:
    page = notebooks.page(_notebook())
    assert '<div class="guide-output"><b>shown</b></div>' in page
    assert "<pre>2 of 2</pre>" in page and "1 of 2" not in page
    assert "<pre>UsageError: a &lt; b</pre>" in page
    assert "````{raw} html\n" in page and "```\nbreaks out" in page
    assert "make docs-guides" not in page


def _notebook() -> nbformat.NotebookNode:
    v4 = nbformat.v4
    cell = v4.new_code_cell("%%mirador\nWhy?")
    cell.outputs = [
        v4.new_output("stream", text="1 of 2\r"),
        v4.new_output("stream", text="2 of 2\n"),
        v4.new_output("display_data", {"text/html": "<b>shown</b>", "text/plain": "shown"}),
        v4.new_output("error", ename="UsageError", traceback=["\x1b[31mUsageError: a < b"]),
        v4.new_output("display_data", {"text/html": "```\nbreaks out"}),
    ]
    notebook: nbformat.NotebookNode = v4.new_notebook(
        cells=[v4.new_markdown_cell("# A guide"), cell]
    )
    return notebook


def test_the_generated_pages_are_what_the_code_knows() -> None:
    for name, text in generate.pages().items():
        assert (DOCS / name).read_text() == text, f"{name} is stale: python -m docs.generate"


def test_the_doctor_finds_nothing_that_is_not_in_its_table() -> None:
    doctor = PACKAGE / "workbench" / "doctor"
    for path in doctor.glob("*.py"):
        if path.name not in ("finding.py", "kinds.py"):
            assert not re.search(r"\bnote\(|\bFinding\(", path.read_text()), path


def test_every_public_name_has_its_place_and_an_example() -> None:
    examples = "\n".join(re.findall(r"```pycon\n(.*?)```", API, re.DOTALL))
    for name in mirador_magic.__all__:
        assert re.search(rf"^\.\. auto\w+:: mirador_magic\.{name}(\(.*)?$", API, re.MULTILINE), name
        if name not in ("Answer", "StageAnswer", "Handle"):  # which are what a call gives
            assert re.search(rf"\b{name}\b", examples), name


def test_the_examples_run_without_a_model_and_without_a_network(tmp_path: Path) -> None:
    where = str(tmp_path)
    _done("-m", "docs.examples", "docs/api.md", XDG_DATA_HOME=where, OLLAMA_HOST="127.0.0.1:9")


def test_the_programs_run(tmp_path: Path) -> None:
    programs = [
        code
        for page in PAGES
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert programs
    for code in programs:
        said = _done("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
        assert "script of synthesis" in said


def test_the_engines_contract_runs_on_an_engine_of_ones_own(tmp_path: Path) -> None:
    (kit,) = re.findall(r"```py\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (tmp_path / "test_mine.py").write_text(kit)
    plain = ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path)
    which = ("-k", "probing or last_chunk", "test_mine.py")
    said = _done("-m", "pytest", "-q", *plain, *which, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert "passed" in said


def test_every_file_that_is_named_is_there() -> None:
    """`views/panel.py` and the like, below the repository or the package; links of README and its kin."""
    missing = [
        f"{page.name}: {name}"
        for page in PAGES
        for name in _named(page)
        if not any((below / name).exists() for below in (page.parent, ROOT, PACKAGE))
    ]
    assert not missing


def _named(page: Path) -> Iterator[str]:
    text = page.read_text()
    yield from re.findall(r"`([a-z_.]+(?:/[\w.]+)*/(?:[\w.]+\.(?:py|md|log|cfg|jsonl))?)`", text)
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not urlsplit(link).scheme and not link.startswith("guides/"):
            yield link


def test_every_room_is_in_the_picture_of_the_house() -> None:
    told = (DOCS / "architecture.md").read_text()
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert len(rooms) > 10
    assert not [room for room in rooms if f"`{room}/`" not in told]


def test_the_readme_is_short_and_comes_to_the_point() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert len(readme.partition("```")[0].split()) < 60
