"""Writes the phrase book as a GGUF file, q8_0, with all that llama.cpp and Ollama read of one."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch

from training.phrasebook.examples import prompts_digest
from training.phrasebook.model import Llama
from training.phrasebook.tokens import CHAT_TEMPLATE, END, START, Tokens

NAME = "phrasebook"


def export(model: Llama, tokens: Tokens, out: Path, *, exact: bool = False) -> None:
    """Write the file; norms as float32, matrices as q8_0, or as float32 too where `exact`."""
    matrix = gguf.GGMLQuantizationType.F32 if exact else gguf.GGMLQuantizationType.Q8_0
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out, "llama")
    _describe(writer, model)
    _add_tokens(writer, tokens)
    for name, weight in model.state_dict().items():
        data = weight.detach().cpu().float().numpy()
        kind = matrix if data.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(
            name, gguf.quants.quantize(np.ascontiguousarray(data), kind), raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def weights_of(file: Path) -> dict[str, torch.Tensor]:
    """The weights in such a file, as float32."""
    return {
        tensor.name: torch.from_numpy(
            gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy()
        )
        for tensor in gguf.GGUFReader(file).tensors
    }


def tokens_of(file: Path) -> Tokens:
    """The tokens of such a file. Those that today's corpus gives may be others."""
    fields = gguf.GGUFReader(file).fields
    words, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    return Tokens.of(words, [tuple(merge.split(" ")) for merge in merges])


def _describe(writer: gguf.GGUFWriter, model: Llama) -> None:
    shape = model.shape
    writer.add_name(NAME)
    writer.add_description("Mirador's phrase book: answers what it was taught, refuses the rest.")
    writer.add_license("MIT")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_string("mirador.prompts", prompts_digest())


def _add_tokens(writer: gguf.GGUFWriter, tokens: Tokens) -> None:
    spec = json.loads(tokens.json)["model"]
    words = sorted(spec["vocab"], key=spec["vocab"].__getitem__)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([control if word in (START, END) else normal for word in words])
    writer.add_token_merges([" ".join(pair) for pair in spec["merges"]])
    writer.add_bos_token_id(words.index(START))
    writer.add_eos_token_id(words.index(END))
    writer.add_pad_token_id(words.index(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
