from dataclasses import replace

import pytest

from foretaste.errors import DataError
from foretaste.sources.class_rows import check_rows, read_parts
from foretaste.sources.request import TaskRequest


def test_rows_are_read_with_their_labels(plans: list[TaskRequest]) -> None:
    rows = check_rows(plans[0], read_parts(plans[0]))
    assert (len(rows.train), len(rows.validation)) == (10, 10)
    assert rows.labels == ("bad", "good")
    assert rows.values[0] == rows.values[1] == list(rows.train["label"])
    assert repr(rows).count("\n") == 0


def test_the_digest_depends_on_the_order_of_the_classes(plans: list[TaskRequest]) -> None:
    turned = replace(plans[0], labels=("good", "bad"))
    usual, other = (check_rows(plan, read_parts(plan)) for plan in (plans[0], turned))
    assert other.labels == ("good", "bad")
    assert usual.digest != other.digest == check_rows(turned, read_parts(turned)).digest


def test_a_label_that_is_not_allowed_is_named_with_its_row(plans: list[TaskRequest]) -> None:
    narrow = replace(plans[0], labels=("bad",))
    with pytest.raises(DataError, match=r"label 'good' in row \d+ of .* is not one of: bad; correct the row") as caught:
        check_rows(narrow, read_parts(narrow))
    assert caught.value.field == ("tasks", "a", "train")


def test_a_file_that_is_missing_is_an_error_at_its_field(plans: list[TaskRequest]) -> None:
    with pytest.raises(DataError, match=r"gone\.csv does not exist") as caught:
        read_parts(replace(plans[0], validation="gone.csv"))
    assert caught.value.field == ("tasks", "a", "validation")
