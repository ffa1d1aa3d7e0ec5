"""cuda-convnet's quick net for CIFAR-10: ``cafx train net.py``."""

from nets import quick, trained

n = quick("quick")
solver = trained(n, stepvalue=[2000], max_iter=2500, display=250, test_interval=250, snapshot_prefix="quick")
