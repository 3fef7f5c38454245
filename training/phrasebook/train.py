"""Trains the phrase book and writes its GGUF file.

    python -m training.phrasebook.train OUT.gguf [--steps N] [--threads N] [--log FILE]

The same seed, thread count, device and torch give the same model. Neither the tuning nor the
held-out phrasings are trained on: `training.phrasebook.evaluate` asks them. Every thousand steps
the model is written, so that it can be asked while it learns.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import torch
import torch.nn.functional as F
from torch import Tensor

from training.phrasebook import corpus as corpora
from training.phrasebook.check import check
from training.phrasebook.corpus import STAGES, Corpus
from training.phrasebook.examples import Examples
from training.phrasebook.export import export, weights_of
from training.phrasebook.model import Llama, Shape
from training.phrasebook.tokens import Tokens


@dataclass(frozen=True)
class Recipe:
    """How it is trained, for so many steps, or minutes where these are over before.

    `tokens` is the size of a batch, padding included; `rate` is AdamW's.

    An answer's first token counts 1 + `first` times as much as its last: the first ones decide
    which answer it is, and the others follow. The user's turn counts `prompt` a token: the words of
    the question, and the earlier drafts, which are answers too.
    """

    seed: int = 7
    steps: int = 8500
    tokens: int = 2500
    minutes: float = 85.0
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.1
    dropout: float = 0.02
    first: float = 7.0
    prompt: float = 0.25
    shares: tuple[float, ...] = (0.32, 0.29, 0.39)  # of the batches, by stage


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--resume", type=Path, help="a GGUF file of this script's to go on with")
    parser.add_argument("--log", type=Path, default=Path("build/phrasebook.log"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.log.parent.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(seed=given.seed, steps=given.steps, minutes=given.minutes, rate=given.rate)
    shape, corpus = Shape(), corpora.load()
    with given.log.open("w") as log:
        train(recipe, shape, corpus, given.out, log, given.resume)


def train(
    recipe: Recipe,
    shape: Shape,
    corpus: Corpus,
    out: Path,
    log: TextIO,
    resume: Path | None = None,
) -> None:
    """Train a model and write it to `out`. Progress goes to `log` and to the screen."""
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokens = Tokens.learned(corpus, shape.vocabulary)
    model = Llama(shape, recipe.dropout).to(device)
    if resume:
        model.load_state_dict(weights_of(resume))
    examples = Examples(corpus, random.Random(recipe.seed))
    optimizer = torch.optim.AdamW(
        _groups(model, recipe.decay), lr=recipe.rate, betas=(0.9, 0.98), fused=True
    )
    _say(log, {**asdict(recipe), **asdict(shape), **_where(device), "parameters": _size(model)})
    began, losses = time.perf_counter(), defaultdict[str, list[float]](list)
    for step, (stage, batch) in enumerate(_batches(recipe, examples, tokens), 1):
        elapsed = time.perf_counter() - began
        done = min(max(step / recipe.steps, elapsed / (60 * recipe.minutes)), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _schedule(recipe, step, done)
        loss, plain = _loss(model, *(part.to(device) for part in batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses[stage].append(plain)
        if step % 100 == 0 or done == 1:
            means = {name: round(sum(each) / len(each), 4) for name, each in losses.items()}
            _say(log, {"step": step, "s": round(elapsed), **means})
            losses.clear()
        if step % 500 == 0 or done == 1:
            export(model, tokens, out)
        if done == 1:
            break
    _say(log, check(model, tokens, out, corpus))


def _batches(
    recipe: Recipe, examples: Examples, tokens: Tokens
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Batches of one stage each, so that little is padding: token ids, and each one's weight."""
    chance = random.Random(recipe.seed + 1)
    for _ in range(recipe.steps):
        stage = chance.choices(STAGES, recipe.shares)[0]
        rows: list[tuple[list[int], int, int]] = []
        longest = 0
        while True:
            row = tokens.example(examples.draw(stage))
            longest = max(longest, len(row[0]))
            if rows and longest * (len(rows) + 1) > recipe.tokens:
                break
            rows.append(row)
        width = max(len(ids) for ids, _, _ in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        weights = torch.zeros(len(rows), width)
        for number, (row_ids, asked, begin) in enumerate(rows):
            ids[number, : len(row_ids)] = torch.tensor(row_ids)
            weights[number, asked:begin] = recipe.prompt
            place = torch.arange(len(row_ids) - begin)
            weights[number, begin : len(row_ids)] = 1 + recipe.first * torch.exp(-place / 4)
        yield stage, (ids, weights)


def _loss(model: Llama, ids: Tensor, weights: Tensor) -> tuple[Tensor, float]:
    """The weighted cross-entropy of what is to be learned, and the plain one of the answers."""
    common = int((ids == ids[:1]).all(0).int().cumprod(0).sum())
    shared = common if 2 * common > ids.shape[1] else 0  # else its mask costs more than it saves
    targets, weights = ids[:, shared + 1 :], weights[:, shared + 1 :]
    chosen = F.pad(weights > 0, (0, 1))
    logits = model.logits(model.hidden(ids, chosen, shared))
    chosen = chosen[:, :-1]
    weights = weights[chosen]
    each = F.cross_entropy(logits, targets[chosen], reduction="none")
    return (each * weights).sum() / weights.sum(), each[weights >= 1].mean().item()


def _schedule(recipe: Recipe, step: int, done: float) -> float:
    """Up in a line, down in a cosine of what is done of the steps, or of the minutes."""
    return min(step / recipe.warmup, 1.0) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)


def _groups(model: Llama, decay: float) -> list[dict[str, object]]:
    weights = [weight for weight in model.parameters() if weight.dim() == 2]
    norms = [weight for weight in model.parameters() if weight.dim() < 2]
    return [{"params": weights, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}]


def _size(model: Llama) -> int:
    return sum(weight.numel() for weight in model.parameters())


def _where(device: torch.device) -> dict[str, object]:
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _say(log: TextIO, what: dict[str, object]) -> None:
    print(json.dumps(what), file=log, flush=True)
    print(" ".join(f"{name}={value}" for name, value in what.items()), flush=True)


if __name__ == "__main__":
    main()
