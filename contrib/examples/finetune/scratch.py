"""Trains on the same 125 digits without base.py's weights, for comparison: ``cafx train scratch.py``."""

from lenet import lenet, trained

solver = trained(lenet("new", rate=1), "scratch", iterations=200, base_lr=0.01)
