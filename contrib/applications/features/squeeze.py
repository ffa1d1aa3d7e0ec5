"""SqueezeNet up to its last fire module, averaged over the image: what ``cafx extract-features`` runs.

``cafx emit squeeze.py --net --out features.prototxt`` writes the prototxt.
"""

import data

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_applications.squeezenet import MEAN, trunk

SIDE = 227

n = NetSpec("features")
n.data, n.label = L.ImageData(
    source=data.image_list(),
    new_height=SIDE,
    new_width=SIDE,
    batch_size=data.BATCH,
    ntop=2,
    transform_param={"mean_value": MEAN},
)
n.mean = L.Pooling(trunk(n, n.data), pool="AVE", global_pooling=True)
n.feature = L.Flatten(n.mean)
