"""Bare environments without a network: what this one has of what a package declares, and no more."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.patience import PATIENCE


class Bare:
    """A virtual environment in `folder`, with the package of a wheel that pip has installed.

    Of what the wheel requires, with these extras, all that is installed here is linked in, and what
    that requires. Then pip, without an index, has to find everything satisfied.
    """

    def __init__(self, folder: Path, wheel: Path, extras: Collection[str] = ()) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        (site,) = folder.glob("lib/python*/site-packages")
        (own,) = Distribution.discover(path=[str(wheel)])
        for each in closure(own, extras):
            _link(each, site)
        chosen = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(self.python)]
        subprocess.run([*pip, "install", "--no-index", chosen], check=True, timeout=PATIENCE)

    def run(self, *arguments: str, fails: bool = False) -> str:
        """What it prints."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.python.parent,
            env={"HOME": str(self.python.parent), "PATH": str(self.python.parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert bool(done.returncode) is fails, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def closure(own: Distribution, extras: Collection[str]) -> list[Distribution]:
    """What this distribution requires, with these extras, and what that requires, as it is here."""
    found: dict[tuple[str, str], Distribution] = {}
    waiting = [*_required(own, extras)]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            if (key := (canonicalize_name(requirement.name), extra)) not in found:
                found[key] = distribution(requirement.name)
                waiting += _required(found[key], [extra])
    return list({name: each for (name, _), each in found.items()}.values())


def _required(of: Distribution, extras: Collection[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, of.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _link(each: Distribution, site: Path) -> None:
    """File by file, since some share a folder."""
    for file in each.files or ():
        if ".." not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            source = Path(str(each.locate_file(file)))
            if source.exists() and not target.exists():
                target.symlink_to(source)


def built(folder: Path, project: Path) -> tuple[Path, Path]:
    """The project's wheel and its sdist; the wheel is built of the unpacked sdist."""
    hatch = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run([*hatch, "--target", "sdist"], cwd=project, check=True, timeout=PATIENCE)
    (sdist,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*hatch, "--target", "wheel"], cwd=unpacked, check=True, timeout=PATIENCE)
    (wheel,) = folder.glob("*.whl")
    return wheel, sdist
