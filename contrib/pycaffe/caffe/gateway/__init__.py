"""pycaffe's nets and solvers for programs in other languages, such as the MATLAB interface in ``contrib/matlab``.

A program sends a request and gets an answer, both of them bytes (`caffe.gateway.wire`). MATLAB calls `call` in
its Python process; Octave starts ``python -m caffe.gateway``, which answers on its standard streams
(`caffe.gateway.worker`).
"""

from caffe.gateway.dispatch import call

__all__ = ["call"]
