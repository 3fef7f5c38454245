"""Holds the exported file against the torch model: the same tokens, the same probabilities.

llama.cpp reads the file in the embedded engine's own child process, and is asked for the whole
distribution after the same tokens that torch is given: prompts of all stages, with the beginnings
of their answers.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import torch

from mirador_magic.engines._embedded_process import Child
from mirador_magic.engines._embedded_stream import client_of
from training.phrasebook.corpus import STAGES, Corpus
from training.phrasebook.examples import Examples
from training.phrasebook.export import export
from training.phrasebook.model import Llama
from training.phrasebook.tokens import Tokens

PLACES = 30
MOST = 0.005  # in float32; what remains is llama.cpp's cache of keys and values in float16
FEWEST = 28  # places at which rounding to q8_0 must leave the likeliest token as it was


def check(model: Llama, tokens: Tokens, file: Path, corpus: Corpus) -> dict[str, object]:
    """The largest differences of a probability, in float32 and in the file as it is.

    Raises ValueError where the export does not say what the model says.
    """
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.gguf"
        export(model, tokens, whole, exact=True)
        exact, _ = _hold(model, tokens, whole, corpus)
    rounded, same = _hold(model, tokens, file, corpus)
    if exact > MOST or same < FEWEST:
        raise ValueError(f"{file} is not the model: {exact=:.5f}, {same=} of {PLACES}")
    return {"places": PLACES, "float32": round(exact, 6), "q8_0": round(rounded, 4), "same": same}


def _hold(model: Llama, tokens: Tokens, file: Path, corpus: Corpus) -> tuple[float, int]:
    """The largest difference of a probability, and at how many places the likeliest is the same."""
    examples, chance = Examples(corpus, random.Random(1)), random.Random(1)
    found: list[tuple[float, bool]] = []
    for place in range(PLACES):
        row = tokens.example(examples.draw(STAGES[place % 3], 0.7))
        ids = row.ids[: chance.randrange(row.begin, len(row.ids))]
        found.append(_compare(model, tokens, file, ids))
    return max(gap for gap, _ in found), sum(same for _, same in found)


@torch.no_grad()
def _compare(model: Llama, tokens: Tokens, file: Path, ids: list[int]) -> tuple[float, bool]:
    device = model.token_embd.weight.device
    hidden, _ = model.hidden(torch.tensor([ids], device=device))
    own = model.logits(hidden[:, -1]).softmax(-1)[0].cpu()
    text = tokens.decode(ids, special=True)
    other = torch.zeros_like(own)
    read, odds = asyncio.run(_ask(file, text, ids, len(own)))
    if read != ids:
        raise ValueError(f"{file} reads other tokens: {text[-80:]!r}")
    for token, p in odds.items():
        other[token] = p
    return float((own - other).abs().max()), bool(own.argmax() == other.argmax())


async def _ask(
    file: Path, text: str, ids: list[int], vocabulary: int
) -> tuple[list[int], dict[int, float]]:
    """llama.cpp's tokens of the text, and its probabilities of the token that follows."""
    child = Child(file.name, file, 2048)
    try:
        await child.ready()
        async with client_of(child.socket) as client:
            asked = {"content": text, "parse_special": True, "add_special": False}
            read = (await client.post("/tokenize", json=asked)).json()["tokens"]
            wish = {"prompt": ids, "n_predict": 1, "n_probs": vocabulary, "temperature": 0.0}
            told = (await client.post("/completion", json=wish)).json()
    finally:
        await child.end()
    first = told["completion_probabilities"][0]["top_logprobs"]
    return read, {one["id"]: float(torch.tensor(one["logprob"]).exp()) for one in first}
