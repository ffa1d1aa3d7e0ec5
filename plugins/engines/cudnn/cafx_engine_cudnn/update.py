"""The update rules: those of the engine it builds on, since the arena is float32 in every precision."""

from cafx_engine_cupy.update import FusedUpdate

__all__ = ["FusedUpdate"]
