"""The messages the kernel itself reads and writes; plugins hang theirs on LayerParameter.

Names, numbers and defaults are those of Caffe's files, so that text and bytes are the same.
"""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel.schema.message import Message, message, option


class Phase(IntEnum):
    """What a net is built for."""

    TRAIN = 0
    TEST = 1


@message()
class BlobShape(Message):
    """The lengths of a blob's axes, outermost first."""

    dim = option(1, "int64", repeated=True, packed=True, doc="length of each axis")


@message()
class BlobProto(Message):
    """A blob in a file: shape, values and, where wanted, gradients."""

    shape = option(7, BlobShape, doc="length of each axis")
    data = option(5, "float", repeated=True, packed=True, doc="values, row by row")
    diff = option(6, "float", repeated=True, packed=True, doc="gradients, row by row")
    double_data = option(8, "double", repeated=True, packed=True, doc="values in float64")
    double_diff = option(9, "double", repeated=True, packed=True, doc="gradients in float64")
    num = option(1, "int32", 0, doc="first axis of a four-axis shape from before `shape`")
    channels = option(2, "int32", 0, doc="second axis of such a shape")
    height = option(3, "int32", 0, doc="third axis of such a shape")
    width = option(4, "int32", 0, doc="fourth axis of such a shape")


@message()
class BlobProtoVector(Message):
    """Several blobs in one file."""

    blobs = option(1, BlobProto, repeated=True, doc="the blobs")


@message()
class Datum(Message):
    """One example of a database: an image or a vector, and its label."""

    channels = option(1, "int32", doc="number of planes")
    height = option(2, "int32", doc="rows")
    width = option(3, "int32", doc="columns")
    data = option(4, "bytes", doc="pixels plane by plane (BGR), or an encoded image")
    label = option(5, "int32", doc="class")
    float_data = option(6, "float", repeated=True, doc="values that are not bytes")
    encoded = option(7, "bool", False, doc="whether `data` is a JPEG, PNG or the like")


@message()
class FillerParameter(Message):
    """How the initial values of a parameter are drawn."""

    class VarianceNorm(IntEnum):
        """What xavier and msra divide by: inputs of a unit, outputs, or their mean."""

        FAN_IN = 0
        FAN_OUT = 1
        AVERAGE = 2

    type = option(1, "string", "constant", doc="name of an installed filler")
    value = option(2, "float", 0.0, doc="value of the constant filler")
    min = option(3, "float", 0.0, doc="lower bound of the uniform filler")
    max = option(4, "float", 1.0, doc="upper bound of the uniform filler")
    mean = option(5, "float", 0.0, doc="mean of the gaussian filler")
    std = option(6, "float", 1.0, doc="standard deviation of the gaussian filler")
    sparse = option(7, "int32", -1, doc="gaussian: expected non-zero weights a unit; -1 for all")
    variance_norm = option(8, VarianceNorm, VarianceNorm.FAN_IN, doc="xavier and msra: which fan scales the draw")


@message()
class NetState(Message):
    """What a net is built for; layers are included or excluded by rules against it."""

    phase = option(1, Phase, Phase.TEST, doc="TRAIN or TEST")
    level = option(2, "int32", 0, doc="level, for min_level and max_level rules")
    stage = option(3, "string", repeated=True, doc="stages, for stage and not_stage rules")


@message()
class NetStateRule(Message):
    """A condition on the NetState; every stated part must hold."""

    phase = option(1, Phase, doc="the phase must be this")
    min_level = option(2, "int32", doc="the level must be at least this")
    max_level = option(3, "int32", doc="the level must be at most this")
    stage = option(4, "string", repeated=True, doc="all these stages must be set")
    not_stage = option(5, "string", repeated=True, doc="none of these stages may be set")


@message()
class ParamSpec(Message):
    """How one parameter blob of a layer is trained and shared."""

    class DimCheckMode(IntEnum):
        """Whether sharers must agree in shape, or only in the number of values."""

        STRICT = 0
        PERMISSIVE = 1

    name = option(1, "string", doc="parameters of one name are one parameter")
    share_mode = option(2, DimCheckMode, doc="how sharers' shapes are compared")
    lr_mult = option(3, "float", 1.0, doc="multiplier of the learning rate")
    decay_mult = option(4, "float", 1.0, doc="multiplier of the weight decay")


@message()
class LayerParameter(Message):
    """One layer: what every layer has; each plugin adds its own `*_param`."""

    name = option(1, "string", doc="the layer's name")
    type = option(2, "string", doc="which plugin runs it")
    bottom = option(3, "string", repeated=True, doc="names of the blobs it reads")
    top = option(4, "string", repeated=True, doc="names of the blobs it writes")
    phase = option(10, Phase, doc="the phase, where it is not the net's")
    loss_weight = option(5, "float", repeated=True, doc="what each top counts in the objective")
    param = option(6, ParamSpec, repeated=True, doc="training and sharing of its parameters")
    blobs = option(7, BlobProto, repeated=True, doc="its parameters' values, in a weights file")
    propagate_down = option(11, "bool", repeated=True, doc="for each bottom, whether its gradient is computed")
    include = option(8, NetStateRule, repeated=True, doc="present if any of these rules is met")
    exclude = option(9, NetStateRule, repeated=True, doc="absent if any of these rules is met")


@message("transform_param", 100)
class TransformationParameter(Message):
    """What a data layer does to each image, in the order crop, mirror, mean, scale."""

    scale = option(1, "float", 1.0, doc="multiplier, after the mean is taken off")
    mirror = option(2, "bool", False, doc="flip half of the images left to right")
    crop_size = option(3, "uint32", 0, doc="side of the square cut out; 0 for the whole image")
    mean_file = option(4, "string", doc="binaryproto of the mean image")
    mean_value = option(5, "float", repeated=True, doc="mean, one value or one a channel")
    force_color = option(6, "bool", False, doc="decode to three channels")
    force_gray = option(7, "bool", False, doc="decode to one channel")


