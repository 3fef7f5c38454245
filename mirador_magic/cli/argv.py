"""The words of the command: which verb they name, its options, and the help on them."""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirador_magic.cli.shell import BROKEN_PIPE, INTERRUPTED
from mirador_magic.cli.stdin import PASTED
from mirador_magic.commands import slips, table
from mirador_magic.commands.command import Command, Option
from mirador_magic.errors import UsageError
from mirador_magic.settings.keys import as_option
from mirador_magic.stages import nearest

USAGE = "mirador [options] QUESTION …\n       mirador VERB …"
VERBS = table.offered("shell")
_ABOUT = "Ask local language models: a quick answer first, deeper ones while you read."
_MORE = f"""
The words of a question are joined; options stand before or after it, and -- ends them.
Without a question it is read from a pipe (or, as "-", from the terminal). Beside a question, what
comes through a pipe stands below it as material: up to {PASTED:,} characters. Where a pipe is
there that nobody writes to or that is for another command: mirador QUESTION </dev/null

NO_COLOR, the environment's and the files' settings hold as in a notebook: mirador settings
exit code: 0 answered, 1 failed, 2 not understood, {INTERRUPTED} interrupted, {BROKEN_PIPE} nobody reads on
"""


@dataclass(frozen=True)
class Said:
    """A command that was read. `options` are by their first names; one without a value holds ''.

    What `--set KEY=VALUE` sets stands among them by its key.
    """

    command: Command
    words: list[str]
    options: Mapping[str, str]
    help: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, f"{self.prog} --help")


class _Keep(argparse.Action):
    """Writes an option down by its first name, the last one at the end."""

    def __call__(self, _: object, said: Namespace, given: Any, typed: str | None = None) -> None:
        name, value = self.option_strings[0], given or ""
        if name == "--set":
            name, value = _set(given)
        said.options.pop(name, None)
        said.options[name] = value


def _set(given: str) -> tuple[str, str]:
    key, is_there, value = given.partition("=")
    if not is_there:
        raise UsageError(f"--set {given} has no value", "--set deep_analysis.temperature=0.3")
    return key.strip(), value.strip()


def read(argv: Sequence[str]) -> Said:
    """The verb, its options and its words. Raises UsageError for what cannot be read."""
    if (alone := slips.meant(argv, "shell")) and argv[0] != alone:
        argv = [alone]
    verb = argv[0] if argv and argv[0] in VERBS else ""
    if verb and VERBS[verb].alone and not set(argv[1:]) <= {"-h", "--help"}:
        verb = ""  # a question's first word
    rest = argv[1:] if verb else argv
    at = rest.index("--") if "--" in rest else len(rest)
    command = VERBS[verb or "ask"]
    reader = parser(command)
    args, said = reader.parse_known_args(rest[:at], Namespace(options={}))
    _check(said, reader)
    if said and said[0] in VERBS and not verb and not VERBS[said[0]].alone:
        raise UsageError(
            f"{said[0]!r} stands behind options: is it a question or a command?",
            f"mirador {said[0]} …, or to ask it: mirador ask …",
        )
    words = [*said, *rest[at + 1 :]]
    if len(said) == 1 and not verb and at == len(rest):
        slips.check(said[0], "shell")
    if words and not command.words:
        asked = " ".join(words)
        raise UsageError(f"mirador {verb} takes no text", f"to ask it: mirador ask {verb} {asked}")
    return Said(command, words, args.options, args.help)


def _check(said: Sequence[str], reader: argparse.ArgumentParser) -> None:
    """Raises UsageError where one of the words that are left looks like an option."""
    for word in said:
        if re.fullmatch(r"--?[A-Za-z][\w-]*(=.*)?", word):
            known = re.findall(r"(?<![\w-])--[a-z][\w-]*", reader.format_help())
            option = as_option(word)
            near = f"--set {option}=VALUE" if option else nearest(word.partition("=")[0], known)
            cure = " or, to ask it as it is, ".join(filter(None, [near, "put -- before it"]))
            raise UsageError(f"there is no option {word} here", cure)


def parser(command: Command) -> argparse.ArgumentParser:
    """What reads a verb's options. Its words are what is left over: they may stand among them."""
    asks = command.name == "ask"
    about = "\n".join(filter(None, [f"{command.what_in('shell')}.", command.more]))
    how = " ".join(filter(None, ["mirador", command.name, command.signature("shell")]))
    made = _Parser(
        prog="mirador" if asks else f"mirador {command.name}",
        usage=USAGE if asks else how,
        description=_ABOUT if asks else about,
        epilog=_verbs() + _MORE if asks else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    made.add_argument("-h", "--help", action="store_true", help="show this")
    groups: dict[str, Any] = {"": made}
    for option in dict.fromkeys((*command.options, *table.WHERE)):
        if "shell" in option.places:
            if option.group not in groups:
                groups[option.group] = made.add_argument_group(option.group)
            _add(groups[option.group], option)
    return made


def _add(group: Any, option: Option) -> None:
    group.add_argument(
        *option.names,
        action=_Keep,
        dest="options",
        default=argparse.SUPPRESS,
        nargs=None if option.value else 0,
        metavar=option.value or None,
        help=option.what.replace("%", "%%"),
    )


def _verbs() -> str:
    """The verbs, a line each."""
    told = [
        (f"{name} {each.signature('shell')}".rstrip(), each.what_in("shell"))
        for name, each in VERBS.items()
    ]
    rows = [
        f"  {how:26}{what}" if len(how) < 25 else f"  {how}\n{'':28}{what}" for how, what in told
    ]
    return "verbs, each with --engine, --host and --help:\n" + "\n".join(rows) + "\n"
