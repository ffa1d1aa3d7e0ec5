"""FCN-8s from the weights of FCN-16s: ``cafx train fcn8s.py --weights fcn16s_iter_500.caffemodel``."""

from net import solved, trained

n = trained(8)
solver = solved(n, "fcn8s", iterations=900, base_lr=0.002)
