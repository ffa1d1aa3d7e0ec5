"""Fields of MyCaffe, a rewrite of Caffe in C# with image databases on a server and its own recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Message, Phase, message, option
from cafx.kernel.schema import Dialect, Upgrade, adds_values, extends, ignored, read_by, rewritten

if TYPE_CHECKING:
    from cafx.conformance.kinds.dialect import DialectCase
    from cafx.conformance.kinds.upgrade import UpgradeCase

__version__ = "0.1.0"
DATABASE = ignored("records come from the database as they are")
SNAPSHOTS = ignored("snapshots always hold weights and state")
CUDNN = ignored("the engine is chosen by --engine")


def refused_unless(name: str, allowed: Any) -> Callable[[Any], None]:
    """Refuses a value other than the one that Caffe's own layer corresponds to."""

    def check(parameter: Any) -> None:
        if getattr(parameter, name) != allowed:
            raise CafxError(
                f"{parameter.DESCRIPTOR.name}.{name} of MyCaffe has no counterpart",
                found=getattr(parameter, name),
                expected=allowed,
            )

    return check


def only(number: int | None, kind: str, default: Any, name: str, doc: str, allowed: Any) -> Any:
    """An option that may only have the value that Caffe's own layer corresponds to."""
    return option(
        number, kind, default, doc=doc, effect=rewritten(refused_unless(name, allowed), f"nothing if {allowed}")
    )


@message()
class MyCaffeDistortionParameter(Message):
    """Random changes of colour."""

    active: bool = option(None, "bool", True, doc="whether it is on")
    brightness_prob: float = option(None, "float", 0.0, doc="probability of changing the brightness")
    brightness_delta: float = option(None, "float", 0.0, doc="largest change")
    contrast_prob: float = option(None, "float", 0.0, doc="probability of changing the contrast")
    contrast_lower: float = option(None, "float", 0.0, doc="smallest factor")
    contrast_upper: float = option(None, "float", 0.0, doc="largest factor")
    saturation_prob: float = option(None, "float", 0.0, doc="probability of changing the saturation")
    saturation_lower: float = option(None, "float", 0.0, doc="smallest factor")
    saturation_upper: float = option(None, "float", 0.0, doc="largest factor")
    random_seed: int = option(None, "int64", 0, doc="seed")


@message()
class MyCaffeMaskParameter(Message):
    """A part of each image that is black."""

    active: bool = option(None, "bool", True, doc="whether it is on")
    boundary_left: int = option(None, "int32", 0, doc="left border")
    boundary_right: int = option(None, "int32", 0, doc="right border")
    boundary_top: int = option(None, "int32", 0, doc="upper border")
    boundary_bottom: int = option(None, "int32", 0, doc="lower border")


@message()
class MyCaffeLabelMapping(Message):
    """One label that becomes another."""

    mapping: tuple[str, ...] = option(None, "string", repeated=True, doc="original and new label")
    active: bool = option(None, "bool", True, doc="whether it is on")


@extends("TransformationParameter")
class MyCaffeTransformation(Message):
    """Further transformations of images."""

    class ColorOrder(IntEnum):
        """Order of the channels."""

        RGB = 0
        BGR = 1

    color_order: ColorOrder = option(None, ColorOrder, ColorOrder.RGB, doc="order of channels", effect=DATABASE)
    use_imagedb_mean: bool = option(
        None, "bool", False, doc="subtract the database's mean", effect=ignored("give mean_file or mean_value instead")
    )
    distortion_param: MyCaffeDistortionParameter = option(
        None, MyCaffeDistortionParameter, doc="changes of colour", effect=ignored("colours are not changed at random")
    )
    mask_param: MyCaffeMaskParameter = option(
        None, MyCaffeMaskParameter, doc="black part", effect=ignored("no part is blackened")
    )
    label_mapping: MyCaffeLabelMapping = option(None, MyCaffeLabelMapping, doc="other labels", effect=DATABASE)


@extends("DataParameter")
class MyCaffeData(Message):
    """Order of reading from MyCaffe's database."""

    enable_random_selection: bool = option(None, "bool", False, doc="draw records at random", effect=DATABASE)
    enable_pair_selection: bool = option(None, "bool", False, doc="read records in pairs", effect=DATABASE)
    display_timing: bool = option(None, "bool", False, doc="log times", effect=ignored("see 'cafx time'"))


@adds_values("DataParameter.DB", read_by("Data"))
class MyCaffeDB(IntEnum):
    """MyCaffe's database; a plugin of group cafx.databases with this name would read it."""

    IMAGEDB = 3


