import pytest

from foretaste.loss.class_labels import IGNORED
from foretaste.sources.row_lengths import lengths_of
from foretaste.sources.tokens import EncodedRows, Row


@pytest.mark.parametrize("count", [1, 2, 19, 20, 100])
def test_so_many_rows_are_at_most_so_long(count: int) -> None:
    lengths = [(7 * place) % count + 3 for place in range(count)]
    rows = [Row([5, 6], [IGNORED, 7], length=length, cut=length > 9, lost=int(length > 9)) for length in lengths]
    measured = lengths_of([EncodedRows(rows[: count // 2]), EncodedRows(rows[count // 2 :])])
    for quantile, share in ((measured.median, 0.5), (measured.p95, 0.95), (measured.longest, 1.0)):
        assert sum(length <= quantile for length in lengths) >= share * count - 1e-9
        assert sum(length < quantile for length in lengths) < share * count
    assert (measured.rows, measured.learned) == (count, count)
    assert measured.cut == measured.lost == sum(length > 9 for length in lengths)
