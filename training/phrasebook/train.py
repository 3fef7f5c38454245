"""Trains the phrase book and writes its GGUF file.

    python -m training.phrasebook.train OUT.gguf [--steps N] [--threads N] [--log FILE]

The same seed, thread count, device and torch give the same model. Neither the tuning nor the
held-out phrasings are trained on: `training.phrasebook.evaluate` asks them. Every five hundred steps
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
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

import torch
import torch.nn.functional as F
from torch import Tensor

from training.phrasebook import corpus as corpora
from training.phrasebook.check import check
from training.phrasebook.choice import Choice, learn
from training.phrasebook.corpus import STAGES, Corpus
from training.phrasebook.examples import Examples
from training.phrasebook.export import export, tokens_of, weights_of
from training.phrasebook.model import Llama, Shape
from training.phrasebook.teacher import made
from training.phrasebook.tokens import Row, Tokens


@dataclass(frozen=True)
class Recipe:
    """How it is trained, for so many steps, or minutes where these are over before.

    `tokens` is the size of a batch, padding included; `rate` is AdamW's.

    `choosing` is the steps in which it learns which answer is asked for (choice.py); `choice` is
    what this counts while the answers are learned. An answer's first token counts 1 + `first` times
    as much as its last: the first ones decide which answer it is, and the others follow. The
    question's own tokens count `prompt`.

    From `cautious` on, the first token of a refusal counts `refusal` times as much again: a wrong
    answer costs the reader more than an honest no, and by then it knows its answers.

    `made` is how many questions are made and labelled beforehand (teacher.py).

    `drafted` is the share of the later stages' prompts that have earlier drafts in them, at first
    and from `late` on. Drafts are long: without them an answer is learned in half the time.
    """

    seed: int = 7
    steps: int = 8500
    tokens: int = 2500
    minutes: float = 85.0
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.1
    choosing: tuple[int, int] = (1500, 600)
    choice: float = 0.5
    first: float = 7.0
    prompt: float = 0.25
    refusal: float = 9.0
    cautious: float = 0.9
    drafted: tuple[float, float] = (0.3, 0.85)
    late: float = 0.6
    made: int = 40000
    shares: tuple[float, ...] = (0.3, 0.3, 0.4)  # of the batches, by stage


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    parser.add_argument("--refusal", type=float, default=Recipe.refusal)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--resume", type=Path, help="go on with this file: its last part anew")
    parser.add_argument("--log", type=Path, default=Path("build/phrasebook.log"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.log.parent.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        seed=given.seed,
        steps=given.steps,
        minutes=given.minutes,
        rate=given.rate,
        refusal=given.refusal,
    )
    if given.resume:
        recipe = replace(recipe, choosing=(0, 100), late=0.0, cautious=0.0)
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
    tokens = tokens_of(resume) if resume else Tokens.learned(corpus, shape.vocabulary)
    model = Llama(shape)
    if resume:
        model.load_state_dict(weights_of(resume))
    model.to(device)
    choice = Choice(shape.width, len(corpus.entries)).to(device)
    questions = made(corpus, recipe.made, recipe.seed)
    examples = Examples(corpus, random.Random(recipe.seed), questions)
    resumed = {"resumed": resume.name} if resume else {}
    _say(
        log,
        {
            **resumed,
            **asdict(recipe),
            **asdict(shape),
            **_where(device),
            "parameters": _size(model),
        },
    )
    began, losses = time.perf_counter(), defaultdict[str, list[tuple[float, float]]](list)
    chance = random.Random(recipe.seed + 1)
    learn(model, choice, examples, tokens, recipe.choosing, chance, partial(_say, log))
    optimizer = torch.optim.AdamW(
        _groups(model, choice, recipe.decay), lr=recipe.rate, betas=(0.9, 0.98), fused=True
    )
    batches = _Batches(recipe, examples, tokens, chance)
    done, step = 0.0, 0
    while done < 1:
        step += 1
        elapsed = time.perf_counter() - began
        done = min(max(step / recipe.steps, elapsed / (60 * recipe.minutes)), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _schedule(recipe, step, done)
        stage = chance.choices(STAGES, recipe.shares)[0]
        drafted = recipe.drafted[done >= recipe.late]
        weight = recipe.refusal if done >= recipe.cautious else 1.0
        rows = batches.next(stage, drafted)
        loss, *plain = _loss(model, choice, recipe, rows, weight, device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses[stage].append((plain[0], plain[1]))
        if step % 100 == 0 or done == 1:
            _say(log, {"step": step, "s": round(elapsed), **_means(losses)})
            losses.clear()
        if step % 500 == 0 or done == 1:
            export(model, tokens, out)
    _say(log, check(model, tokens, out, corpus))


class _Batches:
    """Rows of one stage and of about one length, so that little is padding."""

    def __init__(
        self, recipe: Recipe, examples: Examples, tokens: Tokens, chance: random.Random
    ) -> None:
        self._recipe, self._examples, self._tokens, self._chance = recipe, examples, tokens, chance
        self._ready: dict[tuple[str, float], list[list[Row]]] = {}

    def next(self, stage: str, drafted: float) -> list[Row]:
        ready = self._ready.setdefault((stage, drafted), [])
        if not ready:
            draw = self._examples.draw
            drawn = [self._tokens.example(draw(stage, drafted)) for _ in range(100)]
            drawn.sort(key=lambda row: len(row.ids))
            ready.append([])
            for row in drawn:
                if ready[-1] and len(row.ids) * (len(ready[-1]) + 1) > self._recipe.tokens:
                    ready.append([])
                ready[-1].append(row)
            self._chance.shuffle(ready)
        return ready.pop()


def _loss(
    model: Llama,
    choice: Choice,
    recipe: Recipe,
    rows: list[Row],
    refusal: float,
    device: torch.device,
) -> tuple[Tensor, float, float]:
    """The weighted cross-entropy of what is to be learned, the plain one of the answers, and that
    of the choice. `refusal` is what a refusal's first token counts beside an answer's."""
    entries = choice.out.out_features - 1
    width = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    weights = torch.zeros(len(rows), width)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
        weights[number, row.asked : row.read] = recipe.prompt
        place = torch.arange(len(row.ids) - row.begin)
        weights[number, row.begin : len(row.ids)] = 1 + recipe.first * torch.exp(-place / 4)
        weights[number, row.begin] *= refusal if row.entry == entries else 1.0
    common = int((ids == ids[:1]).all(0).int().cumprod(0).sum())
    common = min(common, *(row.read for row in rows))
    shared = common if 2 * common > width else 0  # else its mask costs more than it saves
    ids, weights = ids.to(device), weights.to(device)
    targets, weights = ids[:, shared + 1 :], weights[:, shared + 1 :]
    chosen = F.pad(weights > 0, (0, 1))
    hidden, first = model.hidden(ids, chosen, shared)
    read = first[torch.arange(len(rows)), torch.tensor([row.read - shared for row in rows])]
    chose = choice.loss(read, torch.tensor([row.entry for row in rows], device=device))
    chosen = chosen[:, :-1]
    weights = weights[chosen]
    each = F.cross_entropy(model.logits(hidden), targets[chosen], reduction="none")
    loss = (each * weights).sum() / weights.sum() + recipe.choice * chose
    return loss, each[weights >= 1].mean().item(), chose.item()


def _means(losses: dict[str, list[tuple[float, float]]]) -> dict[str, object]:
    """By stage, the mean loss of the answers and of the choice."""
    return {
        name: [round(sum(values) / len(values), 4) for values in zip(*each, strict=True)]
        for name, each in losses.items()
    }


def _schedule(recipe: Recipe, step: int, done: float) -> float:
    """Up in a line, down in a cosine of what is done of the steps, or of the minutes."""
    return min(step / recipe.warmup, 1.0) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)


def _groups(model: Llama, choice: Choice, decay: float) -> list[dict[str, object]]:
    everything = [*model.parameters(), *choice.parameters()]
    weights = [weight for weight in everything if weight.dim() == 2]
    norms = [weight for weight in everything if weight.dim() < 2]
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
