"""pycaffe's interface, implemented on cafx: existing scripts run unchanged.

Example:
    >>> import caffe
    >>> n = caffe.NetSpec()
    >>> n.data = caffe.layers.Input(shape={"dim": [1, 3]})
    >>> n.relu = caffe.layers.ReLU(n.data)
    >>> caffe.Net(n.to_proto(), caffe.TEST).forward(data=[[-1, 0, 2]])["relu"].tolist()
    [[0.0, 0.0, 2.0]]
"""

from caffe import _caffe, coord_map, io
from caffe._caffe import (
    NCCL,
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    Blob,
    Layer,
    NesterovSolver,
    Net,
    RMSPropSolver,
    SGDSolver,
    Solver,
    Timer,
    __version__,
    get_solver,
    has_nccl,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe.classifier import Classifier
from caffe.detector import Detector
from caffe.modes import TEST, TRAIN
from caffe.net_spec import NetSpec, layers, params, to_proto
from caffe.proto import caffe_pb2
from cafx.kernel import CafxError

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "CafxError",
    "Classifier",
    "Detector",
    "Layer",
    "NCCL",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "TEST",
    "TRAIN",
    "Timer",
    "__version__",
    "_caffe",
    "caffe_pb2",
    "coord_map",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
