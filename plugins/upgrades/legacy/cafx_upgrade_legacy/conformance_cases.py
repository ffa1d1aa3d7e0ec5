"""Files in earlier formats, and what they become, for the conformance suite."""

from __future__ import annotations

NET, SOLVER = "NetParameter", "SolverParameter"
V0 = """
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "padded" }
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 blobs_lr: 1 blobs_lr: 2 }
  bottom: "padded" top: "c" }
layers { layer { name: "l" type: "softmax_loss" } bottom: "c" bottom: "y" }
"""
V0_NOW = """
layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 pad: 2 } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "c" bottom: "y" }
"""
V1 = """
layers { name: "d" type: DATA top: "x" data_param { source: "db" scale: 0.5 } }
layers { name: "i" type: INNER_PRODUCT bottom: "x" top: "i" param: "w" blobs_lr: 10 weight_decay: 1
  blob_share_mode: STRICT include { phase: TEST } inner_product_param { num_output: 5 } }
"""
V1_NOW = """
layer { name: "d" type: "Data" top: "x" data_param { source: "db" } transform_param { scale: 0.5 } }
layer { name: "i" type: "InnerProduct" bottom: "x" top: "i"
  param { name: "w" lr_mult: 10 decay_mult: 1 share_mode: STRICT }
  include { phase: TEST } inner_product_param { num_output: 5 } }
"""
INPUTS = """
input: "a" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
"""
INPUTS_NOW = """
layer { name: "input" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 dim: 1 dim: 1 } } }
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
"""
BATCH_NORM = 'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" param { } param { } param { } }'
BATCH_NORM_NOW = BATCH_NORM.replace("{ }", "{ lr_mult: 0 decay_mult: 0 }")
CASES = {
    "v0": (V0, V0_NOW, NET),
    "v1": (V1, V1_NOW, NET),
    "inputs": (INPUTS, INPUTS_NOW, NET),
    "statistics": (BATCH_NORM, BATCH_NORM_NOW, NET),
    "solver": ("solver_type: RMSPROP base_lr: 0.5", 'type: "RMSProp" base_lr: 0.5', SOLVER),
}
ERRORS = {
    "unknown-type": ('layers { layer { type: "convv" } }', NET, "unknown V0 layer type 'convv'"),
    "mixed": ('layers { type: RELU } layer { type: "ReLU" }', NET, "mixes 'layers' and 'layer'"),
    "shapes": ('input: "a" input: "b" input_shape { dim: 1 }', NET, "1 shapes for 2 inputs"),
    "two-types": ('solver_type: SGD type: "SGD"', SOLVER, "both set"),
}
