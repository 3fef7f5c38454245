"""The guides as pages of the docs: each notebook's words, code and outputs, as MyST.

    python -m docs.notebooks     executes 01 to 07 on SmolLM2 into build/guides, for minutes

The notebooks of the repository are kept without outputs. A page shows those of `build/guides` where
that notebook was executed as it stands now, and else its code and pictures alone. 08 starts servers
of its own and kills one: it is left to its reader.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "build" / "guides"
UNEXECUTED = "08_past_one_machine"

_BARE = "Without outputs: `make docs-guides` executes the guide first."
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def pages() -> dict[str, str]:
    """Each guide's page by its name, without `.md`."""
    return {path.stem: page(_newest(path)) for path in sorted(NOTEBOOKS.glob("0*.ipynb"))}


def page(notebook: nbformat.NotebookNode) -> str:
    """The notebook as MyST: a heading, words, code, and below it what the code showed."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(_words(cell.source))
        elif cell.cell_type == "code":
            parts.append(_fence("{code-block} ipython3\n:class: guide-code", cell.source))
            parts += map(_output, _joined(cell.outputs))
    if not any(cell.get("outputs") for cell in notebook.cells):
        parts.insert(1, f"*{_BARE}*")
    return "\n\n".join(filter(None, parts)) + "\n"


def _newest(path: Path) -> nbformat.NotebookNode:
    """The executed notebook where its cells are those of this one, else this one."""
    own = _read(path)
    if (EXECUTED / path.name).exists():
        executed = _read(EXECUTED / path.name)
        if [cell.source for cell in executed.cells] == [cell.source for cell in own.cells]:
            return executed
    return own


def _read(path: Path) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def _words(source: str) -> str:
    """A Markdown cell; its links to other guides lead to their pages, its pictures to the files."""
    source = re.sub(r"\]\((0\d_\w+)\.ipynb\)", r"](\1.md)", source)
    return source.replace("](pictures/", "](../../notebooks/pictures/")


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs, what was printed piece by piece in one."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output.output_type == before.get("output_type") == "stream":
            joined[-1] = nbformat.from_dict({**before, "text": before["text"] + output.text})
        else:
            joined.append(output)
    return joined


def _output(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return _text(output.text)
    if output.output_type == "error":
        return _text("\n".join(output.traceback))
    data = output.data
    if "text/html" in data:
        return _raw(data["text/html"])
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return _raw(f'<img alt="the cell\'s picture" src="data:image/png;base64,{picture}">')
    return _text(data.get("text/plain", ""))


def _text(text: str) -> str:
    lines = _ANSI.sub("", text).strip("\r\n").split("\n")
    plain = html.escape("\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))
    return _raw(f"<pre>{plain}</pre>") if plain else ""


def _raw(text: str) -> str:
    return _fence("{raw} html", f'<div class="guide-output">{text}</div>')


def _fence(head: str, body: str) -> str:
    """A fence that the body cannot close."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    return f"{ticks}{head}\n{body}\n{ticks}"


def main() -> int:
    """Execute the guides one after the other, with nothing of the user's; 0 when all went through."""
    EXECUTED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mirador-guides-") as folder:
        os.environ.update(
            OLLAMA_HOST="127.0.0.1:9",
            MIRADOR_MODELS=f"{folder}/models",
            XDG_DATA_HOME=f"{folder}/data",
            XDG_CONFIG_HOME=f"{folder}/config",
        )
        shutil.copytree(NOTEBOOKS, Path(folder, "notebooks"))
        for path in sorted(Path(folder, "notebooks").glob("0*.ipynb")):
            if path.stem != UNEXECUTED:
                print(path.stem, flush=True)
                _execute(
                    path, Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/at"}})
                )
    return 0


def _execute(path: Path, config: Config) -> None:
    notebook = _read(path)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=1800, resources=where, store_widget_state=False, config=config
    ).execute()
    nbformat.write(notebook, EXECUTED / path.name)


if __name__ == "__main__":
    sys.exit(main())