@message("loss_param", 101)
class LossParameter(Message):
    """Which labels count in a loss, and what it is divided by."""

    class NormalizationMode(IntEnum):
        """The divisor: all positions, those not ignored, the batch size, or one."""

        FULL = 0
        VALID = 1
        BATCH_SIZE = 2
        NONE = 3

    ignore_label = option(1, "int32", doc="positions with this label do not count")
    normalization = option(3, NormalizationMode, NormalizationMode.VALID, doc="what the loss is divided by")
    normalize = option(2, "bool", doc="before `normalization`: VALID if true, else BATCH_SIZE")


@message()
class NetParameter(Message):
    """A net: its layers, in order."""

    name = option(1, "string", doc="the net's name")
    input = option(3, "string", repeated=True, doc="input blobs, from before Input layers")
    input_shape = option(8, BlobShape, repeated=True, doc="their shapes")
    input_dim = option(4, "int32", repeated=True, doc="their shapes, four numbers each")
    force_backward = option(5, "bool", False, doc="compute gradients for every blob")
    state = option(6, NetState, doc="the state it is built for, unless told otherwise")
    debug_info = option(7, "bool", False, doc="log the mean magnitude of every blob")
    layer = option(100, LayerParameter, repeated=True, doc="the layers")


@message()
class SolverParameter(Message):
    """How a net is trained."""

    class SnapshotFormat(IntEnum):
        """Format of snapshots."""

        HDF5 = 0
        BINARYPROTO = 1

    class SolverMode(IntEnum):
        """Where Caffe would run; cafx chooses by its engine."""

        CPU = 0
        GPU = 1

    class SolverType(IntEnum):
        """Solvers by number, from before `type`."""

        SGD = 0
        NESTEROV = 1
        ADAGRAD = 2
        RMSPROP = 3
        ADADELTA = 4
        ADAM = 5

    net = option(24, "string", doc="file of the net for training and testing")
    net_param = option(25, NetParameter, doc="that net, inline")
    train_net = option(1, "string", doc="file of the training net")
    test_net = option(2, "string", repeated=True, doc="files of test nets")
    train_net_param = option(21, NetParameter, doc="the training net, inline")
    test_net_param = option(22, NetParameter, repeated=True, doc="test nets, inline")
    train_state = option(26, NetState, doc="state of the training net")
    test_state = option(27, NetState, repeated=True, doc="states of the test nets")
    test_iter = option(3, "int32", repeated=True, doc="batches a test, for each test net")
    test_interval = option(4, "int32", 0, doc="iterations between tests")
    test_compute_loss = option(19, "bool", False, doc="report the loss of test nets")
    test_initialization = option(32, "bool", True, doc="test before the first iteration")
    base_lr = option(5, "float", doc="learning rate the policy starts from")
    display = option(6, "int32", doc="iterations between reports; 0 for none")
    average_loss = option(33, "int32", 1, doc="iterations the reported loss is averaged over")
    max_iter = option(7, "int32", doc="iterations to train")
    iter_size = option(36, "int32", 1, doc="batches whose gradients make one iteration")
    lr_policy = option(8, "string", doc="name of an installed learning-rate policy")
    gamma = option(9, "float", doc="parameter of the policy")
    power = option(10, "float", doc="parameter of the policy")
    momentum = option(11, "float", doc="share of the last update carried on")
    weight_decay = option(12, "float", doc="weight of the regularisation term")
    regularization_type = option(29, "string", "L2", doc="L2 or L1")
    stepsize = option(13, "int32", doc="iterations a step of the step policy")
    stepvalue = option(34, "int32", repeated=True, doc="iterations where multistep steps")
    clip_gradients = option(35, "float", -1.0, doc="bound of the gradient's L2 norm, if positive")
    snapshot = option(14, "int32", 0, doc="iterations between snapshots; 0 for none")
    snapshot_prefix = option(15, "string", doc="path snapshots' names begin with")
    snapshot_diff = option(16, "bool", False, doc="write gradients too")
    snapshot_format = option(37, SnapshotFormat, SnapshotFormat.BINARYPROTO, doc="format of snapshots")
    solver_mode = option(17, SolverMode, SolverMode.GPU, doc="where Caffe would run")
    device_id = option(18, "int32", 0, doc="which GPU")
    random_seed = option(20, "int64", -1, doc="seed of every random stream; -1 for a fresh one")
    type = option(40, "string", "SGD", doc="name of an installed solver")
    delta = option(31, "float", 1e-8, doc="guards the divisions of adaptive solvers")
    momentum2 = option(39, "float", 0.999, doc="Adam: decay of the squared gradient's mean")
    rms_decay = option(38, "float", 0.99, doc="RMSProp: decay of the squared gradient's mean")
    debug_info = option(23, "bool", False, doc="log the mean magnitude of every blob")
    snapshot_after_train = option(28, "bool", True, doc="write a snapshot at the end")
    solver_type = option(30, SolverType, SolverType.SGD, doc="the solver by number")
    layer_wise_reduce = option(41, "bool", True, doc="overlap reduction and backward on GPUs")
    weights = option(42, "string", repeated=True, doc="weights files to start from")


@message()
class SolverState(Message):
    """Where training stands, beside the weights."""

    iter = option(1, "int32", doc="iterations done")
    learned_net = option(2, "string", doc="path of the weights written with it")
    history = option(3, BlobProto, repeated=True, doc="what the solver remembers a parameter")
    current_step = option(4, "int32", 0, doc="steps the policy has taken")
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
