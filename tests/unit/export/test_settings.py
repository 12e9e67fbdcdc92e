import pytest

from foretaste.export.settings import batch_sizes
from foretaste.train.training import Training


@pytest.mark.parametrize(
    ("batch", "micro", "expected"), [(12, 5, (4, 3)), (7, 4, (1, 7)), (8, None, (8, 1)), (8, 16, (8, 1))]
)
def test_micro_batches_make_a_batch_exactly(batch: int, micro: int | None, expected: tuple[int, int]) -> None:
    assert batch_sizes(Training(steps=1, batch_size=batch, micro_batch=micro)) == expected
