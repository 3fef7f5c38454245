"""The real servers and browsers that tests share, started once, when the first test asks."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.ollama_server import OllamaServer
from tests.support.real import chromium_binary, ollama_binary, smollm2_file
from tests.support.recited import install, write_models
from tests.support.signals import let_children_hear

# No test may fail for the time it took: the machines are shared. Nor may one for what was drawn, or
# is left of a day on which it failed: who searches for more runs --hypothesis-profile=default.
settings.register_profile(
    "mirador",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mirador")

let_children_hear()

# Nor may one for what its user has set: a server, a proxy, a width, colours, a kernel's start-up.
_FOREIGN = ("MIRADOR_", "OLLAMA_", "OPENAI_", "OTEL_", "HF_", "CLICOLOR")
_OF_TESTS = ("MIRADOR_REQUIRE_REAL", "MIRADOR_SCREENSHOTS", "MIRADOR_LITELLM")
_TERMINAL = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES", "PYTHONSTARTUP")
for _name in [*os.environ]:
    if _name.startswith((*_OF_TESTS, "MIRADOR_OLLAMA_")):
        continue
    if _name.startswith(_FOREIGN) or _name.upper().endswith("_PROXY") or _name in _TERMINAL:
        del os.environ[_name]

# What Mirador keeps for a user (platformdirs) is no business of the tests'; kernels inherit this.
_DATA = tempfile.TemporaryDirectory(prefix="mirador-data-")
os.environ["XDG_DATA_HOME"] = _DATA.name
os.environ["XDG_CONFIG_HOME"] = _DATA.name
os.environ["IPYTHONDIR"] = os.environ["JUPYTER_CONFIG_DIR"] = _DATA.name

# Which stages run is the router's to say only where a test is about it.
os.environ["MIRADOR_DEFAULT_STAGES"] = "quick_response,deep_analysis,synthesis"

NEW, OLD = "0.34.1", "0.24.0"  # inference in a llama-server; the last one with inference inside


@pytest.fixture(scope="session")
def reciting_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The GGUF file of every model in `tests.support.recited`, by the model's name."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def ollama(
    tmp_path_factory: pytest.TempPathFactory, reciting_models: dict[str, Path]
) -> Iterator[OllamaServer]:
    """A running Ollama that has all models of `tests.support.recited`."""
    with OllamaServer(ollama_binary(NEW), tmp_path_factory.mktemp("ollama")) as server:
        install(server, reciting_models)
        yield server


@pytest.fixture(scope="session")
def ollama_024(
    tmp_path_factory: pytest.TempPathFactory, reciting_models: dict[str, Path]
) -> Iterator[OllamaServer]:
    """The same, of the last Ollama with inference inside; for the engines' contract alone."""
    with OllamaServer(ollama_binary(OLD), tmp_path_factory.mktemp("ollama-024")) as server:
        install(server, reciting_models)
        yield server


@pytest.fixture(params=[pytest.param("ollama", id=NEW), pytest.param("ollama_024", id=OLD)])
def each_ollama(request: pytest.FixtureRequest) -> OllamaServer:
    """Both servers, one after the other."""
    server: OllamaServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def mortal_ollama(tmp_path: Path, reciting_models: dict[str, Path]) -> Iterator[OllamaServer]:
    """An Ollama of the test's own, to be killed, restarted or filled with models."""
    with OllamaServer(ollama_binary(NEW), tmp_path) as server:
        install(server, reciting_models)
        yield server


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The GGUF file of a small real model, whose answers are its own."""
    return smollm2_file()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's executable."""
    return chromium_binary()
