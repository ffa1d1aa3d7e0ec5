"""SqueezeNet for five styles; only its new last layer learns: ``cafx train net.py --weights SQUEEZENET.caffemodel``."""

import data
from styles import STYLES

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx_models.squeezenet import squeezenet

BATCH, TEST_BATCH = 8 if data.SMALL else 16, 20
SIDE = 96
MEAN = (104, 117, 123)
LAST = "conv10_style"
NAMES = {"squeeze1x1": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}  # as the caffemodel has them
FIRST_STAGE, SECOND_STAGE = 200, 200  # iterations
RATE = 0.001


def scored(net, rate):
    """SqueezeNet with a new last layer; the learning rate of the others is multiplied by ``rate``."""
    squeezenet(net)
    for layer in ("prob", "pool10", "relu_conv10", "conv10"):
        del net[layer]  # ImageNet's 1,000 classes
    for name, top in net.tops.items():
        if top.fn.type_name == "Convolution":
            module, _, part = name.rpartition("/")
            layer = f"{module}/{NAMES[part]}" if module else name
            top.fn.update({"name": layer, "param": [{"lr_mult": rate}, {"lr_mult": 2 * rate}]})
    net[LAST] = L.Convolution(
        net.drop9,
        num_output=len(STYLES),
        kernel_size=1,
        param=[{"lr_mult": 1}, {"lr_mult": 2}],
        weight_filler={"type": "gaussian", "std": 0.01},
    )
    net.pool10 = L.Pooling(net[LAST], pool="AVE", global_pooling=True)
    return net.pool10


def trained(name, rate):
    """A net with data and loss."""
    net = NetSpec(name)
    for phase, batch, mirror in (("TRAIN", BATCH, True), ("TEST", TEST_BATCH, False)):
        with net.phase(phase):
            net.data, net.label = L.Data(
                source=data.database(phase.lower()),
                backend="LMDB",
                batch_size=batch,
                ntop=2,
                transform_param={"mean_value": MEAN, "crop_size": SIDE, "mirror": mirror},
            )
    score = scored(net, rate)
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(score, net.label)
    net.loss = L.SoftmaxWithLoss(score, net.label)
    return net


def deployed(batch):
    """A net for pictures without labels: probabilities of the styles."""
    net = NetSpec("style")
    net.data = L.Input(shape=[batch, 3, SIDE, SIDE])
    net.prob = L.Softmax(scored(net, rate=1))
    return net


def solved(net, name, iterations, rate=RATE):
    """The solver of a stage."""
    return SolverSpec(
        net=net,
        type="Adam",
        base_lr=rate,
        lr_policy="fixed",
        momentum=0.9,
        momentum2=0.999,
        weight_decay=2e-4,
        max_iter=iterations,
        display=50,
        average_loss=10,
        test_iter=50,
        test_interval=iterations,
        test_initialization=False,
        snapshot_prefix=name,
        random_seed=1,
    )


n = trained("last", rate=0)
solver = solved(n, "last", FIRST_STAGE)
