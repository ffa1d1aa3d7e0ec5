"""The messages that the kernel itself reads and writes; plugins add fields to LayerParameter.

Names, numbers and defaults equal those of Caffe's files, so that text and binary files are interchangeable.
"""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel.schema.message import Message, message, option


class Phase(IntEnum):
    """Whether a net is built for training or for testing."""

    TRAIN = 0
    TEST = 1


@message()
class BlobShape(Message):
    """The shape of a blob, outermost axis first."""

    __example__ = "[1, 3, 8, 8] or dict(dim=[1, 3, 8, 8])"
    __short__ = "dim"

    dim = option(1, "int64", repeated=True, packed=True, doc="length of each axis")


@message()
class BlobProto(Message):
    """A blob in a file: shape, values and optionally gradients."""

    shape = option(7, BlobShape, doc="length of each axis")
    data = option(5, "float", repeated=True, packed=True, doc="values in row-major order")
    diff = option(6, "float", repeated=True, packed=True, doc="gradients in row-major order")
    double_data = option(8, "double", repeated=True, packed=True, doc="values in float64")
    double_diff = option(9, "double", repeated=True, packed=True, doc="gradients in float64")
    num = option(1, "int32", 0, doc="legacy four-axis shape: first axis")
    channels = option(2, "int32", 0, doc="legacy four-axis shape: second axis")
    height = option(3, "int32", 0, doc="legacy four-axis shape: third axis")
    width = option(4, "int32", 0, doc="legacy four-axis shape: fourth axis")


@message()
class BlobProtoVector(Message):
    """Several blobs in one file."""

    blobs = option(1, BlobProto, repeated=True, doc="the blobs")


@message()
class Datum(Message):
    """One example in a database: an image or a vector, and its label."""

    channels = option(1, "int32", doc="number of channels")
    height = option(2, "int32", doc="height in pixels")
    width = option(3, "int32", doc="width in pixels")
    data = option(4, "bytes", doc="uint8 pixels in C×H×W order (BGR), or an encoded image")
    label = option(5, "int32", doc="class")
    float_data = option(6, "float", repeated=True, doc="float pixels in C×H×W order, instead of `data`")
    encoded = option(7, "bool", False, doc="`data` is an encoded image (JPEG, PNG, …)")


@message()
class FillerParameter(Message):
    """How a parameter is initialised."""

    __example__ = '"xavier" or dict(type="xavier")'
    __short__ = "type"

    class VarianceNorm(IntEnum):
        """The fan that scales xavier and msra: inputs of a unit, outputs, or their mean."""

        FAN_IN = 0
        FAN_OUT = 1
        AVERAGE = 2

    type = option(1, "string", "constant", doc="name of an installed filler")
    value = option(2, "float", 0.0, doc="value of the constant filler")
    min = option(3, "float", 0.0, doc="lower bound of the uniform filler")
    max = option(4, "float", 1.0, doc="upper bound of the uniform filler")
    mean = option(5, "float", 0.0, doc="mean of the gaussian filler")
    std = option(6, "float", 1.0, doc="standard deviation of the gaussian filler")
    sparse = option(7, "int32", -1, doc="gaussian: expected non-zero weights per unit; -1 for all")
    variance_norm = option(8, VarianceNorm, VarianceNorm.FAN_IN, doc="xavier and msra: fan that scales the variance")


@message()
class NetState(Message):
    """The state that a net is built for; include and exclude rules are matched against it."""

    __example__ = 'dict(level=0, stage=["deploy"])'

    phase = option(1, Phase, Phase.TEST, doc="TRAIN or TEST")
    level = option(2, "int32", 0, doc="level, for min_level and max_level rules")
    stage = option(3, "string", repeated=True, doc="stages, for stage and not_stage rules")


@message()
class NetStateRule(Message):
    """A condition on NetState; all given parts must hold."""

    __example__ = 'dict(phase="TEST")'

    phase = option(1, Phase, doc="required phase")
    min_level = option(2, "int32", doc="lowest level")
    max_level = option(3, "int32", doc="highest level")
    stage = option(4, "string", repeated=True, doc="stages that must all be set")
    not_stage = option(5, "string", repeated=True, doc="stages that must not be set")


