"""What is built, installed where nothing else is: the wheel, and one made of the sdist."""

from __future__ import annotations

import ast
import itertools
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mirador_magic
from tests.support import bare, house
from tests.support.bare import Bare
from tests.support.kernels import kernel

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = tuple(PROJECT["optional-dependencies"])
# What is looked for and never imported: pip to install a package of models (where it lacks, uv does it,
# or a line says how), socksio where a proxy is a SOCKS one (where it lacks, a line says so).
ASKED_FOR = {"pip", "socksio"}

IMPORT_ALL = """
import importlib, pkgutil, mirador_magic
for found in pkgutil.walk_packages(mirador_magic.__path__, "mirador_magic."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return bare.built(tmp_path_factory.mktemp("dist"), ROOT)


@pytest.fixture(scope="module")
def plain(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(tmp_path_factory.mktemp("plain"), archives[0])


def imported() -> Iterator[tuple[str, Path]]:
    """Each package that a file of ours names in an import, by name to import_module too."""
    for path in house.PACKAGE.rglob("*.py"):
        for node in house.imports_in(path):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif node.module and not node.level:
                yield node.module.partition(".")[0], path
        named = re.findall(r"""(?:import_module|find_spec)\(\s*["'](\w+)""", path.read_text())
        yield from ((name, path) for name in named)


def foreign() -> dict[str, Path]:
    ours = {"mirador_magic", *sys.stdlib_module_names}
    return {name: path for name, path in imported() if name not in ours}


def test_every_import_is_declared() -> None:
    known = packages_distributions()
    extras = itertools.chain(*PROJECT["optional-dependencies"].values())
    wanted = [*PROJECT["dependencies"], *extras]
    declared = {canonicalize_name(Requirement(each).name) for each in wanted}
    undeclared = {
        name: str(path.relative_to(ROOT))
        for name, path in foreign().items()
        if name not in ASKED_FOR
        and declared.isdisjoint(map(canonicalize_name, known.get(name, ())))
    }
    assert not undeclared


def test_the_archives_hold_the_package_and_nothing_else(archives: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(archives[0]).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "mirador_magic",
        f"mirador_magic-{mirador_magic.__version__}.dist-info",
    }
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in house.PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("mirador_magic/")} == tracked
    assert "mirador_magic/py.typed" in tracked
    assert not [name for name in names if name.endswith(".gguf")]


def test_where_nothing_else_is_it_answers(plain: Bare) -> None:
    assert f"'{mirador_magic.__version__}'" in plain.run(
        "-c", "import importlib.metadata as m; print(repr(m.version('mirador-magic')))"
    )
    plain.run("-c", IMPORT_ALL)
    assert "no model wrote it" in plain.run("-m", "mirador_magic", "--engine", "scripted", "why?")
    cell = "%load_ext mirador_magic\n%mirador --engine scripted why"
    assert "no model wrote it" in plain.run("-m", "IPython", "--colors=NoColor", "-c", cell)


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("%mirador pull hf:a/b/c.gguf", "pip install 'mirador-magic[hub]'"),
        ("import mirador_magic as m; m.run_metrics().to_dataframe()", "pip install pandas"),
    ],
)
def test_what_needs_an_extra_says_so_in_a_line(plain: Bare, code: str, cure: str) -> None:
    cell = f"%load_ext mirador_magic\n{code}"
    said = plain.run("-m", "IPython", "--colors=NoColor", "-c", cell, fails=True)
    assert cure in said and "Traceback" not in said


def test_with_all_extras_all_of_its_imports_are_there(
    archives: tuple[Path, Path], tmp_path: Path
) -> None:
    full = Bare(tmp_path, archives[0], EXTRAS)
    names = sorted(foreign().keys() - ASKED_FOR)
    assert {"httpx2", "keyring", "matplotlib", "openai", "pandas"} <= set(names)
    full.run("-c", "\n".join(f"import {name}" for name in names))
    full.run("-c", IMPORT_ALL)


def test_in_a_kernel_the_installed_package_answers(
    archives: tuple[Path, Path], tmp_path: Path
) -> None:
    zipfile.ZipFile(archives[0]).extractall(tmp_path)
    with kernel({"PYTHONPATH": str(tmp_path)}, "%load_ext mirador_magic") as running:
        assert str(tmp_path) in running.value("__import__('mirador_magic').__file__")
        cell = running.run("%%mirador --engine scripted\nwhy?")
        assert "no model wrote it" in cell.shown[0]["text/plain"]
        cell = running.run("%%mirador --engine embedded --fast\nWhat is the capital of France?")
        assert "smollm2 · done" in cell.shown[0]["text/plain"]  # which this environment has
