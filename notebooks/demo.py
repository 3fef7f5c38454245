"""`make demo`: run the quick-start notebook on the engine that is there, and print the answer.

Where Ollama answers and has models, they are asked. Elsewhere the embedded engine runs the phrase
book that comes with Mirador, slowed down so that one can watch it write.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from mirador_magic.engines.base import ModelInfo
from mirador_magic.engines.ollama import OllamaEngine
from mirador_magic.errors import MiradorError

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "demo"
PACE = "30"  # tokens a second: faster than one reads, slow enough to watch


def main() -> int:
    """Run the notebook; 0 when it answered."""
    ollama = asyncio.run(_ollama_models())
    if ollama:
        print(f"Ollama answers, and has {', '.join(model.name for model in ollama)}.")
    else:
        print(
            "No Ollama with a model answers: the phrase book does, a tiny model of Mirador's own."
        )
        os.environ["MIRADOR_ENGINE"] = "embedded"
        os.environ.setdefault("MIRADOR_PACE", PACE)
    return _run(HERE / "01_quickstart.ipynb", OUT / "01_quickstart.ipynb")


async def _ollama_models() -> list[ModelInfo]:
    engine = OllamaEngine()
    try:
        await engine.probe()
        return await engine.models()
    except MiradorError as error:
        print(error)
        return []
    finally:
        await engine.aclose()


def _run(source: Path, target: Path) -> int:
    notebook = nbformat.read(source, as_version=4)
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = False
    try:
        with tempfile.TemporaryDirectory() as sockets:
            NotebookClient(notebook, timeout=900, config=_quiet(sockets)).execute()
    except CellExecutionError:
        failed = True  # its one line stands in the cell that is printed below
    nbformat.write(notebook, target)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.execution_count:
            _print(cell)
    print(f"\nThe notebook with its outputs: {os.path.relpath(target)}; to ask your own: make lab")
    return int(failed)


def _quiet(folder: str) -> Config:
    """Sockets in the file system, where there are such: over TCP ipykernel warns of eavesdroppers."""
    ipc = {"transport": "ipc", "ip": f"{folder}/kernel"}
    return Config({"KernelManager": ipc if os.name == "posix" else {}})


def _print(cell: nbformat.NotebookNode) -> None:
    print("\n" + "\n".join(f"▸ {line}" for line in cell.source.splitlines()))
    for output in cell.outputs:
        match output.output_type:
            case "stream":
                print(output.text.rstrip())
            case "error":
                print("\n".join(output.traceback))
            case _:
                print(output.data.get("text/plain", ""))


if __name__ == "__main__":
    sys.exit(main())
