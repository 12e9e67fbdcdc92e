from pathlib import Path

import pytest
import torch

from foretaste.digests import digest
from foretaste.errors import ParamsError
from foretaste.sources.site_mean import as_type, check_digest, check_mean, check_values, own_mean

FILE = Path("a.safetensors")
MEAN = {"w": torch.tensor([1.0, 2.0])}
FACTS = {"names": ["w"], "dtype": "float32", "sha256": digest(MEAN)}


def test_the_file_s_mean_is_compared_with_the_caller_s() -> None:
    assert torch.equal(own_mean(FILE, MEAN, ["w"], None)["w"], MEAN["w"])
    check_values(FILE, MEAN, ["w"], {"w": MEAN["w"].bfloat16()})
    with pytest.raises(ParamsError, match="was taken at another w"):
        own_mean(FILE, MEAN, ["w"], {"w": MEAN["w"] + 1})
    with pytest.raises(ParamsError, match="lacks w; give the params"):
        own_mean(FILE, MEAN, ["w"], {})


def test_a_given_mean_is_the_very_one() -> None:
    assert torch.equal(check_mean(FILE, MEAN, FACTS)["w"], MEAN["w"])
    with pytest.raises(ParamsError, match="was saved without the task's params"):
        check_mean(FILE, None, FACTS)
    with pytest.raises(ParamsError, match="has other values or types"):
        check_digest(FILE, "another", FACTS)


def test_a_type_is_taken_where_no_value_changes() -> None:
    assert as_type(MEAN["w"], "bfloat16").dtype == torch.bfloat16
    assert as_type(torch.tensor([1.0001]), "bfloat16").dtype == torch.float32
