"""Python layers of py-faster-rcnn, R-FCN and MNC replaced by layers of cafx at load.

Their prototxts name Python modules of their repositories, such as ``module: 'rpn.proposal_layer'``. Where such a
module can be imported, it is used; else the layer becomes one of cafx with the same options.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cafx.kernel.schema import Upgrade

if TYPE_CHECKING:
    from cafx.conformance.kinds.upgrade import UpgradeCase

PAIR = re.compile(r"""['"]?(\w+)['"]?\s*:\s*(?:!!\S+\s*)?(\[[^\]]*\]|\([^)]*\)|[^,\n}]+)""")
"""A key and its value in the YAML that these layers are given as ``param_str``."""
TRAINING = {"train_pre_nms_topn": 12000, "train_post_nms_topn": 2000}
"""py-faster-rcnn's numbers of proposals in TRAIN phase."""


@attrs.frozen
class Replacement:
    """What replaces one class of Python layers.

    Attributes:
        type: the layer type.
        field: the field of its options.
        keys: option of each key of ``param_str``; a layer with others is a different one and stays.
        tops: possible numbers of tops; a layer with another is a different one and stays.
        further: more options, from the layer and the types of all layers.
    """

    type: str
    field: str
    keys: Mapping[str, str]
    tops: tuple[int, ...]
    further: Callable[[Any, set[str]], dict[str, Any]]


def proposal(layer: Any, types: set[str]) -> dict[str, Any]:
    """Options of Proposal that are no keys of ``param_str``."""
    return TRAINING


def anchor_target(layer: Any, types: set[str]) -> dict[str, Any]:
    """Options of AnchorTarget that are no keys of ``param_str``: none."""
    return {}


def proposal_target(layer: Any, types: set[str]) -> dict[str, Any]:
    """Options of ProposalTarget that are no keys of ``param_str``: those of end-to-end training, and R-FCN's."""
    options: dict[str, Any] = {"bg_thresh_lo": 0.0}
    if "PSROIPooling" in types:
        options["four_axes"] = True
    if "BoxAnnotatorOHEM" in types:
        options["batch_size"] = -1
    return options


def roi_data(layer: Any, types: set[str]) -> dict[str, Any]:
    """Options of RoIData that are no keys of ``param_str``: whether the net has a region proposal network."""
    return {"has_rpn": True, "ims_per_batch": 1} if {"im_info", "gt_boxes"} & set(layer.top) else {}


ANCHORS = {"feat_stride": "feat_stride", "scales": "scale", "ratios": "ratio"}
PROPOSAL = Replacement("Proposal", "proposal_param", ANCHORS, (1, 2), proposal)
REPLACEMENTS = {
    ("rpn.proposal_layer", "ProposalLayer"): PROPOSAL,
    ("rpn.anchor_target_layer", "AnchorTargetLayer"): Replacement(
        "AnchorTarget", "anchor_target_param", {**ANCHORS, "allowed_border": "allowed_border"}, (4,), anchor_target
    ),
    ("rpn.proposal_target_layer", "ProposalTargetLayer"): Replacement(
        "ProposalTarget", "proposal_target_param", {"num_classes": "num_classes"}, (5,), proposal_target
    ),
    ("roi_data_layer.layer", "RoIDataLayer"): Replacement(
        "RoIData", "roi_data_param", {"num_classes": "num_classes"}, (3, 5, 6), roi_data
    ),
    ("pylayer.proposal_layer", "ProposalLayer"): attrs.evolve(PROPOSAL, tops=(1,)),
}


class RCNN(Upgrade):
    """Replaces Python layers whose modules are not there; a plugin of group ``cafx.upgrades``.

    Class attributes:
        fork: the forks whose repositories have the modules.
        modules: the modules.
    """

    fork = "Faster R-CNN"
    modules = tuple(sorted({module for module, _ in REPLACEMENTS}))

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """Replace the layers of a NetParameter in place.

        Args:
            proto: the NetParameter.
            source: name of the net.

        Returns:
            ``proto``.
        """
        types = {layer.type for layer in proto.layer}
        for layer in proto.layer:
            if layer.type == "Python":
                _replace(layer, types)
        return proto

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """A proposal layer, and a Python layer of somebody else."""
        from cafx.conformance.kinds.upgrade import UpgradeCase

        old = 'layer {{ name: "p" type: "Python" bottom: "s" bottom: "o" bottom: "i" top: "r" python_param {{ {} }} }}'
        theirs = 'module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "feat_stride: 8"'
        new = """layer { name: "p" type: "Proposal" bottom: "s" bottom: "o" bottom: "i" top: "r"
            proposal_param { feat_stride: 8 train_pre_nms_topn: 12000 train_post_nms_topn: 2000 } }"""
        yield UpgradeCase("proposal", old.format(theirs), new)
        other = old.format('module: "mine" layer: "Mine"')
        yield UpgradeCase("other", other, other)


def _replace(layer: Any, types: set[str]) -> None:
    """Turn a Python layer into the layer that replaces it, if there is one and its module is not there."""
    python = layer.python_param
    replacement = REPLACEMENTS.get((python.module, python.layer))
    if replacement is None or len(layer.top) not in replacement.tops or importable(python.module):
        return
    given = parsed(python.param_str)
    if given is None or not set(given) <= set(replacement.keys):
        return
    options = {**replacement.further(layer, types), **{replacement.keys[key]: given[key] for key in given}}
    layer.type = replacement.type
    layer.ClearField("python_param")
    target = getattr(layer, replacement.field)
    for name, value in options.items():
        if isinstance(value, (list, tuple)):
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)


def importable(module: str) -> bool:
    """Whether a module is loaded, on the module search path or in the working directory; nothing is imported.

    Example:
        >>> importable("json.decoder"), importable("rpn.no_such_layer")
        (True, False)
    """
    if module in sys.modules:
        return True
    folders: Any = [*sys.path, str(Path.cwd())]
    for part in module.split("."):
        found = PathFinder.find_spec(part, folders) if folders else None
        if found is None:
            return False
        folders = found.submodule_search_locations
    return True


def parsed(text: str) -> dict[str, Any] | None:
    """The numbers and lists of numbers in a ``param_str``; None if it has anything else.

    Example:
        >>> parsed("'feat_stride': 16\\n'scales': !!python/tuple [4, 8]")
        {'feat_stride': 16, 'scales': [4, 8]}
    """
    try:
        pairs = {key: ast.literal_eval(value.strip()) for key, value in PAIR.findall(text)}
    except (SyntaxError, ValueError):
        return None
    return None if PAIR.sub("", text).strip("{}, \n\t") else pairs
