"""Trains the router on the queries in `queries/` and writes its weights.

    python -m training.router.train [OUT.json] [--check DEV.jsonl]

Needs the `train` group. A logistic regression on `router.features`, so that what is trained is what is
asked; features that move no decision are left out, the rest is fitted again, and the weights are
rounded to whole hundredths. How well it does on queries by authors that it never saw is measured by
leaving out one file after the other; `--check` names a file of labelled queries that are never trained on.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from mirador_magic.routing import router

QUERIES = Path(__file__).parent / "queries"
STRENGTH = 30.0  # of the fit, the inverse of its regularisation
LEAST = (2, 2, 4)  # queries that a mark, a word, an n-gram has to be in
KEPT = 12000  # features
WARMTHS = [
    1 + step / 10 for step in range(31)
]  # what the scores are divided by, to be probabilities

Row = dict[str, str]


class Fit:
    """A logistic regression over named features."""

    def __init__(self, rows: Sequence[Row], kept: int = KEPT) -> None:
        known = _vocabulary(rows)
        self._fit(rows, known)
        strength = np.abs(self.weights).max(axis=1)
        named = sorted(known, key=lambda name: -strength[known[name]])[:kept]
        self._fit(rows, {name: place for place, name in enumerate(sorted(named))})

    def _fit(self, rows: Sequence[Row], known: dict[str, int]) -> None:
        self.known = known
        labels = [router.CLASSES.index(row["label"]) for row in rows]
        fitted = LogisticRegression(C=STRENGTH, max_iter=400).fit(_matrix(rows, known), labels)
        self.weights, self.bias = fitted.coef_.T, fitted.intercept_

    def cooled(self, warmth: float) -> Fit:
        """The same with scores that are so many times smaller, and so likelihoods less extreme."""
        self.weights, self.bias = self.weights / warmth, self.bias / warmth
        return self

    def rounded(self) -> router.Weights:
        """The bias and the weights, as they are stored."""
        table = np.round(self.weights, 2)
        named = {name: table[place].tolist() for name, place in self.known.items()}
        return np.round(self.bias, 3).tolist(), named


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=Path, default=router.WEIGHTS)
    parser.add_argument("--check", type=Path)
    asked = parser.parse_args()
    files = {file.stem: read(file) for file in sorted(QUERIES.glob("*.jsonl"))}
    fits = [
        (Fit([row for other, known in files.items() if other != name for row in known]), rows)
        for name, rows in files.items()
    ]
    warmth = min(WARMTHS, key=lambda each: sum(_surprise(fit, rows, each) for fit, rows in fits))
    found = [pair for fit, rows in fits for pair in _asked(fit.cooled(warmth), rows)]
    print(f"by authors that were left out, at {warmth}:", report(found), sep="\n")
    fit = Fit([row for rows in files.values() for row in rows]).cooled(warmth)
    _write(fit, asked.out)
    if asked.check:
        print(f"on {asked.check.name}:", report(_asked(fit, read(asked.check))), sep="\n")


def read(file: Path) -> list[Row]:
    """The labelled queries of a file, one JSON object a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def report(found: Sequence[tuple[str, str]]) -> str:
    """Accuracy, macro-F1, swaps between simple and complex, and the confusion table of (truth, route)."""
    table = Counter(found)
    scores = []
    for name in router.CLASSES:
        right = table[name, name]
        said = sum(count for (_, route), count in table.items() if route == name)
        true = sum(count for (truth, _), count in table.items() if truth == name)
        scores.append(2 * right / max(said + true, 1))
    right = sum(count for (truth, route), count in table.items() if truth == route)
    swapped = table["simple", "complex"] + table["complex", "simple"]
    lines = [
        f"n={len(found)} accuracy {right / len(found):.3f}, macro-F1 {sum(scores) / 3:.3f}",
        f"simple and complex swapped {swapped / len(found):.1%}",
        "truth \\\\ route " + " ".join(f"{name:>8}" for name in router.CLASSES),
    ]
    for truth in router.CLASSES:
        counts = " ".join(f"{table[truth, route]:8}" for route in router.CLASSES)
        lines.append(f"{truth:13} {counts}")
    return "\n".join(lines)


def _surprise(fit: Fit, rows: Sequence[Row], warmth: float) -> float:
    """The negative log-likelihood of the labels, in nats."""
    scores = (_matrix(rows, fit.known) @ fit.weights + fit.bias) / warmth
    labels = [router.CLASSES.index(row["label"]) for row in rows]
    chosen = scores[np.arange(len(rows)), labels]
    return float(np.sum(np.logaddexp.reduce(scores, axis=1) - chosen))


def _asked(fit: Fit, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """What the router itself says with these weights: (truth, route)."""
    weights = fit.rounded()
    return [(row["label"], router.route(row["query"], weights).complexity) for row in rows]


def _write(fit: Fit, file: Path) -> None:
    """One feature a line, so that two versions can be compared."""
    bias, table = fit.rounded()
    lines = [f"{json.dumps(name, ensure_ascii=False)}:{row}" for name, row in table.items()]
    weights = ",\n".join(lines)
    file.write_text(f'{{"bias":{bias},\n"weights":{{\n{weights}\n}}}}\n', encoding="utf-8")


def _vocabulary(rows: Sequence[Row]) -> dict[str, int]:
    counts: list[Counter[str]] = [Counter() for _ in LEAST]
    for row in rows:
        for counter, (names, _) in zip(counts, router.features(row["query"]), strict=True):
            counter.update(names)
    named = {
        name
        for counter, least in zip(counts, LEAST, strict=True)
        for name, count in counter.items()
        if count >= least
    }
    return {name: place for place, name in enumerate(sorted(named))}


def _matrix(rows: Sequence[Row], known: dict[str, int]) -> sparse.csr_matrix:
    places: list[int] = []
    values: list[float] = []
    ends = [0]
    for row in rows:
        for names, share in router.features(row["query"]):
            found = [known[name] for name in names if name in known]
            places += found
            values += [share] * len(found)
        ends.append(len(places))
    return sparse.csr_matrix((values, places, ends), shape=(len(rows), len(known)))


if __name__ == "__main__":
    main()
