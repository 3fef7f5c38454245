"""What words mean: vectors from the token embeddings of SmolLM2-135M-Instruct (Apache-2.0).

A word's is the mean of the tokens that are this word, in whatever case; all are centred, of length 1, and
cut to their main directions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize

DIRECTIONS = 96
_SPACE = "Ġ"  # what a token begins with that begins a word
_WORD = re.compile(r"[^\W\d_]+")


def vectors(model: Path) -> tuple[list[str], np.ndarray]:
    """The words in lower case, and a row of `DIRECTIONS` for each."""
    reader = GGUFReader(model)
    tensor = next(each for each in reader.tensors if each.name == "token_embd.weight")
    table = dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
    places = _places(reader.fields["tokenizer.ggml.tokens"].contents())
    rows = np.stack([table[at].mean(axis=0) for at in places.values()])
    rows -= rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, directions = np.linalg.eigh(rows.T @ rows)
    return list(places), rows @ directions[:, : -DIRECTIONS - 1 : -1]


def _places(tokens: list[str]) -> dict[str, list[int]]:
    """Where the tokens of each word are: those behind a space, and where there are none, the others."""
    behind: dict[str, list[int]] = defaultdict(list)
    alone: dict[str, list[int]] = defaultdict(list)
    for place, token in enumerate(tokens):
        if _WORD.fullmatch(word := token.removeprefix(_SPACE)):
            (behind if token.startswith(_SPACE) else alone)[word.lower()].append(place)
    return dict(sorted({**alone, **behind}.items()))
