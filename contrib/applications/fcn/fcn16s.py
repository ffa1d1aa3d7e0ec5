"""FCN-16s from the weights of FCN-32s: ``cafx train fcn16s.py --weights fcn32s_iter_1000.caffemodel``."""

from net import solved, trained

n = trained(16)
solver = solved(n, "fcn16s", iterations=500, base_lr=0.002)
