import copy

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate.factors import factors, shared_basis
from foretaste.estimate.fisher import Labels, fisher
from foretaste.estimate.kfac import kfac
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.unit import count_units, unit_factors
from foretaste.metrics import METRICS
from foretaste.params import Params, in_eval_mode, snapshot, tensors_of
from foretaste.posterior.axes import Axes, Basis
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.kronecker import Kronecker
from foretaste.posterior.precision import Sum
from foretaste.posterior.site import GaussianSite
from foretaste.task import Batch, Rows, Task, Unit
from laws import assert_same, normal, orthogonal, random
from networks import NETS, SEQUENCES, Net, assert_curvature_close, classes, empirical, gradients, net

LABELS: tuple[Labels, ...] = ("sampled", "empirical", "exact")
EXACT = [
    "mlp",
    "linear over positions",
    "conv1d",
    "cnn",
    "called twice",
    "tied",
    "norms",
    "bare parameter",
    "llama tied",
]


def curvature(site: GaussianSite) -> Kronecker:
    assert isinstance(site.precision, Kronecker)
    return site.precision


def estimate(
    found: Net, labels: Labels = "empirical", unit: Unit = "example", seed: int = 0, batch_size: int = 5
) -> GaussianSite:
    return kfac(found.model, None, found.task(unit), generator=random(seed), labels=labels, batch_size=batch_size)


def turned(gradient: Params, name: str, axes: Axes) -> Tensor:
    """One gradient of a layer as a matrix in its basis."""
    matrix = gradient[name].double().flatten(1)
    matrix = matrix if axes.bias is None else torch.cat([matrix, gradient[axes.bias].double().reshape(-1, 1)], dim=1)
    return axes.left.double().T @ matrix @ axes.right.double()


def empirical_in(basis: Basis, model: nn.Module, task: Task, batch: Batch) -> dict[str, Tensor]:
    """Summed squares, in the basis, of the gradients of examples taken one by one."""
    total = {
        name: torch.zeros(axes.left.shape[1], axes.right.shape[1], dtype=torch.float64) for name, axes in basis.items()
    }
    with in_eval_mode(model):
        for index, factor in enumerate(unit_factors(batch["labels"] != IGNORED, task.unit).tolist()):
            gradient = gradients(model, task, batch, index, batch["labels"])
            for name, axes in basis.items():
                total[name] += factor * turned(gradient, name, axes).square()
    return {name: tensor / count_units(batch["labels"] != IGNORED, task.unit) for name, tensor in total.items()}


