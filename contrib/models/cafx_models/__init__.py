"""Published architectures, as functions that return a NetSpec; layers are named as in the published files.

All classifiers have the same signature, ``caffenet(net=None, *, batch=1, classes=1000, train=False)``.

Args:
    net: a NetSpec with the tops ``data`` and, for training, ``label``, to build on; None for a new one with
        Input layers.
    batch: images per batch, of a new net.
    classes: number of classes.
    train: end in the losses and, in TEST phase, accuracies; otherwise in the top ``prob``.

Example:
    >>> [layer.type for layer in squeezenet(classes=10).to_proto().layer][-2:]
    ['Pooling', 'Softmax']
"""

from cafx_models.alexnet import alexnet, caffenet, rcnn
from cafx_models.fcn import fcn8s, fcn32s
from cafx_models.googlenet import googlenet
from cafx_models.lrcn import lrcn
from cafx_models.nin import nin
from cafx_models.resnet import resnet50
from cafx_models.squeezenet import squeezenet
from cafx_models.vgg import vgg16, vgg19

__version__ = "0.1.0"
__all__ = [
    "alexnet",
    "caffenet",
    "fcn32s",
    "fcn8s",
    "googlenet",
    "lrcn",
    "nin",
    "rcnn",
    "resnet50",
    "squeezenet",
    "vgg16",
    "vgg19",
]
