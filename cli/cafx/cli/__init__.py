"""The ``cafx`` command. Heavy modules are imported only when a command needs them."""

__version__ = "0.1.0"
