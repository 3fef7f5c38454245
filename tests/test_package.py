"""What is shipped: the public names, the wheel, and the README's stages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import mirador_magic
from tests.support.kernels import kernel
from tests.support.patience import PATIENCE

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


def test_the_wheel_installs_and_loads(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build: list[str | Path] = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
        ROOT,
    ]
    subprocess.run(build, check=True, timeout=PATIENCE)
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert "mirador_magic/py.typed" in names
    assert not [name for name in names if name.endswith(".gguf")]
    assert not [
        name for name in names if name.startswith(("tests", "notebooks", "benchmarks", "training"))
    ]
    site = tmp_path / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", site, wheel], check=True, timeout=PATIENCE
    )
    with kernel({"PYTHONPATH": str(site)}, "%load_ext mirador_magic") as running:
        assert str(site) in running.value("__import__('mirador_magic').__file__")
        cell = running.run("%%mirador --engine scripted\nwhy?")
        assert "no model wrote it" in cell.shown[0]["text/plain"]
        cell = running.run("%%mirador --engine embedded --fast\nWhat is the capital of France?")
        assert "smollm2 · done" in cell.shown[0]["text/plain"]  # which this environment has


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
