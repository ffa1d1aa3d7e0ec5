"""An LSTM that predicts the next character of a text: ``cafx train net.py``."""

import data

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L

EMBEDDED, HIDDEN = 64, 160
CHARACTERS = len(data.ALPHABET)
UNIFORM = {"type": "uniform", "min": -0.08, "max": 0.08}


def embedding(net):
    """A learned vector per character."""
    net.embedded = L.Embed(
        net.character, input_dim=CHARACTERS, num_output=EMBEDDED, bias_term=False, weight_filler=UNIFORM
    )
    return net.embedded


def score(net, hidden):
    """A score per character that may come next."""
    net.score = L.InnerProduct(hidden, num_output=CHARACTERS, axis=2, weight_filler=UNIFORM)
    return net.score


def one_step():
    """The net for one character: the character before and the states in; probabilities and the states out."""
    net = NetSpec("one_step")
    net.character = L.Input(shape=[1, 1])
    net.h_0, net.c_0 = L.Input(shape=[1, 1, HIDDEN], ntop=2)
    net.cont = L.DummyData(shape=[1, 1], data_filler={"type": "constant", "value": 1})
    net.lstm, net.h, net.c = L.LSTM(
        embedding(net), net.cont, net.h_0, net.c_0, num_output=HIDDEN, expose_hidden=True, ntop=3
    )
    net.prob = L.Softmax(score(net, net.lstm), axis=2)
    return net


n = NetSpec("characters")
for phase in data.STREAMS:
    with n.phase(phase.upper()):
        n.cont, n.character, n.next_character = L.HDF5Data(source=data.streams(phase), batch_size=data.STEPS, ntop=3)
n.lstm = L.LSTM(embedding(n), n.cont, num_output=HIDDEN, weight_filler=UNIFORM)
score(n, n.lstm)
n.loss = L.SoftmaxWithLoss(n.score, n.next_character, softmax_param={"axis": 2})
with n.phase("TEST"):
    n.accuracy = L.Accuracy(n.score, n.next_character, axis=2)

solver = SolverSpec(
    net=n,
    type="Adam",
    base_lr=0.005,
    momentum=0.9,
    momentum2=0.999,
    lr_policy="step",
    stepsize=1000,
    gamma=0.4,
    clip_gradients=5,
    max_iter=3000,
    display=300,
    test_iter=data.TEST_BATCHES,
    test_interval=300,
    snapshot_prefix="characters",
    random_seed=1,
)
