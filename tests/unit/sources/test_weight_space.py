"""Coordinates of LoRA studies: curvature and merges are those of full weights."""

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.lora import Adapter, Factors, delta
from foretaste.metrics import METRICS
from foretaste.params import Params, parameters_of, snapshot, swapped
from foretaste.sources.adapted import LoraPlan, add_lora
from foretaste.sources.dense_factors import dense_factors
from foretaste.sources.imported_updates import fitting_factors, keep_factors
from foretaste.sources.problem import Problem
from foretaste.sources.weight_space import WeightSpace
from foretaste.task import Rows, Task

TARGETS = ["0", "2"]


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), Conv1D(5, 8), nn.Tanh(), nn.Linear(5, 3))


def problem(plan: LoraPlan) -> Problem:
    generator = torch.Generator().manual_seed(1)
    tasks = []
    for name in "ab":
        rows = Rows(torch.randn(20, 6, generator=generator), torch.randint(3, (20,), generator=generator))
        tasks.append(Task(name, rows, rows, [METRICS["accuracy"]]))
    return add_lora(Problem(network(), tuple(tasks)), plan, seed=3)


def space_of(own: Problem) -> WeightSpace:
    assert isinstance(own.space, WeightSpace)
    return own.space


def trained(own: Problem, seed: int) -> dict[str, Tensor]:
    """Params as a run may come to them."""
    generator = torch.Generator().manual_seed(seed)
    parameters = parameters_of(own.model, own.trained)
    return {name: t + 0.3 * torch.randn(t.shape, generator=generator) for name, t in parameters.items()}


def materialised(own: Problem, updates: Params) -> nn.Sequential:
    """The plain network with the updates in its weights."""
    model = copy.deepcopy(network())
    with torch.no_grad():
        for place in (0, 2):
            weight = model[place].weight
            assert isinstance(weight, Tensor)
            weight.add_(updates[f"{place}.base_layer.weight"])
    return model


@pytest.mark.parametrize("rslora", [False, True])
def test_a_run_s_updates_are_lent_as_its_factors_bit_for_bit(rslora: bool) -> None:
    own, inputs = problem(LoraPlan(r=2, alpha=3.0, targets=TARGETS, rslora=rslora)), torch.randn(4, 6)
    run = trained(own, 5)
    updates = own.space.center(own.model, None, run)
    with torch.no_grad():
        with swapped(own.model, run):
            expected = own.model(inputs)
        with swapped(own.model, updates):
            assert torch.equal(own.model(inputs), expected)
        assert torch.allclose(materialised(own, updates)(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("estimator", ["fisher", "kfac"])
def test_curvature_is_that_of_the_model_with_the_updates_in_its_weights(estimator: Estimator) -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS))
    run, plan = trained(own, 5), EstimatePlan(estimator, "exact")
    task = own.tasks[0]
    with own.space.watched(own.model, task) as watched:
        found = estimate_site(own.model, run, watched, plan)
    names = {"0.base_layer.weight": "0.weight", "2.base_layer.weight": "2.weight"}
    plain = Task("a", task.train, task.validation, task.metrics, names=frozenset(names.values()))
    expected = estimate_site(materialised(own, own.space.center(own.model, None, run)), None, plain, plan)
    probe = {name: torch.randn(*shape) for name, shape in _shapes(own).items()}
    found_image = found.precision.apply(probe)
    expected_image = expected.precision.apply({names[name]: tensor for name, tensor in probe.items()})
    for name, plain_name in names.items():
        assert torch.allclose(found_image[name], expected_image[plain_name], rtol=1e-3, atol=1e-6)
        assert found_image[name].abs().max() > 1e-4


def _shapes(own: Problem) -> Mapping[str, tuple[int, ...]]:
    return {name: layer.shape for name, layer in space_of(own).layers.items()}


def test_watching_leaves_the_model_as_it_was() -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS, train_a=False))
    before = {name: parameter.requires_grad for name, parameter in own.model.named_parameters()}
    with own.space.watched(own.model, own.tasks[0]) as task:
        assert task.names == frozenset({"0.base_layer.weight", "2.base_layer.weight"})
        assert own.model.get_parameter("0.base_layer.weight").requires_grad
    assert {name: parameter.requires_grad for name, parameter in own.model.named_parameters()} == before


def test_a_weight_that_two_layers_have_is_refused() -> None:
    own = problem(LoraPlan(r=2, targets=["0"]))
    own.space.check_curvature(own.model)
    own.model.add_module("tied", nn.Linear(6, 8, bias=False))
    tied = own.model.get_submodule("tied")
    tied.weight = own.model.get_parameter("0.base_layer.weight")
    with pytest.raises(TaskError, match=r"0\.base_layer\.weight has LoRA factors and is tied") as caught:
        own.space.check_curvature(own.model)
    assert caught.value.field == ("finetune", "targets")


def test_the_prior_s_mean_is_no_update() -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS))
    mean = own.space.prior_mean(own.model, own.trained)
    assert set(mean) == {"0.base_layer.weight", "2.base_layer.weight"}
    assert not any(tensor.any() for tensor in mean.values())


