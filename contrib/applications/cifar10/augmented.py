"""The quick net with mirrored and cropped training images: ``cafx train augmented.py``."""

from nets import quick, trained

n = quick("augmented", mirror=True, crop_size=28)
solver = trained(n, stepvalue=[3000], max_iter=3500, display=500, test_interval=500, snapshot_prefix="augmented")
