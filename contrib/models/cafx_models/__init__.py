"""Published architectures as functions that return a NetSpec, layers named as in the published files.

Every function of a classifier has the same signature:

    caffenet(net=None, *, batch=1, classes=1000, train=False)

``net`` is a NetSpec that has the tops ``data`` (and, for training, ``label``) already, so that any
data layer can stand below; without one there are Input layers of ``batch`` images. With ``train``
the net ends in its losses and, in TEST phase, its accuracies; without, in the top ``prob``.
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
