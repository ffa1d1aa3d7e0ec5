"""The layer messages of Caffe's earlier schemas, so that files written in them can be read.

Options that a type still has are messages of that type's plugin, named here by their names: where
the plugin is not installed, the schema leaves the field out.
"""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, LossParameter, Message, TransformationParameter, message, option
from cafx.kernel.schema import BlobProto, NetStateRule


@message()
class V0LayerParameter(Message):
    """A layer of 2013: the options of all types in one message."""

    class PoolMethod(IntEnum):
        """What pooling takes of a window."""

        MAX = 0
        AVE = 1
        STOCHASTIC = 2

    name = option(1, "string", doc="the layer's name")
    type = option(2, "string", doc="which layer it is, in lower case")
    num_output = option(3, "uint32", doc="conv, innerproduct: number of outputs")
    biasterm = option(4, "bool", True, doc="conv, innerproduct: add a bias")
    weight_filler = option(5, FillerParameter, doc="conv, innerproduct: how the weights start")
    bias_filler = option(6, FillerParameter, doc="conv, innerproduct: how the bias starts")
    pad = option(7, "uint32", 0, doc="conv, pool, padding: rows and columns added on each side")
    kernelsize = option(8, "uint32", doc="conv, pool: the window's side")
    group = option(9, "uint32", 1, doc="conv: groups of channels")
    stride = option(10, "uint32", 1, doc="conv, pool: step of the window")
    pool = option(11, PoolMethod, PoolMethod.MAX, doc="pool: what is taken of a window")
    dropout_ratio = option(12, "float", 0.5, doc="dropout: probability that a value is zeroed")
    local_size = option(13, "uint32", 5, doc="lrn: values a sum runs over")
    alpha = option(14, "float", 1.0, doc="lrn: weight of the sum")
    beta = option(15, "float", 0.75, doc="lrn: exponent")
    k = option(22, "float", 1.0, doc="lrn: what the sum is added to")
    source = option(16, "string", doc="data layers: the database, list or file; infogain_loss: the matrix")
    scale = option(17, "float", 1.0, doc="data layers: multiplier, after the mean is taken off")
    meanfile = option(18, "string", doc="data layers: binaryproto of the mean image")
    batchsize = option(19, "uint32", doc="data layers: examples a batch")
    cropsize = option(20, "uint32", 0, doc="data layers: side of the square cut out; 0 for the whole image")
    mirror = option(21, "bool", False, doc="data layers: flip half of the images left to right")
    blobs = option(50, BlobProto, repeated=True, doc="its parameters' values, in a weights file")
    blobs_lr = option(51, "float", repeated=True, doc="multiplier of the learning rate, for each parameter")
    weight_decay = option(52, "float", repeated=True, doc="multiplier of the weight decay, for each of them")
    rand_skip = option(53, "uint32", 0, doc="data, images: skip up to so many examples at the start")
    det_fg_threshold = option(54, "float", 0.5, doc="window_data: overlap from which a window is foreground")
    det_bg_threshold = option(55, "float", 0.5, doc="window_data: overlap below which it is background")
    det_fg_fraction = option(56, "float", 0.25, doc="window_data: share of a batch that is foreground")
    det_context_pad = option(58, "uint32", 0, doc="window_data: pixels of context around a window")
    det_crop_mode = option(59, "string", "warp", doc="window_data: warp or square")
    new_num = option(60, "int32", 0, doc="of a reshape that later forms lack; read and ignored")
    new_channels = option(61, "int32", 0, doc="of a reshape that later forms lack; read and ignored")
    new_height = option(62, "int32", 0, doc="images: height to resize to; 0 for as it is")
    new_width = option(63, "int32", 0, doc="images: width to resize to; 0 for as it is")
    shuffle_images = option(64, "bool", False, doc="images: shuffle the list")
    concat_dim = option(65, "uint32", 1, doc="concat: the axis")
    hdf5_output_param = option(1001, "HDF5OutputParameter", doc="hdf5_output: options")


@message("layers", 2, of="NetParameter", repeated=True)
class V1LayerParameter(Message):
    """A layer of 2014: its type is a number, its options a message of their own."""

    class LayerType(IntEnum):
        """Layer types by number, from before they were names."""

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
        """Whether sharers must agree in shape, or only in the number of values."""

        STRICT = 0
        PERMISSIVE = 1

    bottom = option(2, "string", repeated=True, doc="names of the blobs it reads")
    top = option(3, "string", repeated=True, doc="names of the blobs it writes")
    name = option(4, "string", doc="the layer's name")
    include = option(32, NetStateRule, repeated=True, doc="present if any of these rules is met")
    exclude = option(33, NetStateRule, repeated=True, doc="absent if any of these rules is met")
    type = option(5, LayerType, doc="which layer it is")
    blobs = option(6, BlobProto, repeated=True, doc="its parameters' values, in a weights file")
    param = option(1001, "string", repeated=True, doc="names under which its parameters are shared")
    blob_share_mode = option(1002, DimCheckMode, repeated=True, doc="how sharers' shapes are compared")
    blobs_lr = option(7, "float", repeated=True, doc="multiplier of the learning rate, for each parameter")
    weight_decay = option(8, "float", repeated=True, doc="multiplier of the weight decay, for each parameter")
    loss_weight = option(35, "float", repeated=True, doc="what each top counts in the objective")
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
    transform_param = option(36, TransformationParameter, doc="what a data layer does to each image")
    loss_param = option(42, LossParameter, doc="which labels count in a loss")
    layer = option(1, V0LayerParameter, doc="the layer in V0 form")
