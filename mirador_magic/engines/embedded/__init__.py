from mirador_magic.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
