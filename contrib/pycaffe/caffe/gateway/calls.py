"""The calls of the gateway: functions of nets, solvers, blobs and files, by name.

Each takes the client's `Handles` and arguments as `caffe.gateway.wire` reads them, and returns a list of values.
Numbers arrive as arrays; shapes are in MATLAB's order, width first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe import __version__, glog, modes
from caffe.arguments import ArgumentError, assign, lengths, one_of, path
from caffe.blob import Blob
from caffe.gateway.handles import Handles
from caffe.net import Net
from caffe.solvers import get_solver
from cafx.kernel import HOST
from cafx_format_binaryproto import read_binaryproto, write_binaryproto

Array = npt.NDArray[Any]
Call = Callable[..., Sequence[Any]]
PHASES = {"train": modes.TRAIN, "test": modes.TEST}
PARTS = ("data", "diff")
CALLS: dict[str, Call] = {}
IMAGE_AXES = (2, 3)


def _call(function: Call) -> Call:
    CALLS[function.__name__] = function
    return function


@_call
def version(handles: Handles) -> list[Any]:
    """The version of Caffe whose interface this is."""
    return [__version__]


@_call
def echo(handles: Handles, *values: Any) -> list[Any]:
    """The arguments: what a client sends and gets back has to be the same."""
    return list(values)


@_call
def reset_all(handles: Handles) -> list[Any]:
    """Remove all nets and solvers."""
    handles.reset()
    return []


@_call
def set_mode_cpu(handles: Handles) -> list[Any]:
    """See `caffe.set_mode_cpu`."""
    modes.set_mode_cpu()
    return []


@_call
def set_mode_gpu(handles: Handles) -> list[Any]:
    """See `caffe.set_mode_gpu`."""
    modes.set_mode_gpu()
    return []


@_call
def set_device(handles: Handles, device: Any) -> list[Any]:
    """See `caffe.set_device`."""
    modes.set_device(_whole(device, "the device"))
    return []


@_call
def set_random_seed(handles: Handles, seed: Any) -> list[Any]:
    """See `caffe.set_random_seed`."""
    modes.set_random_seed(_whole(seed, "the seed"))
    return []


@_call
def init_log(handles: Handles, base: Any) -> list[Any]:
    """Write the log to a file whose name begins with ``base``; to standard error if it is empty."""
    glog.to_file(None if base == "" else path(base, "a log file"))
    return []


@_call
def get_net(handles: Handles, model: Any, phase: Any, weights: Any = None) -> list[Any]:
    """Create a net and return what `described` says of it.

    Args:
        handles: the client's nets and solvers.
        model: a prototxt.
        phase: ``train`` or ``test``.
        weights: a weights file, if any.
    """
    net = Net(path(model, "a prototxt"), PHASES[one_of(phase, PHASES, "phase")], weights=weights)
    return [described(handles, net)]


@_call
def get_solver_(handles: Handles, file: Any) -> list[Any]:
    """Create a solver and return its number, and what `described` says of its net and test nets."""
    solver = get_solver(file)
    tests = [described(handles, net) for net in solver.test_nets]
    return [handles.add(solver), described(handles, solver.net), tests]


CALLS["get_solver"] = CALLS.pop("get_solver_")


def described(handles: Handles, net: Net) -> list[Any]:
    """Number, inputs, outputs, layer names, layer types, blob names and each layer's number of parameters."""
    names = net._layer_names
    types = [layer.type for layer in net._net.layers]
    counts = [len(net.params.get(name, ())) for name in names]
    return [handles.add(net), net.inputs, net.outputs, names, types, list(net.blobs), _row(counts)]


@_call
def net_forward(handles: Handles, net: Any, inputs: Any) -> list[Any]:
    """Copy an array to each input, unless it is empty, run the forward pass, and return the outputs."""
    found = handles.net(_whole(net, "the net"))
    _fill(found, found.inputs, inputs, "data")
    found.forward()
    return [[_values(found.blobs[name], "data") for name in found.outputs]]


