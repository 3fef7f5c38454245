"""The words of the command: which verb they name, its options, and the help on them."""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from collections.abc import Sequence

from mirador_magic.cli.shell import BROKEN_PIPE, INTERRUPTED
from mirador_magic.cli.stdin import PASTED
from mirador_magic.cli.verbs import VERBS, Verb
from mirador_magic.commands.line import DEPTHS
from mirador_magic.errors import UsageError
from mirador_magic.routing import router
from mirador_magic.settings.keys import OF_A_STAGE, OWN
from mirador_magic.stages import nearest

USAGE = "mirador [options] QUESTION …\n       mirador VERB …"
_ABOUT = "Ask local language models: a quick answer first, deeper ones while you read."
_MORE = f"""
The words of a question are joined; options stand before or after it, and -- ends them.
Without a question it is read from a pipe (or, as "-", from the terminal). Beside a question, what
comes through a pipe stands below it as material: up to {PASTED:,} characters. Where a pipe is
there that nobody writes to or that is for another command: mirador QUESTION </dev/null

NO_COLOR, the environment's and the files' settings hold as in a notebook: mirador settings
exit code: 0 answered, 1 failed, 2 not understood, {INTERRUPTED} interrupted, {BROKEN_PIPE} nobody reads on
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, f"{self.prog} --help")


def read(argv: Sequence[str]) -> tuple[str, Namespace]:
    """The verb, and its options and `words`. Raises UsageError for what cannot be read."""
    verb = argv[0] if argv and argv[0] in VERBS else ""
    rest = argv[1:] if verb else argv
    at = rest.index("--") if "--" in rest else len(rest)
    reader = parser(verb or "ask")
    args, said = reader.parse_known_args(rest[:at])
    _check(said, reader)
    if said and said[0] in VERBS and not verb:
        raise UsageError(
            f"{said[0]!r} stands behind options: is it a question or a command?",
            f"mirador {said[0]} …, or to ask it: mirador ask …",
        )
    args.words = [*said, *rest[at + 1 :]]
    if args.words and verb and not VERBS[verb].words:
        asked = " ".join(args.words)
        raise UsageError(f"mirador {verb} takes no text", f"to ask it: mirador ask {verb} {asked}")
    return verb or "ask", args


def _check(said: Sequence[str], reader: argparse.ArgumentParser) -> None:
    """Raises UsageError where one of the words that are left looks like an option."""
    for word in said:
        if re.fullmatch(r"--?[A-Za-z][\w-]*(=.*)?", word):
            known = re.findall(r"(?<![\w-])--[a-z][\w-]*", reader.format_help())
            near = nearest(word.partition("=")[0], known)
            cure = " or, to ask it as it is, ".join(filter(None, [near, "put -- before it"]))
            raise UsageError(f"there is no option {word} here", cure)


def parser(verb: str) -> argparse.ArgumentParser:
    """What reads a verb's options. Its words are what is left over: they may stand among them."""
    known = VERBS[verb]
    asks = verb == "ask"
    made = _Parser(
        prog="mirador" if asks else f"mirador {verb}",
        usage=USAGE if asks else " ".join(["mirador", verb, *_signature(known)]),
        description=_ABOUT if asks else f"{known.what}.",
        epilog=_verbs() + _MORE if asks else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    made.add_argument("-h", "--help", action="store_true", help="show this")
    for option, (value, what) in known.options.items():
        if value:
            made.add_argument(option, metavar=value, help=what)
        else:
            made.add_argument(option, action="store_true", help=what)
    if asks:
        _add_ask(made)
    for option in ("engine", "host"):
        what = f"{OWN[option].what}, such as {OWN[option].example}"
        made.add_argument(f"--{option}", metavar=option.upper(), help=what)
    return made


def _add_ask(made: argparse.ArgumentParser) -> None:
    which = made.add_argument_group("which stages (without them the question decides)")
    for option, depth in DEPTHS.items():
        stages = ", ".join(router.STAGES[depth])
        which.add_argument(option, dest="depth", action="store_const", const=depth, help=stages)
    which.add_argument("--stages", metavar="A,B", type=_names, help="these stages, in this order")
    shown = made.add_argument_group("how it is shown")
    old = ("--traditional", "--v2", "--no-stream")
    shown.add_argument(*old, dest="buffered", action="store_true", help="nothing before the end")
    shown.add_argument("--json", action="store_true", help="one JSON object, at the end")
    shown.add_argument("--quiet", action="store_true", help="the answer's text alone, at the end")
    shown.add_argument("--no-color", action="store_true", help="no colours, as with NO_COLOR")
    told = made.add_argument_group("options of the stages")
    for name, key in OF_A_STAGE.items():
        what = f"{key.what}, such as {key.example}"
        told.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=what)
    one = "any setting, one stage's such as deep_analysis.temperature=0.3; may be repeated"
    told.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=one)


def _names(said: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, said.split(","))))


def _signature(verb: Verb) -> list[str]:
    options = [f"[{name}{value and ' '}{value}]" for name, (value, _) in verb.options.items()]
    return [*options, *filter(None, [verb.words])]


def _verbs() -> str:
    """The verbs, a line each."""
    told = [(" ".join([name, *_signature(verb)]), verb.what) for name, verb in VERBS.items()]
    rows = [
        f"  {how:26}{what}" if len(how) < 25 else f"  {how}\n{'':28}{what}" for how, what in told
    ]
    return "verbs, each with --engine, --host and --help:\n" + "\n".join(rows) + "\n"
