"""Describes scenes of two digits in a sentence: a convolutional net, then an LSTM that says word after word.

LRCN (Donahue et al., 2014) feeds an LSTM with a picture's features and the word before. It is trained on whole
sentences; a caption is found one word at a time, by greedy or beam search.
"""

from collections.abc import Callable

import cnn
import data
import net
import numpy as np
from decoding import beam_search

from cafx.kernel import TEST, Net, Solver
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, train
from cafx_applications.sequences import OneStep

SMALL_ITERATIONS = {"cnn": 120, "captioner": 300}
WIDTH = 3
SHOWN = 8


def run(settings: Settings) -> Figures:
    """Train both nets, describe held scenes, and count the sentences that are right word for word."""
    if settings.small:
        cnn.solver.max_iter, net.solver.max_iter = SMALL_ITERATIONS["cnn"], SMALL_ITERATIONS["captioner"]
    cnn.solver.random_seed = net.solver.random_seed = settings.seed
    pretrained, captioner = Solver(cnn.solver), Solver(net.solver)
    train(pretrained, cnn.solver.max_iter, "cnn")
    figures = {name.replace("_accuracy", " known"): value for name, value in accuracies(pretrained).items()}
    captioner.net.copy_from(pretrained.net)
    train(captioner, net.solver.max_iter, "captioner")
    images, truths = zip(*data.scenes("test", data.COUNTS["test"]), strict=True)
    features = encode(captioner.net, np.stack(images))
    greedy, _ = describe(captioner.net, features, 1)
    beam, scores = describe(captioner.net, features, WIDTH)
    figures |= {
        "word accuracy": accuracies(captioner)["accuracy"],
        "right but for digits, greedy": right(greedy, truths, without_digits),
        "exact, greedy": right(greedy, truths),
        "exact, beam": right(beam, truths),
        "both sentences in the beam": np.mean(
            [set(t.sentences()) <= set(b) for t, b in zip(truths, beam, strict=True)]
        ),
    }
    draw(images, truths, beam, np.exp(scores), settings)
    return {name: float(value) for name, value in figures.items()}


def accuracies(solver: Solver) -> Figures:
    """The accuracies of a solver's test net."""
    return {name: float(value) for name, value in solver.test().items() if "accuracy" in name}


def encode(trained: Net, images: np.ndarray) -> np.ndarray:
    """The features of pictures."""
    encoder = Net(net.encoder(len(images)), TEST)
    encoder.copy_from(trained)
    return encoder.forward(data=images[:, None] / np.float32(256))["feature"]


def stepper(trained: Net, streams: int) -> OneStep:
    """The trained LSTM, one step at a time."""
    one_step = Net(net.one_step(streams), TEST)
    one_step.copy_from(trained)
    return OneStep(one_step)


def describe(trained: Net, features: np.ndarray, width: int) -> tuple[list[list[str]], np.ndarray]:
    """The sentences in the beam of each picture, best first, and their log-probabilities."""
    stepping = stepper(trained, len(features) * width)
    repeated = np.repeat(features, width, axis=0)

    def step(words, states):
        return stepping(states, features=repeated, input_sentence=words[None])

    beams, scores = beam_search(step, stepping.start(), len(features), width=width, length=data.STEPS, end=data.END)
    return [[data.decoded(sentence) for sentence in beam] for beam in beams], scores


def right(
    beams: list[list[str]], truths: tuple[data.Truth, ...], compared: Callable[[str], str] = lambda sentence: sentence
) -> float:
    """Share of pictures whose best sentence is one of the two that are true, as far as they are compared."""
    pairs = zip(beams, truths, strict=True)
    return float(np.mean([compared(beam[0]) in map(compared, truth.sentences()) for beam, truth in pairs]))


def without_digits(sentence: str) -> str:
    """A sentence with "digit" in place of each digit's name."""
    return " ".join("digit" if word in data.NAMES else word for word in sentence.split())


def draw(images: tuple, truths: tuple, beams: list[list[str]], probabilities: np.ndarray, settings: Settings) -> None:
    """Held scenes with what is said of them, wrong sentences in red; the last two are wrong if any is."""
    wrong = [index for index, truth in enumerate(truths) if beams[index][0] not in truth.sentences()][:2]
    shown = [index for index in range(len(truths)) if index not in wrong][: SHOWN - len(wrong)] + wrong
    figure, axes = grid(2, SHOWN // 2, 2.3)
    for index, axis in zip(shown, axes.flat, strict=True):
        words = beams[index][0].split()
        axis.imshow(images[index], cmap="gray")
        lines = f"{' '.join(words[:4])}\n{' '.join(words[4:])}"
        colour = "red" if index in wrong else "black"
        axis.set_title(f"{lines} ({probabilities[index, 0]:.2f})", fontsize=9, color=colour)
    save(figure, settings.out / "captions.png")


if __name__ == "__main__":
    main(run)
