"""The operation that JAX sees: x times a mask, linear in x, and what every transformation makes of it.

    y[i, j, ...] = keep(numbers, i * step_0 + j * step_1 + ...) ? x[i, j, ...] / q : 0

``numbers`` has one dimension more than `x`: eight words (`simdrop.jax._keys`), and for each axis of `x` a length of 1,
or `x`'s own where each element along it has a mask to itself, as a batch over keys has. With that, a batch of such
operations is one such operation; its derivative is itself; and a device that holds a part of `x` needs only the indices
at which the part begins.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.sharding import NamedSharding, PartitionSpec

from simdrop import _core

WORDS = 8
TARGET = "simdrop_dropout"

jax.ffi.register_ffi_target(TARGET, _core.xla_dropout, platform="cpu")

apply_p = Primitive("simdrop_dropout")


def apply(x: jax.Array, numbers: Any, starts: Any, steps: tuple[int, ...], in_place: bool) -> Any:
    """Bind the operation; `starts` (uint32, where `x` begins along each axis) may be None."""
    operands = [x, numbers] if starts is None else [x, numbers, starts]
    return _bind(operands, steps, in_place)


def _bind(operands: list[Any], steps: tuple[int, ...], in_place: bool) -> Any:
    # Under shard_map, operands that are equal on all devices are told to be taken as if they were not.
    axes = [_varying(o) for o in operands]
    missing = [tuple(sorted(frozenset().union(*axes) - own)) for own in axes]
    operands = [jax.lax.pcast(o, m, to="varying") if m else o for o, m in zip(operands, missing, strict=True)]
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.manual_axes and len(mesh.manual_axes) < len(mesh.axis_names):
        raise NotImplementedError(
            f"simdrop.jax: got a jax.shard_map over {mesh.manual_axes} of {mesh.axis_names}; accepted: over all axes"
        )
    shapes = tuple((o.shape, jnp.dtype(o.dtype).name) for o in operands)
    return apply_p.bind(*operands, steps=steps, in_place=in_place, call=_call(shapes, steps, in_place, mesh))


def _varying(x: Any) -> frozenset[Any]:
    """Return the axes of the mesh, under shard_map, along which devices have values of their own."""
    aval = jax.typeof(x)
    kind = getattr(aval, "mat", None)  # JAX 0.10; `vma` before
    found: frozenset[Any] = getattr(aval, "vma", frozenset()) if kind is None else kind.varying
    return found


@functools.lru_cache(maxsize=4096)
def _call(shapes: tuple[tuple[tuple[int, ...], str], ...], steps: tuple[int, ...], in_place: bool, mesh: Any) -> Any:
    """Return the operation on these shapes, in the context of this mesh, as a jaxpr.

    It is a parameter of the primitive, and not only made when it is lowered, so that JAX finds the custom partitioning
    in it, for which it has to know the devices.
    """
    (shape, _), (number_shape, _), *rest = shapes
    avals = [jax.ShapeDtypeStruct(s, d) for s, d in shapes]
    partitioned = _partitioned(shape, number_shape, bool(rest), steps, in_place)

    def whole(*operands: Any) -> Any:
        return partitioned(*operands, *(lax.iota(jnp.uint32, n) for n in shape))

    return jax.make_jaxpr(whole)(*avals)


def _foreign(operands: tuple[Any, ...], steps: tuple[int, ...], in_place: bool) -> Any:
    x = operands[0]
    if x.ndim == 0:
        x, numbers = x[None], operands[1][None]
        return _foreign((x, numbers), (0,), in_place)[0]
    call = jax.ffi.ffi_call(
        TARGET, jax.ShapeDtypeStruct(x.shape, x.dtype), input_output_aliases={0: 0} if in_place else None
    )
    return call(*operands, steps=np.array(steps, np.int64))


def _partitioned(
    shape: tuple[int, ...], number_shape: tuple[int, ...], has_starts: bool, steps: tuple[int, ...], in_place: bool
) -> Any:
    """Return the operation as a function of x, numbers, starts if there are any, and the indices along each axis.

    The indices are what tells a device where its part begins: they are divided as `x` is, so that each gets its own.
    They are not used where the whole is on one device, and then never made.
    """
    own = 3 if has_starts else 2

    @custom_partitioning
    def operation(*operands: Any) -> Any:
        return _foreign(operands[:own], steps, in_place)

    def on_a_device(*operands: Any) -> Any:
        if not shape:
            return _foreign(operands[:2], steps, in_place)
        starts = jnp.stack([indices[0] for indices in operands[own:]])
        if has_starts:
            starts = starts + operands[2]
        return _foreign((*operands[:2], starts), steps, in_place)

    def partition(mesh: Any, arguments: Any, result: Any) -> Any:
        sharding = result.sharding
        if not isinstance(sharding, NamedSharding):  # a way of dividing that no mesh describes
            raise NotImplementedError(f"x: got the sharding {sharding}; accepted: a NamedSharding")
        spec = (*sharding.spec, *(None,) * (len(shape) - len(sharding.spec)))
        of_numbers = (s if n > 1 else None for s, n in zip(spec, number_shape, strict=False))

        def sharded(*names: Any) -> NamedSharding:
            return NamedSharding(sharding.mesh, PartitionSpec(*names))

        starts = [sharded(None)] if has_starts else []
        return (
            sharding.mesh,
            on_a_device,
            sharded(*spec),
            (sharded(*spec), sharded(*of_numbers, None), *starts, *(sharded(s) for s in spec)),
        )

    def infer(mesh: Any, arguments: Any, result: Any) -> Any:
        return arguments[0].sharding

    axes = [f"a{d}" for d in range(len(shape))]
    numbers = [a if n > 1 else f"n{d}" for d, (a, n) in enumerate(zip(axes, number_shape, strict=False))]
    whole = [name for name in numbers if name.startswith("n")] + ["words"] + ["starts"] * has_starts
    inputs = [" ".join(axes), " ".join([*numbers, "words"]), *["starts"] * has_starts, *axes]
    operation.def_partition(
        partition,
        infer_sharding_from_operands=infer,
        sharding_rule=f"{', '.join(inputs)} -> {' '.join(axes)}",
        need_replication_factors=tuple(whole),
    )
    return operation


@functools.partial(jax.jit, static_argnames=("steps", "in_place"))
def _alone(*operands: Any, steps: tuple[int, ...], in_place: bool) -> Any:
    return _bind(list(operands), steps, in_place)


@apply_p.def_impl
def _evaluate(*operands: Any, steps: tuple[int, ...], in_place: bool, call: Any) -> Any:
    with jax.disable_jit(False):  # compiled even there: without it the operation would be evaluated to evaluate it
        return _alone(*operands, steps=steps, in_place=in_place)


@apply_p.def_abstract_eval
def _abstract(x: Any, *others: Any, **parameters: Any) -> Any:
    return x


def _lower(ctx: Any, *operands: Any, call: Any, **parameters: Any) -> Any:
    return mlir.lower_fun(jax.extend.core.jaxpr_as_fun(call), multiple_results=True)(ctx, *operands)


def _refuse(ctx: Any, *operands: Any, **parameters: Any) -> Any:
    raise NotImplementedError(
        f"simdrop.jax: got the platform {'/'.join(ctx.module_context.platforms)}; accepted: cpu, "
        "for example under jax.default_device(jax.devices('cpu')[0])"
    )


mlir.register_lowering(apply_p, _refuse)
mlir.register_lowering(apply_p, _lower, platform="cpu")


def _jvp(primals: Any, tangents: Any, *, steps: tuple[int, ...], in_place: bool, call: Any) -> Any:
    y = _bind(list(primals), steps, in_place)
    if type(tangents[0]) is ad.Zero:
        return y, ad.Zero(jax.typeof(y).to_tangent_aval())
    return y, _bind([tangents[0], *primals[1:]], steps, in_place)


def _transpose(cotangent: Any, x: Any, *others: Any, steps: tuple[int, ...], in_place: bool, call: Any) -> Any:
    if type(cotangent) is ad.Zero:
        return [ad.Zero(x.aval), *(None for _ in others)]
    return [_bind([cotangent, *others], steps, in_place), *(None for _ in others)]


ad.primitive_jvps[apply_p] = _jvp
ad.primitive_transposes[apply_p] = _transpose


def _batch(operands: Any, dims: Any, *, steps: tuple[int, ...], in_place: bool, call: Any) -> Any:
    (x, numbers, *starts), (x_dim, numbers_dim, *starts_dim) = operands, dims
    if starts_dim and starts_dim[0] is not None:
        raise NotImplementedError("spec: got a batch of places in a mesh; accepted: vmap inside shard_map")
    size = x.shape[x_dim] if x_dim is not None else numbers.shape[numbers_dim]
    x = jnp.broadcast_to(x, (size, *x.shape)) if x_dim is None else jnp.moveaxis(x, x_dim, 0)
    numbers = numbers[None] if numbers_dim is None else jnp.moveaxis(numbers, numbers_dim, 0)
    if starts:
        starts = [jnp.concatenate([jnp.zeros(1, jnp.uint32), starts[0]])]
    return _bind([x, numbers, *starts], (0, *steps), in_place), 0


batching.primitive_batchers[apply_p] = _batch
