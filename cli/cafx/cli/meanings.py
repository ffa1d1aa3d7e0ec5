"""What options of Caffe's tools, and others that people try, are called here."""

from __future__ import annotations

import click

SAME = {
    "--weights": "pretrained, pretrained-model, pretrained-net, caffemodel, weight, finetune, init, load, snapshot",
    "--snapshot": "resume, restore, solverstate, state, checkpoint, continue",
    "--solver": "solver-file, solver-prototxt, model-solver",
    "--iterations": "iter, iters, iteration, test-iter, num-iter, batches, n-iterations",
    "--gpu": "gpus, gpu-id, gpu-ids, device-id, device, cuda",
    "--engine": "cpu, cpu-only, mode, solver-mode, backend-engine",
    "--threads": "workers, num-threads, jobs, cores, num-workers",
    "--seed": "random-seed, rng-seed",
    "--log": "log-dir, logfile, log-file, logtostderr, alsologtostderr, stderrthreshold",
    "--backend": "db-backend, db-type, dbtype, database, format",
    "--stage": "stages",
    "--gray": "grey, grayscale, is-color",
    "--encode-type": "encoding, image-format, ext",
    "--on-bad": "skip-bad, ignore-errors",
    "--out": "output, out-file, output-file, output-image-file, o",
    "--rankdir": "direction",
    "--size": "images-dim, image-dims, resize",
    "--mean": "mean-file, mean-value, mean-values",
    "--labels": "labels-file, label-file, synset, synset-words, classes",
    "--top": "topk, top-k, k",
    "--scale": "input-scale",
    "--crops": "center-only, oversample",
    "--windows": "crop-mode, proposals, rois",
    "--pad": "context-pad",
    "--set": "max-iter, base-lr, lr, learning-rate, display, test-interval, snapshot-prefix, momentum, weight-decay, "
    "lr-policy, gamma, stepsize, stepvalue, iter-size, batch-size, average-loss, clip-gradients",
}
"""Options, and other names of the same meaning."""

REMARKS = {
    "resize-height": "--resize HxW, as in --resize 256x256",
    "resize-width": "--resize HxW, as in --resize 256x256",
    "log-dir": "--log FILE writes a log in Caffe's format; --log - writes it to standard output",
    "logtostderr": "nothing: messages are on standard error; --log FILE writes a log in Caffe's format",
    "alsologtostderr": "nothing: messages are on standard error; --log FILE writes a log in Caffe's format",
    "stderrthreshold": "--quiet, which prints only results and errors",
    "minloglevel": "--quiet, which prints only results and errors",
    "cpu": "--engine NAME; without --gpu and --engine, 'cafx device' shows what is used",
    "center-only": "--crops 1, for the central crop alone",
    "channel-swap": "nothing: images are read in Caffe's order, BGR",
    "raw-scale": "nothing: pixels are 0 to 255, as Caffe's data layers read them; --scale multiplies them",
    "batch-size": "the data layer's batch_size, in the prototxt",
}
"""What to write instead, where it is more than another option."""
ARGUMENTS = {
    "model": "net, model-def, prototxt, net-file, deploy, network, solver, model-file",
    "file": "net, model, model-def, prototxt, net-file, network, input-net-proto-file",
    "net": "model, model-def, prototxt",
    "weights": "pretrained, pretrained-model, caffemodel",
    "out": "output, output-file, db, mean, mean-file",
    "root": "root-folder, rootfolder",
    "listed": "list, listfile, list-file, source",
    "database": "db, source, input-db, input",
    "images": "input, input-file, image",
}
"""Positional arguments, and names under which they are looked for."""


def meaning(command: click.Command, name: str) -> str:
    """What the option ``name``, which the command lacks, is called there; empty if that is not known.

    Args:
        command: the command.
        name: the option as it was written.

    Example:
        >>> test = click.Command("test", params=[click.Argument(["model"]), click.Option(["--weights"])])
        >>> meaning(test, "--model")
        "The file is named without an option: 'test MODEL'."
        >>> meaning(test, "-pretrained_model")
        'Here it is --weights.'
    """
    plain = name.lstrip("-").replace("_", "-").lower()
    return _remark(command, plain) or _option(command, plain) or _argument(command, plain)


def _names(command: click.Command) -> set[str]:
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts}


def _remark(command: click.Command, plain: str) -> str:
    remark = REMARKS.get(plain, "")
    option = remark.partition(" ")[0]
    return f"Here it is {remark}." if remark and (option in _names(command) or not option.startswith("--")) else ""


def _option(command: click.Command, plain: str) -> str:
    known = _names(command)
    found = next((option for option, names in SAME.items() if option in known and plain in names.split(", ")), None)
    if found == "--set":
        field = {"lr": "base_lr", "learning-rate": "base_lr"}.get(plain, plain).replace("-", "_")
        return f"Here it is --set {field}=VALUE."
    return f"Here it is {found}." if found else ""


def _argument(command: click.Command, plain: str) -> str:
    arguments = [each for each in command.params if isinstance(each, click.Argument) and each.name]
    if not any(plain in [each.name, *ARGUMENTS.get(str(each.name), "").split(", ")] for each in arguments):
        return ""
    usage = " ".join(str(each.make_metavar(click.Context(command))) for each in arguments)
    return f"The file is named without an option: '{command.name} {usage}'."
