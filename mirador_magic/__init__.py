"""Progressive answers from local language models, in a notebook.

    %load_ext mirador_magic

brings `%%mirador` into a notebook; the names below are for Python.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.api import (
    add_stage,
    ask,
    asked,
    configure,
    diagnose,
    in_force,
    prewarm,
    provision_models,
    provision_plan,
    reset,
    use_engine,
)
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import MiradorError
from mirador_magic.orchestrator import StreamingOrchestrator, Token
from mirador_magic.residency.warmup import Warmth
from mirador_magic.routing.router import Route, route
from mirador_magic.session.handle import Handle
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions, ModelStage

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mirador_magic.workbench.benchmark import benchmark
    from mirador_magic.workbench.calibrate import calibrate
    from mirador_magic.workbench.compare import compare
    from mirador_magic.workbench.dashboard import dashboard
    from mirador_magic.workbench.metrics import run_metrics
    from mirador_magic.workbench.tune import tune, tuner

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_STAGES",
    "Answer",
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

# Imported when first asked for: no cell needs them.
_LATER = {
    "benchmark": "benchmark",
    "calibrate": "calibrate",
    "compare": "compare",
    "dashboard": "dashboard",
    "run_metrics": "metrics",
    "tune": "tune",
    "tuner": "tune",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.workbench.{_LATER[name]}"), name)


def controls() -> object:
    """A widget to set engine, route, stages and models with, and to warm models: `%mirador controls`."""
    from mirador_magic.session.session import current
    from mirador_magic.workbench.controls import switchboard

    return switchboard(current())


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext mirador_magic`."""
    from mirador_magic.notebook import extension

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext mirador_magic`."""
    from mirador_magic.notebook import extension

    extension.unload(shell)
