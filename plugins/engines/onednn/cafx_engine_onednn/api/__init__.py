"""oneDNN's C API in Python, one module per kind of primitive.

stream, scratch = Stream(), Scratchpad()
relu = eltwise_forward(Alg.RELU, desc, desc)
call = relu.build().prepare(stream, {Arg.SRC: x, Arg.DST: y} | scratch.argument(relu))
call()                                  # one foreign call
"""
