"""Digits 0 to 4, from scratch: ``cafx train base.py [--data FOLDER]``."""

from lenet import lenet, trained

solver = trained(lenet("base", rate=1), "base", iterations=600, base_lr=0.01)
