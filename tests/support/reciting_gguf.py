"""Writes small GGUF models that recite: a real server loads them, and the answer is known.

The trick is a transformer that does nothing but look at the last token. Its blocks are all zeros,
so the residual stream carries that token's embedding to the end untouched. The embeddings are
one-hot: every token of a prompt stands for "begin", and each piece of the script for itself. The
output matrix then maps "begin" to the first piece, each piece to the next, and the last one to
`<|im_end|>` (or, with `loop`, to the first again). So the model answers every prompt with the
script, at any temperature, and its answer streams in about as many chunks as it has words.

The pieces are whole vocabulary entries, all different. A prompt ends with the template's newline, so
what else it holds does not matter: a byte-level BPE without merges reads a token per byte, and with
the merges of `known` text a token per word of that, as models do. The zeros cost time like any
weights, so a `Shape` sets how long a model takes to think.

    python -m tests.support.reciting_gguf OUT.gguf "The text to recite."
"""

import math
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
START, END = "<|im_start|>", "<|im_end|>"

_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5  # value types of GGUF 3
_F32, _F16 = 0, 1  # tensor types
_NORMAL, _CONTROL = 1, 3  # token types
_ALIGNMENT = 32
_EPSILON = 1e-5
_SURE = 60.0  # logits between the next piece and all others: a probability of 1 in float32


@dataclass(frozen=True, slots=True)
class Shape:
    """How much work a token is. The width grows to the number of pieces, where that is more."""

    width: int
    layers: int
    heads: int
    feed_forward: int


TINY = Shape(width=32, layers=1, heads=1, feed_forward=32)
"""About 100 KB, a thousand tokens a second and more."""

LONG_WINDED = Shape(width=32, layers=256, heads=1, feed_forward=32)
"""4 MB, and yet a hundred times the work of a tiny one's token: 60 to 700 a second, by the machine."""

HEAVY = Shape(width=1024, layers=24, heads=16, feed_forward=4096)
"""0.8 GB, and the pace of a real model of that size: on 2 cores 20-35 tokens a second."""


def write(
    path: Path | str,
    script: str | Sequence[str],
    *,
    shape: Shape = TINY,
    loop: bool = False,
    context_length: int = 8192,
    probability: float = 1.0,
    known: str = "",
) -> Path:
    """Writes the model that answers with `script` (its pieces, where it is not one string).

    The words of `known` are a token each where a prompt has them; any other text is one per byte.

    `probability` is what the model gives each of its tokens. Below 0.9 the script is sure to be
    recited at temperature 0 only.
    """
    pieces = split(script) if isinstance(script, str) else _checked(script)
    if loop and not pieces:
        raise ValueError("an empty script cannot loop")
    merges = _merges(known)
    spelled = [*map(_spelled, pieces)]
    known_tokens = {left + right for left, right in merges} - {*spelled}
    tokens = [*_BYTES.values(), *sorted(known_tokens), START, END, *spelled]
    width = _round_up(max(shape.width, len(pieces) + 1), math.lcm(_ALIGNMENT, 2 * shape.heads))
    shape = replace(shape, width=width)
    tensors = _recital(width, len(tokens), len(pieces), loop, _gap(probability, len(tokens)))
    for number in range(shape.layers):
        tensors += _idle_block(number, shape)
    with open(path, "wb") as file:
        file.write(_header(_metadata(shape, tokens, merges, context_length), tensors))
        _write_tensors(file, tensors)
    return Path(path)


def split(text: str) -> list[str]:
    """The pieces of a text: a word with the space before it, or more where that is not new."""
    taken, pieces, pending = set(_RESERVED), [], ""
    for word in re.findall(r"\s*\S+|\s+\Z", text):
        pending += word
        if pending not in taken:
            pieces.append(pending)
            taken.add(pending)
            pending = ""
    while pending and pieces:  # the end repeats something: it joins what stands before it
        taken.remove(pieces[-1])
        pending = pieces.pop() + pending
        if pending not in taken:
            return [*pieces, pending]
    return _checked([*pieces, pending]) if pending else pieces


def _checked(pieces: Sequence[str]) -> list[str]:
    """The pieces, if each can be a vocabulary entry of its own."""
    if len({*pieces} - _RESERVED - {""}) < len(pieces):
        raise ValueError("pieces must all differ, and each must be longer than one ASCII character")
    return list(pieces)


