import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from foretaste.errors import TaskError
from foretaste.estimate.fisher import Labels, build, fisher
from foretaste.estimate.passes import slow_gradients
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.cross_entropy import CrossEntropy
from foretaste.metrics import METRICS
from foretaste.params import Params, snapshot, tensors_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.task import Rows, Task, Unit
from laws import assert_close, assert_same, normal, random
from networks import NETS, SEQUENCES, Net, assert_curvature_close, classes, empirical, gauss_newton, gradients, net

TINY = ["mlp", "bare parameter", "called twice", "tied"]


def squares(site: GaussianSite) -> Params:
    assert isinstance(site.precision, Diagonal)
    return site.precision.entries


def estimate(
    found: Net, labels: Labels = "empirical", unit: Unit = "example", seed: int = 0, batch_size: int = 2
) -> GaussianSite:
    return fisher(found.model, None, found.task(unit), generator=random(seed), labels=labels, batch_size=batch_size)


class TestAgainstALoopOverExamples:
    @pytest.mark.parametrize("name", NETS)
    def test_empirical(self, name: str) -> None:
        found = net(name)
        assert_curvature_close(
            squares(estimate(found, batch_size=3)), empirical(found.model, found.task(), found.batch)
        )

    @pytest.mark.parametrize("name", NETS)
    def test_empirical_in_the_datas_order(self, name: str) -> None:
        """Unshuffled, so that the probe sees the first two rows: those that leave some paths unused."""
        found = net(name)
        site = fisher(found.model, None, found.task(), generator=random(0), labels="empirical", batches=[found.batch])
        assert_curvature_close(squares(site), empirical(found.model, found.task(), found.batch))

    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", SEQUENCES)
    def test_units_and_padding_of_sequences(self, name: str, unit: Unit) -> None:
        found = net(name)
        site = estimate(found, unit=unit)
        assert_curvature_close(squares(site), empirical(found.model, found.task(unit), found.batch))
        counted = int((found.batch["labels"] != IGNORED).sum())
        assert (site.record.unit, site.record.examples, site.record.units) == (
            unit,
            5,
            5 if unit == "example" else counted,
        )
        assert counted < found.batch["labels"].numel()

    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", TINY)
    def test_exact_is_the_diagonal_of_the_gauss_newton_matrix(self, name: str, unit: Unit) -> None:
        found = net(name)
        expected = gauss_newton(found.model, found.task(unit), found.batch)
        assert_curvature_close(squares(estimate(found, "exact", unit)), expected, 1e-4)

    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", ["mlp", "tied"])
    def test_sampled_labels_are_unbiased(self, name: str, unit: Unit) -> None:
        found = net(name)
        expected = squares(estimate(found, "exact", unit))
        draws = [squares(estimate(found, "sampled", unit, seed, 5)) for seed in range(400)]
        for parameter, truth in expected.items():
            each = torch.stack([draw[parameter] for draw in draws]).double()
            error = each.std(0) / len(draws) ** 0.5
            assert bool(((each.mean(0) - truth).abs() <= 5 * error + 1e-6 * truth.norm()).all())
            assert float((each.mean(0) - truth).norm() / truth.norm()) < 0.15

    def test_the_three_differ(self) -> None:
        found = net("mlp")
        first, second, third = (squares(estimate(found, labels))["0.weight"] for labels in LABELS)
        assert not torch.allclose(first, second, rtol=0.01)
        assert not torch.allclose(second, third, rtol=0.01)
        assert not torch.allclose(first, third, rtol=0.01)


LABELS: tuple[Labels, ...] = ("sampled", "empirical", "exact")


@pytest.mark.parametrize("name", ["mlp", "routed", "tied"])
def test_slow_gradients_are_those_of_the_examples_and_name_what_they_use(name: str) -> None:
    found, factor = net(name), torch.arange(1.0, 6.0)
    whole = build(found.model.eval(), found.task(), generator=random(0))
    names = [each for each, _ in found.model.named_parameters()][:2]
    logits = found.task().predict(found.model, found.batch).detach()
    [root] = CrossEntropy().roots("empirical", logits, found.batch, factor, random(0))
    each = list(slow_gradients(whole, found.batch, root, names))
    assert len(each) == 5
    for index, gradient in enumerate(each):
        expected = gradients(found.model, found.task(), found.batch, index, found.batch["labels"])
        for parameter in names:
            got = gradient.get(parameter, torch.zeros_like(expected[parameter]))
            torch.testing.assert_close(got, factor[index] * expected[parameter])
    assert list(slow_gradients(whole, found.batch, root, [])) == []


