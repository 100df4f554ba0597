"""Control flow: regions that take less and give less, and what need not be chosen or repeated.

A region sees nothing of the graph around it, so that every other pass works on it as on any graph. What has to do with
both sides is done here: constants go in, what is the same in every iteration comes out, and what nobody needs is
neither taken nor given.

Operand ``i`` of a node, if regions see it, is their input ``i - 1``: a choice keeps its condition for itself, and a
loop its number of trips and its condition, but it tells the number of the iteration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from glowpy.passes.dead import remove_dead_nodes
from glowpy.passes.known import is_splat, number_in
from glowpy_ir.graph import Builder, Constant, Graph, Node, Value
from glowpy_ir.op import Movement
from glowpy_ir.ops.control import If, Loop
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.types import Kind


def simplify_regions(graph: Graph) -> bool:
    """Simplify every node with regions; what is in these only if more is known there now."""
    return any([_simplify(graph, node) for node in graph.nodes if node.regions])


def _simplify(graph: Graph, node: Node) -> bool:
    match node.op:
        case If():
            if _choose(graph, node):
                return True
        case Loop() as loop:
            if _never_begin(graph, node, loop) or _run_once(graph, node, loop):
                return True
    changed = _drop_results(node, graph.outputs)
    if _take_in_known(graph, node):
        changed = True
        for region in node.regions:  # so that what is known gets to where it is used, however deep that is
            simplify_regions(region)
    if isinstance(node.op, Loop):
        changed |= _forget_condition(node, node.op)
        changed |= _keep_out_unchanged(graph, node, node.op.carried)
        changed |= _drop_carried(graph, node, node.op.carried)
        changed |= _hoist(graph, node)
    return _drop_captures(graph, node) or changed


def _captures(node: Node) -> range:
    """The numbers of the operands that are captured."""
    return range(2 + node.op.carried if isinstance(node.op, Loop) else 1, len(node.inputs))


# What need not run


def _choose(graph: Graph, node: Node) -> bool:
    """if true then a else b = a"""
    condition = number_in(node.inputs[0])
    if condition is None:
        return False
    results = _copy_nodes(node.regions[0 if condition else 1], node.inputs[1:], Builder(graph, before=node))
    _replace(graph, node, results)
    return True


def _never_begin(graph: Graph, node: Node, loop: Loop) -> bool:
    """The results of a loop without an iteration are what it begins with, and zeros"""
    trips, condition = map(number_in, node.inputs[:2])
    if not (trips is not None and trips <= 0) and condition != 0 and loop.bound != 0:
        return False
    b = Builder(graph, before=node)
    carried = node.inputs[2 : 2 + loop.carried]
    rest = (b.add(Splat(0, value.type.kind, value.type.shape)) for value in node.outputs[loop.carried :])
    _replace(graph, node, (*carried, *rest))
    return True


def _run_once(graph: Graph, node: Node, loop: Loop) -> bool:
    """A loop of one iteration is its body"""
    trips, condition = map(number_in, node.inputs[:2])
    if trips != 1 or not condition or loop.bound not in (None, 1):
        return False
    b = Builder(graph, before=node)
    zero, one = (b.add(Splat(number, Kind.I64, ())) for number in (0, 1))
    carried, elements = loop.parts(_copy_nodes(node.regions[0], (zero, *node.inputs[2:]), b))
    stacks = (b.add(Reshape((1, *element.type.shape)), element) for element in elements)
    _replace(graph, node, (*carried, *stacks, one))
    return True


def _replace(graph: Graph, node: Node, values: Sequence[Value]) -> None:
    for old, new in zip(node.outputs, values, strict=True):
        graph.replace(old, new)
    graph.remove(node)


def _copy_nodes(region: Graph, inputs: Sequence[Value], b: Builder) -> tuple[Value, ...]:
    """The outputs of a region whose nodes are put into another graph, working on ``inputs``."""
    copies: dict[Value, Value] = dict(zip(region.inputs, inputs, strict=True))
    _copy(region.nodes, copies, b)
    return tuple(_copied(value, copies, b) for value in region.outputs)


def _copy(nodes: Iterable[Node], copies: dict[Value, Value], b: Builder) -> None:
    for node in nodes:
        b.origin = node.origin
        inputs = [_copied(value, copies, b) for value in node.inputs]
        names = [value.name for value in node.outputs]
        copies |= zip(node.outputs, b.add_all(node.op, *inputs, names=names, regions=node.regions), strict=True)


def _copied(value: Value, copies: dict[Value, Value], b: Builder) -> Value:
    if isinstance(value, Constant) and value not in copies:
        copies[value] = b.constant(value.data, value.name, value.type)
    return copies[value]


# What need not be given or taken


def _forget_condition(node: Node, loop: Loop) -> bool:
    """A condition that always holds is not given"""
    (body,) = node.regions
    if not loop.conditional or not number_in(body.outputs[0]):
        return False
    del body.outputs[0], body.output_names[0]
    node.op = replace(loop, conditional=False)
    return True


def _keep_out_unchanged(graph: Graph, node: Node, carried: int) -> bool:
    """What every iteration hands on as it got it is captured, not carried"""
    assert isinstance(node.op, Loop)
    following, _ = node.op.parts(node.regions[0].outputs)
    unchanged = [k for k in range(carried) if following[k] is node.regions[0].inputs[1 + k]]
    for k in unchanged:
        graph.replace(node.outputs[k], node.inputs[2 + k])
    _no_longer_carried(graph, node, unchanged)
    return bool(unchanged)


def _drop_carried(graph: Graph, node: Node, carried: int) -> bool:
    """What is carried only to make itself anew is not computed"""
    (body,) = node.regions
    assert isinstance(node.op, Loop)
    following, scanned = node.op.parts(body.outputs)
    others = [*body.outputs[: node.op.first], *scanned]
    needed = {k for k in range(carried) if _is_used(node.outputs[k], graph.outputs)}
    while True:
        reached = _all_behind([*others, *(following[k] for k in needed)])
        more = {k for k in range(carried) if body.inputs[1 + k] in reached} - needed
        if not more:
            break
        needed |= more
    dead = [k for k in range(carried) if k not in needed]
    _no_longer_carried(graph, node, dead)
    return bool(dead)


def _all_behind(values: Iterable[Value]) -> set[Value]:
    """The values, and all from which they are computed."""
    found = set(values)
    waiting = [*found]
    while waiting:
        producer = waiting.pop().producer
        new = set(producer.inputs) - found if producer else set()
        found |= new
        waiting += new
    return found


def _no_longer_carried(graph: Graph, node: Node, numbers: Sequence[int]) -> None:
    """Make captures of carried tensors whose results nobody uses."""
    (body,) = node.regions
    for k in reversed(numbers):
        assert isinstance(node.op, Loop)
        _drop_result(node, k)
        body.inputs.append(body.inputs.pop(1 + k))
        others = (*node.inputs[: 2 + k], *node.inputs[3 + k :])
        graph.set_inputs(node, (*others, node.inputs[2 + k]))
        node.op = replace(node.op, carried=node.op.carried - 1)
    if numbers:
        remove_dead_nodes(body)


def _drop_results(node: Node, escaping: Sequence[Value]) -> bool:
    """What nobody uses of a choice, or of what a loop stacks, is not computed"""
    first, last = 0, len(node.outputs)
    if isinstance(node.op, Loop):
        first, last = node.op.carried, last - 1
    unused = [k for k in range(first, last) if not _is_used(node.outputs[k], escaping)]
    if isinstance(node.op, If) and len(unused) == last:
        return False  # the node is dead as a whole
    for k in reversed(unused):
        _drop_result(node, k)
    for region in node.regions if unused else ():
        remove_dead_nodes(region)
    return bool(unused)


def _is_used(value: Value, escaping: Sequence[Value]) -> bool:
    return bool(value.users) or value in escaping


def _drop_result(node: Node, number: int) -> None:
    """Forget a result that nobody uses."""
    output = number + (node.op.first if isinstance(node.op, Loop) else 0)
    node.outputs = (*node.outputs[:number], *node.outputs[number + 1 :])
    for region in node.regions:
        del region.outputs[output], region.output_names[output]


def _take_in_known(graph: Graph, node: Node) -> bool:
    """Constants are not captured: each region has its own, with the same elements"""
    changed = False
    for i in reversed(_captures(node)):
        value = node.inputs[i]
        if isinstance(value, Constant) or is_splat(value):
            for region in node.regions:
                if _is_used(region.inputs[i - 1], region.outputs):
                    b = Builder(region, before=next(region.nodes, None))
                    copies: dict[Value, Value] = {}
                    _copy([value.producer] if value.producer else [], copies, b)
                    region.replace(region.inputs[i - 1], _copied(value, copies, b))
            _drop_capture(graph, node, i)
            changed = True
    return changed


def _drop_captures(graph: Graph, node: Node) -> bool:
    """What no region uses is not captured, and nothing is captured twice"""
    changed = False
    for i in reversed(_captures(node)):
        twin = node.inputs.index(node.inputs[i], _captures(node).start)
        if twin < i:
            for region in node.regions:
                region.replace(region.inputs[i - 1], region.inputs[twin - 1])
        if not any(_is_used(region.inputs[i - 1], region.outputs) for region in node.regions):
            _drop_capture(graph, node, i)
            changed = True
    return changed


def _drop_capture(graph: Graph, node: Node, number: int) -> None:
    graph.set_inputs(node, (*node.inputs[:number], *node.inputs[number + 1 :]))
    for region in node.regions:
        del region.inputs[number - 1]


# What need not be repeated


def _hoist(graph: Graph, node: Node) -> bool:
    """What a loop computes from captures alone is computed before it

    That is safe although the loop may have no iteration: no operator but a loop can take forever, and none fails.
    Movements stay where they are, unless something is computed of them, as they would have to be captured as copies.
    """
    (body,) = node.regions
    fixed: set[Value] = {*body.constants, *(body.inputs[i - 1] for i in _captures(node))}
    invariant: dict[Node, None] = {}
    for inner in body.nodes:
        if not inner.regions and fixed.issuperset(inner.inputs):
            invariant[inner] = None
            fixed.update(inner.outputs)
    captured = _all_ahead(body.inputs[i - 1] for i in _captures(node))
    worth = [n for n in invariant if not isinstance(n.op, Movement) and not captured.isdisjoint(n.inputs)]
    if not worth:
        return False
    behind = _all_behind(value for inner in worth for value in inner.outputs)
    hoisted = {n: None for n in invariant if not behind.isdisjoint(n.outputs)}
    copies: dict[Value, Value] = {body.inputs[i - 1]: node.inputs[i] for i in _captures(node)}
    _copy(hoisted, copies, Builder(graph, before=node))
    b = Builder(body)
    for value in [value for inner in worth for value in inner.outputs]:
        if value in body.outputs or any(user not in hoisted for user in value.users):
            body.replace(value, b.placeholder(value.name, value.type))
            graph.set_inputs(node, (*node.inputs, copies[value]))
    remove_dead_nodes(body)
    return True


def _all_ahead(values: Iterable[Value]) -> set[Value]:
    """The values, and all that is computed from them."""
    found = set(values)
    waiting = [*found]
    while waiting:
        new = {result for user in waiting.pop().users for result in user.outputs} - found
        found |= new
        waiting += new
    return found