@message()
class ParamSpec(Message):
    """How a parameter blob of a layer is trained and shared."""

    __example__ = "dict(lr_mult=1, decay_mult=0)"

    class DimCheckMode(IntEnum):
        """What shared parameters must agree in: the shape, or only the number of values."""

        STRICT = 0
        PERMISSIVE = 1

    name = option(1, "string", doc="parameters of the same name are shared")
    share_mode = option(2, DimCheckMode, doc="how shapes of shared parameters are compared")
    lr_mult = option(3, "float", 1.0, doc="learning rate multiplier")
    decay_mult = option(4, "float", 1.0, doc="weight decay multiplier")


@message()
class LayerParameter(Message):
    """One layer: the options common to all types; each plugin adds its own `*_param`."""

    name = option(1, "string", doc="layer name")
    type = option(2, "string", doc="layer type, the name of an installed plugin")
    bottom = option(3, "string", repeated=True, doc="names of the input blobs")
    top = option(4, "string", repeated=True, doc="names of the output blobs")
    phase = option(10, Phase, doc="phase of this layer (default: the net's)")
    loss_weight = option(5, "float", repeated=True, doc="weight of each top in the loss")
    param = option(6, ParamSpec, repeated=True, doc="training and sharing of each parameter")
    blobs = option(7, BlobProto, repeated=True, doc="parameter values, in a weights file")
    propagate_down = option(11, "bool", repeated=True, doc="for each bottom, whether to compute its gradient")
    include = option(8, NetStateRule, repeated=True, doc="include the layer if any of these rules is met")
    exclude = option(9, NetStateRule, repeated=True, doc="exclude the layer if any of these rules is met")
    cafx_place = option(
        100_000, "string", doc="file and line of the layer in a net.py, for errors; never in a prototxt"
    )


@message("transform_param", 100)
class TransformationParameter(Message):
    """How a data layer transforms each image: crop, subtract the mean, scale, mirror."""

    __example__ = "dict(crop_size=227, mirror=True)"

    scale = option(1, "float", 1.0, doc="factor applied after mean subtraction")
    mirror = option(2, "bool", False, doc="flip images horizontally with probability ½")
    crop_size = option(3, "uint32", 0, doc="side of the square crop; 0 for no cropping")
    mean_file = option(4, "string", doc="binaryproto file of the mean image to subtract")
    mean_value = option(5, "float", repeated=True, doc="mean to subtract, one value or one per channel")
    force_color = option(6, "bool", False, doc="decode to three channels")
    force_gray = option(7, "bool", False, doc="decode to one channel")


@message("loss_param", 101)
class LossParameter(Message):
    """Ignored labels and normalisation of a loss."""

    __example__ = "dict(ignore_label=255)"

    class NormalizationMode(IntEnum):
        """The divisor: all positions, those not ignored, the batch size, or one."""

        FULL = 0
        VALID = 1
        BATCH_SIZE = 2
        NONE = 3

    ignore_label = option(1, "int32", doc="label of positions to ignore")
    normalization = option(3, NormalizationMode, NormalizationMode.VALID, doc="divisor of the loss")
    normalize = option(2, "bool", doc="legacy form of `normalization`: VALID if true, else BATCH_SIZE")


@message()
class NetParameter(Message):
    """A net: its layers, in order."""

    name = option(1, "string", doc="net name")
    input = option(3, "string", repeated=True, doc="legacy: input blobs (now Input layers)")
    input_shape = option(8, BlobShape, repeated=True, doc="legacy: shapes of the input blobs")
    input_dim = option(4, "int32", repeated=True, doc="legacy: shapes of the input blobs, four numbers each")
    force_backward = option(5, "bool", False, doc="compute gradients for all blobs")
    state = option(6, NetState, doc="default state to build the net for")
    debug_info = option(7, "bool", False, doc="log the mean magnitude of every blob")
    layer = option(100, LayerParameter, repeated=True, doc="layers, in order")