@_call
def net_backward(handles: Handles, net: Any, diffs: Any) -> list[Any]:
    """Copy a gradient to each output, run the backward pass, and return the gradients of the inputs."""
    found = handles.net(_whole(net, "the net"))
    _fill(found, found.outputs, diffs, "diff")
    found.backward()
    return [[_values(found.blobs[name], "diff") for name in found.inputs]]


@_call
def net_forward_prefilled(handles: Handles, net: Any) -> list[Any]:
    """Run the forward pass."""
    handles.net(_whole(net, "the net")).forward()
    return []


@_call
def net_backward_prefilled(handles: Handles, net: Any) -> list[Any]:
    """Run the backward pass."""
    handles.net(_whole(net, "the net")).backward()
    return []


@_call
def net_copy_from(handles: Handles, net: Any, file: Any) -> list[Any]:
    """Copy parameters from a weights file."""
    handles.net(_whole(net, "the net")).copy_from(path(file, "a weights file"))
    return []


@_call
def net_reshape(handles: Handles, net: Any) -> list[Any]:
    """Propagate changed input shapes."""
    handles.net(_whole(net, "the net")).reshape()
    return []


@_call
def net_save(handles: Handles, net: Any, file: Any) -> list[Any]:
    """Save the parameters: as HDF5 if the name ends with ``.h5``, else as a caffemodel."""
    found, target = handles.net(_whole(net, "the net")), path(file, "a file to write")
    (found.save_hdf5 if target.suffix == ".h5" else found.save)(target)
    return []


@_call
def blob_shape(handles: Handles, net: Any, owner: Any, index: Any) -> list[Any]:
    """The lengths of a blob's axes."""
    return [_row(_blob(handles, net, owner, index).shape[::-1])]


@_call
def blob_reshape(handles: Handles, net: Any, owner: Any, index: Any, shape: Any) -> list[Any]:
    """Change a blob's shape."""
    if not isinstance(shape, np.ndarray):
        raise ArgumentError("is not a shape", where=f"blob '{owner}'", expected="such as [width height channels num]")
    _blob(handles, net, owner, index).reshape(*lengths(shape.ravel().tolist(), f"blob '{owner}'")[::-1])
    return []


@_call
def blob_get(handles: Handles, net: Any, owner: Any, index: Any, part: Any) -> list[Any]:
    """The values of a blob, or its gradient."""
    return [_values(_blob(handles, net, owner, index), one_of(part, PARTS, "part of a blob"))]


@_call
def blob_set(handles: Handles, net: Any, owner: Any, index: Any, part: Any, values: Any) -> list[Any]:
    """Set the values of a blob, or its gradient."""
    _set(_blob(handles, net, owner, index), f"blob '{owner}'", one_of(part, PARTS, "part of a blob"), values)
    return []


@_call
def solver_iter(handles: Handles, solver: Any) -> list[Any]:
    """The number of completed iterations."""
    return [float(handles.solver(_whole(solver, "the solver")).iter)]


@_call
def solver_max_iter(handles: Handles, solver: Any) -> list[Any]:
    """The number of iterations that `solver_solve` completes."""
    return [float(handles.solver(_whole(solver, "the solver")).param.max_iter)]


@_call
def solver_step(handles: Handles, solver: Any, iterations: Any) -> list[Any]:
    """Run a number of iterations."""
    found, count = handles.solver(_whole(solver, "the solver")), _whole(iterations, "the number of iterations")
    if count < 1:
        raise ArgumentError("the number of iterations is not positive", found=count, expected="at least 1")
    handles.run(found, lambda: found.step(count))
    return []


@_call
def solver_solve(handles: Handles, solver: Any) -> list[Any]:
    """Train until max_iter."""
    found = handles.solver(_whole(solver, "the solver"))
    handles.run(found, found.solve)
    return []


@_call
def solver_restore(handles: Handles, solver: Any, state: Any) -> list[Any]:
    """Restore a solver from a solverstate."""
    handles.solver(_whole(solver, "the solver")).restore(path(state, "a solverstate"))
    return []


@_call
def solver_snapshot(handles: Handles, solver: Any) -> list[Any]:
    """Save the weights and the solver's state."""
    handles.solver(_whole(solver, "the solver")).snapshot()
    return []


