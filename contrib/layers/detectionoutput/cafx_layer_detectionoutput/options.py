"""Options of DetectionOutput."""

from __future__ import annotations

from cafx.kernel import Message, message, option
from cafx_lib_ssd import CodeType, NonMaximumSuppressionParameter, ResizeParameter


@message()
class SaveOutputParameter(Message):
    """Result files."""

    output_directory: str = option(1, "string", doc="folder of the result files, made if needed; unset: no files")
    output_name_prefix: str = option(2, "string", doc="beginning of the files' names")
    output_format: str = option(3, "string", doc="VOC, COCO or ILSVRC")
    label_map_file: str = option(4, "string", doc="prototxt with the names of the classes; needed for files")
    name_size_file: str = option(5, "string", doc="lines 'name height width' of the images; needed for files")
    num_test_image: int = option(6, "uint32", doc="number of images of a test; default: lines of name_size_file")
    resize_param: ResizeParameter = option(7, ResizeParameter, doc="how the images were resized")


@message("detection_output_param", 204)
class DetectionOutputParameter(Message):
    """Options of DetectionOutput."""

    num_classes: int = option(1, "uint32", doc="number of classes, background included")
    share_location: bool = option(2, "bool", True, doc="whether all classes share the box predictions")
    background_label_id: int = option(3, "int32", 0, doc="class that is no object; -1 for none")
    nms_param: NonMaximumSuppressionParameter = option(
        4, NonMaximumSuppressionParameter, doc="non-maximum suppression of each class"
    )
    save_output_param: SaveOutputParameter = option(5, SaveOutputParameter, doc="result files")
    code_type: CodeType = option(6, CodeType, CodeType.CORNER, doc="CORNER, CENTER_SIZE or CORNER_SIZE")
    variance_encoded_in_target: bool = option(
        8, "bool", False, doc="whether predictions are decoded without the variances"
    )
    keep_top_k: int = option(7, "int32", -1, doc="number of detections kept for each image; -1 for all")
    confidence_threshold: float = option(9, "float", doc="only scores above this count; unset: all")
    visualize: bool = option(10, "bool", False, doc="whether pictures with boxes are written")
    visualize_threshold: float = option(11, "float", doc="smallest score of a box in a picture; unset: 0")
    save_file: str = option(12, "string", doc="pictures of 'x.png' are x_000001.png, …; unset: named after the layer")
