"""The layer messages of Caffe's earlier formats.

Options of types that still exist are messages of their plugins, referred to by name; if a plugin is not
installed, the schema omits the field.
"""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, LossParameter, Message, TransformationParameter, message, option
from cafx.kernel.schema import BlobProto, NetStateRule


@message()
class V0LayerParameter(Message):
    """A V0 layer (2013): the options of all types in one message."""

    class PoolMethod(IntEnum):
        """How pooling reduces a window."""

        MAX = 0
        AVE = 1
        STOCHASTIC = 2

    name = option(1, "string", doc="layer name")
    type = option(2, "string", doc="layer type, in lower case")
    num_output = option(3, "uint32", doc="conv, innerproduct: number of outputs")
    biasterm = option(4, "bool", True, doc="conv, innerproduct: add a bias")
    weight_filler = option(5, FillerParameter, doc="conv, innerproduct: weight initialiser")
    bias_filler = option(6, FillerParameter, doc="conv, innerproduct: bias initialiser")
    pad = option(7, "uint32", 0, doc="conv, pool, padding: zero padding")
    kernelsize = option(8, "uint32", doc="conv, pool: kernel size")
    group = option(9, "uint32", 1, doc="conv: number of channel groups")
    stride = option(10, "uint32", 1, doc="conv, pool: stride")
    pool = option(11, PoolMethod, PoolMethod.MAX, doc="pool: how a window is reduced")
    dropout_ratio = option(12, "float", 0.5, doc="dropout: probability of zeroing a value")
    local_size = option(13, "uint32", 5, doc="lrn: number of values in the sum")
    alpha = option(14, "float", 1.0, doc="lrn: factor of the sum")
    beta = option(15, "float", 0.75, doc="lrn: exponent")
    k = option(22, "float", 1.0, doc="lrn: constant added to the sum")
    source = option(16, "string", doc="data layers: database, list or file; infogain_loss: matrix")
    scale = option(17, "float", 1.0, doc="data layers: factor applied after mean subtraction")
    meanfile = option(18, "string", doc="data layers: binaryproto file of the mean image")
    batchsize = option(19, "uint32", doc="data layers: examples per batch")
    cropsize = option(20, "uint32", 0, doc="data layers: side of the square crop; 0 for no cropping")
    mirror = option(21, "bool", False, doc="data layers: flip images horizontally with probability ½")
    blobs = option(50, BlobProto, repeated=True, doc="parameter values, in a weights file")
    blobs_lr = option(51, "float", repeated=True, doc="learning rate multiplier of each parameter")
    weight_decay = option(52, "float", repeated=True, doc="weight decay multiplier of each parameter")
    rand_skip = option(53, "uint32", 0, doc="data, images: skip a random number of examples below this at the start")
    det_fg_threshold = option(54, "float", 0.5, doc="window_data: minimum overlap of foreground windows")
    det_bg_threshold = option(55, "float", 0.5, doc="window_data: background windows have less overlap than this")
    det_fg_fraction = option(56, "float", 0.25, doc="window_data: fraction of foreground windows per batch")
    det_context_pad = option(58, "uint32", 0, doc="window_data: pixels of context around a window")
    det_crop_mode = option(59, "string", "warp", doc="window_data: warp or square")
    new_num = option(60, "int32", 0, doc="accepted for compatibility, ignored")
    new_channels = option(61, "int32", 0, doc="accepted for compatibility, ignored")
    new_height = option(62, "int32", 0, doc="images: height to resize to; 0 for no resizing")
    new_width = option(63, "int32", 0, doc="images: width to resize to; 0 for no resizing")
    shuffle_images = option(64, "bool", False, doc="images: shuffle every epoch")
    concat_dim = option(65, "uint32", 1, doc="concat: axis")
    hdf5_output_param = option(1001, "HDF5OutputParameter", doc="hdf5_output: options")