class TestWhatDoesNotMatter:
    @pytest.mark.parametrize("name", ["mlp", "cnn", "bare parameter", "tied", "bert", "gpt2"])
    @pytest.mark.parametrize("labels", ["empirical", "exact"])
    def test_batch_size(self, name: str, labels: Labels) -> None:
        found = net(name)
        expected = squares(estimate(found, labels, batch_size=5))
        for size in (1, 2, 100):
            truth = {parameter: tensor.double() for parameter, tensor in expected.items()}
            assert_curvature_close(squares(estimate(found, labels, batch_size=size)), truth, 1e-4)

    @pytest.mark.parametrize("labels", LABELS)
    def test_the_same_generator_gives_the_same_bits(self, labels: Labels) -> None:
        found = net("mlp")
        assert_same(squares(estimate(found, labels)), squares(estimate(found, labels)))

    def test_the_generator_draws_the_labels(self) -> None:
        found = net("mlp")
        assert not torch.equal(
            squares(estimate(found, "sampled", seed=1))["0.weight"], squares(estimate(found, "sampled"))["0.weight"]
        )

    def test_true_labels_do_not_matter_to_sampled_and_exact(self) -> None:
        found = net("mlp")
        other = Net(found.model, {**found.batch, "labels": (found.batch["labels"] + 1) % 3})
        for labels in LABELS:
            same = torch.equal(
                squares(estimate(found, labels))["0.weight"], squares(estimate(other, labels))["0.weight"]
            )
            assert same == (labels != "empirical")


class TestBfloat16:
    def lowered(self) -> tuple[Net, Net]:
        """A bfloat16 network, and the same numbers in float32."""
        found = net("mlp")
        low = copy.deepcopy(found.model).bfloat16()
        inputs = found.batch["inputs"].bfloat16()
        wide = copy.deepcopy(low).float()
        return Net(low, {**found.batch, "inputs": inputs}), Net(wide, {**found.batch, "inputs": inputs.float()})

    def test_curvature_is_added_up_in_float32(self) -> None:
        low, wide = self.lowered()
        found = squares(estimate(low))
        assert all(tensor.dtype == torch.float32 for tensor in found.values())
        assert_close(found, squares(estimate(wide)), 0.05)

    def test_many_small_terms_are_not_lost(self) -> None:
        """In bfloat16 a sum of equal terms stops growing after 256 of them."""
        low, _ = self.lowered()
        batch = {name: tensor[:1].repeat(1000, *[1] * (tensor.dim() - 1)) for name, tensor in low.batch.items()}
        one = {name: tensor[:1] for name, tensor in low.batch.items()}
        assert_close(
            squares(estimate(Net(low.model, batch), batch_size=1000)), squares(estimate(Net(low.model, one))), 1e-3
        )
        assert_close(
            squares(estimate(Net(low.model, batch), batch_size=1)), squares(estimate(Net(low.model, one))), 1e-3
        )

    def test_the_center_keeps_the_models_type(self) -> None:
        low, _ = self.lowered()
        assert_same(estimate(low).center, dict(low.model.state_dict()))


def _named(rows: list[tuple[Tensor, ...]]) -> dict[str, Tensor]:
    inputs, labels = (torch.stack(column) for column in zip(*rows, strict=True))
    return {"inputs": inputs, "labels": labels}


