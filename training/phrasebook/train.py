"""Trains the phrase book and writes its GGUF file.

    python -m training.phrasebook.train OUT.gguf [--steps N] [--tune] [--log FILE]

The same seed, thread count and torch give the same model. With `--tune` the tuning phrasings stay
out of the training and are asked now and then, which is how the recipe was chosen; the shipped
model is trained on them too. Held-out phrasings are not read here at all.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import torch
import torch.nn.functional as F
from torch import Tensor

from training.phrasebook import corpus as corpora
from training.phrasebook.corpus import STAGES, Corpus
from training.phrasebook.examples import Examples, prompt
from training.phrasebook.export import export
from training.phrasebook.model import Llama, Shape
from training.phrasebook.tokens import Tokens


@dataclass(frozen=True)
class Recipe:
    """How it is trained. `tokens` is the size of a batch, padding included; rates are AdamW's."""

    seed: int = 7
    steps: int = 4000
    tokens: int = 5000
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.1
    dropout: float = 0.05
    shares: tuple[float, ...] = (0.45, 0.25, 0.30)  # of the batches, by stage


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--tune", action="store_true", help="keep the tuning phrasings out, ask them")
    parser.add_argument("--log", type=Path, default=Path("build/phrasebook.log"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.log.parent.mkdir(parents=True, exist_ok=True)
    recipe, shape, corpus = Recipe(steps=given.steps), Shape(), corpora.load()
    with given.log.open("w") as log:
        tokens, model = train(recipe, shape, corpus, log, tune=given.tune)
    export(model, tokens, given.out)


def train(
    recipe: Recipe, shape: Shape, corpus: Corpus, log: TextIO, *, tune: bool
) -> tuple[Tokens, Llama]:
    """The trained model and its tokens. Progress goes to `log` and to the screen."""
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokens = Tokens.learned(corpus, shape.vocabulary)
    model = Llama(shape, recipe.dropout).to(device)
    examples = Examples(corpus, random.Random(recipe.seed), with_tuning=not tune)
    optimizer = torch.optim.AdamW(
        _groups(model, recipe.decay), lr=recipe.rate, betas=(0.9, 0.98), fused=True
    )
    _say(log, asdict(recipe) | asdict(shape) | _where(device) | {"parameters": _size(model)})
    began, losses = time.perf_counter(), dict.fromkeys(STAGES, 0.0)
    for step, (stage, batch) in enumerate(_batches(recipe, examples, tokens)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _schedule(recipe, step)
        loss = _loss(model, *(part.to(device) for part in batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses[stage] += (loss.item() - losses[stage]) * 0.05
        last = step + 1 == recipe.steps
        if step % 100 == 99 or last:
            said: dict[str, object] = {"step": step + 1, "s": round(time.perf_counter() - began)}
            said |= {name: round(value, 4) for name, value in losses.items()}
            if tune and (step % 1000 == 999 or last):
                said |= quiz(model, tokens, corpus)
            _say(log, said)
            if step % 1000 == 999:
                torch.save(model.state_dict(), Path(log.name).with_suffix(".pt"))
    return tokens, model


def quiz(model: Llama, tokens: Tokens, corpus: Corpus) -> dict[str, object]:
    """Ask the quick stage the tuning questions: shares right, refused and wrong, with mean p."""
    stage = "quick_response"
    model.eval()
    known = [(p, e.answers[stage]) for e in corpus.entries for p in e.phrasings["tuning"]]
    seen = {"right": 0, "refused": 0, "wrong": 0, "sure_wrong": 0, "refuses_unknown": 0}
    sure: dict[str, list[float]] = {"right": [], "refused": [], "unknown": []}
    for question, right in known:
        text, p = generate(model, tokens, tokens.prompt(prompt(stage, question, [])))
        kind = "right" if text == right else "wrong"
        kind = "refused" if corpus.is_refusal(stage, text) else kind
        seen[kind] += 1
        seen["sure_wrong"] += kind == "wrong" and p >= 0.9
        sure.setdefault(kind, []).append(p)
    for question in corpus.unknown["tuning"]:
        text, p = generate(model, tokens, tokens.prompt(prompt(stage, question, [])))
        seen["refuses_unknown"] += corpus.is_refusal(stage, text)
        seen["sure_wrong"] += p >= 0.9 and text in {e.answers[stage] for e in corpus.entries}
        sure["unknown"].append(p)
    model.train()
    return {
        **seen,
        "of": [len(known), len(corpus.unknown["tuning"])],
        **{f"p_{kind}": round(sum(ps) / len(ps), 3) for kind, ps in sure.items() if ps},
    }


@torch.no_grad()
def generate(
    model: Llama, tokens: Tokens, before: list[int], most: int = 150
) -> tuple[str, float]:
    """The greedy answer, and the mean probability of its tokens."""
    ids, sure = list(before), []
    device = model.token_embd.weight.device
    while len(ids) - len(before) < most:
        hidden = model.hidden(torch.tensor([ids], device=device))[:, -1]
        odds = model.logits(hidden).softmax(-1)[0]
        best = int(odds.argmax())
        sure.append(float(odds[best]))
        if best == tokens.end:
            break
        ids.append(best)
    return tokens.decode(ids[len(before) :]), sum(sure) / len(sure)


def _batches(
    recipe: Recipe, examples: Examples, tokens: Tokens
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Batches of one stage each, so that little is padding: ids, and the targets or -100."""
    chance = random.Random(recipe.seed + 1)
    for _ in range(recipe.steps):
        stage = chance.choices(STAGES, recipe.shares)[0]
        rows: list[tuple[list[int], int]] = []
        longest = 0
        while True:
            row = tokens.example(examples.draw(stage))
            longest = max(longest, len(row[0]))
            if rows and longest * (len(rows) + 1) > recipe.tokens:
                break
            rows.append(row)
        width = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        targets = torch.full((len(rows), width), -100)
        for number, (row_ids, begin) in enumerate(rows):
            row = torch.tensor(row_ids)
            ids[number, : len(row)] = row
            targets[number, begin - 1 : len(row) - 1] = row[begin:]
        yield stage, (ids, targets)


def _loss(model: Llama, ids: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the answers' tokens alone: the prompts are always given."""
    said = targets != -100
    return F.cross_entropy(model.logits(model.hidden(ids)[said]), targets[said])


def _schedule(recipe: Recipe, step: int) -> float:
    """Up in a line, down in a cosine."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2


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
