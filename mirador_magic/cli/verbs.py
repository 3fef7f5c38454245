"""What each verb of the command does, its words and its options."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.answer.words import one_line
from mirador_magic.cli.asking import ask
from mirador_magic.cli.shell import here
from mirador_magic.commands import verbs
from mirador_magic.commands.line import Line
from mirador_magic.engines import provision
from mirador_magic.engines.known_models import KNOWN
from mirador_magic.session.session import Session

if TYPE_CHECKING:
    from mirador_magic.engines.ollama.models import Installing
    from mirador_magic.engines.pull import Progress

Do = Callable[[Session, Namespace], Awaitable[int]]


@dataclass(frozen=True)
class Verb:
    """What `mirador VERB` does, and what for. `words` are what it reads, '' for none.

    `options` holds the word for an option's value, '' for none, and what it is.
    """

    do: Do
    what: str
    words: str = ""
    options: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


def _printed(verb: str) -> Do:
    """What `%mirador VERB` prints."""

    async def do(session: Session, args: Namespace) -> int:
        await verbs.VERBS[verb](session, Line(verb, " ".join(args.words)))
        return 0

    return do


def _as_in_a_cell(verb: str) -> Do:
    """What `%mirador VERB` does, its result printed."""

    async def do(session: Session, args: Namespace) -> int:
        given = {option: vars(args)[option.strip("-")] for option in VERBS[verb].options}
        options = {
            option: "" if value is True else value for option, value in given.items() if value
        }
        shown = await verbs.do(session, Line(verb, " ".join(args.words), None, options))
        if shown is not None:
            print(shown)
        return 0

    return do


async def _dashboard(session: Session, args: Namespace) -> int:
    from mirador_magic.workbench.dashboard import terminal

    await terminal.show(session, here)
    return 0


async def _warm(session: Session, args: Namespace) -> int:
    options = {"--status": ""} if args.status else {}
    await verbs.warm(session, Line("warm", " ".join(args.words), None, options))
    warmup = session.readiness.warmup
    failed = warmup and any(each.state == "failed" for each in warmup.state)
    return int(bool(failed) and not args.status)


async def _doctor(session: Session, args: Namespace) -> int:
    from mirador_magic.workbench import doctor

    findings = []
    async with contextlib.aclosing(doctor.examine(session)) as found:
        async for each in found:
            finding = dataclasses.replace(each, what=here(each.what), cure=here(each.cure))
            findings.append(finding)
            if not args.json:
                print(doctor.line(finding), flush=True)
    if args.json:
        print(doctor.as_json(findings))
    return doctor.exit_code(findings)


async def _provision(session: Session, args: Namespace) -> int:
    needs = await session.plan(Path(args.context) if args.context else None)
    told = filter(None, [*map(provision.told, needs), provision.note(needs)])
    print("\n".join(map(here, told)), flush=True)
    if all(need.action == "none" for need in needs):
        print("nothing is missing")
    elif args.yes or _agreed("shall it be done? [y/N] "):
        await session.provision(needs, _installing())
    else:
        given = f" --context {args.context}" if args.context else ""
        print(f"to do it: mirador provision --yes{given}")
    return 0


def _agreed(question: str) -> bool:
    """Whether the user types a yes; where there is no terminal, nobody does."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    # asyncio's own way with Ctrl-C would wait until the line is typed.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def _installing() -> Callable[[Installing], None]:
    """A bar on a terminal; elsewhere a line for each thing that is done."""
    if sys.stdout.isatty():
        from mirador_magic.views.progress import InstallLine

        return InstallLine(in_notebook=False)
    said: set[str] = set()

    def tell(step: Installing) -> None:
        line = one_line(f"{step.model}: {step.doing}")
        if line not in said:
            said.add(line)
            print(line, flush=True)

    return tell


