"""The catalogue: a page per installed plugin, a list per kind, and the messages, from what the registry knows."""

from cafx_docs.catalogue.write import write_catalogue

__all__ = ["write_catalogue"]
