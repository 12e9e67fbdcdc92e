import pytest
import torch
from torch import nn

from foretaste.errors import ParamsError
from foretaste.params import parameters_of, snapshot
from foretaste.train.model_copy import copy_center, copy_model, load_params


def _tied() -> nn.Sequential:
    """A trained layer between a frozen one and its tied twin."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model.get_submodule("2").weight = model.get_parameter("0.weight")
    model.get_submodule("0").requires_grad_(False)
    return model


def test_frozen_memory_is_shared_and_tied_parameters_stay_tied() -> None:
    model = _tied()
    copied = copy_model(model, ())
    shared = {name for name, own in copied.named_parameters() if own.data_ptr() == model.get_parameter(name).data_ptr()}
    assert shared == {"0.weight", "0.bias"}
    assert dict(copied.get_submodule("2").named_parameters())["weight"] is copied.get_parameter("0.weight")
    before = snapshot(parameters_of(model))
    load_params(copied, {"1.weight": torch.zeros(2, 2)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(model).items())


def test_what_will_change_is_copied() -> None:
    model = _tied()
    copied = copy_model(model, ["0.weight"])
    load_params(copied, {"0.weight": torch.zeros(2, 2)})
    assert model.get_parameter("0.weight").abs().sum() > 0
    assert copied.get_parameter("0.bias").data_ptr() == model.get_parameter("0.bias").data_ptr()


def test_a_center_that_does_not_fit_is_refused() -> None:
    trained = {"w": nn.Parameter(torch.ones(2))}
    given = {"w": torch.zeros(2), "more": torch.zeros(1)}
    assert copy_center(trained, given)[0].tolist() == [0.0, 0.0]
    with pytest.raises(ParamsError, match=r"the center of the prior .* missing w"):
        copy_center(trained, {})