@message("layers", 2, of="NetParameter", repeated=True)
class V1LayerParameter(Message):
    """A V1 layer (2014): the type is a number, the options of each type are a message."""

    class LayerType(IntEnum):
        """Layer types by number."""

        NONE = 0
        ABSVAL = 35
        ACCURACY = 1
        ARGMAX = 30
        BNLL = 2
        CONCAT = 3
        CONTRASTIVE_LOSS = 37
        CONVOLUTION = 4
        DATA = 5
        DECONVOLUTION = 39
        DROPOUT = 6
        DUMMY_DATA = 32
        EUCLIDEAN_LOSS = 7
        ELTWISE = 25
        EXP = 38
        FLATTEN = 8
        HDF5_DATA = 9
        HDF5_OUTPUT = 10
        HINGE_LOSS = 28
        IM2COL = 11
        IMAGE_DATA = 12
        INFOGAIN_LOSS = 13
        INNER_PRODUCT = 14
        LRN = 15
        MEMORY_DATA = 29
        MULTINOMIAL_LOGISTIC_LOSS = 16
        MVN = 34
        POOLING = 17
        POWER = 26
        RELU = 18
        SIGMOID = 19
        SIGMOID_CROSS_ENTROPY_LOSS = 27
        SILENCE = 36
        SOFTMAX = 20
        SOFTMAX_LOSS = 21
        SPLIT = 22
        SLICE = 33
        TANH = 23
        WINDOW_DATA = 24
        THRESHOLD = 31

    class DimCheckMode(IntEnum):
        """What shared parameters must agree in: the shape, or only the number of values."""

        STRICT = 0
        PERMISSIVE = 1

    bottom = option(2, "string", repeated=True, doc="names of the input blobs")
    top = option(3, "string", repeated=True, doc="names of the output blobs")
    name = option(4, "string", doc="layer name")
    include = option(32, NetStateRule, repeated=True, doc="include the layer if any of these rules is met")
    exclude = option(33, NetStateRule, repeated=True, doc="exclude the layer if any of these rules is met")
    type = option(5, LayerType, doc="layer type")
    blobs = option(6, BlobProto, repeated=True, doc="parameter values, in a weights file")
    param = option(1001, "string", repeated=True, doc="names of shared parameters")
    blob_share_mode = option(1002, DimCheckMode, repeated=True, doc="how shapes of shared parameters are compared")
    blobs_lr = option(7, "float", repeated=True, doc="learning rate multiplier of each parameter")
    weight_decay = option(8, "float", repeated=True, doc="weight decay multiplier of each parameter")
    loss_weight = option(35, "float", repeated=True, doc="weight of each top in the loss")
    accuracy_param = option(27, "AccuracyParameter", doc="as in LayerParameter")
    argmax_param = option(23, "ArgMaxParameter", doc="as in LayerParameter")
    concat_param = option(9, "ConcatParameter", doc="as in LayerParameter")
    contrastive_loss_param = option(40, "ContrastiveLossParameter", doc="as in LayerParameter")
    convolution_param = option(10, "ConvolutionParameter", doc="as in LayerParameter")
    data_param = option(11, "DataParameter", doc="as in LayerParameter")
    dropout_param = option(12, "DropoutParameter", doc="as in LayerParameter")
    dummy_data_param = option(26, "DummyDataParameter", doc="as in LayerParameter")
    eltwise_param = option(24, "EltwiseParameter", doc="as in LayerParameter")
    exp_param = option(41, "ExpParameter", doc="as in LayerParameter")
    hdf5_data_param = option(13, "HDF5DataParameter", doc="as in LayerParameter")
    hdf5_output_param = option(14, "HDF5OutputParameter", doc="as in LayerParameter")
    hinge_loss_param = option(29, "HingeLossParameter", doc="as in LayerParameter")
    image_data_param = option(15, "ImageDataParameter", doc="as in LayerParameter")
    infogain_loss_param = option(16, "InfogainLossParameter", doc="as in LayerParameter")
    inner_product_param = option(17, "InnerProductParameter", doc="as in LayerParameter")
    lrn_param = option(18, "LRNParameter", doc="as in LayerParameter")
    memory_data_param = option(22, "MemoryDataParameter", doc="as in LayerParameter")
    mvn_param = option(34, "MVNParameter", doc="as in LayerParameter")
    pooling_param = option(19, "PoolingParameter", doc="as in LayerParameter")
    power_param = option(21, "PowerParameter", doc="as in LayerParameter")
    relu_param = option(30, "ReLUParameter", doc="as in LayerParameter")
    sigmoid_param = option(38, "SigmoidParameter", doc="as in LayerParameter")
    softmax_param = option(39, "SoftmaxParameter", doc="as in LayerParameter")
    slice_param = option(31, "SliceParameter", doc="as in LayerParameter")
    tanh_param = option(37, "TanHParameter", doc="as in LayerParameter")
    threshold_param = option(25, "ThresholdParameter", doc="as in LayerParameter")
    window_data_param = option(20, "WindowDataParameter", doc="as in LayerParameter")
    transform_param = option(36, TransformationParameter, doc="how a data layer transforms each image")
    loss_param = option(42, LossParameter, doc="ignored labels and normalisation of a loss")
    layer = option(1, V0LayerParameter, doc="the layer in V0 format")
