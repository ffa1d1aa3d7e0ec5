"""The two nets for CIFAR-10 from cuda-convnet, as Caffe's recipes have them, and their solvers."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCHES = 100, data.LARGEST["test"] // 100
PARAM = [{"lr_mult": 1}, {"lr_mult": 2}]
EQUAL = [{"lr_mult": 1}, {"lr_mult": 1}]
LAST = [{"lr_mult": 1, "decay_mult": 250}, {"lr_mult": 2, "decay_mult": 0}]


def quick(name, **augmentation):
    """Three convolutions and two fully connected layers.

    Args:
        name: the net's name.
        augmentation: options of the training images' transformation, such as ``mirror``. The test images get the
            central crop if they name a ``crop_size``.
    """
    net = images(name, augmentation)
    net.conv1 = convolved(net.data, 32, 0.0001)
    net.pool1 = pooled(net.conv1, "MAX")
    net.relu1 = L.ReLU(net.pool1, in_place=True)
    net.conv2 = convolved(net.relu1, 32, 0.01)
    net.relu2 = L.ReLU(net.conv2, in_place=True)
    net.pool2 = pooled(net.relu2, "AVE")
    net.conv3 = convolved(net.pool2, 64, 0.01)
    net.relu3 = L.ReLU(net.conv3, in_place=True)
    net.pool3 = pooled(net.relu3, "AVE")
    net.ip1 = connected(net.pool3, 64, 0.1)
    net.ip2 = connected(net.ip1, 10, 0.1)
    return with_loss(net, net.ip2)


def full(name):
    """Three convolutions, two of them followed by local response normalisation, and one fully connected layer."""
    net = images(name, {})
    net.conv1 = convolved(net.data, 32, 0.0001)
    net.pool1 = pooled(net.conv1, "MAX")
    net.relu1 = L.ReLU(net.pool1, in_place=True)
    net.norm1 = normalised(net.relu1)
    net.conv2 = convolved(net.norm1, 32, 0.01)
    net.relu2 = L.ReLU(net.conv2, in_place=True)
    net.pool2 = pooled(net.relu2, "AVE")
    net.norm2 = normalised(net.pool2)
    net.conv3 = convolved(net.norm2, 64, 0.01, param=EQUAL)
    net.relu3 = L.ReLU(net.conv3, in_place=True)
    net.pool3 = pooled(net.relu3, "AVE")
    net.ip1 = connected(net.pool3, 10, 0.01, param=LAST)
    return with_loss(net, net.ip1)


def trained(net, **options):
    """The solver of a net: stochastic gradient descent whose rate is divided by ten at each ``stepvalue``."""
    return SolverSpec(
        net=net,
        base_lr=0.001,
        lr_policy="multistep",
        gamma=0.1,
        momentum=0.9,
        weight_decay=0.004,
        test_iter=TEST_BATCHES,
        average_loss=20,
        random_seed=1,
        **options,
    )


def images(name, augmentation):
    """A net that reads images and subtracts the mean."""
    net = NetSpec(name)
    crop = {key: value for key, value in augmentation.items() if key == "crop_size"}
    for phase, options in (("TRAIN", augmentation), ("TEST", crop)):
        with net.phase(phase):
            net.data, net.label = L.Data(
                source=data.database(phase.lower()),
                backend="LMDB",
                batch_size=BATCH,
                ntop=2,
                transform_param={"mean_file": data.mean_file(), **options},
            )
    return net


def convolved(bottom, outputs, std, param=PARAM):
    """A 5×5 convolution that preserves the image size."""
    return L.Convolution(
        bottom,
        num_output=outputs,
        pad=2,
        kernel_size=5,
        stride=1,
        param=param,
        weight_filler={"type": "gaussian", "std": std},
        bias_filler={"type": "constant"},
    )


def connected(bottom, outputs, std, param=PARAM):
    """A fully connected layer."""
    return L.InnerProduct(
        bottom,
        num_output=outputs,
        param=param,
        weight_filler={"type": "gaussian", "std": std},
        bias_filler={"type": "constant"},
    )


def pooled(bottom, pool):
    """A 3×3 pooling with stride 2."""
    return L.Pooling(bottom, pool=pool, kernel_size=3, stride=2)


def normalised(bottom):
    """Local response normalisation within each channel."""
    return L.LRN(bottom, local_size=3, alpha=5e-5, beta=0.75, norm_region="WITHIN_CHANNEL")


def with_loss(net, scores):
    """The net with its loss and, in TEST phase, the accuracy."""
    net.loss = L.SoftmaxWithLoss(scores, net.label)
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(scores, net.label)
    return net
