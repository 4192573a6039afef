"""Transformations are values: they print, compare, hash, pickle and go through JSON."""

import functools
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx._core.describe import value_key
from tests import cases

FIVE = (
    gx.clip_by_global_norm(1.0),
    gx.scale_by_adam(b2=0.99),
    gx.add_decayed_weights(0.01, cases.matrices),
    gx.chain(gx.trace(0.9), gx.scale(2.0)),
    gx.scale_by_learning_rate(cases.rate),
)


def test_chain_of_five_prints_as_a_tree():
    assert str(gx.chain(*FIVE)) == "\n".join(
        [
            "chain",
            "├── clip_by_global_norm(max_norm=1.0)",
            "├── scale_by_adam(b1=0.9, b2=0.99, eps=1e-08, eps_root=0.0)",
            "├── add_decayed_weights(weight_decay=0.01, mask=matrices)",
            "├── chain",
            "│   ├── trace(decay=0.9)",
            "│   └── scale(step_size=2.0)",
            "└── scale_by_learning_rate(learning_rate=rate)",
        ]
    )


def test_named_optimizer_prints_what_it_is_made_of():
    assert str(gx.sgd(0.1, momentum=0.9)) == "\n".join(
        [
            "sgd(learning_rate=0.1, momentum=0.9)",
            "├── trace(decay=0.9)",
            "└── scale_by_learning_rate(learning_rate=0.1)",
        ]
    )


def test_names_label_the_parts():
    tx = gx.named_chain(("clip", gx.clip_by_global_norm(1.0)), ("step", gx.scale(-0.1)))
    assert str(tx) == "\n".join(
        [
            "named_chain",
            "├── clip: clip_by_global_norm(max_norm=1.0)",
            "└── step: scale(step_size=-0.1)",
        ]
    )


def test_repr_is_the_call_with_what_differs_from_the_defaults():
    assert repr(gx.scale_by_adam()) == "scale_by_adam()"
    assert repr(gx.scale_by_adam(0.8, eps=1e-6)) == "scale_by_adam(b1=0.8, eps=1e-06)"


def test_long_repr_has_a_line_for_each_argument():
    assert repr(gx.chain(*FIVE[:3], FIVE[3])).splitlines()[:3] == [
        "chain(",
        "    clip_by_global_norm(max_norm=1.0),",
        "    scale_by_adam(b2=0.99),",
    ]


def test_repr_evaluates_to_an_equal_value():
    tx = gx.chain(*FIVE)
    assert eval(repr(tx), {**vars(cases), **vars(gx)}) == tx


def test_equality_goes_by_the_arguments():
    assert gx.adam(0.1) == gx.adam(0.1, b1=0.9)
    assert hash(gx.adam(0.1)) == hash(gx.adam(0.1, b1=0.9))
    assert gx.adam(0.1) != gx.adam(0.2)
    assert gx.adam(0.1) != gx.adamw(0.1)
    assert gx.adam(0.1) != "adam"
    assert gx.chain(gx.scale(1.0)) != gx.chain(gx.scale(1.0), gx.scale(1.0))
    assert gx.chain(gx.chain(gx.scale(1.0))) != gx.chain(gx.scale(1.0))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        (np.float32(1), 1.0),
        (np.float32(1), np.float64(1)),
        (np.zeros(2), np.zeros((2, 1))),
        ((1,), [1]),
        ("float32", np.dtype("float32")),
    ],
)
def test_values_of_different_types_differ(a, b):
    assert value_key(a) != value_key(b)
    assert value_key(a) == value_key(type(a)(a) if isinstance(a, (list, tuple)) else a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (float("nan"), float("nan")),
        (np.arange(3), np.arange(3)),
        (jnp.float32(2), jnp.float32(2)),
        (jnp.bfloat16, "bfloat16" and np.dtype(jnp.bfloat16)),
        ({"a": (1, 2)}, {"a": (1, 2)}),
    ],
)
def test_equal_values_have_equal_keys(a, b):
    assert value_key(a) == value_key(b)
    assert hash(value_key(a)) == hash(value_key(b))


def test_random_keys_compare_by_their_bits():
    assert value_key(jax.random.key(1)) == value_key(jax.random.key(1))
    assert value_key(jax.random.key(1)) != value_key(jax.random.key(2))


def test_static_argument_of_jit():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def step(tx, g):
        traces.append(tx)
        return tx.update(g, tx.init(g))[0]

    for rate in (0.5, 0.5, 0.25):
        step(gx.chain(gx.scale(rate), gx.scale_by_sign()), jnp.ones(3))
    assert len(traces) == 2


