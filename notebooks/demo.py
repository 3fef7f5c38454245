"""`make demo`: run the quick-start notebook on the engine that is there, and print the answer.

Where Ollama answers and has models, they are asked. Elsewhere the embedded engine runs your own GGUF
files, or SmolLM2, which `make venv` brings.
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

from mirador_magic.engines.base import Engine, ModelInfo
from mirador_magic.errors import MiradorError
from mirador_magic.session.session import Session

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "demo"

SMALL = """\
SmolLM2 answers: a real language model, and a small one, of 135 million parameters. It answers
anything, fluently, and is often wrong. That is what the number behind each stage is for: how sure
the model was of its words."""


def main() -> int:
    """Run the notebook; 0 when it answered."""
    engine, models = asyncio.run(_there())
    if engine is None:
        return 1
    print(f"{engine.label} runs {', '.join(model.name for model in models)}.")
    if all(model.spare for model in models):
        print(SMALL, flush=True)
    os.environ["MIRADOR_ENGINE"] = engine.name
    return _run(HERE / "01_quickstart.ipynb", OUT / "01_quickstart.ipynb")


async def _there() -> tuple[Engine | None, list[ModelInfo]]:
    """Ollama where it has a model, else the embedded engine; None where neither has one."""
    session = Session()
    try:
        for name in ("ollama", "embedded"):
            session.configure({"engine": name})
            try:
                engine = await session.engine()
                if models := await engine.models():
                    return engine, models
                print(f"{engine.label} answers, and has no model.")
            except MiradorError as error:
                print(error)
        return None, []
    finally:
        await session.aclose()


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
