"""Which GGUF files are models to chat with, by their first keys."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirador_magic.engines.embedded import gguf as _gguf

Value = str | int | list[str] | list[int]

LLAMA: Mapping[str, Value] = {"general.architecture": "llama"}


def header(keys: Mapping[str, Value]) -> bytes:
    """The beginning of a GGUF file with these keys, and the tokenizer's behind them."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, 0, len(keys) + 1)]
    for name, value in {**keys, "tokenizer.ggml.tokens": ["a"] * 3}.items():
        parts += [_text(name), _value(value)]
    return b"".join(parts)


def _value(value: Value) -> bytes:
    match value:
        case str():
            return struct.pack("<I", 8) + _text(value)
        case int():
            return struct.pack("<II", 4, value)
        case _:
            inner = 8 if isinstance(value[0], str) else 4
            each = [_text(v) if isinstance(v, str) else struct.pack("<I", v) for v in value]
            return struct.pack("<IIQ", 9, inner, len(value)) + b"".join(each)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (LLAMA, True),
        ({"general.type": "model", "general.tags": ["chat", "en"], **LLAMA}, True),
        ({"general.license": "x" * 100_000, "general.ids": [1, 2], **LLAMA}, True),
        ({**LLAMA, "llama.pooling_type": 0}, True),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, False),
        ({"general.architecture": "nomic-bert", "nomic-bert.pooling_type": 1}, False),
        ({"general.architecture": "bert"}, False),
        ({"general.architecture": "clip"}, False),
        ({"general.architecture": "flux"}, False),
        ({"general.architecture": "sdxl"}, False),
        ({"general.architecture": "whisper"}, False),
        ({"general.type": "mmproj", **LLAMA}, False),
        ({"general.type": "adapter", **LLAMA}, False),
        ({"general.name": "nothing else"}, False),
    ],
)
def test_what_answers_by_its_keys(
    tmp_path: Path, keys: Mapping[str, Value], expected: bool
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(header(keys))
    assert _gguf.chats(file) is expected


@pytest.mark.parametrize("name", ["Qwen3-Embedding-0.6B", "qwen3-reranker", "mmproj-model-f16"])
def test_what_answers_by_its_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.gguf"
    file.write_bytes(header(LLAMA))
    assert not _gguf.chats(file)


def test_a_model_in_shards_is_its_first_one_and_as_large_as_all(tmp_path: Path) -> None:
    whole = header(LLAMA)
    for number in (1, 2, 3):
        (tmp_path / f"big-{number:05}-of-00003.gguf").write_bytes(whole)
    first, *later = sorted(tmp_path.iterdir())
    assert _gguf.chats(first) and not any(map(_gguf.chats, later))
    assert _gguf.size(first) == 3 * len(whole)
    (tmp_path / "other.gguf").write_bytes(whole)
    assert _gguf.size(tmp_path / "other.gguf") == len(whole)


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    assert not _gguf.chats(file)
    file.write_bytes(b"<html>")
    assert not _gguf.chats(file)
    file.write_bytes(header(LLAMA))
    assert _gguf.chats(file)
    assert not _gguf.chats(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 90))
def test_a_damaged_file_is_no_model_and_no_error(tmp_path: Path, noise: bytes, at: int) -> None:
    file = tmp_path / "noise.gguf"
    file.write_bytes(noise)
    assert not _gguf.chats(file) or noise.startswith(b"GGUF")
    whole = header(LLAMA)
    file.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    assert _gguf.chats(file) in (True, False)
    file.write_bytes(whole[:at])
    assert not _gguf.chats(file) or at >= whole.index(b"tokenizer")


def test_a_real_one_answers(smollm2: Path) -> None:
    assert _gguf.chats(smollm2)
