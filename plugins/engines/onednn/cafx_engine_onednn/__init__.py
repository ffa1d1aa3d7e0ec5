"""Fast CPU engine: oneDNN primitives on blocked float32 and bfloat16 memory."""

from .engine import OneDNN

__all__ = ["OneDNN"]
