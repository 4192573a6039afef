"""Collectives read off HLO, and predicted from types."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gradtx.sharding import Collective, collectives, sent_bytes
from gradtx.sharding._trace import traced_collectives

from .runs import tally


def compiled(f, *arrays):
    return jax.jit(f).lower(*arrays).compile()


def brief(found):
    return [(c.kind, c.bytes, c.devices, c.where, c.count) for c in found]


def test_all_reduce_in_a_branch_and_in_loops():
    mesh = jax.make_mesh((2, 4), ("data", "model"))
    x = jax.device_put(jnp.ones((8, 16)), NamedSharding(mesh, P("data", "model")))

    def total(i, a):
        return a + jnp.sum(jnp.sin(x * a[:, None]), 1)

    def f(x, n):
        least = jnp.min(x, 0)
        known = lax.fori_loop(0, 3, total, jnp.max(x, 1))
        unknown = lax.fori_loop(0, n, total, jnp.max(x, 1))
        return lax.cond(n > 3, lambda: jnp.max(x, 0), lambda: least), known, unknown

    with jax.set_mesh(mesh):
        read = collectives(compiled(f, x, 1))
        predicted = list(traced_collectives(jax.make_jaxpr(f)(x, 1), mesh.shape))
    found = brief(read)
    assert ("all-reduce", 16, 2, "branch", 1) in found
    assert ("all-reduce", 16, 4, "always", 3) in found
    assert ("all-reduce", 16, 4, "loop", 1) in found
    assert tally(c for c in read if c.kind == "all-reduce") == tally(predicted)


def test_gathers_are_counted_by_what_comes_out():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    gather = jax.shard_map(
        lambda x: lax.all_gather(x, "data", tiled=True, to="invarying"),
        mesh=mesh, in_specs=P("data"), out_specs=P(),
    )  # fmt: skip
    (found,) = collectives(compiled(gather, jnp.ones(16)))
    assert brief([found]) == [("all-gather", 64, 8, "always", 1)]
    scatter = jax.shard_map(
        lambda x: lax.psum_scatter(x, "data", tiled=True),
        mesh=mesh, in_specs=P(), out_specs=P("data"), check_vma=False,
    )  # fmt: skip
    (found,) = collectives(compiled(scatter, jnp.ones(16)))
    assert brief([found]) == [("reduce-scatter", 64, 8, "always", 1)]


LINES = {
    "%a = (f32[3], bf16[4,2]) all-reduce(%x, %y), replica_groups={{0,1,2},{3,4,5}}":
        ("all-reduce", 28, 3),
    "%a = (f32[2], f32[8]) all-gather-start(%x), replica_groups=[2,4]<=[8], dimensions={0}":
        ("all-gather", 32, 4),
    "%a = pred[5]{0} all-to-all(%x), replica_groups=[4,2]<=[2,4]T(1,0)": ("all-to-all", 5, 2),
    "%a = s4[6]{0} all-reduce(%x), replica_groups=mesh['a'=2,'b'=4], device_ids=([8]) {'a','b'}":
        ("all-reduce", 3, 8),
    "%a = u8[7]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}":
        ("collective-permute", 7, 2),
    "%a = ((f32[2], f32[9]), (f32[4], f32[18])) all-gather-start(%x, %y), replica_groups={{0,1}}":
        ("all-gather", 88, 2),
    "%a = ((f32[80]), f32[10]) reduce-scatter-start(%x), replica_groups={{0,1,2,3,4,5,6,7}}":
        ("reduce-scatter", 320, 8),
    "%a = (f32[4], f32[2]) all-reduce-start(%x, %y), replica_groups={{0,1}}": ("all-reduce", 24, 2),
    "%a = (f32[5], f32[5], u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}":
        ("collective-permute", 20, 1),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_each_way_of_writing_groups(line):
    text = f"HloModule m\n\nENTRY %main (x: f32[2]) -> f32[2] {{\n  {line}\n}}\n"
    (found,) = collectives(text)
    assert (found.kind, found.bytes, found.devices) == LINES[line]


def test_sent_in_a_ring():
    assert Collective("all-reduce", 80, 4).sent == 120
    assert Collective("all-gather", 80, 4, count=2).sent == 120
    assert Collective("collective-permute", 80, 4).sent == 80
    assert sent_bytes([Collective("all-gather", 8, 2), Collective("all-reduce", 8, 2)]) == 12


def test_what_is_no_program_is_refused():
    with pytest.raises(TypeError, match=r"jax.jit\(f\).lower\(...\).compile\(\)"):
        collectives(jnp.sin)
    with pytest.raises(TypeError, match=r"lowered only has no collectives yet: call .compile\(\)"):
        collectives(jax.jit(jnp.sin).lower(1.0))
