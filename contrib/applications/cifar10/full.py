"""cuda-convnet's net with local response normalisation, of 18 percent error: ``cafx train full.py``.

Its rate falls twice, after 60,000 and 65,000 of 70,000 iterations.
"""

from nets import full, trained

n = full("full")
solver = trained(
    n, stepvalue=[60000, 65000], max_iter=70000, display=200, test_interval=1000, snapshot=10000, snapshot_prefix="full"
)
