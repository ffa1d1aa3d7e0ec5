"""JAX: a layer from the function that a net names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Message, message, option
from cafx.kernel.schema import FillerParameter
from cafx_layer_jax.function import Function, load_function, options_text, parse_options
from cafx_layer_jax.traced import Traced
from cafx_layer_python.reporting import Reporting

if TYPE_CHECKING:
    from cafx.conformance import Case

SAMPLES = "cafx_layer_jax.samples"


@message("jax_param")
class JAXParameter(Message):
    """Options of JAX."""

    function: str = option(1, "string", doc='"module:function"; the working directory is searched, too')
    options: str = option(2, "string", "", doc='the function\'s options, as keywords of a call: "gamma=2.0, axis=1"')
    filler: Sequence[FillerParameter] = option(
        3, FillerParameter, repeated=True, doc="initialiser per parameter (default: what the function says)"
    )


class JAX(Traced):
    """A function of one's own, written with ``jax.numpy``: (y₁, y₂, …) = f(x₁, x₂, …; params).

    Bottoms, tops: what the function takes by position, and returns: an array, or a tuple of one per top. The shapes
    follow from the function. Gradients by reverse-mode automatic differentiation (``jax.vjp``), parameters included.
    Function and gradient are compiled once per shapes.

    The function gets what it names of: ``params``, its parameters, whose shapes `cafx_layer_jax.facts` states;
    ``phase``, TRAIN or TEST; ``key``, a random key of ``jax.random``, another one in each forward pass.

    In Python, the function's options are keywords of the call: ``L.JAX(n.x, n.y, function="losses:focal", gamma=2.0)``;
    those with the name of an option of every layer go into a dictionary: ``options=dict(name=2)``.

    The module is imported only in a net that is trusted (`Net(…, trust=True)`, ``cafx train``, ``--trust``), since
    importing it runs its code. A loss takes ``loss_weight: 1``.

    Raises:
        CafxError: as `Traced`; or the net is not trusted, or the module or function is not found.

    Source: Bradbury et al., "JAX: composable transformations of Python+NumPy programs", 2018.
    """

    Parameter = JAXParameter
    options: JAXParameter
    deterministic = False

    def make_function(self) -> Function:
        """Import the function."""
        if not self.options.function:
            raise CafxError("function is missing", expected='jax_param { function: "module:function" }')
        with Reporting(self.where, f"import of {self.options.function}"):
            function = load_function(self.options.function)
        return Function(function, self.options.options, self.phase)

    def fillers(self) -> Sequence[FillerParameter]:
        """The fillers that the net names."""
        return self.options.filler

    @classmethod
    def named_code(cls, spec: Any) -> str:
        """What a layer would import and run, for nets that are not trusted.

        Args:
            spec: its LayerParameter.
        """
        return f"JAX function '{spec.jax_param.function}'"

    @classmethod
    def take_keywords(cls, keywords: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call in Python, with those of the function as text.

        Args:
            keywords: the keywords that no message declares.
            options: the other ones of this layer.

        Raises:
            CafxError: an option of the function given twice, or without a form as text.
        """
        given = options.get("options") or {}
        if isinstance(given, str) and not keywords:
            return dict(options)
        stated = parse_options(given) if isinstance(given, str) else dict(given)
        if twice := sorted(stated.keys() & keywords.keys()):
            raise CafxError("an option of the function is given twice", found=twice[0], expected="one of them")
        text = options_text({**stated, **keywords})
        return {**options, "options": text} if text else dict(options)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Five functions: elementwise, of two bottoms, a loss, with parameters, with two tops; and one with noise."""
        from cafx.conformance import Case, labels, uniform

        def sample(name: str, **more: Any) -> dict[str, Any]:
            return {"function": f"{SAMPLES}:{name}", **more}

        yield Case("swish", (2, 3, 4, 5), options=sample("swish", options="beta=1.5"))
        yield Case("swish_matrix", (3, 4), options=sample("swish"))
        yield Case("bilinear", uniform((2, 3, 4), 0.1, 1), uniform((2, 2, 4), 0.1, 1), options=sample("bilinear"))
        yield Case(
            "focal",
            (4, 5),
            labels((4,), 5),
            options=sample("focal_loss", options="gamma=2.0"),
            layer={"loss_weight": 2},
        )
        filler = [{"type": "gaussian", "std": 0.5}] * 2 + [{"type": "uniform"}]
        yield Case("low_rank", (3, 6), options=sample("low_rank", options="rank=2, num_output=4", filler=filler))
        yield Case("low_rank_filled", (2, 3, 2), options=sample("low_rank", options="rank=1, num_output=2"))
        yield Case("moments", (2, 3, 4), tops=2, options=sample("moments", options="axes=[2]"))
        yield Case("noise", (3, 4), options=sample("noisy", options="scale=0.5"))
