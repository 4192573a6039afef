"""States of torch.optim as plain dicts of arrays: names, axes, differences, errors."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx as gx
from gradtx.state import from_torch, to_torch

NAMES = ["fc.weight", "fc.bias"]
PATHS = {"fc.weight": "fc/kernel"}
CARRIED = {"names": NAMES, "paths": PATHS, "transpose": "*/kernel"}
PARAMS = {"fc": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
ADAMW = {
    "lr": 0.1,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 1e-4,
    "amsgrad": False,
    "maximize": False,
    "decoupled_weight_decay": True,
}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False}


def state_dict(*keys, group=ADAMW, step=7, params=(0, 1)):
    """Return a dict as an optimizer of torch has it, of a linear layer."""
    rng = np.random.default_rng(0)
    state = {}
    for index, shape in enumerate([(2, 3), (2,)]):
        state[index] = {key: rng.random(shape, np.float32) for key in keys}
        if step is not None:
            state[index]["step"] = np.asarray(step, np.float32)
    return {"state": state, "param_groups": [group | {"params": list(params)}]}


ADAM_STATE = state_dict("exp_avg", "exp_avg_sq")


def test_adamw():
    state, report = from_torch(gx.adamw(0.1), PARAMS, ADAM_STATE, **CARRIED)
    np.testing.assert_array_equal(state[0].mu["fc"]["kernel"], ADAM_STATE["state"][0]["exp_avg"].T)
    np.testing.assert_array_equal(state[0].nu["fc"]["bias"], ADAM_STATE["state"][1]["exp_avg_sq"])
    assert int(state[0].count) == 7
    assert report.renamed["scale_by_adam/mu/fc/kernel"] == "fc.weight/exp_avg"
    assert report.hints == ()
    assert len(report.restored) == 5


def test_and_back():
    tx = gx.adamw(0.1)
    state, _ = from_torch(tx, PARAMS, ADAM_STATE, **CARRIED)
    fresh = {"state": {}, "param_groups": ADAM_STATE["param_groups"]}
    there, report = to_torch(tx, state, PARAMS, fresh, tensor=np.array, **CARRIED)
    assert list(there["state"]) == [0, 1]
    for index, kept in ADAM_STATE["state"].items():
        assert set(there["state"][index]) == set(kept)
        for key, x in kept.items():
            np.testing.assert_array_equal(there["state"][index][key], x)
    assert there["state"][0]["exp_avg"].flags.c_contiguous
    assert there["param_groups"] == fresh["param_groups"]
    assert fresh["state"] == {}
    assert (report.missing, report.extra) == ((), ())


def test_the_recipe_around_it_may_be_another():
    tx = gx.guard(gx.chain(gx.clip_by_global_norm(1.0), gx.adamw(gx.linear_schedule(0.2, 0.0, 14))))
    with pytest.raises(ValueError, match=r"not there: guard"):
        from_torch(tx, PARAMS, ADAM_STATE, **CARRIED)
    _, report = from_torch(tx, PARAMS, ADAM_STATE, missing="init", **CARRIED)
    assert report.counted == {
        "scale_by_learning_rate/count": 7
    }  # of a schedule, where a constant was
    assert report.hints == ()  # at step 7 the schedule is at torch's rate
    assert all(name.startswith("guard/") for name in report.missing)
    groups = gx.groups(("b", "*/bias", gx.adam(0.1)), ("w", "*", gx.adamw(0.1)))
    _, report = from_torch(groups, PARAMS, ADAM_STATE, **CARRIED)
    assert report.renamed["b/scale_by_adam/mu/fc/bias"] == "fc.bias/exp_avg"
    assert not report.missing


def test_names_may_be_in_the_dict():
    keyed = {"state": dict(zip(NAMES, ADAM_STATE["state"].values(), strict=True))}
    keyed["param_groups"] = [ADAMW | {"params": NAMES}]  # as torch.distributed has it
    options = {"paths": PATHS, "transpose": "*/kernel"}
    expected, _ = from_torch(gx.adamw(0.1), PARAMS, ADAM_STATE, **CARRIED)
    group = ADAM_STATE["param_groups"][0] | {"param_names": NAMES}
    for given in (keyed, ADAM_STATE | {"param_groups": [group]}):
        state, _ = from_torch(gx.adamw(0.1), PARAMS, given, **options)
        np.testing.assert_array_equal(state[0].mu["fc"]["kernel"], expected[0].mu["fc"]["kernel"])
    with pytest.raises(ValueError, match=r"have numbers, not names. Give `names`"):
        from_torch(gx.adamw(0.1), PARAMS, ADAM_STATE, **options)


def test_narrow_tensors():
    class Tensor:
        """A tensor of torch, which NumPy cannot have in bfloat16."""

        dtype = "torch.bfloat16"

        def __init__(self, x):
            self.x = x

        def detach(self):
            return self

        def float(self):
            return self.x

    given = {
        "state": {
            i: {k: x if k == "step" else Tensor(x) for k, x in kept.items()}
            for i, kept in ADAM_STATE["state"].items()
        },
        "param_groups": ADAM_STATE["param_groups"],
    }
    params = {"fc": {k: p.astype("bfloat16") for k, p in PARAMS["fc"].items()}}
    state, _ = from_torch(gx.adamw(0.1), params, given, **CARRIED)
    assert state[0].mu["fc"]["kernel"].dtype == "float32"
    tx = gx.with_state_dtype(gx.adamw(0.1), mu="bfloat16")
    state, report = from_torch(tx, PARAMS, ADAM_STATE, **CARRIED)
    assert report.cast["scale_by_adam/mu/fc/bias"] == ("float32", "bfloat16")
    there, _ = to_torch(tx, state, PARAMS, ADAM_STATE, tensor=lambda x: x, **CARRIED)
    assert there["state"][0]["exp_avg"].dtype == "float32"  # which torch can take


def test_other_numbers_are_reported():
    tx = gx.chain(gx.add_decayed_weights(0.1), gx.adam(0.2, b1=0.8, eps_hat=True))
    _, report = from_torch(tx, PARAMS, ADAM_STATE, **CARRIED)
    assert report.hints == (
        "add_decayed_weights's weight_decay is 0.1, in torch 0.0001.",
        "scale_by_adam's b1 is 0.8, in torch 0.9.",
        "scale_by_learning_rate's step_size is 0.2, in torch 0.1.",
        "scale_by_adam has eps_hat=True, in torch it is as False.",
        "weight decay acts behind the moments in torch, here it does not.",
    )
    group = ADAMW | {"maximize": True}
    _, report = from_torch(
        gx.adam(0.1), PARAMS, state_dict("exp_avg", "exp_avg_sq", group=group), **CARRIED
    )
    assert report.hints == (
        "torch maximizes: turn the sign of the gradients.",
        "weight_decay is 0.0001 in torch, but no add_decayed_weights is here.",
    )


def test_groups_of_torch_are_compared_one_by_one():
    given = ADAM_STATE | {
        "param_groups": [ADAMW | {"params": [0]}, ADAMW | {"lr": 0.01, "params": [1]}]
    }
    _, report = from_torch(gx.adamw(0.1), PARAMS, given, **CARRIED)
    assert report.hints == ("scale_by_learning_rate's step_size is 0.1, in group 1 of torch 0.01.",)


def test_a_mask_decays_what_one_group_of_torch_does():
    groups = [ADAMW | {"params": [0]}, ADAMW | {"weight_decay": 0.0, "params": [1]}]
    tx = gx.adamw(0.1, mask=gx.matching("*/kernel"))
    _, report = from_torch(tx, PARAMS, ADAM_STATE | {"param_groups": groups}, **CARRIED)
    assert report.hints == ()


def test_momentum_has_what_stands_before_it():
    given = state_dict("momentum_buffer", group=SGD | {"dampening": 0.5}, step=None)
    buffer = given["state"][1]["momentum_buffer"]
    tx = gx.chain(gx.scale_by_learning_rate(0.25), gx.trace(0.9))
    state, _ = from_torch(tx, PARAMS, given, **CARRIED)
    np.testing.assert_allclose(state[1].trace["fc"]["bias"], -0.25 / 0.5 * buffer, rtol=1e-6)
    there, _ = to_torch(tx, state, PARAMS, given, tensor=np.array, **CARRIED)
    np.testing.assert_allclose(there["state"][1]["momentum_buffer"], buffer, rtol=1e-6)
    falling = gx.scale_by_learning_rate(gx.linear_schedule(0.1, 0.0, 9))
    with pytest.raises(ValueError, match=r"before trace there is a schedule"):
        from_torch(gx.chain(falling, gx.trace(0.9)), PARAMS, given, counts=3, **CARRIED)


def test_frozen_and_left_out_parameters():
    """torch keeps nothing for parameters that never had a gradient."""
    given = ADAM_STATE | {"state": {0: ADAM_STATE["state"][0]}}
    with pytest.raises(ValueError, match=r"2 arrays are not there: scale_by_adam/mu/fc/bias"):
        from_torch(gx.adamw(0.1), PARAMS, given, **CARRIED)
    tx = gx.trainable(gx.adamw(0.1), "*/kernel")
    state, report = from_torch(tx, PARAMS, given, **CARRIED)
    assert not report.missing
    there, report = to_torch(tx, state, PARAMS, given, tensor=np.array, **CARRIED)
    assert list(there["state"]) == [0]
    assert "Without state: fc.bias." in report.hints
    options = CARRIED | {"paths": PATHS | {"fc.bias": None}}
    _, report = from_torch(tx, PARAMS, ADAM_STATE, **options)
    assert "Left out as `paths` says: fc.bias." in report.hints


def test_what_has_no_place_is_not_dropped_in_silence():
    given = state_dict("exp_avg", "exp_avg_sq", "max_exp_avg_sq", group=ADAMW | {"amsgrad": True})
    with pytest.raises(ValueError, match=r"2 arrays have no place: fc.weight/max_exp_avg_sq"):
        from_torch(gx.adamw(0.1), PARAMS, given, **CARRIED)
    state, report = from_torch(gx.adamw(0.1), PARAMS, given, extra="drop", **CARRIED)
    assert len(report.extra) == 2
    with pytest.raises(ValueError, match=r"2 arrays are not there: fc.weight/max_exp_avg_sq"):
        to_torch(gx.adamw(0.1), state, PARAMS, given, tensor=np.array, **CARRIED)
    tx = gx.yogi(0.1)  # the same class of state, but other numbers in it
    with pytest.raises(ValueError, match=r"4 arrays are not there: scale_by_yogi"):
        from_torch(tx, PARAMS, ADAM_STATE, **CARRIED)


def test_shapes_names_and_steps_that_do_not_fit():
    tx = gx.adamw(0.1)
    straight = {"names": NAMES, "paths": PATHS}
    with pytest.raises(ValueError, match=r"must have shape \(3, 2\), but has \(2, 3\). Is it tran"):
        from_torch(tx, PARAMS, ADAM_STATE, **straight)
    with pytest.raises(ValueError, match=r"torch's 'fc.weight' would be 'fc/weight', but there is"):
        from_torch(tx, PARAMS, ADAM_STATE, names=NAMES)
    with pytest.raises(ValueError, match=r"`paths` has 'fc.weigth'.*Did you mean 'fc.weight'"):
        from_torch(tx, PARAMS, ADAM_STATE, names=NAMES, paths={"fc.weigth": "fc/kernel"})
    with pytest.raises(ValueError, match=r"are both 'fc/bias'"):
        from_torch(tx, PARAMS, ADAM_STATE, names=NAMES, paths=lambda name: "fc/bias")
    with pytest.raises(ValueError, match=r"those of the 2 parameters of the optimizer, but are 1"):
        from_torch(tx, PARAMS, ADAM_STATE, names=NAMES[:1])
    with pytest.raises(ValueError, match=r"the pattern .* matches no path"):
        from_torch(tx, PARAMS, ADAM_STATE, **straight, transpose="*/kernle")
    with pytest.raises(ValueError, match=r"has 2 axes, but `transpose` gives it \(0, 1, 2\)"):
        from_torch(tx, PARAMS, ADAM_STATE, **straight, transpose={"*/kernel": (0, 1, 2)})
    uneven = {"state": {i: dict(kept) for i, kept in ADAM_STATE["state"].items()}}
    uneven["param_groups"] = ADAM_STATE["param_groups"]
    uneven["state"][1]["step"] = np.asarray(3.0)
    with pytest.raises(ValueError, match=r"at different steps, fc.bias at 3 and fc.weight at 7"):
        from_torch(tx, PARAMS, uneven, **CARRIED)
    assert int(from_torch(tx, PARAMS, uneven, counts=7, **CARRIED)[0][0].count) == 7
    with pytest.raises(TypeError, match='must have "state" and "param_groups"'):
        from_torch(tx, PARAMS, ADAM_STATE["state"])


def test_kernels_need_their_axes():
    params = {"k": jnp.ones((3, 3, 2, 5))}
    given = {"state": {0: {}}, "param_groups": [SGD | {"params": [0]}]}
    given["state"][0]["momentum_buffer"] = np.arange(90.0).reshape(5, 2, 3, 3)
    with pytest.raises(ValueError, match=r"k has 4 axes, so it is not known which is which"):
        from_torch(gx.trace(0.9), params, given, names=["k"], transpose="k")
    axes = {"k": (2, 3, 1, 0)}
    state, _ = from_torch(gx.trace(0.9), params, given, names=["k"], transpose=axes)
    assert state.trace["k"][1, 2, 0, 4] == given["state"][0]["momentum_buffer"][4, 0, 1, 2]


@pytest.mark.parametrize(("only", "name"), [("t0", "ASGD"), ("history_size", "LBFGS")])
def test_states_of_another_meaning_raise(only, name):
    given = {"state": {}, "param_groups": [{"lr": 0.1, only: 1, "params": [0, 1]}]}
    with pytest.raises(ValueError, match=f"from_torch: the state of torch's {name} cannot be"):
        from_torch(gx.adamw(0.1), PARAMS, given, **CARRIED)


def test_unknown_optimizers_raise():
    given = {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    with pytest.raises(ValueError, match=r"of no optimizer of torch.optim that is known; .*\['lr'"):
        from_torch(gx.adamw(0.1), PARAMS, given, **CARRIED)


def test_torch_needs_the_number_of_steps():
    tx = gx.rmsprop(0.1, eps_in_sqrt=False)
    group = {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "centered": False, "momentum": 0}
    given = state_dict("square_avg", group=group)
    state, _ = from_torch(tx, PARAMS, given, **CARRIED)
    with pytest.raises(ValueError, match=r"Give the number: steps=n"):
        to_torch(tx, state, PARAMS, given, tensor=np.array, **CARRIED)
    there, _ = to_torch(tx, state, PARAMS, given, tensor=np.array, steps=7, **CARRIED)
    assert there["state"][1]["step"] == 7


LEAF = {"w": jnp.ones(2)}


def from_leaf(tx, given, counts="saved", **group):
    """Return the state and the hints for one parameter, with what an optimizer keeps for it."""
    groups = [group | {"params": [0]}]
    there = {"state": {0: given}, "param_groups": groups}
    state, report = from_torch(tx, LEAF, there, names=["w"], missing="init", counts=counts)
    return state, report.hints


def test_dampening_weighs_the_momentum_otherwise():
    """torch's SGD with lr 0.1 and dampening 0.5 is one here with half the rate."""
    given, group = {"momentum_buffer": np.full(2, 3.0)}, SGD | {"dampening": 0.5}
    _, (hint,) = from_leaf(gx.sgd(0.1, momentum=0.9), given, **group)
    assert "must be 0.5 times torch's lr, and is 0.1, in torch 0.05" in hint
    tx = gx.sgd(0.05, momentum=0.9)
    state, hints = from_leaf(tx, given, **group)
    assert hints == ()
    updates, _ = tx.update(LEAF, state, LEAF)
    np.testing.assert_allclose(updates["w"], -0.1 * (0.9 * 3.0 + 0.5 * 1.0), rtol=1e-6)
    mean = gx.chain(gx.ema(0.9, debias=False), gx.scale_by_learning_rate(1.0))
    assert from_leaf(mean, given, 3, **SGD)[1] == ()  # 1 / (1 - 0.9) times torch's 0.1


