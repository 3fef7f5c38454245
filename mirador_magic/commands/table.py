"""The one table of commands: each verb and each option stands here once.

The line's parser, the shell's, completion, `%%mirador?`, `mirador --help` and docs/commands.md read
it. To add a verb, write its function, `async def verb(session, read)`, and a row here; to add an
option, write it into the verb's row, and read it from `read.options`. `make docs` writes the
page anew. What may be set stands in `settings/keys.py`, and is an option here by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from mirador_magic.answer.answer import KINDS
from mirador_magic.commands.command import NOTEBOOK, SHELL, Command, Option, Place
from mirador_magic.engines.known_models import KNOWN
from mirador_magic.routing.router import STAGES, Complexity
from mirador_magic.settings.keys import OF_A_STAGE, OWN, Key

WHICH = "which stages (without them the question decides)"
ASKED = "what is asked"
SHOWN = "how it is shown"
OF_STAGES = "options of the stages"
DEPTHS: Mapping[str, Complexity] = {"--fast": "simple", "--balanced": "medium", "--deep": "complex"}


def _of_key(name: str, key: Key, group: str = "") -> Option:
    such = f": {', '.join(key.values)}" if key.values else f", such as {key.example}"
    return Option(
        f"--{name.replace('_', '-')}",
        f"{key.what}{such}",
        key.value,
        key.example,
        "models" if name == "model" else key.values,
        group=group,
        key=name,
    )


def _stages(what: str, value: str = "a,b", group: str = "") -> Option:
    return Option("--stages", what, value, values="stages", several=True, group=group)


WHERE = tuple(_of_key(name, OWN[name]) for name in ("engine", "host"))  # of every verb in a shell
STAGE = tuple(_of_key(name, key, OF_STAGES) for name, key in OF_A_STAGE.items())
ASK = (
    *(Option(name, ", ".join(STAGES[depth]), group=WHICH) for name, depth in DEPTHS.items()),
    _stages("these stages, in this order", group=WHICH),
    *WHERE,
    Option(
        "--continue",
        "continue the conversation of the last answer",
        also=("-c",),
        group=ASKED,
        places=NOTEBOOK,
    ),
    Option(
        "--context",
        "tell the models the last so many cells too",
        "CELLS",
        "3",
        group=ASKED,
        places=NOTEBOOK,
    ),
    Option("--raw", "leave braces alone", group=ASKED, places=NOTEBOOK),
    Option(
        "--show-prompt", "show what would be asked, and ask nothing", group=ASKED, places=NOTEBOOK
    ),
    Option(
        "--bg",
        "go on in the background; the value is a handle to await, stop and read",
        group=SHOWN,
        places=NOTEBOOK,
    ),
    Option("--traditional", "nothing before the end", also=("--v2", "--no-stream"), group=SHOWN),
    Option("--json", "one JSON object, at the end", group=SHOWN, places=SHELL),
    Option("--quiet", "the answer's text alone, at the end", group=SHOWN, places=SHELL),
    Option("--quiet", "the same as --traditional", group=SHOWN, places=NOTEBOOK),
    Option("--no-color", "no colours, as with NO_COLOR", group=SHOWN, places=SHELL),
    Option(
        "--as",
        "text, markdown, json or code: what the value is, instead of the answer",
        "KIND",
        "|".join(KINDS),
        KINDS,
        group=SHOWN,
        places=NOTEBOOK,
    ),
    *STAGE,
    Option(
        "--set",
        "any setting, one stage's such as deep_analysis.temperature=0.3; may be repeated",
        "KEY=VALUE",
        "deep_analysis.temperature=0.3",
        group=OF_STAGES,
        places=SHELL,
    ),
)

COMMANDS = (
    Command(  # in a notebook the magic itself asks
        "ask",
        "ask, whatever the first word is",
        shell="cli.asking:ask",
        words="QUESTION …",
        options=ASK,
    ),
    Command("status", "the engine, the stages and their models", "commands.status:verb"),
    Command("last", "show the last answer again", "notebook.verbs:last", places=NOTEBOOK),
    Command(
        "history",
        "what was asked; -c continues the last one",
        "commands.history:verb",
        places=NOTEBOOK,
    ),
    Command(
        "reset",
        "forget it: the next -c has nothing to continue",
        "commands.reset:verb",
        places=NOTEBOOK,
    ),
    Command(
        "route",
        "which stages it would go through, and why",
        "commands.route:verb",
        words="QUESTION …",
    ),
    Command("settings", "every setting, its value, where it came from", "commands.settings:verb"),
    Command(
        "controls",
        "a panel to set them with, and to warm models",
        "notebook.verbs:controls",
        places=NOTEBOOK,
    ),
    Command(
        "stage",
        "make a stage of your own, for --stages",
        "commands.stage:verb",
        words="NAME --model MODEL …",
        options=STAGE,
        one_word=True,
        places=NOTEBOOK,
    ),
    Command(
        "warm",
        "load the stages' models and their prompts beforehand",
        "commands.warm:verb",
        "cli.verbs:warm",
        words="[MODEL …]",
        options=(Option("--status", "which are in memory, and how long they took"),),
        values="models",
    ),
    Command(
        "provision",
        "what the stages' models lack in Ollama",
        "notebook.verbs:provide",
        "cli.verbs:provide",
        options=(
            Option("--yes", "install it, without being asked"),
            Option("--context", "a text about you, for the model of the last stage", "FILE"),
        ),
        in_notebook="--yes installs it",
    ),
    Command(
        "pull",
        "fetch a model for the embedded engine: by a short name, from the hub, or a file of yours",
        "notebook.verbs:pull",
        "cli.verbs:pull",
        words=f"{'|'.join(KNOWN)}|hf:ORG/REPO/FILE.gguf|FILE.gguf",
        values=(*KNOWN, "hf:"),
    ),
    Command(
        "doctor",
        "what is wrong here, and what mends it",
        "workbench.doctor:verb",
        "cli.verbs:doctor",
        options=(Option("--json", "one JSON object, at the end"),),
    ),
    Command(
        "metrics",
        "how fast and how well the last runs went",
        "workbench.metrics:verb",
        options=(
            Option("--hours", "of the last so many hours", "24"),
            Option(
                "--by",
                "a row for each",
                "stage|model|engine|route",
                values=("stage", "model", "engine", "route"),
            ),
            Option("--json", "as JSON"),
            Option("--csv", "as CSV"),
            Option("--clear", "forget them all"),
        ),
    ),
    Command(
        "dashboard",
        "what runs now, and the last runs, live",
        "workbench.dashboard:verb",
        "cli.verbs:dashboard",
        in_shell="q ends it",
    ),
    Command(
        "benchmark",
        "progressive answers against those that come as a whole",
        "workbench.benchmark:verb",
        options=(
            Option(
                "--models",
                "these models against each other instead",
                "a,b",
                values="models",
                several=True,
            ),
            _stages("these routes: fast,deep, or stages joined by +"),
            Option("--questions", "a question a line, or a JSON list", "FILE"),
            Option("--repeats", "so often each question", "3"),
            Option("--json", "write what was measured there", "FILE"),
            Option("--against", "and compare it with that", "FILE|last"),
        ),
        in_cell=True,
    ),
    Command(
        "compare",
        "one question through several models, stages or system prompts",
        "workbench.compare:verb",
        words="QUESTION …",
        options=(
            Option("--models", "these models", "a,b,c", values="models", several=True),
            _stages("these stages, each alone"),
            Option("--system", "these system prompts", "one.md,two.md"),
        ),
        in_cell=True,
    ),
    Command(
        "tune",
        "a stage's prompts and options",
        "workbench.tune:verb",
        words="[STAGE]",
        values="stages",
        in_notebook="to try by hand",
        in_shell="what was tried in a notebook",
    ),
    Command(
        "calibrate",
        "how often answers of a confidence are right, from questions with known answers",
        "workbench.calibrate:verb",
        words="FILE",
        options=(
            _stages("these stages"),
            Option("--show", "what is known"),
            Option("--clear", "forget it"),
        ),
        one_word=True,
        in_notebook="up or down for FILE grades the last answer",
        more="A line of the file is JSON, for each question: "
        '{"question": …, "exact"|"number"|"pattern"|"thumbs": …}',
    ),
    Command(
        "endpoints",
        "each endpoint: reachable or not, its models, latency",
        "commands.endpoints:verb",
    ),
    Command(
        "help",
        "the manual",
        "commands.about:help_",
        "cli.verbs:help_",
        alone=True,
        also=("--help", "-h"),
    ),
    Command(
        "version",
        "Mirador's version",
        "commands.about:version",
        alone=True,
        also=("--version", "-V"),
    ),
    Command(
        "serve-check",
        "whether an engine answers and has a model: 0 or 1",
        shell="cli.verbs:serve_check",
        places=SHELL,
    ),
)


def offered(place: Place) -> Mapping[str, Command]:
    """The verbs that are offered there, by name, in the order of manuals."""
    return {each.name: each for each in COMMANDS if place in each.places}
