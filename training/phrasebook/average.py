"""Averages the weights of models that one training went through, and writes the mean as a GGUF file.

    python -m training.phrasebook.average OUT.gguf FILE.gguf:SHARE ... [--log FILE]

Runs that go on from one another end in neighbouring places; between them lies a model that is right
as often as the boldest and as seldom wrong as the most cautious of them (model soups,
arXiv 2203.05482).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.phrasebook import corpus as corpora
from training.phrasebook.check import check
from training.phrasebook.export import export, tokens_of, weights_of
from training.phrasebook.model import Llama, Shape


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="+", metavar="FILE:SHARE")
    parser.add_argument("--log", type=Path, default=Path("build/phrasebook-average.log"))
    given = parser.parse_args()
    parts = [
        (Path(file), float(share)) for file, _, share in (p.rpartition(":") for p in given.parts)
    ]
    whole = sum(share for _, share in parts)
    weights = [(weights_of(file), share / whole) for file, share in parts]
    model = Llama(Shape())
    model.load_state_dict(
        {name: sum(share * each[name] for each, share in weights) for name in weights[0][0]}
    )
    tokens = tokens_of(parts[0][0])
    export(model, tokens, given.out)
    said = {"averaged": {file.name: share for file, share in parts}}
    line = json.dumps(said | check(model, tokens, given.out, corpora.load()))
    given.log.parent.mkdir(parents=True, exist_ok=True)
    given.log.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
