"""LRCN: CaffeNet and two LSTMs that describe an image in words."""

from __future__ import annotations

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.alexnet import IMAGE, body
from cafx_models.parts import begin

WORDS = 8801
HIDDEN = 1000
STEPS = 20
END = -1
UNIFORM = {"type": "uniform", "min": -0.08, "max": 0.08}
SENTENCES = ("cont_sentence", "input_sentence", "target_sentence")


def lrcn(
    net: NetSpec | None = None, *, batch: int = 1, classes: int = WORDS, train: bool = False, steps: int = STEPS
) -> NetSpec:
    """LRCN's image captioning model: two LSTMs, of which the second also reads the image.

    Inputs: ``data`` (N×3×227×227), ``cont_sentence`` (T×N; 0 at the start of a sentence, else 1),
    ``input_sentence`` (T×N; the previous word) and, for training, ``target_sentence`` (T×N; the word,
    −1 for none).

    Args:
        net, batch, train: see `cafx_models`; a given ``net`` has all of these tops.
        classes: number of words, including the end of a sentence.
        steps: T of a new net.

    Source: Donahue et al., "Long-term Recurrent Convolutional Networks for Visual Recognition and
    Description", 2014.
    """
    given = net is not None
    net = begin(net, "lrcn_caffenet_to_lstm", IMAGE, batch, None)
    for name in () if given else SENTENCES[: 3 if train else 2]:
        net[name] = L.Input(shape={"dim": [steps, batch]})
    image = body(net, 1000, pool_first=True, bias=1, top="fc8")
    net.embedded_input_sentence = L.Embed(
        net.input_sentence,
        input_dim=classes,
        num_output=HIDDEN,
        bias_term=False,
        weight_filler=UNIFORM,
        param={"lr_mult": 1},
        name="embedding",
    )
    lstm = {"num_output": HIDDEN, "weight_filler": UNIFORM, "bias_filler": {"type": "constant", "value": 0}}
    net.lstm1 = L.LSTM(net.embedded_input_sentence, net.cont_sentence, recurrent_param=lstm)
    net.lstm2 = L.LSTM(net.lstm1, net.cont_sentence, image, recurrent_param=lstm)
    net.predict = L.InnerProduct(
        net.lstm2,
        num_output=classes,
        axis=2,
        weight_filler=UNIFORM,
        bias_filler={"type": "constant", "value": 0},
        param=[{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
    )
    if not train:
        net.probs = L.Softmax(net.predict, axis=2)
        return net
    net.cross_entropy_loss = L.SoftmaxWithLoss(
        net.predict, net.target_sentence, loss_weight=STEPS, loss_param={"ignore_label": END}, softmax_param={"axis": 2}
    )
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(net.predict, net.target_sentence, axis=2, ignore_label=END)
    return net
