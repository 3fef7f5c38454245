"""What a later stage changed in the earlier answer, sentence by sentence.

A text becomes sentences without their markup, a sentence its tokens. Equal tokens, wherever they
stand: kept. Of the rest, pairs that share half of their content words (Dice), the most alike first:
changed. What remains is added or dropped. In a fence each line counts as a sentence, and its case
and punctuation too. Texts are a model's, so each step is bounded.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, islice, zip_longest

from mirador_magic.answer import words

# An answer of 4,000 tokens has about 22,000 characters and 200 sentences. What goes beyond these
# is not an answer that somebody compares, and it is not compared.
_CHARACTERS, _SENTENCES = 30_000, 400
_WORDS = 70_000  # of all pairs that are looked at
_CANDIDATES = 32  # a word of every sentence would make each pair one
_DIFFED = 100  # words; SequenceMatcher is cubic at its worst
_DIFFS = 100_000  # words times words, of all sentences that are diffed
_SHOWN = 200
_ALIKE = 0.5  # of Dice's coefficient

_FENCE = re.compile(r"(?ms)^[ \t>]*+(`{3,}+|~{3,}+)[^`\n]*+\n(.*?)(?:^[ \t>]*\1[`~]*[ \t]*$|\Z)")
_ALONE = re.compile(r"(?m)^[ \t>]*(?:#{1,6}[ \t]|\|).*$")
_BREAK = re.compile(r"\n(?:[\W_]*\n|(?=[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])))")
_LEADING = re.compile(r"(?m)^[ \t>]*(?:(?:#{1,6}|[-*+]|\d{1,9}[.)])[ \t]+)*|[ \t]#+$")
# Code, or marks of emphasis at a word's edge: those within a word are a name's.
_MARKS = re.compile(r"`([^`]*)`|(?<![\w*])[*_]++(?=\S)|(?<=[^\s*_])[*_]++(?![^\W_])")

_END = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s|$)|[。！？]++[”’」』）]*+""")
_NO_END = re.compile(  # abbreviations, initials, numbers of a list
    r"""(?:(?:^|[\s("'\[])(?:(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}|[A-HJ-Z]|z|Dr|Prof|Mrs?|Ms|Jr|Sr|St"""
    r"""|Fig|Eq|Nr|Abb|etc|vs|cf|ca|al|approx|bzw|usw|vgl|ggf|evtl)|(?:^\s*|[:;,]\s)\d{1,3})\.\Z"""
)
_SIGNS = re.compile(r"!=|\.(?=\d)|(?<![^\s(=<>~])[-–](?=\d)")  # those that are no punctuation
_AS_SYMBOL = {"!=": "≠", ".": "∙", "-": "−", "–": "−"}
_LITTLE = """
a an the this that these those it its is are was were be been has have had do does did can will not
no of in on at to for from by with as and or but if so than then there which you we would could
der die das den dem des ein eine einen einer eines es ist sind war wird werden hat haben nicht kein
keine und oder aber im am auf zu zum zur von vom mit für als auch dass
"""
_STOPS = frozenset(_LITTLE.split())
_WORD = re.compile(r"[⺀-\uffff]\s?|[^\s⺀-\uffff]+\s?")
_STYLES = {"ins": "text-decoration:underline", "del": "text-decoration:line-through;opacity:.62"}


