"""Checklists of the kinds of plugins other than layers: a module each, with the kind's cases and its checks."""