@extends("RecurrentParameter")
class MyCaffeRecurrent(Message):
    """Recurrent layers with several levels, by cuDNN."""

    class Engine(IntEnum):
        """Implementations."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    engine: Engine = option(None, Engine, Engine.DEFAULT, doc="implementation", effect=CUDNN)
    dropout_seed: int = option(None, "int64", 0, doc="seed of dropout", effect=ignored("see --seed"))
    cudnn_enable_tensor_cores: bool = option(None, "bool", False, doc="use tensor cores", effect=CUDNN)
    use_cudnn_rnn8_if_supported: bool = option(None, "bool", False, doc="use cuDNN's version 8", effect=CUDNN)
    num_layers: int = only(None, "uint32", 1, "num_layers", "levels", 1)
    dropout_ratio: float = only(None, "float", 0.0, "dropout_ratio", "dropout between levels", 0.0)
    batch_first: bool = only(None, "bool", False, "batch_first", "batches before time steps", False)
    bidirectional: bool = only(None, "bool", False, "bidirectional", "both directions", False)
    expose_hidden_input: bool = only(None, "bool", False, "expose_hidden_input", "initial states as bottoms", False)
    expose_hidden_output: bool = only(None, "bool", False, "expose_hidden_output", "last states as tops", False)
    auto_repeat_hidden_states_across_layers: bool = only(
        None, "bool", False, "auto_repeat_hidden_states_across_layers", "one state for all levels", False
    )


@extends("InnerProductParameter")
class MyCaffeInnerProduct(Message):
    """Notes for MyCaffe's tools."""

    output_contains_predictions: bool = option(
        None, "bool", False, doc="the top holds predictions", effect=ignored("it is a note for MyCaffe's tools")
    )
    enable_noise: bool = only(None, "bool", False, "enable_noise", "noisy weights", False)
    sigma_init: float = option(None, "float", 0.017, doc="noise", effect=ignored("weights are not noisy"))


@extends("MemoryDataParameter")
class MyCaffeMemoryData(Message):
    """Labels with several values."""

    class LabelType(IntEnum):
        """Kinds of labels."""

        NONE = 0
        SINGLE = 1
        MULTIPLE = 2

    label_channels: int = only(None, "uint32", 1, "label_channels", "channels of a label", 1)
    label_height: int = only(None, "uint32", 1, "label_height", "height of a label", 1)
    label_width: int = only(None, "uint32", 1, "label_width", "width of a label", 1)
    label_type: LabelType = option(
        None, LabelType, LabelType.SINGLE, doc="kind of labels", effect=ignored("labels are single values")
    )
    primary_data: bool = option(None, "bool", True, doc="the net's main input", effect=ignored("there is one kind"))


@extends("SolverParameter")
class MyCaffeSolver(Message):
    """Snapshots and averages."""

    snapshot_include_weights: bool = option(None, "bool", True, doc="save weights", effect=SNAPSHOTS)
    snapshot_include_state: bool = option(None, "bool", False, doc="save the state", effect=SNAPSHOTS)
    accuracy_average_window: int = option(
        None, "int32", 0, doc="tests over which accuracy is averaged", effect=ignored("each test is reported by itself")
    )
    enable_clip_gradient_status: bool = option(
        None, "bool", False, doc="log clipping", effect=ignored("see --log and the monitors")
    )
    adamw_decay: float = option(
        None, "float", 0.0, doc="decay of AdamW", effect=ignored("no solver here reads it: see 'cafx plugins list'")
    )


@adds_values("Phase", read_by("include and exclude rules, which it never meets"))
class MyCaffePhase(IntEnum):
    """The phase in which MyCaffe uses a trained net: layers only for it are left out in TRAIN and TEST."""

    RUN = 3


class TwoPhases(Upgrade):
    """Refuses nets that are to be built in the phase RUN."""

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """Check the net's state."""
        if proto.state.phase not in (Phase.TRAIN, Phase.TEST):
            remedy = "write phase: TEST, with include { phase: TEST } in the layers for it"
            raise CafxError(
                "a net has one of two phases", where=source, found="RUN", expected="TRAIN or TEST", remedy=remedy
            )
        return proto

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """A net of TEST phase, and one of RUN."""
        from cafx.conformance.kinds.upgrade import UpgradeCase

        text = 'state { phase: TEST } layer { name: "x" type: "Input" top: "x" }'
        yield UpgradeCase("test", text, text)
        yield UpgradeCase("run", text.replace("TEST", "RUN"), error="RUN")


class MyCaffe(Dialect):
    """Fields of MyCaffe, a fork in C#, of which most choose an implementation."""

    fork = "MyCaffe"
    declares = (
        MyCaffeTransformation,
        MyCaffeData,
        MyCaffeDB,
        MyCaffeRecurrent,
        MyCaffeInnerProduct,
        MyCaffeMemoryData,
        MyCaffeSolver,
        MyCaffePhase,
    )

    @classmethod
    def cases(cls) -> Iterable[DialectCase]:
        """A recurrent layer of one level, and of two."""
        from cafx.conformance.kinds.dialect import DialectCase

        text = "num_output: 3 num_layers: {} batch_first: false engine: CUDNN"
        yield DialectCase("one-level", text.format(1), "num_output: 3", "RecurrentParameter")
        yield DialectCase("two-levels", text.format(2), message="RecurrentParameter", error="num_layers")