@pytest.mark.parametrize(
    ("tx", "hints"),
    [
        (gx.sgd(0.1, momentum=0.9, weight_decay=0.1), 1),
        (gx.chain(gx.add_decayed_weights(0.1), gx.sgd(0.1, momentum=0.9)), 0),
    ],
)
def test_decay_of_sgd_acts_before_the_momentum(tx, hints):
    found = from_leaf(tx, {"momentum_buffer": np.ones(2)}, **SGD | {"weight_decay": 0.1})[1]
    assert (
        list(found) == ["weight decay acts before the moments in torch, here it does not."][:hints]
    )


def test_decay_of_another_coupling_is_compared_by_its_share():
    given, group = {"exp_avg": np.ones(2), "exp_avg_sq": np.ones(2), "step": 7}, ADAMW
    group = group | {"weight_decay": 0.1}
    tx = gx.adamw(0.1, weight_decay=gx.decay(0.1, coupling="independent"))
    _, (hint,) = from_leaf(tx, given, **group)
    assert "takes lr * weight_decay = 0.01 of a parameter in a step in torch, here 0.1, " in hint
    for coupling in ("independent", "schedule"):
        tx = gx.adamw(0.1, weight_decay=gx.decay(0.01, coupling=coupling))
        assert from_leaf(tx, given, **group)[1] == ()


def test_names_of_groups_are_in_the_order_of_the_groups():
    """In the model's order arrays of one shape would be exchanged without a sign of it."""
    kept = {"exp_avg": np.ones(2), "exp_avg_sq": np.ones(2), "step": 7}
    groups = [ADAMW | {"params": [0]}, ADAMW | {"params": [1]}]
    there = {"state": {0: kept, 1: kept}, "param_groups": groups}
    params = {"actor": jnp.ones(2), "critic": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"for group in optimizer.param_groups for p in group\["):
        from_torch(gx.adamw(0.1), params, there)
    _, report = from_torch(gx.adamw(0.1), params, there, names=["critic", "actor"])
    (hint,) = report.hints
    assert "critic is in an earlier one than actor, which has its shape" in hint
