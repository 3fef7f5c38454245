"""What is asked, told from what is pasted with it: code, logs, tables."""

from __future__ import annotations

import re

_LOOKED_AT = 1600  # characters of a question, half of them from its end
_ASK_HEAD, _ASK_TAIL = 140, 120  # characters of the ask that are scored

# A line of code, a log, a table or a prompt's echo, as it is pasted, and what Mirador says of a paste.
_PASTED = re.compile(
    r".*\bmaterial, not instructions[.:]$|[>$%#+<|{}\[\]()@*/\\][^?]*$|Traceback|File \"|In ?\[|Out ?\[|\d[\d:./,;\s-]*$"
    r"|(?:import \w[\w., ]*|from [\w.]+ import.*|(?:async )?def \w+\(.*|class \w+.*:|return\b.*"
    r"|(?:for|while|if|elif|with|else|try|except)\b.*:|print\(.*|end|fi|done|pass)$"
    r"|(?:SELECT|FROM|WHERE|JOIN|LEFT|GROUP|ORDER|CREATE|INSERT|UPDATE|AND|WITH) "
    r"|(?:const|let|var|public|private|function) \w"
    r"|\S*[A-Z]\w*(?:Error|Exception|Warning)\b(?::|$)"
    r"|[\w.\[\]'\"]+ ?(?:[-+*/|&]?=|<-|->|=>) ?\S|[^,\s]*,[^,\s]+,[^,]*$|[^\t]*\t"
    r"|[\"'\w-]+: ?(?:[\d\"'\[{]|true|false|null)|[^?]*[;{}]\s*$|\[?\d{4}-\d\d-\d\d|(?:INFO|WARN|ERROR|DEBUG)"
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_SENTENCE = re.compile(r"(?<=[.!?:。！？])\s+|(?<=[。！？])")
_WORDS = re.compile(r"[^\W\d_\u3040-\uffff]+(?:['’][a-z]+)?|[\u3040-\u9fff\uac00-\ud7af]|\d+")


def parted(query: str) -> tuple[str, list[str]]:
    """What is asked, in lower case and cut to what is scored, and the lines that are pasted."""
    query = _ends(query)
    asked: list[str] = []
    pasted: list[str] = []
    fenced = False
    for line in query.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif line.strip():
            (pasted if fenced or _is_pasted(line) else asked).append(line)
    ask = "\n".join(asked or pasted).strip().lower()
    if len(ask) > _ASK_HEAD + _ASK_TAIL:
        ask = f"{ask[:_ASK_HEAD]} {ask[-_ASK_TAIL:]}"
    return ask, pasted if asked else []


def _ends(query: str) -> str:
    """Its beginning and its end where it is long, cut between lines where there are any."""
    if len(query) <= _LOOKED_AT:
        return query
    half = _LOOKED_AT // 2
    head, tail = query.rfind("\n", half // 2, half), query.find("\n", -half, -half // 2)
    head, tail = head if head > 0 else half, tail if tail > 0 else len(query) - half
    fence = query.count("\n```", head, tail) % 2 * "\n```"  # one that is opened or closed between
    return f"{query[:head]}{fence}\n{query[tail:]}"


def last(ask: str) -> str:
    """Its last sentence, where it has several: what is asked often stands behind its story; else ''."""
    sentences = [each for each in _SENTENCE.split(ask) if each.strip()]
    return sentences[-1] if len(sentences) > 1 else ""


def words(ask: str) -> list[str]:
    """Its words and numbers in order; of Chinese and the like, each character."""
    return _WORDS.findall(ask)


def _is_pasted(line: str) -> bool:
    return line.startswith(("    ", "\t")) or _PASTED.match(line.lstrip()) is not None
