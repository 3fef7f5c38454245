from mirador_magic.engines.ollama.engine import OllamaEngine

__all__ = ["OllamaEngine"]