def _alphabet() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level BPE vocabulary (GPT-2's)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {b: chr(256 + n) for n, b in enumerate(hidden)}


_BYTES = _alphabet()
_RESERVED = frozenset({START, END, *map(chr, range(128))})


def _spelled(piece: str) -> str:
    return "".join(_BYTES[byte] for byte in piece.encode())


def _merges(text: str) -> list[tuple[str, str]]:
    """What makes each word of a text one token: its beginnings, each with the letter that follows."""
    words = [_spelled(word) for word in re.findall(r" ?[^\W\d_]+", text)]
    pairs = {(word[:end], word[end]): None for word in words for end in range(1, len(word))}
    return sorted(pairs, key=lambda pair: len(pair[0]))


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _gap(probability: float, vocabulary: int) -> float:
    """The logits between the next piece and all others that give it this probability."""
    if probability >= 1:
        return _SURE
    return math.log(probability * (vocabulary - 1) / (1 - probability))


_Value = int | float | bool | str | list[str] | list[int]


def _metadata(
    shape: Shape, tokens: list[str], merges: Sequence[tuple[str, str]], context_length: int
) -> dict[str, _Value]:
    start, end = tokens.index(START), tokens.index(END)
    return {
        "general.architecture": "llama",
        "general.name": "reciter",
        "general.file_type": _F16,
        "llama.context_length": context_length,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.attention.layer_norm_rms_epsilon": _EPSILON,
        "llama.rope.dimension_count": shape.width // shape.heads,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [
            _CONTROL if token in (START, END) else _NORMAL for token in tokens
        ],
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in merges],
        "tokenizer.ggml.bos_token_id": start,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.padding_token_id": end,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Zeros, but for the marked elements; only float32 is ever marked."""

    name: str
    dimensions: tuple[int, ...]
    kind: int = _F32
    marks: Mapping[int, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        size = math.prod(self.dimensions) * (4 if self.kind == _F32 else 2)
        return _round_up(size, _ALIGNMENT)


def _recital(width: int, vocabulary: int, pieces: int, loop: bool, gap: float) -> list[_Tensor]:
    """The tensors that know the script. State 0 is "begin", state n follows the n-th piece."""
    first = vocabulary - pieces
    state = [0] * first + [n + 1 for n in range(pieces)]
    follower = [first + n for n in range(pieces)] + [first if loop else first - 1]
    embedding = {token * width + at: 1.0 for token, at in enumerate(state)}
    # RMSNorm makes the one-hot's 1 a sqrt(width): the norm's weight takes that back.
    norm = dict.fromkeys(range(width), math.sqrt(1 / width + _EPSILON))
    output = {token * width + at: gap for at, token in enumerate(follower)}
    return [
        _Tensor("token_embd.weight", (width, vocabulary), marks=embedding),
        _Tensor("output_norm.weight", (width,), marks=norm),
        _Tensor("output.weight", (width, vocabulary), marks=output),
    ]


def _idle_block(number: int, shape: Shape) -> list[_Tensor]:
    """The zeros of one layer, which cost time and change nothing."""
    width, inner = shape.width, shape.feed_forward
    square, up, down = (width, width), (width, inner), (inner, width)
    matrices = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), square)
    matrices |= {"ffn_gate": up, "ffn_up": up, "ffn_down": down}
    name = f"blk.{number}.{{}}.weight".format
    return [
        *(_Tensor(name(norm), (width,)) for norm in ("attn_norm", "ffn_norm")),
        *(_Tensor(name(matrix), size, _F16) for matrix, size in matrices.items()),
    ]


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: _Value) -> bytes:
    """A metadata value as GGUF writes it: its type, then its bytes."""
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
    numbers = all(isinstance(item, int) for item in value) and bool(value)
    head = struct.pack("<IIQ", _ARRAY, _INT32 if numbers else _STRING, len(value))
    return head + b"".join(
        struct.pack("<i", item) if isinstance(item, int) else _string(item) for item in value
    )


def _header(metadata: Mapping[str, _Value], tensors: Sequence[_Tensor]) -> bytes:
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))]
    parts += [_string(key) + _value(value) for key, value in metadata.items()]
    offset = 0
    for tensor in tensors:
        rank = len(tensor.dimensions)
        shape = struct.pack(f"<I{rank}Q", rank, *tensor.dimensions)
        parts.append(_string(tensor.name) + shape + struct.pack("<IQ", tensor.kind, offset))
        offset += tensor.size
    header = b"".join(parts)
    return header.ljust(_round_up(len(header), _ALIGNMENT), b"\0")


def _write_tensors(file: BinaryIO, tensors: Sequence[_Tensor]) -> None:
    """Writes the marks alone: what lies between them is a hole, and holes are zeros."""
    start = file.tell()
    for tensor in tensors:
        for index, value in tensor.marks.items():
            file.seek(start + index * 4)
            file.write(struct.pack("<f", value))
        start += tensor.size
    file.truncate(start)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
