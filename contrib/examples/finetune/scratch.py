"""The same 125 digits without what base.py learnt, to compare: ``cafx train scratch.py``."""

from lenet import lenet, trained

solver = trained(lenet("new", rate=1), "scratch", iterations=200, base_lr=0.01)