def exact_in(basis: Basis, model: nn.Module, task: Task, batch: Batch) -> dict[str, Tensor]:
    """Diagonal, in the basis, of ``1/N sum_b J_b' (diag(p) - p p') J_b``, from the logits' Jacobian."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {
        name: torch.zeros(axes.left.shape[1], axes.right.shape[1], dtype=torch.float64) for name, axes in basis.items()
    }
    with in_eval_mode(model):
        for index, factor in enumerate(unit_factors(batch["labels"] != IGNORED, task.unit).tolist()):
            one = {key: tensor[index : index + 1] for key, tensor in batch.items()}
            logits, labels = task.predict(model, one).flatten(0, -2), one["labels"].flatten()
            for row in logits[labels != IGNORED]:
                grads = [
                    torch.autograd.grad(each, list(named.values()), retain_graph=True, materialize_grads=True)
                    for each in row
                ]
                chances = row.detach().double().softmax(0)
                middle = torch.diag(chances) - torch.outer(chances, chances)
                for name, axes in basis.items():
                    jacobian = torch.stack([turned(dict(zip(named, each, strict=True)), name, axes) for each in grads])
                    total[name] += factor * torch.einsum("cij,cd,dij->ij", jacobian, middle, jacobian)
    return {name: tensor / count_units(batch["labels"] != IGNORED, task.unit) for name, tensor in total.items()}


class TestAgainstALoopOverExamples:
    @pytest.mark.parametrize("name", NETS)
    def test_empirical(self, name: str) -> None:
        found = net(name)
        precision = curvature(estimate(found))
        assert_curvature_close(
            precision.eigenvalues, empirical_in(precision.basis, found.model, found.task(), found.batch)
        )

    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", EXACT)
    def test_exact_is_the_diagonal_of_the_gauss_newton_matrix_in_the_basis(self, name: str, unit: Unit) -> None:
        found = net(name)
        precision = curvature(estimate(found, "exact", unit))
        assert precision.basis
        expected = exact_in(precision.basis, found.model, found.task(unit), found.batch)
        assert_curvature_close(precision.eigenvalues, expected, 1e-4)

    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", SEQUENCES)
    def test_units_and_padding_of_sequences(self, name: str, unit: Unit) -> None:
        found = net(name)
        site = estimate(found, unit=unit)
        precision = curvature(site)
        assert_curvature_close(
            precision.eigenvalues, empirical_in(precision.basis, found.model, found.task(unit), found.batch)
        )
        counted = int((found.batch["labels"] != IGNORED).sum())
        assert (site.record.unit, site.record.units) == (unit, 5 if unit == "example" else counted)

    @pytest.mark.parametrize("name", NETS)
    def test_what_is_no_matrix_gets_the_diagonal_fisher(self, name: str) -> None:
        found = net(name)
        precision = curvature(estimate(found))
        site = fisher(found.model, None, found.task(), generator=random(0), labels="empirical")
        assert isinstance(site.precision, Diagonal)
        coupled = set(precision.basis) | {axes.bias for axes in precision.basis.values()}
        truth = {key: tensor.double() for key, tensor in site.precision.entries.items() if key not in coupled}
        assert set(precision.diagonal.entries) == set(truth)
        if truth:
            assert_curvature_close(precision.diagonal.entries, truth)

    @pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
    @pytest.mark.parametrize("name", ["mlp", "cnn", "linear over positions", "called twice", "gpt2"])
    def test_the_trace_is_that_of_all_gradients_whatever_directions_are_kept(self, name: str, share: float) -> None:
        found = net(name)
        precision = curvature(
            kfac(found.model, None, found.task(), generator=random(0), labels="empirical", share=share)
        )
        truth = empirical(found.model, found.task(), found.batch)
        for weight, axes in precision.basis.items():
            trace = float(precision.eigenvalues[weight].sum() + axes.outside * precision.outside[weight])
            expected = float(truth[weight].sum()) + (float(truth[axes.bias].sum()) if axes.bias else 0.0)
            assert trace == pytest.approx(expected, rel=1e-3)

    def test_in_the_basis_of_the_entries_it_is_the_diagonal_fisher(self) -> None:
        found = net("mlp")
        basis = {
            f"{at}.weight": Axes(torch.eye(rows), torch.eye(columns), f"{at}.bias")
            for at, rows, columns in ((0, 6, 5), (2, 3, 7))
        }
        site = kfac(found.model, None, found.task(), generator=random(0), labels="exact", basis=basis)
        flat = fisher(found.model, None, found.task(), generator=random(0), labels="exact").precision
        assert isinstance(flat, Diagonal)
        for name, axes in basis.items():
            assert axes.bias is not None
            expected = torch.cat([flat.entries[name], flat.entries[axes.bias].reshape(-1, 1)], dim=1)
            torch.testing.assert_close(curvature(site).eigenvalues[name], expected, rtol=1e-4, atol=1e-8)

    def test_the_product_of_factors_is_exact_for_equal_inputs(self) -> None:
        """Then the Gauss-Newton matrix is one Kronecker product, and eigenvalues are products of eigenvalues."""
        inputs = normal(1, 4).expand(5, -1).contiguous()
        columns = torch.cat([inputs[:1], torch.ones(1, 1)], dim=1)
        same = Net(nn.Linear(4, 3), {"inputs": inputs, "labels": classes()})
        found = factors(same.model, None, same.task(), generator=random(0), labels="exact")
        precision = curvature(kfac(same.model, None, same.task(), generator=random(0), labels="exact", share=1))
        left = torch.linalg.eigvalsh(found.left["weight"].double())
        right = torch.linalg.eigvalsh(columns.double().T @ columns.double())
        torch.testing.assert_close(
            precision.eigenvalues["weight"].double(), torch.outer(left, right), rtol=1e-4, atol=1e-6
        )

    def test_sampled_labels_are_unbiased(self) -> None:
        found = net("mlp")
        truth = curvature(estimate(found, "exact"))
        draws = [
            curvature(kfac(found.model, None, found.task(), generator=random(seed), basis=truth.basis, batch_size=5))
            for seed in range(400)
        ]
        for name, expected in truth.eigenvalues.items():
            each = torch.stack([draw.eigenvalues[name] for draw in draws]).double()
            error = each.std(0) / len(draws) ** 0.5
            assert bool(((each.mean(0) - expected).abs() <= 5 * error + 1e-6 * expected.norm()).all())


class TestLayers:
    def treated(self, name: str) -> dict[str, str | None]:
        return {weight: axes.bias for weight, axes in curvature(estimate(net(name))).basis.items()}

    @pytest.mark.parametrize(
        ("name", "layers"),
        [
            ("mlp", {"0.weight": "0.bias", "2.weight": "2.bias"}),
            ("cnn", {"0.weight": "0.bias", "7.weight": "7.bias"}),
            ("conv1d", {"0.weight": "0.bias", "3.weight": "3.bias"}),
            ("norms", {"1.weight": "1.bias", "3.weight": "3.bias"}),
            ("embedding", {"2.weight": "2.bias"}),
            ("tied", {"body.weight": "body.bias"}),
            ("called twice", {"body.weight": "body.bias", "head.weight": "head.bias"}),
            ("bare parameter", {"head.weight": "head.bias"}),
            ("windows", {"head.weight": "head.bias"}),
            ("idle layer", {"head.weight": "head.bias"}),
        ],
    )
    def test_linear_layers_and_ungrouped_convolutions(self, name: str, layers: dict[str, str | None]) -> None:
        assert self.treated(name) == layers

    def test_a_transposed_layer_keeps_its_bias_apart(self) -> None:
        assert self.treated("gpt2")["transformer.h.0.mlp.c_fc.weight"] is None

    def test_a_layer_too_wide_is_left_to_the_diagonal(self) -> None:
        found = Net(nn.Linear(4200, 2), {"inputs": normal(2, 4200), "labels": torch.tensor([0, 1])})
        precision = curvature(estimate(found))
        assert not precision.basis
        assert set(precision.diagonal.entries) == {"weight", "bias"}

    def test_one_weight_in_two_linear_layers(self) -> None:
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = first.weight
        found = Net(nn.Sequential(first, nn.Tanh(), second), {"inputs": normal(5, 3), "labels": classes()})
        precision = curvature(estimate(found, "exact"))
        assert {weight: axes.bias for weight, axes in precision.basis.items()} == {"0.weight": None}
        assert set(precision.diagonal.entries) == {"0.bias", "2.bias"}
        assert_curvature_close(
            precision.eigenvalues, exact_in(precision.basis, found.model, found.task(), found.batch), 1e-4
        )

    def test_a_frozen_bias_stays_apart(self) -> None:
        model = copy.deepcopy(net("mlp").model)
        model.get_parameter("0.bias").requires_grad_(False)
        precision = curvature(estimate(Net(model, net("mlp").batch)))
        assert precision.basis["0.weight"].bias is None
        assert not precision.diagonal.entries["0.bias"].any()


class TestASharedBasis:
    def test_tasks_that_share_it_add_up_in_closed_form(self) -> None:
        found, other = net("mlp"), Net(net("mlp").model, {"inputs": normal(5, 4, seed=5), "labels": classes(seed=5)})
        each = [factors(one.model, None, one.task(), generator=random(0)) for one in (found, other)]
        basis = shared_basis(each)
        first, second = (
            kfac(one.model, None, one.task(), generator=random(0), basis=basis).precision for one in (found, other)
        )
        assert isinstance(first + second, Kronecker)
        assert isinstance(first + estimate(other).precision, Sum)

    def test_layers_that_the_model_lacks_are_passed_over(self) -> None:
        found = net("mlp")
        basis = {"elsewhere": Axes(orthogonal(2), orthogonal(2))}
        precision = curvature(
            kfac(found.model, None, found.task(), generator=random(0), labels="empirical", basis=basis)
        )
        assert not precision.basis
        assert set(precision.diagonal.entries) == {name for name, _ in found.model.named_parameters()}

    def test_layers_whose_bias_the_task_lacks_get_the_diagonal(self) -> None:
        found = net("mlp")
        rows = Rows(found.batch["inputs"], found.batch["labels"])
        task = Task("t", rows, rows, [METRICS["accuracy"]], names=frozenset({"0.weight"}))
        basis = {"0.weight": Axes(orthogonal(6), orthogonal(5), "0.bias")}
        precision = curvature(kfac(found.model, None, task, generator=random(0), basis=basis))
        assert not precision.basis
        assert set(precision.diagonal.entries) == {"0.weight"}


class TestGradient:
    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", ["mlp", "cnn", "tied", "gpt2"])
    def test_it_is_that_of_the_mean_loss(self, name: str, unit: Unit) -> None:
        found = net(name)
        site = kfac(found.model, None, found.task(unit), generator=random(0), batch_size=2, gradient=True)
        found.model.eval()
        each = losses(found.predict(found.model, found.batch), found.batch["labels"])
        counts = (found.batch["labels"] != IGNORED).reshape(5, -1).sum(1)
        mean = each.sum() / counts.sum() if unit == "token" else (each.sum(1) / counts).mean()
        named = dict(found.model.named_parameters())
        expected = dict(zip(named, torch.autograd.grad(mean, list(named.values())), strict=True))
        assert site.gradient is not None
        largest = max(float(tensor.norm()) for tensor in expected.values())
        for parameter, tensor in expected.items():
            torch.testing.assert_close(site.gradient[parameter], tensor, rtol=1e-4, atol=1e-6 * largest)

    def test_it_is_left_out_unless_asked_for(self) -> None:
        assert estimate(net("mlp")).gradient is None


class TestSite:
    def test_the_record_says_how_it_was_made(self) -> None:
        record = estimate(net("mlp"), "sampled").record
        assert (record.unit, record.estimator, record.examples, record.units) == ("example", "kfac:sampled", 5, 5)

    @pytest.mark.parametrize("labels", LABELS)
    def test_the_same_generator_gives_the_same_bits(self, labels: Labels) -> None:
        found = net("mlp")
        assert_same(curvature(estimate(found, labels)).to_tensors(), curvature(estimate(found, labels)).to_tensors())

    def test_at_other_params_the_model_is_left_as_it_was(self) -> None:
        found = net("cnn")
        before = snapshot(tensors_of(found.model))
        other = {name: tensor + 0.1 for name, tensor in before.items()}
        site = kfac(found.model, other, found.task(), generator=random(0))
        assert_same(tensors_of(found.model), before)
        assert_same(site.center, {name: other[name] for name in site.center})
        assert found.model.training

    def test_bfloat16_is_added_up_in_float32(self) -> None:
        low = copy.deepcopy(net("mlp").model).bfloat16()
        inputs = net("mlp").batch["inputs"].bfloat16()
        precision = curvature(estimate(Net(low, {**net("mlp").batch, "inputs": inputs})))
        assert {tensor.dtype for tensor in precision.eigenvalues.values()} == {torch.float32}

    def test_any_batches_and_progress(self) -> None:
        found, seen = net("mlp"), list[int]()
        task, basis = found.task(), curvature(estimate(net("mlp"))).basis
        parts = ({name: tensor[rows] for name, tensor in found.batch.items()} for rows in (slice(0, 2), slice(2, 5)))
        site = kfac(
            found.model,
            None,
            task,
            generator=random(0),
            labels="empirical",
            basis=basis,
            batches=parts,
            on_batch=seen.append,
        )
        assert seen == [2, 5]
        assert_curvature_close(curvature(site).eigenvalues, empirical_in(basis, found.model, task, found.batch))


class TestErrors:
    def test_no_batches(self) -> None:
        found = net("mlp")
        with pytest.raises(TaskError, match="no batches were given for the curvature of task 't'"):
            kfac(found.model, None, found.task(), generator=random(0), batches=[])

    def test_no_label_tokens(self) -> None:
        found = net("tied")
        nothing = Net(found.model, {**found.batch, "labels": torch.full_like(found.batch["labels"], IGNORED)})
        with pytest.raises(TaskError, match="no labelled examples were seen for the curvature of task 't'"):
            estimate(nothing, unit="token")

    def test_outputs_that_are_not_finite(self) -> None:
        found = net("mlp")
        broken = {**snapshot(tensors_of(found.model)), "2.bias": torch.full((3,), float("nan"))}
        with pytest.raises(TaskError, match="outputs on task 't' hold NaN or infinity"):
            kfac(found.model, broken, found.task(), generator=random(0))

    def test_a_model_without_trained_parameters(self) -> None:
        model = nn.Linear(4, 3).requires_grad_(False)
        with pytest.raises(TaskError, match="depend on no trained parameter"):
            estimate(Net(model, {"inputs": normal(5, 4), "labels": classes()}))


class TestLayersThatTheSecondPassSeesOtherwise:
    @pytest.mark.parametrize("bias", [None, "expert.bias"])
    @pytest.mark.parametrize("name", ["routed", "gated"])
    def test_a_layer_that_the_second_probe_does_not_use(self, name: str, bias: str | None) -> None:
        found = net(name)
        basis = {"expert.weight": Axes(orthogonal(3), orthogonal(4 + (bias is not None)), bias)}
        site = kfac(
            found.model, None, found.task(), generator=random(0), labels="empirical", basis=basis, batches=[found.batch]
        )
        assert_curvature_close(curvature(site).eigenvalues, empirical_in(basis, found.model, found.task(), found.batch))

    @pytest.mark.parametrize("name", ["routed", "gated"])
    def test_what_lies_outside_of_its_directions(self, name: str) -> None:
        """The trace is that of all gradients there too, and other parameters are as they are without the layer."""
        found = net(name)
        basis = {"expert.weight": Axes(orthogonal(3)[:, :2], orthogonal(5)[:, :2], "expert.bias")}
        site = kfac(
            found.model, None, found.task(), generator=random(0), labels="empirical", basis=basis, batches=[found.batch]
        )
        precision, truth = curvature(site), empirical(found.model, found.task(), found.batch)
        trace = float(precision.eigenvalues["expert.weight"].sum() + 11 * precision.outside["expert.weight"])
        assert trace == pytest.approx(
            float(truth.pop("expert.weight").sum() + truth.pop("expert.bias").sum()), rel=1e-4
        )
        assert_curvature_close(precision.diagonal.entries, {key: truth[key] for key in precision.diagonal.entries})

    def test_a_task_that_has_the_weight_without_its_bias(self) -> None:
        found = net("mlp")
        rows = Rows(found.batch["inputs"], found.batch["labels"])
        task = Task("t", rows, rows, [METRICS["accuracy"]], names=frozenset({"0.weight"}))
        site = kfac(found.model, None, task, generator=random(0), labels="empirical")
        assert set(site.precision.apply(site.center)) == {"0.weight"}
