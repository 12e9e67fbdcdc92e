import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretaste.surface.scales import Scale, on_one_scale, sampling_noise, scale_of

METRICS = {
    "accuracy": (0.0, 1.0),
    "f1": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "bleu": (0.0, 100.0),
    "loss": (1e-6, 1e300),
    "perplexity": (1.0, 1e300),
    "own": (-1e300, 1e300),
}


@given(st.sampled_from(sorted(METRICS)), st.floats(0.0, 1.0))
def test_there_and_back(metric: str, share: float) -> None:
    low, high = METRICS[metric]
    values = np.array([(1 - share) * low + share * high])
    scale = scale_of(metric, values)
    assert scale.backward(scale.forward(values)) == pytest.approx(values, rel=1e-6, abs=1e-6)


@given(st.floats(-1e4, 1e4))
def test_no_number_leaves_the_bounds(number: float) -> None:
    numbers = np.array([number])
    assert 0 <= Scale(0.0, 1.0).backward(numbers)[0] <= 1
    assert -1 <= Scale(-1.0, 1.0).backward(numbers)[0] <= 1
    assert 0 <= Scale(0.0, np.inf).backward(numbers)[0] < np.inf
    assert 1 <= Scale(1.0, np.inf).backward(numbers)[0] < np.inf
    assert Scale(-np.inf, np.inf).backward(numbers)[0] == number


def test_order_is_kept() -> None:
    for metric, (low, high) in METRICS.items():
        values = np.linspace(low, min(high, 10.0), 50) if low > -1e300 else np.linspace(-5.0, 5.0, 50)
        scale = scale_of(metric, values)
        assert (np.diff(scale.forward(values)) > 0).all(), metric
        assert (np.diff(scale.backward(scale.forward(values))) > 0).all(), metric


def test_the_noise_of_a_share_is_the_same_everywhere() -> None:
    random = np.random.default_rng(0)
    for probability in (0.1, 0.5, 0.9):
        seen = random.binomial(400, probability, 20_000) / 400
        assert Scale(0.0, 1.0).forward(seen).var() == pytest.approx(1 / 1600, rel=0.05)


def test_values_beyond_the_bounds_are_another_metric_of_the_same_name() -> None:
    assert scale_of("accuracy", np.array([0.0, 1.0])) == Scale(0.0, 1.0)
    assert scale_of("accuracy", np.array([0.5, 70.0])) == Scale(-np.inf, np.inf)
    assert scale_of("loss", np.array([0.5, -0.1])) == Scale(-np.inf, np.inf)
    assert scale_of("accuracy", np.array([1.0 + 1e-12])) == Scale(0.0, 1.0)


def test_no_loss_at_all_has_a_logarithm() -> None:
    assert np.isfinite(Scale(0.0, np.inf).forward(np.array([0.0]))).all()


def test_the_noise_of_a_finite_number_of_examples() -> None:
    assert sampling_noise("accuracy", 400) == pytest.approx(0.5**0.5 * 0.025)
    assert sampling_noise("exact_match", 100) == 2 * sampling_noise("accuracy", 400)
    assert sampling_noise("loss", 100) == sampling_noise("accuracy", None) == sampling_noise("accuracy", 0) == 0.0


def test_a_perplexity_is_at_least_one() -> None:
    assert scale_of("perplexity", np.array([1.0, 300.0])) == Scale(1.0, np.inf)
    assert Scale(1.0, np.inf).backward(np.array([-0.5, 0.0])).tolist() == [1.0, 1.0]
    assert scale_of("perplexity", np.array([0.9])) == Scale(-np.inf, np.inf)


def test_only_one_metric_is_on_one_scale() -> None:
    assert not on_one_scale(["accuracy", "f1"])
    assert not on_one_scale(["exact_match", "token_accuracy"])
    assert on_one_scale(["perplexity"] * 3)
    assert on_one_scale(["own", "own"])
    assert not on_one_scale(["bleu", "accuracy"])
    assert not on_one_scale(["own", "other"])
