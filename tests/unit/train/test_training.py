import pytest

from foretaste.train.training import Training, learning_rate


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("constant", [0.5, 1.0, 1.0, 1.0]), ("linear", [0.5, 1.0, 1.0, 0.5]), ("cosine", [0.5, 1.0, 1.0, 0.5])],
)
def test_schedules(decay: str, expected: list[float]) -> None:
    training = Training(steps=4, learning_rate=1.0, warmup=0.5, decay=decay)  # type: ignore[arg-type]
    assert [learning_rate(training, step) for step in range(4)] == pytest.approx(expected)


def test_without_warmup_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(Training(steps=10, learning_rate=0.3), 0) == 0.3
