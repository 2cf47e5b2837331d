import math
from fractions import Fraction

import numpy as np
import pytest

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.sampling import plan, spacing

# ---- noise schedules


def test_linear_alpha_bar_is_the_product_of_ho_et_al():
    a = plan.alpha_bar("linear", 1000)
    assert a.dtype == np.float64 and a.shape == (1000,)
    assert a[0] == pytest.approx(0.9999, rel=1e-12)
    assert a[1] == pytest.approx(0.9999 * (1 - 1e-4 - 0.0199 / 999), rel=1e-12)
    assert a[-1] == pytest.approx(4.0358e-5, rel=1e-4)
    half = plan.alpha_bar("linear", 1000, 1e-4, 0.01)
    assert half[-1] == pytest.approx(math.prod(1 - 1e-4 - i * 0.0099 / 999 for i in range(1000)), rel=1e-10)


@pytest.mark.parametrize("steps", [4, 300, 1000])
def test_cosine_alpha_bar_is_the_closed_form_until_the_cut(steps):
    def f(t):
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    a = plan.alpha_bar("cosine", steps)
    np.testing.assert_allclose(a[:-1], [f(t + 1) / f(0) for t in range(steps - 1)], rtol=1e-9)
    assert a[-1] == pytest.approx(0.001 * a[-2], rel=1e-9)