@_call
def load_image(handles: Handles, file: Any) -> list[Any]:
    """An image as float32 array of shape 3×H×W, with values from 0 to 255 in the order BGR."""
    from cafx_lib_feed.images import planes, read_image

    return [planes(read_image(path(file, "an image"))).astype(np.float32)]


@_call
def read_mean(handles: Handles, file: Any) -> list[Any]:
    """The array in a binaryproto file."""
    return [read_binaryproto(path(file, "a binaryproto")).astype(np.float32)]


@_call
def write_mean(handles: Handles, mean: Any, file: Any) -> list[Any]:
    """Write an array of shape C×H×W or H×W to a binaryproto file, as N×C×H×W."""
    array = _array(mean, "the mean").astype(np.float32)
    if array.ndim not in IMAGE_AXES:
        raise ArgumentError("wrong number of axes of the mean", found=array.ndim, expected="2 or 3")
    height, width = array.shape[-2:]
    write_binaryproto(path(file, "a file to write"), array.reshape(1, -1, height, width))
    return []


def _blob(handles: Handles, net: Any, owner: Any, index: Any) -> Blob:
    """A blob: parameter ``index``, from 1, of the layer ``owner``; with index 0, the net's blob of that name."""
    found, number = handles.net(_whole(net, "the net")), _whole(index, "the index")
    if number == 0:
        blob: Blob = found.blobs[one_of(owner, found.blobs, "blob")]
        return blob
    parameters: Sequence[Blob] = found.params.get(one_of(owner, found._layer_names, "layer"), [])
    if not 0 < number <= len(parameters):
        raise ArgumentError("no such parameter", where=f"layer '{owner}'", found=number, expected=len(parameters))
    return parameters[number - 1]


def _fill(net: Net, names: Sequence[str], arrays: Any, part: str) -> None:
    if not isinstance(arrays, list) or len(arrays) != len(names):
        found = f"{len(arrays)} arrays" if isinstance(arrays, list) else "no cell array"
        expected = f"one array per blob of {', '.join(names)}"
        raise ArgumentError("needs a cell array", where=f"net '{net.name}'", found=found, expected=expected)
    for name, values in zip(names, arrays, strict=True):
        if not (isinstance(values, np.ndarray) and values.size == 0):
            _set(net.blobs[name], f"blob '{name}'", part, values)


def _values(blob: Blob, part: str) -> Array:
    """The values on the host; unlike ``blob.data``, reading them does not make this copy the newest."""
    synced = blob._blob.synced_data if part == "data" else blob._blob.synced_diff
    read: Array = synced.read(HOST).reshape(blob.shape)
    return read


def _set(blob: Blob, where: str, part: str, values: Any) -> None:
    array = _array(values, where)
    if _without_ones(array.shape) != _without_ones(blob.shape):
        found, expected = _shown(array.shape), _shown(blob.shape)
        raise ArgumentError("the size does not match", where=where, found=found, expected=expected)
    with np.errstate(over="ignore"):
        assign(blob.data if part == "data" else blob.diff, array.reshape(blob.shape), where)


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the outermost axes of length 1, which MATLAB's arrays do not tell from none."""
    first = next((axis for axis, length in enumerate(shape) if length != 1), len(shape))
    return tuple(shape[first:])


def _shown(shape: Sequence[int]) -> str:
    """A shape as MATLAB has it: width first, and at least two axes."""
    lengths = [*reversed(shape), 1, 1][: max(len(shape), 2)]
    return f"[{' '.join(map(str, lengths))}]"


def _row(values: Sequence[float]) -> Array:
    """Numbers as a row vector of MATLAB's."""
    return np.array(values, np.float64).reshape(-1, 1)


def _array(value: Any, where: str) -> Array:
    if not isinstance(value, np.ndarray):
        raise ArgumentError("is not a numeric array", where=where, found=type(value).__name__)
    return value


def _whole(value: Any, what: str) -> int:
    array = _array(value, what)
    if array.size != 1 or array.ravel()[0] != np.floor(array.ravel()[0]):
        found = array.ravel()[0] if array.size == 1 else f"{array.size} numbers"
        raise ArgumentError(f"{what} is not a whole number", found=found)
    return int(array.ravel()[0])
