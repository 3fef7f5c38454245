"""The model that comes with Mirador: a phrase book of prepared answers, not an assistant.

`models/phrasebook.md` is its card: what it knows, how it was made, what was measured.
"""

from __future__ import annotations

from pathlib import Path

NAME = "mirador-phrasebook"
FILE = Path(__file__).parent / "models" / "phrasebook.gguf"
LABEL = "a phrase book, not an assistant"

# A small real model, named and never fetched unasked; licence and size as its page has them.
SUGGESTED = "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"
WAY_OUT = f"for a real model: Ollama, or %mirador pull {SUGGESTED} (0.6 GB, Apache-2.0)"


def is_phrasebook(model: str) -> bool:
    """Whether a model of this name is the phrase book, embedded or in Ollama."""
    return model.removesuffix(":latest") == NAME
