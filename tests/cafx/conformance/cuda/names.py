"""Names of NumPy's functions and methods, by what CuPy makes of them."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


METHODS = words("""
    all any argmax argmin argpartition argsort astype choose clip compress conj conjugate copy cumprod cumsum diagonal
    dot flatten max mean min nonzero prod ravel repeat reshape round searchsorted squeeze std sum swapaxes take trace
    transpose var view
""")
"""Methods of arrays that change nothing."""
CHANGING_METHODS = words("fill partition put sort")
"""Methods that change their array."""
CHANGING = words("copyto fill_diagonal place put put_along_axis putmask")
"""Functions that change their first argument."""
PRODUCTS = words("matmul dot inner tensordot einsum vdot")
"""Functions that CuPy hands to its cuBLAS."""
READING = words("""
    nonzero flatnonzero argwhere unique unique_all unique_counts unique_inverse unique_values extract compress setdiff1d
    setxor1d intersect1d union1d bincount trim_zeros histogram digitize roots
""")
"""Functions that wait for the device: the values decide the result's shape."""
REDUCTIONS = words("sum prod max min amax amin mean var std any all argmax argmin cumsum cumprod")
UNKNOWN_TO_REDUCTIONS = words("where initial mean correction")
"""Options of NumPy's reductions that CuPy lacks."""
POSITIONS_OF_OUT = {
    name: position
    for position, names in {
        2: "all amax amin any argmax argmin around choose concatenate dot max min round stack",
        3: "clip compress cumprod cumsum mean prod std sum take var",
        5: "trace",
    }.items()
    for name in words(names)
}
"""Where ``out`` is among the arguments, of functions and, counting the array, of methods."""
TRUTHS = words("array_equal array_equiv allclose")
"""Functions whose bool is an array in CuPy."""
CREATING = words("zeros ones full zeros_like ones_like full_like empty empty_like")
"""Functions that make arrays of one value."""
ABSENT = words("""
    random testing ScalarType asmatrix block bmat busday_count busday_offset busdaycalendar bytes_ char character
    clongdouble complex256 core ctypeslib datetime64 datetime_as_string datetime_data dtypes einsum_path emath
    errstate f2py flexible float128 frompyfunc fromregex geomspace get_include getbufsize geterr geterrcall
    histogram_bin_edges info insert is_busday isnat little_endian longdouble ma matrix matvec memmap nanpercentile
    nanquantile ndenumerate nditer nested_iters object_ polyder polydiv polyint rec recarray record sctypeDict
    setbufsize seterr seterrcall show_runtime spacing str_ strings test timedelta64 typecodes unstack vecdot vecmat
    void
""")
"""What NumPy has and CuPy, or the stand-in, lacks."""
