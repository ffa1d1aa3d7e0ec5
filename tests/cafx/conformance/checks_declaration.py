"""Checks of what a layer declares: its name, documentation, options, arities and cases."""

from __future__ import annotations

from typing import Any

from cafx.conformance.cases import Case
from cafx.conformance.harness import fill_layer, net_of
from cafx.conformance.numbers import reserved_field
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import CafxError, Layer, Net, schema
from cafx.kernel.registry import using_registry
from cafx.kernel.schema import FIRST_FREE_NUMBER, Message, Option, complete, declared_by, derived_number

NONSENSE: dict[str, Any] = {"string": 3.5, "bytes": 3.5, "bool": "perhaps"}


def declarations(subject: Subject) -> list[type[Message]]:
    """The messages the layer reads its options from."""
    return declared_by(subject.layer)


def own_options(subject: Subject) -> dict[str, Option]:
    """The options of the layer's own message."""
    return subject.layer.Parameter.__options__ if subject.layer.Parameter else {}


@check("entry-point", "the entry point names a Layer class and is in the right group", per_case=False)
def entry_point(subject: Subject) -> None:
    if not (isinstance(subject.layer, type) and issubclass(subject.layer, Layer)):
        raise CheckFailure(f"entry point {subject.plugin.value} is not a subclass of cafx.kernel.Layer")
    if subject.layer.is_loss and subject.plugin.group == "cafx.layers":
        raise CheckFailure("a layer with is_loss = True belongs in entry-point group cafx.losses")
    if not subject.layer.is_loss and subject.plugin.group == "cafx.losses":
        raise CheckFailure("entry-point group cafx.losses is for layers with is_loss = True")


@check("docstring", "the docstring states formula, bottoms and tops", per_case=False)
def docstring(subject: Subject) -> None:
    text = (subject.layer.__doc__ or "").lower()
    missing = [word for word in ("bottom", "top") if word not in text]
    if missing:
        raise CheckFailure(f"the class docstring does not mention {', '.join(missing)}; state their shapes")
    if len(text.split()) < 12:
        raise CheckFailure("the class docstring is too short to state formula and shapes")
    if any(not (getattr(subject.layer, name).__doc__) for name in ("reshape", "forward", "backward")):
        raise CheckFailure("reshape, forward and backward each need a docstring")


@check("options-documented", "every option has a line of documentation and a unique number", per_case=False)
def options_documented(subject: Subject) -> None:
    for declared in declarations(subject):
        undocumented = [name for name, each in declared.__options__.items() if not each.doc.strip()]
        if undocumented:
            raise CheckFailure(f"{declared.__name__}: no doc for {', '.join(undocumented)}")
        numbers = [each.number for each in declared.__options__.values()]
        if len(set(numbers)) != len(numbers):
            raise CheckFailure(f"{declared.__name__}: two options share a number")
        extension = declared.__extends__
        if extension is None or extension.number in (derived_number(extension.field),):
            continue
        if extension.number < FIRST_FREE_NUMBER and reserved_field(extension.number) != extension.field:
            raise CheckFailure(
                f"{extension.field} has number {extension.number}: numbers below {FIRST_FREE_NUMBER} are reserved for "
                "BVLC Caffe and well-known forks; choose a higher one, or omit it"
            )


@check("options-exercised", "every option is used by at least one case", per_case=False)
def options_exercised(subject: Subject) -> None:
    used = {name for case in subject.cases for name in case.options}
    unused = sorted(set(own_options(subject)) - used)
    if unused:
        raise CheckFailure(f"no case uses {', '.join(unused)}: add one to cases()")


@check("options-validated", "misspelt and ill-typed options raise a CafxError", per_case=False)
def options_validated(subject: Subject) -> None:
    declared = subject.layer.Parameter
    if declared is None:
        return
    attempts = [{name: NONSENSE.get(str(each.kind), "nonsense")} for name, each in declared.__options__.items()]
    for attempt in [{"mispelt_option": 1}, *attempts]:
        try:
            declared(**attempt)
        except CafxError:
            continue
        raise CheckFailure(f"{declared.__name__} accepts {attempt}: declare the option's kind")


