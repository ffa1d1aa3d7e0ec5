"""The net of all 10,000 numbers: ``cafx train net.py --weights known_iter_2000.caffemodel``.

Its layers are the first net's and stay as they are (lr_mult 0, no backward pass); the last one is new, and learns.
"""

import data
from trunk import net, trained

n = net("open", data.CLASSES, rate=0)
solver = trained(n, "open", iterations=2400, base_lr=0.001, type="Adam", momentum=0.9, momentum2=0.999)
