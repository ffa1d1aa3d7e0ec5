"""125 digits 5 to 9 on top of what base.py learnt: ``cafx train net.py --weights base_iter_600.caffemodel``.

What is taken over learns at a tenth of the rate; ``lr_mult: 0`` would freeze it, and skip its backward.
"""

from lenet import lenet, trained

solver = trained(lenet("new", rate=0.1), "new", iterations=200, base_lr=0.01)
