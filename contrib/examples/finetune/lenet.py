"""LeNet for five digits, with a last layer named after the task."""

import os

import finetune_data as data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

BATCH, TEST_BATCH = 25, 100


def lenet(task, rate):
    """The net of a task.

    Args:
        task: "base" or "new"; the last layer is called ``ip2_TASK``, so that it is not copied between tasks.
        rate: lr_mult of all layers but the last.
    """
    n = NetSpec(f"LeNet_{task}")
    for phase, batch in (("train", BATCH), ("test", TEST_BATCH)):
        with n.phase(phase.upper()):
            n.data, n.label = L.Data(
                source=data.database(task, phase),
                backend="LMDB",
                batch_size=batch,
                ntop=2,
                transform_param={"scale": 1 / 256},
            )
    n.conv1 = weighted(L.Convolution, n.data, 20, rate, kernel_size=5)
    n.pool1 = L.Pooling(n.conv1, pool="MAX", kernel_size=2, stride=2)
    n.conv2 = weighted(L.Convolution, n.pool1, 50, rate, kernel_size=5)
    n.pool2 = L.Pooling(n.conv2, pool="MAX", kernel_size=2, stride=2)
    n.ip1 = weighted(L.InnerProduct, n.pool2, 500, rate)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n[f"ip2_{task}"] = scores = weighted(L.InnerProduct, n.relu1, data.CLASSES, 1)
    n.loss = L.SoftmaxWithLoss(scores, n.label)
    with n.phase("TEST"):
        n.accuracy = L.Accuracy(scores, n.label)
    return n


def weighted(kind, bottom, outputs, rate, **options):
    """A layer with xavier weights and twice the learning rate for the bias."""
    return kind(
        bottom,
        num_output=outputs,
        param=[{"lr_mult": rate}, {"lr_mult": 2 * rate}],
        weight_filler={"type": "xavier"},
        bias_filler={"type": "constant"},
        **options,
    )


def trained(net, name, iterations, base_lr):
    """The solver of a net."""
    return SolverSpec(
        net=net,
        base_lr=base_lr,
        lr_policy="fixed",
        momentum=0.9,
        weight_decay=0.0005,
        max_iter=iterations,
        display=50,
        average_loss=10,
        test_iter=48,
        test_interval=100,
        snapshot=iterations,
        snapshot_prefix=os.path.relpath(data.HERE / name),
        random_seed=1,
    )
