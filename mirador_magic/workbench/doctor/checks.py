"""What can be told without asking an engine: versions, the loop, proxies, and what fits in memory."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mirador_magic.engines import surroundings as surroundings_
from mirador_magic.engines.base import ModelInfo
from mirador_magic.stages import plain
from mirador_magic.workbench.doctor import kinds
from mirador_magic.workbench.doctor.finding import Finding, ok
from mirador_magic.workbench.doctor.kinds import Kind

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

Version = Callable[[str], str]  # of an installed distribution, "" where there is none


def installed(name: str) -> str:
    """The version of a distribution in this environment, "" where there is none."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""


def versions(version: Version) -> list[Finding]:
    """What of Mirador, the kernel, the front end and the client is there, and what is too old."""
    system = f"Python {platform.python_version()} on {platform.system()}"
    mirador = ok("mirador", f"{version('mirador-magic') or 'from source'}, {system}")
    client = _aged(kinds.CLIENT_OLD, "ollama", version, "0.6")
    return [mirador, _kernel(version), *_front_end(version), client]


def _kernel(version: Version) -> Finding:
    kernel, harm = version("ipykernel"), "the panel's Stop works in JupyterLab alone"
    if not kernel:
        return ok("kernel", "no ipykernel: a terminal, without panels")
    if not _is_at_least(kernel, "7"):
        harm = "no Stop button while a cell runs: the kernel's interrupt stops it"
    return _aged(kinds.KERNEL_OLD, "ipykernel", version, "7.4", harm)


def _front_end(version: Version) -> list[Finding]:
    least = {"ipywidgets": "8.1", "anywidget": "0.9.13", "jupyterlab": "4.0"}
    seen = [
        _aged(kinds.FRONT_END_OLD, name, version, least[name]) for name in least if version(name)
    ]
    if version("jupyterlab") and not version("jupyterlab-widgets"):
        seen.append(kinds.NO_WIDGETS.found())
    return seen


def _aged(kind: Kind, name: str, version: Version, least: str, harm: str = "") -> Finding:
    """`harm` is what comes of it where it is older than `least`."""
    there = version(name)
    if _is_at_least(there, least):
        return ok(kind.topic, f"{name} {there}")
    return kind.found(package=name, version=there or "(none)", minimum=least, harm=harm)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _is_at_least(version: str, least: str) -> bool:
    return _numbers(version) >= _numbers(least)


def nesting(loop: asyncio.AbstractEventLoop, version: Version) -> list[Finding]:
    """What becomes of a cell that cannot be awaited, as under %%time: async errors begin there."""
    kind = type(loop)
    patch = str(getattr(kind, "run_until_complete", kind).__module__)
    is_patched_by_old = getattr(kind, "_nest_patched", False) and patch == "nest_asyncio"
    loses = _is_at_least(version("ipykernel"), "7.1")
    if is_patched_by_old and loses:
        return [kinds.LOOP_PATCHED.found()]
    if not isinstance(loop, asyncio.BaseEventLoop):
        what = f"{kind.__module__} cannot nest: under %%time a cell runs in a thread of its own"
        return [ok("loop", what)]
    nester = version("nest-asyncio2")
    if not nester and loses:
        return [kinds.NO_NESTER.found()]
    if nester and loses and not _is_at_least(nester, "1.7.3"):
        return [kinds.NESTER_OLD.found(version=nester)]
    rest = f"nest_asyncio2 {nester}" if nester else "nest_asyncio"
    return [ok("loop", f"cells are awaited; what cannot be is nested by {rest}")]


def surroundings(environ: Mapping[str, str]) -> list[Finding]:
    """Proxies are no hindrance on the way to Ollama, and certificates only on one by https; but both
    are on the way to endpoints and downloads. A proxy's value may hold a password: its name alone."""
    troubles = surroundings_.troubles(environ)
    found = [
        kinds.SURROUNDINGS.found(each.topic, error=str(each), its_cure=each.cure)
        for each in troubles
    ]
    if not any(each.topic == "proxy" for each in troubles):
        named = ", ".join(surroundings_.proxies_set(environ))
        said = f"{named} set, and no matter: Ollama is asked directly" if named else "none is set"
        found.insert(0, ok("proxy", said))
    if not any(each.topic == "certificates" and not each.is_pips for each in troubles):
        named = ", ".join(name for name in _CERTIFICATES if environ.get(name))
        found.append(ok("certificates", f"{named} can be read" if named else "the usual ones"))
    return found


def memory() -> tuple[int, int]:
    """This machine's memory and what of it is free, in bytes; 0 where the system does not tell."""
    total = free = 0
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        told = re.search(r"\nMemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = int(told[1]) * 1024 if told else 0
    return max(total, 0), free


def memory_needs(
    sizes: Mapping[str, int], resident: Sequence[ModelInfo], total: int, free: int
) -> Finding:
    """Whether the models (name → bytes) fit into `total` bytes and, those not resident, into `free`.

    0 is unknown. How much a GPU has is told by nobody: where one is at work, nothing is judged.
    """
    there = {plain(model.name) for model in resident}
    need, most = sum(sizes.values()), max(sizes.values(), default=0)
    rest = sum(size for name, size in sizes.items() if plain(name) not in there)
    what = kinds.TAKE.format(need=_gb(need))
    if not need:
        return ok("memory", "the engine does not tell how large the models are")
    if any(model.vram for model in resident):
        return ok("memory", f"{what}; how much the GPU has is not told")
    if not total:
        return ok("memory", f"{what}; how much memory there is cannot be told from here")
    if most > total:
        return kinds.TOO_LARGE.found(most=_gb(most), total=_gb(total))
    if need > total:
        return kinds.CROWDED.found(need=_gb(need), total=_gb(total))
    if free and rest > free:
        return kinds.FULL.found(need=_gb(need), rest=_gb(rest), free=_gb(free), total=_gb(total))
    return ok("memory", f"{what}; {_gb(free)} are free of {_gb(total)}")


def residency(resident: Sequence[ModelInfo], *, tells_gpu: bool) -> Finding:
    """Which models are in memory, and on what they run where the engine tells that."""
    if not resident:
        return ok("residency", "no model is in memory")
    halves = [model.name for model in resident if 0 < model.vram < model.size]
    told = [f"{m.name} ({_place(m, tells_gpu)})" for m in resident]
    there = ", ".join(told)
    if halves:
        return kinds.HALF_ON_GPU.found(models=there, model=halves[0])
    return ok("residency", f"in memory: {there}")


def _place(model: ModelInfo, tells_gpu: bool) -> str:
    parts = [_gb(model.size)] if model.size else []
    if tells_gpu and model.vram:
        parts.append("GPU" if model.vram >= model.size else f"{model.vram / model.size:.0%} GPU")
    elif tells_gpu:
        parts.append("CPU")
    return ", ".join(parts) or "size unknown"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