async def _pull(session: Session, args: Namespace) -> int:
    got = await session.pull(" ".join(args.words), _fetching())
    print(f"{got.file} is there → mirador --engine embedded --model {got.model} QUESTION")
    return 0


def _fetching() -> Callable[[Progress], None]:
    """A bar on a terminal; elsewhere nothing."""
    if not sys.stdout.isatty():
        return lambda progress: None
    from mirador_magic.views.progress import ProgressLine

    return ProgressLine(in_notebook=False)


async def _serve_check(session: Session, args: Namespace) -> int:
    engine = await session.engine()
    models = await engine.models()
    if not models:
        print(f"{engine.label} answers, and has no model → mirador provision")
        return 1
    print(f"{engine.label} answers, and has {len(models)} model{'s' * (len(models) > 1)}")
    return 0


VERBS: Mapping[str, Verb] = {
    "ask": Verb(ask, "ask, whatever the first word is", "QUESTION …"),
    "route": Verb(_printed("route"), "which stages it would go through, and why", "QUESTION …"),
    "status": Verb(_printed("status"), "the engine, the stages and their models"),
    "settings": Verb(_printed("settings"), "every setting, its value, where it came from"),
    "warm": Verb(
        _warm,
        "load the stages' models and their prompts",
        "[MODEL …]",
        {"--status": ("", "which are in memory, and how long they took")},
    ),
    "provision": Verb(
        _provision,
        "what the stages' models lack in Ollama",
        options={
            "--yes": ("", "install it, without being asked"),
            "--context": ("FILE", "a text about you, for the model of the last stage"),
        },
    ),
    "pull": Verb(
        _pull,
        "fetch a model for the embedded engine: by a short name, from the hub, or a file of yours",
        f"{'|'.join(KNOWN)}|hf:ORG/REPO/FILE.gguf|FILE.gguf",
    ),
    "doctor": Verb(
        _doctor,
        "what is wrong here, and what mends it",
        options={"--json": ("", "one JSON object, at the end")},
    ),
    "metrics": Verb(
        _as_in_a_cell("metrics"),
        "how fast and how well the last runs went",
        options={
            "--hours": ("24", "of the last so many hours"),
            "--by": ("stage|model|engine|route", "a row for each"),
            "--json": ("", "as JSON"),
            "--csv": ("", "as CSV"),
            "--clear": ("", "forget them all"),
        },
    ),
    "dashboard": Verb(_dashboard, "what runs now, and the last runs: q ends it"),
    "benchmark": Verb(
        _as_in_a_cell("benchmark"),
        "progressive answers against those that come as a whole",
        options={
            "--models": ("A,B", "these models against each other instead"),
            "--stages": ("A,B", "these routes: fast,deep, or stages joined by +"),
            "--questions": ("FILE", "a question a line, or a JSON list"),
            "--repeats": ("3", "so often each question"),
            "--json": ("FILE", "write what was measured there"),
            "--against": ("FILE|last", "and compare it with that"),
        },
    ),
    "compare": Verb(
        _as_in_a_cell("compare"),
        "one question through several models, stages or system prompts",
        "QUESTION …",
        {
            "--models": ("A,B", "these models"),
            "--stages": ("A,B", "these stages, each alone"),
            "--system": ("ONE.md,TWO.md", "these system prompts"),
        },
    ),
    "tune": Verb(_as_in_a_cell("tune"), "what was tried for a stage, in a notebook", "[STAGE]"),
    "calibrate": Verb(
        _as_in_a_cell("calibrate"),
        "how often answers of a confidence are right, from questions with known answers",
        "FILE",
        {
            "--stages": ("A,B", "these stages"),
            "--show": ("", "what is known"),
            "--clear": ("", "forget it"),
        },
    ),
    "endpoints": Verb(_as_in_a_cell("endpoints"), "each endpoint: reachable or not, its models"),
    "serve-check": Verb(_serve_check, "whether an engine answers and has a model: 0 or 1"),
}
