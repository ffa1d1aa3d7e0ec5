"""Python bindings of oneDNN's C API, by ctypes: one module per kind of primitive.

Functions such as `eltwise_forward` create a `PrimitiveDesc`. Its `build` generates code, a `Primitive`, which is
bound to memory and called. All these functions take the descriptors of their run-time arguments, named as in
oneDNN (src, diff_dst, …), and

    training: of a forward primitive, whether a backward primitive follows (default: True).
    forward: of a backward primitive, the descriptor of the forward primitive.
    attr: attributes of the primitive.

They raise `DnnlError` if oneDNN has no implementation. Their docstrings list the run-time arguments (`Arg`).

    desc = MemoryDesc.plain((1, 2))
    x, y = Memory(desc, np.array([[-1, 2]], np.float32)), Memory(desc)
    relu = eltwise_forward(Alg.RELU, desc, desc)
    stream, scratchpad = Stream(), Scratchpad()
    call = relu.build().prepare(stream, {Arg.SRC: x, Arg.DST: y} | scratchpad.argument(relu))
    call()
"""
