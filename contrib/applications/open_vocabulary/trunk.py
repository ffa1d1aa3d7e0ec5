"""The net that both vocabularies share, with a last layer named after the vocabulary."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 100, 100
FEATURES = 256


def net(vocabulary, classes, rate):
    """A classifier of numbers.

    Args:
        vocabulary: ``known`` or ``open``; the last layer is called ``score_VOCABULARY``, so that it is not copied.
        classes: number of classes.
        rate: lr_mult of all layers but the last.
    """
    n = NetSpec(vocabulary)
    for phase, batch in (("TRAIN", BATCH), ("TEST", TEST_BATCH)):
        with n.phase(phase):
            n.data, n.label = L.Data(
                source=data.database(vocabulary, phase.lower()),
                backend="LMDB",
                batch_size=batch,
                ntop=2,
                transform_param={"scale": 1 / 256},
            )
    scores = scored(n, n.data, vocabulary, classes, rate)
    with n.phase("TEST"):
        n.accuracy = L.Accuracy(scores, n.label)
    n.loss = L.SoftmaxWithLoss(scores, n.label)
    return n


def scored(n, bottom, vocabulary, classes, rate=1):
    """Two convolutions, an inner product, and the scores."""
    learned = {"param": [{"lr_mult": rate}, {"lr_mult": 2 * rate}], "weight_filler": "msra"}
    n.conv1 = L.Convolution(bottom, num_output=16, kernel_size=5, **learned)
    n.pool1 = L.Pooling(n.conv1, pool="MAX", kernel_size=2, stride=2)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, num_output=32, kernel_size=5, **learned)
    n.pool2 = L.Pooling(n.conv2, pool="MAX", kernel_size=2, stride=2)
    n.relu2 = L.ReLU(n.pool2, in_place=True)
    n.features = L.InnerProduct(n.relu2, num_output=FEATURES, **learned)
    n.relu3 = L.ReLU(n.features, in_place=True)
    name = f"score_{vocabulary}"
    n[name] = L.InnerProduct(
        n.relu3, num_output=classes, weight_filler="xavier", param=[{"lr_mult": 1}, {"lr_mult": 2}]
    )
    return n[name]


def used(batch):
    """The open vocabulary's net, to be used: a batch of pictures in, probabilities out."""
    n = NetSpec("numbers")
    n.data = L.Input(shape=[batch, 1, data.SIDE, data.DIGITS * data.SIDE])
    n.prob = L.Softmax(scored(n, n.data, "open", data.CLASSES))
    return n


def trained(definition, vocabulary, iterations, **options):
    """The solver of a net."""
    return SolverSpec(
        net=definition,
        lr_policy="poly",
        power=1,
        weight_decay=1e-4,
        max_iter=iterations,
        display=100,
        test_iter=data.TESTED // TEST_BATCH,
        test_interval=500,
        snapshot_prefix=vocabulary,
        random_seed=1,
        **options,
    )