@dataclass(frozen=True)
class Change:
    """A sentence that the later stage reworded or corrected."""

    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """What became of the sentences: the first 400, in the first 30,000 characters of a text."""

    changed: tuple[Change, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: int

    def line(self, earlier: str) -> str:
        """The comparison with the stage `earlier` in one line, for the saved answer."""
        counts = {"changes": self.changed, "adds": self.added, "leaves out": self.dropped}
        parts = [f"{verb} {len(which)}" for verb, which in counts.items() if which]
        if not parts:
            return f"repeats {words.one_line(earlier)}"
        parts[0] += " sentence" if parts[0].endswith(" 1") else " sentences"
        return f"compared with {words.one_line(earlier)}: {', '.join(parts)}"


@dataclass(frozen=True)
class _Sentence:
    text: str
    tokens: tuple[str, ...]

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """Those of content; where there is none, all tokens."""
        content = {word for word in self.tokens if any(map(str.isalpha, word))}
        return frozenset(content - _STOPS or self.tokens)


@functools.lru_cache(maxsize=64)
def compare(earlier: str, later: str) -> Comparison:
    """What `later` changed in `earlier`, both Markdown; a sentence that stands twice counts twice."""
    old, new = list(_sentences(earlier)), list(_sentences(later))
    same = Counter(s.tokens for s in old) & Counter(s.tokens for s in new)
    old, new = _without(same, old), _without(same, new)
    pairs = _pairs(old, new)
    gone = set(pairs.values())
    return Comparison(
        changed=tuple(Change(old[i].text, new[j].text) for j, i in sorted(pairs.items())),
        added=tuple(s.text for j, s in enumerate(new) if j not in pairs),
        dropped=tuple(s.text for i, s in enumerate(old) if i not in gone),
        kept=same.total(),
    )


def comparison_html(comparison: Comparison, earlier: str) -> str:
    """The comparison, folded below its line; without a fold where nothing differs."""
    summary = f"↺ {html.escape(comparison.line(earlier))}"
    total = len(comparison.changed + comparison.added + comparison.dropped)
    if not total:
        return f'<div style="font-size:13px;opacity:.62">{summary}</div>'
    rows = list(islice(_rows(comparison), _SHOWN))
    rows += [f"… and {total - _SHOWN} more"] if total > _SHOWN else []
    items = "".join(f'<li style="margin:2px 0">{row}</li>' for row in rows)
    return (
        f'<details style="font-size:13px"><summary style="cursor:pointer">{summary}</summary>'
        f'<ul style="list-style:none;margin:4px 0;padding:0 0 0 16px">{items}</ul></details>'
    )


def sentences(text: str) -> list[str]:
    """A Markdown text's sentences, list items, table rows and lines of code, without markup."""
    return [sentence.text for sentence in _sentences(text)]


def _sentences(text: str) -> Iterator[_Sentence]:
    parts = _FENCE.split(words.clean(text[:_CHARACTERS]))
    found = (
        sentence
        for prose, code in zip_longest(parts[::3], parts[2::3], fillvalue="")
        for sentence in chain(_prose(prose), map(_code, code.split("\n")))
    )
    return islice((s for s in found if any(map(str.isalnum, s.text))), _SENTENCES)


def _prose(text: str) -> Iterator[_Sentence]:
    for block in _BREAK.split("\n" + _ALONE.sub(r"\n\n\g<0>\n\n", text) + "\n"):
        for sentence in _split(_MARKS.sub(lambda m: m[1] or "", _LEADING.sub("", block)).strip()):
            line = words.one_line(sentence)
            signs = _SIGNS.sub(lambda m: _AS_SYMBOL[m[0]], unicodedata.normalize("NFC", line))
            yield _Sentence(line, tuple("".join(map(_letter, signs.casefold())).split()))


def _code(line: str) -> _Sentence:
    """All of a line but its spacing; no token of prose has a backtick, so the two stay apart."""
    tokens = re.findall(r"\w+|[^\w\s]", line)
    return _Sentence(words.one_line(line), tuple(f"`{token}" for token in tokens))


def _split(block: str) -> Iterator[str]:
    start = 0
    for end in () if block.startswith("|") else _END.finditer(block):
        if not _NO_END.search(block[max(start, end.end() - 24) : end.end()]):
            yield block[start : end.end()]
            start = end.end()
    yield block[start:]


@functools.lru_cache(maxsize=4096)
def _letter(sign: str) -> str:
    """A character as tokens have it: letters stay, symbols stand alone, punctuation goes."""
    kind = unicodedata.category(sign)
    if kind == "Lo" and sign >= "⺀":  # Chinese and Japanese put no space between words
        return f" {sign} "
    if kind[0] in "LMN" or sign == "_":
        return sign
    if sign not in "`|" and (kind[0] == "S" or sign in "%‰&@#/\\*"):
        return f" {sign} "
    return "" if kind[0] == "C" else " "


def _without(same: Counter[tuple[str, ...]], found: list[_Sentence]) -> list[_Sentence]:
    left, rest = same.copy(), []
    for sentence in found:
        if left[sentence.tokens] <= 0:
            rest.append(sentence)
        left[sentence.tokens] -= 1
    return rest


def _pairs(old: list[_Sentence], new: list[_Sentence]) -> dict[int, int]:
    """Which new sentence was which old one, by their places; the most alike take each other."""
    index: defaultdict[str, list[int]] = defaultdict(list)
    for i, sentence in enumerate(old):
        for word in sentence.words:
            index[word].append(i)
    scores, left = [], _WORDS
    for j, after in enumerate(new):
        for i in _candidates(after, j * len(old) // len(new), index) if left > 0 else ():
            left -= len(after.words) + len(old[i].words)
            if (alike := _dice(after.words, old[i].words)) >= _ALIKE:
                all_alike = _dice(frozenset(after.tokens), frozenset(old[i].tokens))
                scores.append((-alike, -all_alike, abs(j - i), j, i))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for *_, j, i in sorted(scores):
        if j not in pairs and i not in taken:
            pairs[j] = i
            taken.add(i)
    return pairs


def _candidates(sentence: _Sentence, place: int, index: dict[str, list[int]]) -> set[int]:
    """The old sentences that share a word, the rarest words first, of a frequent one the nearest."""
    found: set[int] = set()
    for _, word in sorted((len(index[word]), word) for word in sentence.words if word in index):
        if len(found) < _CANDIDATES:
            at = bisect(index[word], place)
            found.update(index[word][max(0, at - _CANDIDATES // 2) : at + _CANDIDATES // 2])
    return found


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other))


def _rows(comparison: Comparison) -> Iterator[str]:
    left = _DIFFS
    for change in comparison.changed:
        before, after = _WORD.findall(change.before), _WORD.findall(change.after)
        left -= len(before) * len(after)
        if left < 0 or max(len(before), len(after)) > _DIFFED:
            yield f"{_tagged('del', change.before)} {_tagged('ins', change.after)}"
        else:
            yield _reworded(before, after)
    yield from (f"+ {_tagged('ins', text)}" for text in comparison.added)
    yield from (f"− {_tagged('del', text)}" for text in comparison.dropped)


def _reworded(before: list[str], after: list[str]) -> str:
    bare = SequenceMatcher(None, [*map(str.strip, before)], [*map(str.strip, after)])
    shown = ""
    for how, i1, i2, j1, j2 in bare.get_opcodes():
        old, new = "".join(before[i1:i2]), "".join(after[j1:j2])
        if how == "equal":
            shown += html.escape(new)
        else:
            shown += f" {_tagged('del', old)} {_tagged('ins', new)} "
    return shown.strip()


def _tagged(tag: str, text: str) -> str:
    style = _STYLES[tag]
    return f'<{tag} style="{style}">{html.escape(text.strip())}</{tag}>' if text else ""