class TestData:
    def test_max_examples_are_chosen_at_random(self) -> None:
        found = net("mlp")
        task = found.task()
        sites = [
            fisher(found.model, None, task, generator=random(seed), labels="empirical", max_examples=2)
            for seed in (0, 3, 0)
        ]
        assert [site.record.examples for site in sites] == [2, 2, 2]
        assert_same(squares(sites[0]), squares(sites[2]))
        assert not torch.equal(squares(sites[0])["0.weight"], squares(sites[1])["0.weight"])

    def test_more_examples_than_there_are(self) -> None:
        found = net("mlp")
        assert fisher(found.model, None, found.task(), generator=random(0), max_examples=100).record.examples == 5

    def test_training_examples_are_used(self) -> None:
        found = net("mlp")
        good = found.task().train
        bad = Rows(torch.full((2, 4), float("nan")), torch.zeros(2).long())
        task = Task("t", good, bad, [METRICS["accuracy"]])
        assert fisher(found.model, None, task, generator=random(0)).record.examples == 5

    def test_any_loader_of_batches(self) -> None:
        found = net("mlp")
        task = found.task()
        loader = DataLoader(
            TensorDataset(found.batch["inputs"], found.batch["labels"]), batch_size=2, collate_fn=_named
        )
        site = fisher(found.model, None, task, generator=random(0), labels="empirical", batches=loader)
        assert_curvature_close(squares(site), empirical(found.model, task, found.batch))
        parts = ({name: tensor[rows] for name, tensor in found.batch.items()} for rows in (slice(0, 1), slice(1, 5)))
        again = fisher(found.model, None, task, generator=random(0), labels="empirical", batches=parts)
        assert_curvature_close(squares(again), empirical(found.model, task, found.batch))

    @pytest.mark.parametrize("batches", [[], iter([])])
    def test_no_batches(self, batches: list[dict[str, Tensor]]) -> None:
        found = net("mlp")
        with pytest.raises(TaskError, match="no batches were given for the curvature of task 't'"):
            fisher(found.model, None, found.task(), generator=random(0), batches=batches)

    def test_no_label_tokens(self) -> None:
        found = net("tied")
        nothing = Net(found.model, {**found.batch, "labels": torch.full_like(found.batch["labels"], IGNORED)})
        with pytest.raises(TaskError, match="no labelled examples were seen for the curvature of task 't'"):
            estimate(nothing, unit="token")

    def test_progress_is_told(self) -> None:
        found = net("mlp")
        seen: list[int] = []
        fisher(found.model, None, found.task(), generator=random(0), batch_size=2, on_batch=seen.append)
        assert seen == [2, 4, 5]

    def test_a_batch_with_a_stray_tensor_is_refused(self) -> None:
        found = net("mlp")
        batch = {**found.batch, "extra": torch.zeros(3)}
        with pytest.raises(TaskError, match=r"extra has shape \[3\] for 5 examples"):
            fisher(found.model, None, found.task(), generator=random(0), batches=[batch])


class TestGradient:
    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", ["mlp", "bare parameter", "tied", "llama tied"])
    def test_it_is_that_of_the_mean_loss(self, name: str, unit: Unit) -> None:
        found = net(name)
        site = fisher(found.model, None, found.task(unit), generator=random(0), batch_size=2, gradient=True)
        found.model.eval()
        each = losses(found.predict(found.model, found.batch), found.batch["labels"])
        counts = (found.batch["labels"] != IGNORED).reshape(5, -1).sum(1)
        mean = each.sum() / counts.sum() if unit == "token" else (each.sum(1) / counts.clamp(min=1)).mean()
        named = dict(found.model.named_parameters())
        expected = dict(zip(named, torch.autograd.grad(mean, list(named.values())), strict=True))
        assert site.gradient is not None
        largest = max(float(tensor.norm()) for tensor in expected.values())
        for parameter, tensor in expected.items():
            torch.testing.assert_close(site.gradient[parameter], tensor, rtol=1e-4, atol=1e-6 * largest)

    def test_it_is_left_out_unless_asked_for(self) -> None:
        assert estimate(net("mlp")).gradient is None

    def test_curvature_is_the_same_with_it(self) -> None:
        found = net("mlp")
        site = fisher(
            found.model, None, found.task(), generator=random(0), batch_size=2, labels="empirical", gradient=True
        )
        assert_same(squares(site), squares(estimate(found)))


