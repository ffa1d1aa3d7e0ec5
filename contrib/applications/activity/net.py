"""A convolutional net per frame and an LSTM over frames that tell a digit's direction: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

FEATURES, HIDDEN = 64, 64
CLASSES = len(data.DIRECTIONS)
UNIFORM = {"type": "uniform", "min": -0.08, "max": 0.08}


def clips(net):
    """Frames, T·N×1×H×W; continuation markers and directions, T×N. Both layers are read in lock-step."""
    for phase in data.COUNTS:
        with net.phase(phase.upper()):
            net.data = L.Data(
                source=data.frames(phase),
                backend="LMDB",
                batch_size=data.FRAMES * data.BATCH,
                transform_param={"scale": 1 / 128},
            )
            net.cont, net.direction = L.HDF5Data(source=data.directions(phase), batch_size=data.FRAMES, ntop=2)


def trunk(net):
    """Two convolutions and one fully connected layer per frame: T×N×F features."""
    net.conv1 = L.Convolution(net.data, num_output=8, kernel_size=5, stride=2, pad=2, weight_filler="msra")
    net.relu1 = L.ReLU(net.conv1, in_place=True)
    net.conv2 = L.Convolution(net.relu1, num_output=16, kernel_size=3, stride=2, pad=1, weight_filler="msra")
    net.relu2 = L.ReLU(net.conv2, in_place=True)
    net.fc = L.InnerProduct(net.relu2, num_output=FEATURES, weight_filler="msra")
    net.relu3 = L.ReLU(net.fc, in_place=True)
    net.feature = L.Reshape(net.relu3, shape=[data.FRAMES, data.BATCH, FEATURES])
    return net.feature


def answer(net, bottom):
    """A direction at every frame, and its loss."""
    net.score = L.InnerProduct(bottom, num_output=CLASSES, axis=2, weight_filler="xavier")
    net.loss = L.SoftmaxWithLoss(net.score, net.direction, softmax_param={"axis": 2})
    with net.phase("TEST"):
        net.prob = L.Softmax(net.score, axis=2)


def solved(net, name):
    """The solver of a net."""
    return SolverSpec(
        net=net,
        type="Adam",
        base_lr=0.002,
        momentum=0.9,
        momentum2=0.999,
        lr_policy="step",
        stepsize=2200,
        gamma=0.2,
        clip_gradients=10,
        max_iter=2800,
        display=280,
        test_iter=data.COUNTS["test"] // data.BATCH,
        test_interval=1400,
        snapshot_prefix=name,
        random_seed=1,
    )


n = NetSpec("activity")
clips(n)
n.lstm = L.LSTM(trunk(n), n.cont, num_output=HIDDEN, weight_filler=UNIFORM)
answer(n, n.lstm)
solver = solved(n, "activity")