def test_pickle():
    tx = gx.chain(*FIVE)
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_json():
    tx = gx.chain(*FIVE)
    text = json.dumps(tx.to_config())
    assert gx.from_config(json.loads(text)) == tx
    assert gx.scale(0.5).to_config() == {"call": "scale", "arguments": {"step_size": 0.5}}


@pytest.mark.parametrize(
    "value",
    [0.1, 1, np.float32(0.1), np.float64(0.1), jnp.float32(0.1), jnp.bfloat16(0.5)],
)
def test_json_keeps_the_type_of_a_number(value):
    tx = gx.scale(value)
    assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx


def test_json_of_infinity_is_strict():
    tx = gx.clip_by_global_norm(float("inf"))
    assert gx.from_config(json.loads(json.dumps(tx.to_config(), allow_nan=False))) == tx


def test_json_of_a_mask_and_a_key():
    for tx in (
        gx.add_decayed_weights(0.1, {"w": True, "b": [False, (True,)]}),
        gx.add_noise(0.1, 0.5, key=jax.random.key(3)),
    ):
        assert gx.from_config(json.loads(json.dumps(tx.to_config()))) == tx


def test_config_calls_nothing_but_what_is_registered():
    config = {"call": "os.system", "arguments": {"command": "true"}}
    with pytest.raises(ValueError, match=r"is registered as 'os\.system'"):
        gx.from_config(config)


def test_lambda_has_no_config():
    tx = gx.scale_by_learning_rate(lambda count: 0.1)
    message = (
        r"^to_config: `learning_rate` of scale_by_learning_rate is the function "
        r"'test_lambda_has_no_config.<locals>.<lambda>', which has no registered name\. Use one of "
        r"gradtx\.schedules, or a module-level function decorated with gradtx\.register\.$"
    )
    with pytest.raises(TypeError, match=message):
        tx.to_config()


def test_lambda_does_not_pickle():
    tx = gx.chain(gx.scale(1.0), gx.scale_by_learning_rate(lambda count: 0.1))
    message = r"^cannot pickle scale_by_learning_rate: its argument `learning_rate` is .*<lambda>"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(tx)


def test_lambdas_compare_by_identity():
    def constant(count):
        return 0.1

    assert gx.scale_by_learning_rate(constant) == gx.scale_by_learning_rate(constant)
    assert gx.scale_by_learning_rate(constant) != gx.scale_by_learning_rate(lambda count: 0.1)


def test_traced_arguments_compare_by_identity_and_do_not_pickle():
    @jax.jit
    def inside(rate):
        assert gx.scale(rate) == gx.scale(rate)
        assert gx.scale(rate) != gx.scale(rate + 1)
        assert repr(gx.scale(rate)) == "scale(step_size=<traced float32[]>)"
        with pytest.raises(TypeError, match="argument `step_size` is a traced value"):
            pickle.dumps(gx.scale(rate))
        return rate

    inside(0.5)


def test_tree_map_keeps_a_transformation_whole():
    """Equinox modules that hold an optimizer are mapped over."""
    tx = gx.adamw(0.1)
    mapped = jax.tree.map(lambda leaf: leaf, {"tx": tx})["tx"]
    assert type(mapped) is type(tx)
    assert mapped == tx
    assert repr(mapped) == repr(tx)
    assert isinstance(tx, tuple)
    init, update = mapped
    params = {"w": jnp.ones(2)}
    update(params, init(params), params)


def test_own_constructor_is_described_too():
    @gx.transformation
    def twice(inner):
        return gx.chain(inner, inner)

    tx = twice(gx.scale(2.0))
    assert repr(tx) == "twice(inner=scale(step_size=2.0))"
    assert tx == twice(gx.scale(2.0))
    with pytest.raises(TypeError, match="the constructor of value is not registered"):
        tx.to_config()


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ("adamw", r"Was gradtx.adamw\(...\).to_config\(\) meant"),
        ('{"call": "adamw"}', "Give json.loads of it"),
        ("no such name", "is 'no such name'\\.$"),
        ([gx.adam(0.1).to_config()], "is \\[{.call.: "),
        (None, "is None"),
    ],
)
def test_what_is_no_config(config, hint):
    with pytest.raises(ValueError, match=f"^from_config: a config must be a dict.*{hint}"):
        gx.from_config(config)


def test_near_miss_in_a_config():
    config = gx.adamw(0.1).to_config() | {"call": "adamwn"}
    with pytest.raises(ValueError, match=r"is registered as 'adamwn'.* Did you mean 'adamw'"):
        gx.from_config(config)
