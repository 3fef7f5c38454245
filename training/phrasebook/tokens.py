"""The phrase book's tokens: a byte-level BPE of its own, in the form of a chat."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.phrasebook.corpus import STAGES, Corpus
from training.phrasebook.examples import Example, Turns, prompt

START, END = "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Row(NamedTuple):
    """An example's tokens. The user's turn begins at `asked`; `read` is the first token behind the
    question, where all of it has been read; the answer begins at `begin`."""

    ids: list[int]
    asked: int
    read: int
    begin: int
    entry: int


class Tokens:
    """Text to token ids and back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.end = int(tokenizer.token_to_id(END))

    @classmethod
    def learned(cls, corpus: Corpus, size: int) -> Tokens:
        """A vocabulary of this size, learned from what is trained on and nothing else."""
        tokenizer = _byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(corpus), trainer)
        return cls(tokenizer)

    @property
    def json(self) -> str:
        return str(self._tokenizer.to_str())

    @classmethod
    def of(cls, words: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokens:
        """Those of such a vocabulary, in the order of its ids, and such merges."""
        numbers = {word: number for number, word in enumerate(words)}
        tokenizer = _byte_level(models.BPE(numbers, list(merges)))
        tokenizer.add_special_tokens([START, END])
        return cls(tokenizer)

    def prompt(self, turns: Turns) -> list[int]:
        """A chat up to where the model is to speak, as the chat template writes it."""
        return [*self._turns(turns), *self.text(f"{START}assistant\n")]

    def example(self, example: Example) -> Row:
        """The tokens of prompt and answer, and where its parts begin."""
        before = self.prompt(example.turns)
        asked = len(self._turns(example.turns[:-1]))
        read = asked + len(self.text(f"{START}user\n{example.question}"))
        answer = self.text(example.answer)
        return Row([*before, *answer, self.end], asked, read, len(before), example.entry)

    def _turns(self, turns: Turns) -> list[int]:
        return self.text("".join(f"{START}{role}\n{content}{END}\n" for role, content in turns))

    def text(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _texts(corpus: Corpus) -> Iterable[str]:
    for stage in STAGES:
        yield from (text for _, text in prompt(stage, "?", [("quick_response", "?")]))
        for entry in corpus.entries:
            yield entry.answers[stage]
        chance = random.Random(0)
        yield from (corpus.refuse(stage, chance) for _ in range(40))
    yield from corpus.unknown["trained"]
    for entry in corpus.entries:
        yield from entry.phrasings["trained"]
