import pytest

from foretaste.train.curve import loss_ends, training_curve
from foretaste.train.training import Training, learning_rate

SETTINGS = {"steps": 1000, "learning_rate": 0.5, "warmup": 0.1, "decay": "cosine", "unknown": 1}


def test_a_long_history_is_thinned_to_means() -> None:
    history = [float(step) for step in range(1000)]
    curve = training_curve(history, SETTINGS, most=200)
    assert curve is not None
    assert curve.steps == tuple(range(5, 1001, 5))
    assert curve.losses[:2] == (2.0, 7.0)  # the means of 0 to 4 and of 5 to 9
    training = Training(1000, learning_rate=0.5, warmup=0.1, decay="cosine")
    assert curve.learning_rates == tuple(learning_rate(training, step - 1) for step in curve.steps)
    assert (curve.first_loss, curve.last_loss) == (49.5, 949.5)


@pytest.mark.parametrize("count", [1, 2, 199, 200, 201, 399, 401, 1001])
def test_every_step_counts_once_and_there_are_few_points(count: int) -> None:
    curve = training_curve([1.0] * count, {}, most=200)
    assert curve is not None
    assert len(curve.steps) == len(curve.losses) == len(curve.learning_rates) <= 200
    assert curve.steps[-1] == count
    assert set(curve.losses) == {1.0}
    assert list(curve.steps) == sorted(set(curve.steps))


def test_means_of_the_thinned_points_weigh_up_to_the_mean_of_all() -> None:
    history = [float(step % 7) for step in range(45)]
    curve = training_curve(history, {}, most=10)
    assert curve is not None
    widths = [end - start for start, end in zip((0, *curve.steps), curve.steps, strict=False)]
    total = sum(width * loss for width, loss in zip(widths, curve.losses, strict=True))
    assert total == pytest.approx(sum(history))


def test_an_imported_model_has_no_curve() -> None:
    assert training_curve([], SETTINGS) is None


def test_ends_of_a_short_run_are_its_single_steps() -> None:
    assert loss_ends([3.0, 2.0, 1.0]) == (3.0, 1.0)
    assert loss_ends([5.0]) == (5.0, 5.0)
