"""What was found, in one line each: for people, and for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from mirador_magic.answer.words import one_line

Level = Literal["ok", "warn", "bad"]

_MARKS: Mapping[Level, str] = {"ok": "✓", "warn": "!", "bad": "✗"}


@dataclass(frozen=True)
class Finding:
    """One line: `what` was found of a `topic` (a word or two), and the `cure`, "" where it is ok."""

    level: Level
    topic: str
    what: str
    cure: str = ""


def line(finding: Finding) -> str:
    """The finding for people, as "✗ models  gemma2:9b is not installed → %mirador provision"."""
    cure = f" → {finding.cure}" if finding.cure else ""
    return f"{_MARKS[finding.level]} {finding.topic:11}  {finding.what}{cure}"


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where something is bad; 0 where all works, warnings or not."""
    return int(any(finding.level == "bad" for finding in findings))


def as_json(findings: Sequence[Finding]) -> str:
    """An object: `exit_code`, and `findings`, each with its level, topic, what and cure."""
    told = {"exit_code": exit_code(findings), "findings": [asdict(each) for each in findings]}
    return json.dumps(told, ensure_ascii=False, indent=2)


def note(level: Level, topic: str, what: str, cure: str = "") -> Finding:
    """A finding on one printable line, whatever text of a server or a file stands in it."""
    return Finding(level, topic, one_line(what), one_line(cure))


def ok(topic: str, what: str) -> Finding:
    """A finding of something that is as it should be."""
    return note("ok", topic, what)