@pytest.mark.parametrize("held", ["factors", "dense"])
def test_training_starts_from_the_best_factors_of_its_rank(held: str) -> None:
    own = problem(LoraPlan(r=2, alpha=3.0, targets=TARGETS))
    two = [own.space.center(own.model, None, trained(own, seed)) for seed in (5, 6)]
    whole = {name: 0.5 * (two[0][name] + two[1][name]) for name in two[0]}
    as_factors = {name: dense_factors(t, "linear", transposed=name[0] == "2") for name, t in whole.items()}
    updates = space_of(own).updates(whole if held == "dense" else as_factors, {})
    started = own.space.start(own.model, updates)
    assert set(started) == own.trained
    found = own.space.center(own.model, None, started)
    for name, tensor in whole.items():
        left, values, right = torch.linalg.svd(tensor.double(), full_matrices=False)
        best = left[:, :2] * values[:2] @ right[:2]
        assert torch.allclose(found[name].double(), best, atol=1e-5)
    rows = started["0.lora_A.default.weight"].norm(dim=1)
    initial = own.model.get_parameter("0.lora_A.default.weight").norm(dim=1).mean()
    assert torch.allclose(rows, initial.expand(2), rtol=1e-4)


def test_where_a_stays_the_start_is_exact_for_sums_of_its_runs() -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS, train_a=False))
    run = trained(own, 5)
    updates = own.space.center(own.model, None, run)
    started = own.space.start(own.model, updates)
    assert set(started) == own.trained
    assert all(torch.allclose(started[name], tensor, atol=1e-4) for name, tensor in run.items())


def test_a_layer_without_update_starts_as_it_began() -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS))
    mean = own.space.prior_mean(own.model, own.trained)
    before = snapshot(parameters_of(own.model, own.trained))
    started = own.space.start(own.model, mean)
    assert all(torch.equal(started[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("held", ["factors", "dense"])
def test_a_lower_rank_is_the_best_and_its_error_is_told(held: str) -> None:
    own = problem(LoraPlan(r=2, targets=TARGETS))
    space = space_of(own)
    updates = space.center(own.model, None, trained(own, 5))
    given = updates if held == "factors" else space.updates({name: updates[name] for name in updates.layers}, {})
    reduced, error = space.reduced(given, 1, 2)
    lost = total = 0.0
    for name in updates.layers:
        values = torch.linalg.svdvals(updates[name].double())
        lost, total = lost + float(values[1:].square().sum()), total + float(values.square().sum())
        update = reduced.layers[name]
        assert isinstance(update, Factors)
        assert update.rank == 1
        expected = float(values[1:].square().sum().sqrt())
        assert float((reduced[name] - updates[name]).norm()) == pytest.approx(expected, rel=1e-3)
    assert error == pytest.approx((lost / total) ** 0.5, rel=1e-3)
    exact, none = space.reduced(given, None, 2)
    assert none == pytest.approx(0, abs=1e-6)
    assert all(torch.allclose(exact[name], updates[name], atol=1e-5) for name in updates.layers)


class TestImportedAdapters:
    """Adapters of other ranks and layers than the study's."""

    def space(self, own: Problem) -> WeightSpace:
        return space_of(own).extended(["0", "4"], str)

    def adapter(self) -> Adapter:
        generator = torch.Generator().manual_seed(7)
        a, b = (torch.randn(*shape, generator=generator) for shape in ((3, 6), (8, 3)))
        a4, b4 = (torch.randn(*shape, generator=generator) for shape in ((1, 5), (3, 1)))
        return Adapter({"0": Factors(a, b, alpha=4.0, stabilised=True), "4": Factors(a4, b4, alpha=2.0)})

    def params(self, own: Problem) -> dict[str, Tensor]:
        space, adapter = space_of(own), self.adapter()
        return keep_factors(fitting_factors(adapter, space.weight_names(str), space.update_shapes, Path("adapter")))

    def test_their_layers_join_those_of_the_study(self) -> None:
        own = problem(LoraPlan(r=2, targets=TARGETS))
        space = self.space(own)
        assert list(space.weights) == ["0.base_layer.weight", "2.base_layer.weight", "4.weight"]
        assert space.inputs == {"space": "weights", "layers": ["4.weight"]}
        assert space_of(own).inputs == {"space": "weights"}

    def test_they_are_lent_as_they_are(self) -> None:
        own, inputs, adapter = problem(LoraPlan(r=2, targets=TARGETS)), torch.randn(4, 6), self.adapter()
        params = self.space(own).lent(own.model, None, self.params(own))
        plain = network()
        with torch.no_grad():
            for place in ("0", "4"):
                plain.get_parameter(f"{place}.weight").add_(delta(adapter, place))
            with swapped(own.model, params):
                assert torch.allclose(own.model(inputs), plain(inputs), atol=1e-5)

    def test_layers_that_they_leave_have_no_update(self) -> None:
        own = problem(LoraPlan(r=2, targets=TARGETS))
        center = self.space(own).center(own.model, None, self.params(own))
        assert not center["2.base_layer.weight"].any()
        assert set(center) == {"0.base_layer.weight", "2.base_layer.weight", "4.weight"}

    def test_curvature_is_seen_in_their_layers_too(self) -> None:
        own = problem(LoraPlan(r=2, targets=TARGETS))
        with self.space(own).watched(own.model, own.tasks[0]) as task:
            found = estimate_site(own.model, None, task, EstimatePlan("fisher", "exact"))
        assert set(found.precision.to_tensors()) == {"0.base_layer.weight", "2.base_layer.weight", "4.weight"}

    def test_no_training_starts_from_layers_that_the_study_does_not_train(self) -> None:
        own = problem(LoraPlan(r=2, targets=TARGETS))
        space = self.space(own)
        center = space.center(own.model, None, self.params(own))
        with pytest.raises(ParamsError, match=r"imported adapters change 4, .* name these layers in finetune\.targets"):
            space.start(own.model, center)
