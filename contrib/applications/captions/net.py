"""LRCN, a convolutional net and an LSTM that describe a scene: ``cafx train net.py --weights cnn.caffemodel``."""

import data
from cnn import FEATURES, picture, trunk

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

EMBEDDED, HIDDEN = 32, 96
UNIFORM = {"type": "uniform", "min": -0.08, "max": 0.08}
WORDS = len(data.WORDS)


def embedding(net, words):
    """A learned vector per word."""
    net.embedded = L.Embed(words, input_dim=WORDS, num_output=EMBEDDED, bias_term=False, weight_filler=UNIFORM)
    return net.embedded


def score(net, hidden):
    """A score per word of the vocabulary, at every step."""
    net.score = L.InnerProduct(hidden, num_output=WORDS, axis=2, weight_filler=UNIFORM)
    return net.score


def encoder(batch):
    """The convolutional net alone: pictures in, features out."""
    net = NetSpec("encoder")
    net.data = L.Input(shape=[batch, 1, data.PICTURE, data.PICTURE])
    trunk(net, net.data)
    return net


def one_step(streams):
    """The LSTM for one step: features, the words before and the states in; probabilities and the states out."""
    net = NetSpec("one_step")
    net.features = L.Input(shape=[streams, FEATURES])
    net.input_sentence = L.Input(shape=[1, streams])
    net.h_0, net.c_0 = L.Input(shape=[1, streams, HIDDEN], ntop=2)
    net.cont_sentence = L.DummyData(shape=[1, streams], data_filler={"type": "constant", "value": 1})
    net.lstm, net.h, net.c = L.LSTM(
        embedding(net, net.input_sentence),
        net.cont_sentence,
        net.features,
        net.h_0,
        net.c_0,
        num_output=HIDDEN,
        expose_hidden=True,
        ntop=3,
    )
    net.prob = L.Softmax(score(net, net.lstm), axis=2)
    return net


n = NetSpec("captioner")
for phase in data.COUNTS:
    with n.phase(phase.upper()):
        n.data = picture(n, phase)
        n.cont_sentence, n.input_sentence, n.target_sentence = L.HDF5Data(
            source=data.sentences(phase), batch_size=data.STEPS, ntop=3
        )
feature = trunk(n, n.data)
n.lstm = L.LSTM(embedding(n, n.input_sentence), n.cont_sentence, feature, num_output=HIDDEN, weight_filler=UNIFORM)
score(n, n.lstm)
n.loss = L.SoftmaxWithLoss(
    n.score, n.target_sentence, softmax_param={"axis": 2}, loss_param={"ignore_label": data.NONE}
)
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.score, n.target_sentence, axis=2, ignore_label=data.NONE)

solver = SolverSpec(
    net=n,
    type="Adam",
    base_lr=0.002,
    momentum=0.9,
    momentum2=0.999,
    lr_policy="step",
    stepsize=1000,
    gamma=0.2,
    clip_gradients=10,
    max_iter=1500,
    display=150,
    test_iter=data.COUNTS["test"] // data.BATCHES["test"],
    test_interval=500,
    snapshot_prefix="captioner",
    random_seed=1,
)