@check("round-trip", "options survive text, binary and the DSL")
def round_trip(subject: Subject, case: Case) -> None:
    composed = schema(subject.plugins)
    proto = fill_layer(composed["LayerParameter"](), subject.type, case, subject.plugins)
    text = composed.parse_text(composed.to_text(proto), "LayerParameter")
    data = composed.parse_bytes(proto.SerializeToString(), "LayerParameter")
    if not proto == text == data:
        raise CheckFailure("the layer changes when it is written as prototxt or binary and read back")
    for declared in declarations(subject):
        extension = declared.__extends__
        if extension and proto.HasField(extension.field):
            again = composed["LayerParameter"]()
            options = complete(declared, subject.plugins).from_proto(getattr(proto, extension.field))
            options.fill(getattr(again, extension.field))
            if getattr(again, extension.field) != getattr(proto, extension.field):
                raise CheckFailure(f"{declared.__name__}.from_proto or fill loses options")
    with using_registry(subject.plugins):
        _through_dsl(subject, case, proto)


def _through_dsl(subject: Subject, case: Case, proto: Any) -> None:
    from cafx.dsl import NetSpec
    from cafx.dsl import layers as dsl

    net = NetSpec()
    bottoms = []
    for index, bottom in enumerate(case.bottoms):
        net[f"bottom{index}"] = dsl.Input(shape=[{"dim": list(bottom.shape)}])
        bottoms.append(net[f"bottom{index}"])
    tops = getattr(dsl, subject.type)(*bottoms, ntop=case.tops, **case.options, **case.layer)
    for index, top in enumerate([tops] if case.tops == 1 else tops if case.tops else []):
        net[f"top{index}"] = top
    emitted = net.to_proto() if case.tops else None
    if emitted is None:
        return
    for declared in declarations(subject):
        field = declared.__extends__.field if declared.__extends__ else ""
        if field and getattr(emitted.layer[-1], field).SerializeToString() != getattr(proto, field).SerializeToString():
            raise CheckFailure(f"the DSL emits a different {field}")


@check("arity", "numbers of bottoms and tops other than declared are refused, naming the layer", per_case=False)
def arity(subject: Subject) -> None:
    for kind, allowed in (("bottom", subject.layer.bottoms), ("top", subject.layer.tops)):
        low, high = (allowed, allowed) if isinstance(allowed, int) else allowed
        used = {len(case.bottoms) if kind == "bottom" else case.tops for case in subject.cases}
        if low != high and len(used) < 2:
            raise CheckFailure(f"{kind}s = {allowed}, but all cases have {used.pop()}: add one with another number")
        wrong = [] if high is None else [high + 1]
        if low > 0 and not (kind == "top" and subject.layer.automatic_tops):
            wrong.append(low - 1)
        for count in wrong:
            _refuses(subject, kind, count)


def _refuses(subject: Subject, kind: str, count: int) -> None:
    net = net_of(subject.type, subject.cases[0], subject.plugins)
    layer = net.layer[-1]
    names = list(getattr(layer, kind))
    del getattr(layer, kind)[:]
    for index in range(count):
        name = names[index] if index < len(names) else f"extra{index}"
        if kind == "bottom" and name not in [top for each in net.layer[:-1] for top in each.top]:
            extra = net.layer.add(name=name, type="Input", top=[name])
            extra.input_param.shape.add().dim.extend((1, 1))
        getattr(layer, kind).append(name)
    ordered = type(net)(name=net.name)
    for each in sorted(net.layer, key=lambda each: each.name == layer.name):
        ordered.layer.add().CopyFrom(each)
    try:
        Net(ordered, subject.cases[0].phase, engine="numpy", trust=True, plugins=subject.plugins)
    except CafxError as error:
        if layer.name not in str(error):
            raise CheckFailure(f"the error for {count} {kind}s does not name the layer: {error}") from error
        return
    raise CheckFailure(f"{count} {kind}s are accepted: declare the allowed number in {kind}s")


@check("cases", "there are cases, with unique names", per_case=False)
def cases(subject: Subject) -> None:
    names = [case.name for case in subject.cases]
    if not names:
        raise CheckFailure("cases() yields nothing: the suite cannot test the layer")
    if len(set(names)) != len(names):
        raise CheckFailure("two cases have the same name")


@check("axes", "cases cover several numbers of axes, or others are refused", per_case=False)
def axes(subject: Subject) -> None:
    firsts = {len(case.bottoms[0].shape) for case in subject.cases if case.bottoms}
    if len(firsts) != 1:
        return
    case = next(case for case in subject.cases if case.bottoms)
    net = net_of(subject.type, case, subject.plugins)
    net.layer[0].input_param.shape[0].dim.append(2)
    try:
        Net(net, case.phase, engine="numpy", trust=True, plugins=subject.plugins)
    except CafxError:
        return
    raise CheckFailure(f"all cases have {firsts.pop()} axes although others are accepted: add a case with more")