@message()
class SolverParameter(Message):
    """How to train a net."""

    class SnapshotFormat(IntEnum):
        """File format of snapshots."""

        HDF5 = 0
        BINARYPROTO = 1

    class SolverMode(IntEnum):
        """Whether to run on the processor or on a GPU."""

        CPU = 0
        GPU = 1

    class SolverType(IntEnum):
        """Legacy solver numbers (now names, see `type`)."""

        SGD = 0
        NESTEROV = 1
        ADAGRAD = 2
        RMSPROP = 3
        ADADELTA = 4
        ADAM = 5

    net = option(24, "string", doc="prototxt of the net for training and testing")
    net_param = option(25, NetParameter, doc="net for training and testing, inline")
    train_net = option(1, "string", doc="prototxt of the training net")
    test_net = option(2, "string", repeated=True, doc="prototxts of test nets")
    train_net_param = option(21, NetParameter, doc="training net, inline")
    test_net_param = option(22, NetParameter, repeated=True, doc="test nets, inline")
    train_state = option(26, NetState, doc="state of the training net")
    test_state = option(27, NetState, repeated=True, doc="state of each test net")
    test_iter = option(3, "int32", repeated=True, doc="batches per test, for each test net")
    test_interval = option(4, "int32", 0, doc="iterations between tests")
    test_compute_loss = option(19, "bool", False, doc="report the loss of test nets")
    test_initialization = option(32, "bool", True, doc="test before the first iteration")
    base_lr = option(5, "float", doc="initial learning rate")
    display = option(6, "int32", doc="iterations between log lines; 0 for none")
    average_loss = option(33, "int32", 1, doc="iterations over which the displayed loss is averaged")
    max_iter = option(7, "int32", doc="iterations to train")
    iter_size = option(36, "int32", 1, doc="batches per iteration (gradient accumulation)")
    lr_policy = option(8, "string", doc="learning rate policy, the name of an installed plugin")
    gamma = option(9, "float", doc="parameter of the policy")
    power = option(10, "float", doc="parameter of the policy")
    momentum = option(11, "float", doc="momentum coefficient")
    weight_decay = option(12, "float", doc="weight of the regularisation term")
    regularization_type = option(29, "string", "L2", doc="L2 or L1")
    stepsize = option(13, "int32", doc="step policy: iterations per step")
    stepvalue = option(34, "int32", repeated=True, doc="multistep policy: iterations at which the rate changes")
    clip_gradients = option(35, "float", -1.0, doc="maximum L2 norm of the gradient, if positive")
    snapshot = option(14, "int32", 0, doc="iterations between snapshots; 0 for none")
    snapshot_prefix = option(15, "string", doc="path prefix of snapshot files")
    snapshot_diff = option(16, "bool", False, doc="also save gradients")
    snapshot_format = option(37, SnapshotFormat, SnapshotFormat.BINARYPROTO, doc="file format of snapshots")
    solver_mode = option(17, SolverMode, SolverMode.GPU, doc="if stated: CPU, or GPU where there is one")
    device_id = option(18, "int32", 0, doc="the GPU's number")
    random_seed = option(20, "int64", -1, doc="random seed; negative for a random one")
    type = option(40, "string", "SGD", doc="solver type, the name of an installed plugin")
    delta = option(31, "float", 1e-8, doc="adaptive solvers: added to divisors for numerical stability")
    momentum2 = option(39, "float", 0.999, doc="Adam: decay rate of the mean squared gradient")
    rms_decay = option(38, "float", 0.99, doc="RMSProp: decay rate of the mean squared gradient")
    debug_info = option(23, "bool", False, doc="log the mean magnitude of every blob")
    snapshot_after_train = option(28, "bool", True, doc="save a snapshot after the last iteration")
    solver_type = option(30, SolverType, SolverType.SGD, doc="legacy form of `type`, a number")
    layer_wise_reduce = option(41, "bool", True, doc="sum gradients over processes during the backward pass")
    weights = option(42, "string", repeated=True, doc="weights files to initialise parameters from")


@message()
class SolverState(Message):
    """The state of training, apart from the weights."""

    iter = option(1, "int32", doc="completed iterations")
    learned_net = option(2, "string", doc="path of the weights file saved with it")
    history = option(3, BlobProto, repeated=True, doc="history of the solver, per parameter")
    current_step = option(4, "int32", 0, doc="completed steps of the learning rate policy")
    cafx_state = option(100_000, "bytes", doc="random streams and data cursors, for exact resume (JSON)")


CORE_MESSAGES = (
    BlobProtoVector,
    Datum,
    NetParameter,
    SolverParameter,
    SolverState,
    TransformationParameter,
    LossParameter,
)
