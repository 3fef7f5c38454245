"""Which answer a question asks for, learned before the answers are.

Learning a text by heart and learning when to say it pull at the same weights, and a model that does
both at once knows its texts by heart before it has looked at more than a few words of a question. So
the words come first: as a plain average, which takes a linear model seconds to learn; then as the
first block's attention sees them in the prompt. While the answers are learned, this goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.phrasebook.corpus import STAGES
from training.phrasebook.examples import Examples
from training.phrasebook.model import Llama
from training.phrasebook.tokens import Tokens

ROWS = 96
DROPOUT = 0.1
SMOOTHING = 0.02


class Choice(nn.Module):
    """States of the first block, (count, width), to an entry's logits, the last for a refusal.

    It serves in training alone and is not in the file: it keeps the first block's attention, where
    the question has been read, on the words that tell one question from another.
    """

    def __init__(self, width: int, entries: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.out = nn.Linear(width, entries + 1)
        nn.init.normal_(self.out.weight, std=0.05)

    def forward(self, states: Tensor) -> Tensor:
        return self.out(F.dropout(self.norm(states), DROPOUT, self.training))

    def loss(self, states: Tensor, entries: Tensor) -> Tensor:
        return F.cross_entropy(self(states), entries, label_smoothing=SMOOTHING)


def learn(
    model: Llama,
    choice: Choice,
    examples: Examples,
    tokens: Tokens,
    steps: tuple[int, int],
    chance: random.Random,
    say: Callable[[dict[str, object]], None],
) -> None:
    """The embeddings and the first block, for so many steps on averages and on prompts."""
    block = model.blk[0]
    if not steps[0]:  # it has seen its words: only the way from its states to the entries is new
        _learn(model, choice, examples, tokens, _prompted, steps[1], 3e-3, [], chance, say)
        return
    with torch.no_grad():  # attention that looks at all words alike, and passes them on as they are
        block.attn_q.weight.mul_(0.05)
        block.attn_v.weight.copy_(torch.eye(len(block.attn_v.weight)))
        block.attn_output.weight.copy_(2 * torch.eye(len(block.attn_output.weight)))
    parts = [model.token_embd.weight, *block.parameters()]
    _learn(model, choice, examples, tokens, _average, steps[0], 1e-2, parts, chance, say)
    _learn(model, choice, examples, tokens, _prompted, steps[1], 3e-3, parts, chance, say)


def _learn(
    model: Llama,
    choice: Choice,
    examples: Examples,
    tokens: Tokens,
    states: Callable[[Llama, list[Asked]], Tensor],
    steps: int,
    rate: float,
    parts: list[nn.Parameter],
    chance: random.Random,
    say: Callable[[dict[str, object]], None],
) -> None:
    """These parts of the model, and the choice, on these states."""
    device = model.token_embd.weight.device
    parts = [*parts, *choice.parameters()]
    optimizer = torch.optim.AdamW(parts, lr=rate, weight_decay=0.1, betas=(0.9, 0.98))
    for step, rows in enumerate(_rows(examples, tokens, steps, chance), 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 20) * (1 - 0.95 * step / steps)
        entries = torch.tensor([entry for _, _, entry in rows], device=device)
        loss = choice.loss(states(model, rows), entries)
        model.zero_grad()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
        if step % 100 == 0:
            said = {"choice": states.__name__.strip("_"), "step": step}
            say({**said, "loss": round(loss.item(), 4)})
    model.zero_grad()


# the tokens up to the one behind the question, where the user's turn begins in them, the entry
Asked = tuple[list[int], int, int]


def _rows(
    examples: Examples, tokens: Tokens, count: int, chance: random.Random
) -> Iterator[list[Asked]]:
    """So many batches of questions in the stages' prompts, of about one length each."""
    batches: list[list[Asked]] = []
    for _ in range(count):
        if not batches:
            drawn = [
                tokens.example(examples.draw(chance.choice(STAGES), 0)) for _ in range(8 * ROWS)
            ]
            drawn.sort(key=lambda row: row.read)
            rows = [(row.ids[: row.read + 1], row.asked, row.entry) for row in drawn]
            batches = [rows[at : at + ROWS] for at in range(0, len(rows), ROWS)]
            chance.shuffle(batches)
        yield batches.pop()


def _padded(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The token ids (count, longest), and whether each is there."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    there = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    return ids.to(device), there.to(device)


def _average(model: Llama, rows: list[Asked]) -> Tensor:
    """What the first block would add if it saw the user's turn alone, all of it alike."""
    block = model.blk[0]
    ids, there = _padded([row[asked:] for row, asked, _ in rows], model.token_embd.weight.device)
    words = block.attn_norm(model.token_embd(ids)) * there[..., None]
    return block.attn_output(block.attn_v(words.sum(1) / there.sum(1, keepdim=True)))


def _prompted(model: Llama, rows: list[Asked]) -> Tensor:
    """The first block's states at the last token."""
    ids, there = _padded([row for row, _, _ in rows], model.token_embd.weight.device)
    last = there & ~F.pad(there[:, 1:], (0, 1))
    return model.blk[0](model.token_embd(ids), model.turn[: ids.shape[1]], None, last)[0]
