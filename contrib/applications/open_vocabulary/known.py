"""The first net, which knows 1,000 of the 10,000 numbers: ``cafx train known.py``."""

import data
from trunk import net, trained

n = net("known", data.KNOWN, rate=1)
solver = trained(n, "known", iterations=2000, base_lr=0.02, momentum=0.9)
