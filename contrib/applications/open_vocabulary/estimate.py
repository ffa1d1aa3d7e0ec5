"""What full ImageNet takes, 10,000 classes and 10 million images, computed from rates that were measured.

    python estimate.py [--figures results/figures.json] [--rate IMAGES_PER_SECOND] [--convert IMAGES_PER_SECOND]

The rates are those of one machine: of training, from the figures of run.py or given by --rate, and of converting JPEGs
(tests/benchmarks/jobs.py). More machines train together by `cafx launch`, with the efficiency that the model of
tests/benchmarks/scale.py predicts; conversion in shards is independent work. All but the rates is on paper.
"""

import argparse
import json
import sys
from pathlib import Path

IMAGES, EPOCHS = 10_000_000, 20
CONVERTED = 1250  # JPEGs of 375×500 per second in shards: 1.6 ms of a core each, two cores; measured by jobs.py
STORED = 256 * 256 * 3  # bytes of an image in a database
MACHINES = (1, 4, 8, 16, 64)
NETWORK = 10  # Gb/s
LATENCY = 20e-6  # seconds from machine to machine, assumed
BUCKET = 4 << 20  # bytes that are summed at a time
BACKWARD = 2 / 3  # share of an iteration during which gradients are summed
HOUR, DAY = 3600, 86_400
FIGURES = Path(__file__).resolve().parent / "results/figures.json"


def efficiency(machines, seconds, nbytes, network=NETWORK):
    """The share of an iteration that machines compute, while they sum their gradients over a network in a ring.

    Args:
        machines: how many, each with a batch of its own.
        seconds: of an iteration of one machine.
        nbytes: bytes of the gradients.
        network: Gb/s.
    """
    rate = network * 1e9 / 8
    summing = 2 * (machines - 1) * (LATENCY + nbytes / machines / rate)
    last = 2 * min(nbytes, BUCKET) / rate  # of the first layer, when there is nothing left to hide behind
    return seconds / (seconds + max(last, summing - BACKWARD * seconds)) if machines > 1 else 1.0


def table(images, epochs, rate, batch, nbytes, convert, network):
    """A row per number of machines: efficiency, hours of conversion, and days of training."""
    rows = []
    for machines in MACHINES:
        share = efficiency(machines, batch / rate, nbytes, network)
        training = images * epochs / (rate * machines * share)
        rows.append((machines, share, images / (convert * machines) / HOUR, training / DAY))
    return rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--figures", type=Path, default=FIGURES, help="of run.py (default: results/figures.json)")
    parser.add_argument("--images", type=float, default=IMAGES, help="default: %(default)d")
    parser.add_argument("--epochs", type=float, default=EPOCHS, help="passes over the images (default: %(default)d)")
    parser.add_argument("--rate", type=float, help="images per second that one machine trains on")
    parser.add_argument("--batch", type=float, help="images per iteration of one machine")
    parser.add_argument(
        "--convert",
        type=float,
        default=CONVERTED,
        help="JPEGs per second that one machine converts (default: %(default)d)",
    )
    parser.add_argument("--network", type=float, default=NETWORK, help="Gb/s (default: %(default)d)")
    given = parser.parse_args()
    try:
        figures = json.loads(given.figures.read_text())
        nbytes, batch = figures["gradients MB, 10,000 classes"] * 1e6, given.batch or figures["batch"]
        rate = given.rate or figures["batch"] / figures["seconds, 10,000 classes"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {given.figures}: no figures of run.py ({error}); run python run.py first")
    if min(given.images, given.epochs, rate, batch, given.convert, given.network) <= 0:
        sys.exit("error: images, epochs and rates must be above 0")
    print(f"{given.images:,.0f} images take {given.images * STORED / 1e12:.2f} TB at 256×256; {given.epochs:g} epochs;")
    print(f"a machine trains on {rate:,.1f} images/s and converts {given.convert:,.0f}/s; {given.network:g} Gb/s\n")
    print("machines  efficiency  conversion, hours  training, days")
    for row in table(given.images, given.epochs, rate, batch, nbytes, given.convert, given.network):
        print("{:8d}{:12.2f}{:19.2f}{:16.2f}".format(*row))


if __name__ == "__main__":
    main()