class TestTheModelIsLeftAsItWas:
    @pytest.mark.parametrize("name", ["cnn", "bare parameter", "bert", "tied", "in place", "positions once"])
    @pytest.mark.parametrize("labels", LABELS)
    def test_params_modes_gradients_and_hooks(self, name: str, labels: Labels) -> None:
        found = net(name)
        model = found.model
        modules = list(model.modules())
        modules[-1].eval()
        before = snapshot(tensors_of(model))
        modes = [module.training for module in modules]
        other = {parameter: tensor + 0.1 for parameter, tensor in before.items()}
        fisher(model, other, found.task(), generator=random(0), labels=labels, max_examples=3)
        assert_same(tensors_of(model), before)
        assert [module.training for module in modules] == modes
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
        assert not any(
            module._forward_hooks or module._forward_pre_hooks or module._backward_hooks for module in modules
        )

    def test_after_an_error_too(self) -> None:
        found = net("mlp")
        before = snapshot(tensors_of(found.model))
        with pytest.raises(TaskError):
            fisher(found.model, _with_nan(found.model), found.task(), generator=random(0))
        assert_same(tensors_of(found.model), before)
        assert found.model.training

    def test_the_global_generator_is_not_touched(self) -> None:
        state = torch.get_rng_state()
        estimate(net("mlp"), "sampled")
        assert torch.equal(torch.get_rng_state(), state)


def _with_nan(model: nn.Module) -> dict[str, Tensor]:
    params = snapshot(tensors_of(model))
    params["0.weight"][0, 0] = float("nan")
    return params


class TestParams:
    def test_the_estimate_is_made_at_the_params_given(self) -> None:
        found = net("mlp")
        params = {name: tensor + 0.5 for name, tensor in snapshot(tensors_of(found.model)).items()}
        moved = copy.deepcopy(found.model)
        moved.load_state_dict(params)
        site = fisher(found.model, params, found.task(), generator=random(0), labels="empirical")
        assert_curvature_close(squares(site), empirical(moved, found.task(), found.batch))
        assert_same(site.center, params)

    def test_params_with_nan_are_told(self) -> None:
        found = net("mlp")
        with pytest.raises(TaskError, match="outputs on task 't' hold NaN or infinity; its params are not usable"):
            fisher(found.model, _with_nan(found.model), found.task(), generator=random(0))

    def test_buffers_are_carried(self) -> None:
        found = net("batch norm")
        assert_same(
            estimate(found).carried,
            {name: found.model.get_buffer(name) for name in ("1.running_mean", "1.running_var")},
        )

    def test_only_the_tasks_own_parameters(self) -> None:
        found = net("bare parameter")
        task = found.task()
        own = Task("t", task.train, task.train, task.metrics, names=frozenset({"scale", "head.weight"}))
        site = fisher(found.model, None, own, generator=random(0), labels="empirical", gradient=True)
        assert site.gradient is not None
        assert set(site.center) == set(squares(site)) == set(site.gradient) == {"scale", "head.weight"}
        truth = empirical(found.model, task, found.batch)
        assert_curvature_close(squares(site), {name: truth[name] for name in site.center})

    @pytest.mark.parametrize("frozen", ["0.weight", "0", "2", "2.bias"])
    def test_frozen_parameters_have_no_curvature_and_stay_frozen(self, frozen: str) -> None:
        found = net("mlp")
        model = copy.deepcopy(found.model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))
        held = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        site = fisher(model, None, found.task(), generator=random(0), labels="empirical", gradient=True)
        assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == held
        truth = empirical(found.model, found.task(), found.batch)
        assert_curvature_close(squares(site), {name: truth[name] * held[name] for name in truth})
        assert site.gradient is not None
        assert {name for name, tensor in site.gradient.items() if not tensor.any()} == {
            name for name in held if not held[name]
        }

    def test_a_model_without_trained_parameters(self) -> None:
        model = nn.Linear(4, 3).requires_grad_(False)
        with pytest.raises(TaskError, match="depend on no trained parameter"):
            estimate(Net(model, {"inputs": normal(5, 4), "labels": classes()}))


def test_the_record_says_how_it_was_made() -> None:
    record = estimate(net("mlp"), "sampled").record
    assert (record.unit, record.estimator, record.examples, record.units) == ("example", "fisher:sampled", 5, 5)