def test_sigmoid_alpha_bar_has_the_values_worked_out_by_hand():
    a = plan.alpha_bar("sigmoid", 8)
    s3, s15 = 0.9525741268, 0.8175744762  # sigmoid(3), sigmoid(1.5)
    assert a[1] == pytest.approx((s3 - (1 - s15)) / (2 * s3 - 1), rel=1e-8)
    assert a[3] == pytest.approx(0.5, rel=1e-12)
    assert a[5] == pytest.approx((s3 - s15) / (2 * s3 - 1), rel=1e-8)
    assert a[7] == pytest.approx(0.001 * a[6], rel=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_every_schedule_falls_inside_zero_and_one_for_any_number_of_steps(schedule):
    for steps in (1, 2, 3, 1000, 4000):
        a = plan.alpha_bar(schedule, steps)
        assert a.shape == (steps,) and a[0] < 1 and a[-1] > 0 and np.all(np.diff(a) < 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linaer", 10), "did you mean 'linear'"),
        (("cosine", 0), "at least 1 step"),
        (("linear", 10, 0.0, 0.02), "0 < beta_start"),
        (("linear", 10, 0.02, 0.01), "0 < beta_start"),
        (("linear", 10, 1e-4, 1.0), "0 < beta_start"),
        (("linear", 10, math.nan, 0.02), "0 < beta_start"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        plan.alpha_bar(*arguments)


# ---- timesteps


def test_timesteps_of_lin_et_al_table_2():
    assert spacing.timesteps(1000, 5).tolist() == [999, 799, 599, 399, 199]


def test_timesteps_are_unique_descending_and_rounded_exactly():
    for total in (1, 2, 7, 100, 1000):
        for steps in range(1, total + 1):
            t = spacing.timesteps(total, steps)
            assert t.tolist() == [round(Fraction(total * k, steps)) - 1 for k in range(steps, 0, -1)]
            assert t.dtype == np.int64 and t[0] == total - 1 and t[-1] >= 0 and np.all(np.diff(t) < 0)


@pytest.mark.parametrize("steps", [-1, 0, 101])
def test_timesteps_outside_the_range_name_it(steps):
    with pytest.raises(UsageError, match=r"from 1 to 100 .*got"):
        spacing.timesteps(100, steps)


# ---- tables, against hand-worked values


def test_single_row_is_the_network_s_x0():
    rows = {"eps": (1.25, -0.75), "x0": (0, 1), "v": (0.8, -0.6), "edm": (0.2 / 0.52, 0.3 / 0.52**0.5)}
    for sampler in plan.SAMPLERS:
        for prediction, (x0_x, x0_out) in rows.items():
            table = plan.make_plan(np.array([0.64]), sampler=sampler, steps=1, prediction=prediction)
            assert table.dtype == np.float32
            np.testing.assert_allclose(table, [[0, x0_x, x0_out, 1, 0, 1, 0, 0, 1]], rtol=1e-6)


def test_first_of_two_rows_has_the_values_worked_out_by_hand():
    expected = {  # sqrt(alpha_bar) 0.6 -> 0.8; x, x0, x0_prev, noise
        ("ancestral", 0): (0.75 * 0.36 / 0.64, 0.8 * 0.4375 / 0.64, 0, 0.6 / 0.8 * math.sqrt(0.4375)),
        ("ddim", 0): (0.75, 0.35, 0, 0),
        ("dpmpp-2m", 0): (0.75, 0.35, 0, 0),
        ("ddim", 0.8): (0.5625, 0.4625, 0, math.sqrt(0.1575)),
    }
    for (sampler, eta), values in expected.items():
        row = plan.make_plan(np.array([0.64, 0.36]), sampler=sampler, steps=2, eta=eta, clip=np.inf)[0]
        np.testing.assert_allclose(row, [1, 1 / 0.6, -0.8 / 0.6, np.inf, *values, 1], rtol=1e-6, err_msg=sampler)


def test_ddim_with_eta_one_equals_ancestral_in_every_column():
    for schedule in ("linear", "cosine", "sigmoid"):
        a = plan.alpha_bar(schedule, 1000)
        for steps in (7, 50, 1000):
            ddim = plan.make_plan(a, sampler="ddim", eta=1.0, steps=steps)
            np.testing.assert_allclose(ddim, plan.make_plan(a, sampler="ancestral", steps=steps), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sampler", plan.SAMPLERS)
@pytest.mark.parametrize(
    "schedule", [("linear", 100_000), ("cosine", 100_000), ("linear", 9, 1e-20, 1e-18), ("linear", 99, 0.5, 0.999)]
)
def test_tables_of_extreme_schedules_are_finite(schedule, sampler):
    a = plan.alpha_bar(*schedule)
    for prediction in plan.PREDICTIONS:
        for steps in {1, 2, 9, len(a)}:
            table = plan.make_plan(a, sampler=sampler, steps=steps, prediction=prediction, clip=np.inf)
            assert np.isfinite(np.delete(table, 3, axis=1)).all()
            assert table[-1, 4:].tolist() == [0, 1, 0, 0, steps]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "dpmpp"}, "unknown sampler 'dpmpp' .did you mean 'dpmpp-2m'"),
        ({"prediction": "epsilon"}, "unknown prediction"),
        ({"eta": 1.5}, "eta must be"),
        ({"eta": math.nan}, "eta must be"),
        ({"eta": 0.5, "sampler": "ancestral"}, "0 for samplers other than 'ddim'"),
        ({"clip": 0.0}, "clip must be > 0"),
        ({"steps": 101}, "from 1 to 100"),
        ({"alpha_bar": np.array([])}, "alpha_bar must be"),
        ({"alpha_bar": np.array([0.5, 0.6])}, "alpha_bar must be"),
        ({"alpha_bar": np.array([0.5, math.nan])}, "alpha_bar must be"),
        ({"alpha_bar": np.array([1.0, 0.5])}, "alpha_bar must be"),
        ({"alpha_bar": np.array([0.5, 0.0])}, "alpha_bar must be"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        plan.make_plan(**{"alpha_bar": plan.alpha_bar("linear", 100), **settings})


# ---- a rectified flow


@pytest.mark.parametrize(("steps", "scale"), [(1, 1.0), (3, 1000.0), (50, 7.5)])
def test_euler_steps_go_down_the_straight_path_in_equal_strides(steps, scale):
    table = plan.euler(steps, scale)
    assert table.dtype == np.float32 and table.shape == (steps, 9)
    for i, row in enumerate(table.astype(float)):
        t, t_next = Fraction(steps - i, steps), Fraction(steps - i - 1, steps)
        kept = float(t_next / t)  # of x; the rest is x0, since x_t = (1 - t) x0 + t eps
        expected = [float(t) * scale, 1, -float(t), np.inf, kept, 1 - kept, 0, 0, i + 1]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    assert table[-1, 4:].tolist() == [0, 1, 0, 0, steps]


@pytest.mark.parametrize("steps", [0, -1, 100_001])
def test_euler_steps_outside_the_range_name_it(steps):
    with pytest.raises(UsageError, match=f"from 1 to 100000, got {steps}"):
        plan.euler(steps, 1000.0)


# ---- tables from outside


def test_validate_gives_float32_back():
    table = plan.make_plan(plan.alpha_bar("linear", 100), steps=10, clip=np.inf)
    for given in (table, table.astype(np.float64), table.tolist()):
        checked = plan.validate(given)
        assert checked.dtype == np.float32
        np.testing.assert_array_equal(checked, table)


@pytest.mark.parametrize("shape", [(9,), (0, 9), (3, 8), (3, 10), (1, 3, 9), (100_001, 9)])
def test_validate_refuses_other_shapes(shape):
    with pytest.raises(JaxgenError, match="1 to 100000 rows of 9 columns"):
        plan.validate(np.ones(shape))


@pytest.mark.parametrize("column", plan.COLUMNS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_validate_refuses_what_is_not_finite_but_in_clip(column, value):
    table = np.ones((4, 9))
    table[2, plan.COLUMNS.index(column)] = value
    if column == "clip" and value > 0:
        assert plan.validate(table)[2, 3] == math.inf
    else:
        with pytest.raises(JaxgenError, match=f"plan row 2: {column} must be"):
            plan.validate(table)


@pytest.mark.parametrize(
    ("column", "value"), [("clip", 0), ("clip", -1), ("noise_index", -1), ("noise_index", 0.5), ("noise_index", 2**25)]
)
def test_validate_refuses_a_clip_or_noise_index_out_of_range(column, value):
    table = np.ones((4, 9))
    table[3, plan.COLUMNS.index(column)] = value
    with pytest.raises(JaxgenError, match=f"plan row 3: {column} must be"):
        plan.validate(table)


@pytest.mark.parametrize("given", ["ddim", [["a"] * 9], None, [[1, 2], [3]]])
def test_validate_refuses_what_is_no_array_of_numbers(given):
    with pytest.raises(JaxgenError, match="a plan"):
        plan.validate(given)
