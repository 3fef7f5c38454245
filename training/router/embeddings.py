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
_WORD = re.compile(r" [^\W\d_]+")
_PRINTED = (*range(33, 127), *range(161, 173), *range(174, 256))  # bytes that stand for themselves
_OTHERS = (byte for byte in range(256) if byte not in _PRINTED)  # those after the 256th letter
_BYTES = {chr(byte): byte for byte in _PRINTED} | {chr(256 + n): b for n, b in enumerate(_OTHERS)}


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
    """Where the tokens of each word are: those with a space before them, the others are pieces."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, token in enumerate(tokens):
        if _WORD.fullmatch(word := _text(token)):
            places[word[1:].lower()].append(place)
    return dict(sorted(places.items()))


def _text(token: str) -> str:
    """Its characters; '' where it is half of one. Each byte is written as a letter of its own (GPT-2)."""
    try:
        return bytes(_BYTES[letter] for letter in token).decode()
    except (KeyError, UnicodeDecodeError):
        return ""
