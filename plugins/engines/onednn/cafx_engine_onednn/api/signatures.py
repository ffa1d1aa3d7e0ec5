"""Argument types of the oneDNN functions that the bindings call."""

from ctypes import Structure, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p

P = c_void_p  # an opaque handle, an out-pointer or an array
I = c_int  # noqa: E741 - an int or an enumeration
F = c_float


class ExecArg(Structure):
    """dnnl_exec_arg_t: a run-time argument (`Arg`) and its memory object."""

    _fields_ = (("arg", c_int), ("memory", c_void_p))


class Version(Structure):
    """dnnl_version_t."""

    _fields_ = (
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", c_char_p),
        ("cpu_runtime", c_uint),
        ("gpu_runtime", c_uint),
    )


STATUS: dict[str, tuple[type, ...]] = {
    "engine_create": (P, I, c_size_t),
    "stream_create": (P, P, c_uint),
    "memory_desc_create_with_strides": (P, I, P, I, P),
    "memory_desc_create_with_tag": (P, I, P, I, I),
    "memory_desc_create_submemory": (P, P, P, P),
    "memory_desc_clone": (P, P),
    "memory_desc_query": (P, I, P),
    "memory_create": (P, P, P, P),
    "memory_set_data_handle": (P, P),
    "post_ops_create": (P,),
    "post_ops_append_sum": (P, F, c_int, I),
    "post_ops_append_eltwise": (P, I, F, F),
    "post_ops_append_binary": (P, I, P),
    "post_ops_append_prelu": (P, I),
    "primitive_attr_create": (P,),
    "primitive_attr_set_post_ops": (P, P),
    "primitive_attr_set_scratchpad_mode": (P, I),
    "primitive_attr_set_scales_mask": (P, I, I),
    "primitive_desc_query": (P, I, I, P),
    "primitive_desc_next_impl": (P,),
    "primitive_create": (P, P),
    "primitive_execute": (P, P, I, P),
    # Primitive descriptors: out, engine, ..., attributes.
    "reorder_primitive_desc_create": (P, P, P, P, P, P),
    "concat_primitive_desc_create": (P, P, P, I, I, P, P),
    "sum_primitive_desc_create": (P, P, P, I, P, P, P),
    "binary_primitive_desc_create": (P, P, I, P, P, P, P),
    "convolution_forward_primitive_desc_create": (P, P, I, I, P, P, P, P, P, P, P, P, P),
    "convolution_backward_data_primitive_desc_create": (P, P, I, P, P, P, P, P, P, P, P, P),
    "convolution_backward_weights_primitive_desc_create": (P, P, I, P, P, P, P, P, P, P, P, P, P),
    "pooling_forward_primitive_desc_create": (P, P, I, I, P, P, P, P, P, P, P, P),
    "pooling_backward_primitive_desc_create": (P, P, I, P, P, P, P, P, P, P, P, P),
    "eltwise_forward_primitive_desc_create": (P, P, I, I, P, P, F, F, P),
    "prelu_forward_primitive_desc_create": (P, P, I, P, P, P, P),
    "eltwise_backward_primitive_desc_create": (P, P, I, P, P, P, F, F, P, P),
    "softmax_forward_primitive_desc_create": (P, P, I, I, P, P, I, P),
    "softmax_backward_primitive_desc_create": (P, P, I, P, P, P, I, P, P),
    "lrn_forward_primitive_desc_create": (P, P, I, I, P, P, c_int64, F, F, F, P),
    "lrn_backward_primitive_desc_create": (P, P, I, P, P, P, c_int64, F, F, F, P, P),
    "batch_normalization_forward_primitive_desc_create": (P, P, I, P, P, F, c_uint, P),
    "batch_normalization_backward_primitive_desc_create": (P, P, I, P, P, P, F, c_uint, P, P),
    "inner_product_forward_primitive_desc_create": (P, P, I, P, P, P, P, P),
    "inner_product_backward_data_primitive_desc_create": (P, P, P, P, P, P, P),
    "inner_product_backward_weights_primitive_desc_create": (P, P, P, P, P, P, P, P),
    "matmul_primitive_desc_create": (P, P, P, P, P, P, P),
    "reduction_primitive_desc_create": (P, P, I, P, P, F, F, P),
    "stream_destroy": (P,),
    "memory_desc_destroy": (P,),
    "memory_destroy": (P,),
    "post_ops_destroy": (P,),
    "primitive_attr_destroy": (P,),
    "primitive_desc_destroy": (P,),
    "primitive_destroy": (P,),
}
"""Argument types of functions that return a status, by name without the prefix ``dnnl_``."""

VALUE: dict[str, tuple[type, tuple[type, ...]]] = {
    "primitive_desc_query_md": (P, (P, I, I)),
    "memory_desc_equal": (c_int, (P, P)),
    "memory_desc_get_size": (c_size_t, (P,)),
    "get_effective_cpu_isa": (c_int, ()),
}
"""Result type and argument types of functions that return a value."""
