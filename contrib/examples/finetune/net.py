"""Fine-tunes base.py's net on 125 digits 5 to 9: ``cafx train net.py --weights base_iter_600.caffemodel``.

The copied layers have a tenth of the learning rate; ``rate=0`` would freeze them and skip their backward pass.
"""

from lenet import lenet, trained

solver = trained(lenet("new", rate=0.1), "new", iterations=200, base_lr=0.01)
