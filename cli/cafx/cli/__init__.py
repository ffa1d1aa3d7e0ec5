"""The ``cafx`` command. Nothing heavy is imported before a command needs it."""

__version__ = "0.1.0"
