"""What is shipped: the public names, and the README's stages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mirador_magic

ROOT = Path(__file__).parent.parent


def test_the_public_names() -> None:
    assert sorted(mirador_magic.__all__) == [
        "Answer",
        "DEFAULT_STAGES",
        "Handle",
        "MiradorError",
        "ModelOptions",
        "ModelStage",
        "Route",
        "Script",
        "ScriptedEngine",
        "StageAnswer",
        "StreamingOrchestrator",
        "Token",
        "Warmth",
        "add_stage",
        "ask",
        "asked",
        "benchmark",
        "calibrate",
        "compare",
        "configure",
        "controls",
        "dashboard",
        "diagnose",
        "in_force",
        "prewarm",
        "provision_models",
        "provision_plan",
        "reset",
        "route",
        "run_metrics",
        "tune",
        "tuner",
        "use_engine",
    ]
    assert all(hasattr(mirador_magic, name) for name in mirador_magic.__all__)


def test_the_default_stages_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for stage in mirador_magic.DEFAULT_STAGES:
        assert f"| `{stage.name}` | `{stage.model}` |" in readme


def test_importing_it_brings_no_notebook_library_and_no_client() -> None:
    code = "import sys, mirador_magic; print(*sys.modules)"
    loaded = _python(code, ROOT).split()
    assert not {"IPython", "ipywidgets", "ollama", "httpx", "xllamacpp"} & set(loaded)


def _python(code: str, folder: Path) -> str:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
