"""The same net from random weights, for as many iterations as both stages: ``cafx train scratch.py``."""

from net import FIRST_STAGE, SECOND_STAGE, solved, trained

n = trained("scratch", rate=1)
solver = solved(n, "scratch", FIRST_STAGE + SECOND_STAGE)
