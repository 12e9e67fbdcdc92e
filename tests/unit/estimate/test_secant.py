import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.fisher import Labels, fisher
from foretaste.estimate.passes import batches_of
from foretaste.estimate.secant import correct_diagonal, mean_gradient, secant
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.metrics import METRICS
from foretaste.params import Params, in_eval_mode, parameters_of, snapshot, swapped, tensors_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import dense, flat, unflat
from foretaste.posterior.site import GaussianSite
from foretaste.task import Rows, Task, Unit
from laws import HARD, assert_close, assert_same, diagonal_like, normal, random
from networks import Net, net

LIKE = {name: tensor.double() for name, tensor in HARD["several"].items()}
START = diagonal_like(LIKE, 3)


def near(center: Params, seed: int, by: float = 0.1) -> dict[str, Tensor]:
    return {
        n: t + by * normal(*t.shape, seed=seed + place, dtype=t.dtype) for place, (n, t) in enumerate(center.items())
    }


def estimate(
    found: Net, count: int = 1, labels: Labels = "exact", unit: Unit = "example"
) -> tuple[GaussianSite, list[dict[str, Tensor]]]:
    center = snapshot(parameters_of(found.model))
    checkpoints = [near(center, 10 * k) for k in range(count)]
    return secant(
        found.model, center, found.task(unit), checkpoints, generator=random(0), labels=labels, batch_size=2
    ), checkpoints


def descent(found: Net, unit: Unit, steps: int = 20) -> list[dict[str, Tensor]]:
    """A run of the network by gradient descent, with its pretrained params first."""
    path = [snapshot(parameters_of(found.model))]
    for _ in range(steps):
        along = mean_gradient(found.model, path[-1], found.task(unit), [found.batch])
        path.append({name: tensor - 0.02 * along[name] for name, tensor in path[-1].items()})
    return path


def pair(seed: int, share: float = 1.0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A way s and the change y of the gradient along it, of a random definite curvature.

    Negative for a negative share.
    """
    step = near(LIKE, seed, 1.0)
    root = normal(9, 9, seed=seed, dtype=torch.float64)
    change = share * (root @ root.T / 9 + torch.eye(9)) @ flat(step)
    return step, unflat(change, LIKE)


class TestCorrected:
    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_the_last_secant_is_matched_exactly(self, count: int) -> None:
        pairs = [pair(10 * k) for k in range(count)]
        found = correct_diagonal(START, pairs)
        step, change = pairs[-1]
        assert_close(found.apply(step), change, 1e-6)
        assert_close(found.solve(change), step, 1e-6)
        assert len(found.scales) == 2 * count

    @pytest.mark.parametrize("count", [1, 3])
    def test_it_is_what_the_dense_formula_gives(self, count: int) -> None:
        pairs = [pair(10 * k) for k in range(count)]
        expected = dense(START, LIKE)
        for step, change in pairs:
            s, y = flat(step), flat(change)
            image = expected @ s
            expected = expected - torch.outer(image, image) / (s @ image) + torch.outer(y, y) / (s @ y)
        torch.testing.assert_close(dense(correct_diagonal(START, pairs), LIKE), expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("share", [-1.0, -100.0, 0.0, 1e-3])
    def test_it_stays_positive_definite_where_the_loss_does_not_curve(self, share: float) -> None:
        pairs = [pair(0), pair(10, share), pair(20, share)]
        matrix = dense(correct_diagonal(START, pairs), LIKE)
        torch.testing.assert_close(matrix, matrix.T)
        assert float(torch.linalg.eigvalsh(matrix).min()) > 0

    @pytest.mark.parametrize("share", [-1.0, -100.0, 0.0])
    def test_damping_leaves_a_fifth_of_the_curvature_along_the_way(self, share: float) -> None:
        """Powell: s' H s becomes 0.2 of what it was."""
        step, change = pair(10, share)
        before = float(flat(step) @ flat(START.apply(step)))
        after = float(flat(step) @ flat(correct_diagonal(START, [(step, change)]).apply(step)))
        assert after == pytest.approx(0.2 * before, rel=1e-6)

    def test_curvature_of_just_a_fifth_is_not_damped(self) -> None:
        step = {"w": torch.tensor([1.0, 0.0])}
        found = correct_diagonal(Diagonal({"w": torch.ones(2)}), [(step, {"w": torch.tensor([0.25, 0.5])})])
        torch.testing.assert_close(found.apply(step)["w"], torch.tensor([0.25, 0.5]))

    def test_where_the_diagonal_is_zero_there_is_still_something_to_correct(self) -> None:
        found = correct_diagonal(Diagonal({"w": torch.tensor([0.0, 2.0])}), [])
        torch.testing.assert_close(found.diagonal.entries["w"], torch.tensor([1e-3, 2.0]))

    def test_no_way_is_no_correction(self) -> None:
        nowhere = {name: torch.zeros_like(tensor) for name, tensor in LIKE.items()}
        found = correct_diagonal(START, [(nowhere, nowhere)])
        assert len(found.scales) == 0
        assert_close(found.apply(LIKE), START.apply(LIKE), 1e-12)

    def test_without_any_curvature_nothing_is_corrected(self) -> None:
        zeros = Diagonal({name: torch.zeros_like(tensor) for name, tensor in LIKE.items()})
        assert len(correct_diagonal(zeros, [pair(0)]).scales) == 0

    def test_the_diagonal_given_is_left_as_it_was(self) -> None:
        diagonal = Diagonal({"w": torch.tensor([0.0, 2.0])})
        correct_diagonal(diagonal, [({"w": torch.ones(2)}, {"w": torch.ones(2)})])
        assert diagonal.entries["w"].tolist() == [0.0, 2.0]


class TestSlope:
    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize("name", ["mlp", "cnn", "tied", "bare parameter", "routed"])
    def test_it_is_autograds_gradient_of_the_mean_loss(self, name: str, unit: Unit) -> None:
        found = net(name)
        task = found.task(unit)
        params = near(parameters_of(found.model), 5)
        batches = list(batches_of(found.model, task, random(0), None, 2))
        with in_eval_mode(found.model), swapped(found.model, params):
            each = losses(found.predict(found.model, found.batch), found.batch["labels"])
            counts = (found.batch["labels"] != IGNORED).reshape(5, -1).sum(1)
            mean = each.sum() / counts.sum() if unit == "token" else (each.sum(1) / counts).mean()
            expected = torch.autograd.grad(mean, list(found.model.parameters()))
        largest = max(float(tensor.norm()) for tensor in expected)
        slopes = mean_gradient(found.model, params, task, batches)
        assert list(slopes) == [key for key, _ in found.model.named_parameters()]
        for tensor, truth in zip(slopes.values(), expected, strict=True):
            torch.testing.assert_close(tensor, truth, rtol=1e-4, atol=1e-6 * largest)

    def test_frozen_and_unused_parameters_have_none(self) -> None:
        found = net("idle layer")
        slopes = mean_gradient(found.model, parameters_of(found.model), found.task(), [found.batch])
        assert not slopes["aside.weight"].any()
        model = nn.Linear(4, 3)
        model.bias.requires_grad_(False)
        slopes = mean_gradient(model, {}, found.task(), [found.batch])
        assert not slopes["bias"].any()
        assert slopes["weight"].any()

    def test_only_the_tasks_own_parameters(self) -> None:
        found = net("mlp")
        rows = Rows(found.batch["inputs"], found.batch["labels"])
        task = Task("t", rows, rows, [METRICS["accuracy"]], names=frozenset({"2.bias"}))
        assert set(mean_gradient(found.model, {}, task, [found.batch])) == {"2.bias"}

    def test_of_no_batches_it_is_zero(self) -> None:
        assert not any(tensor.any() for tensor in mean_gradient(net("mlp").model, {}, net("mlp").task(), []).values())


class TestSecant:
    @pytest.mark.parametrize("unit", ["example", "token"])
    @pytest.mark.parametrize(("name", "count"), [("mlp", 1), ("mlp", 3), ("cnn", 1), ("tied", 2), ("norms", 1)])
    def test_the_gradients_change_on_the_way_from_the_pretrained_params_is_matched(
        self, name: str, count: int, unit: Unit
    ) -> None:
        found = net(name)
        path = descent(found, unit)
        checkpoints = [*path[1:count], path[0]]
        site = secant(
            found.model, path[-1], found.task(unit), checkpoints, generator=random(0), labels="exact", batch_size=2
        )
        here, there = (mean_gradient(found.model, at, found.task(unit), [found.batch]) for at in (site.center, path[0]))
        step = {key: path[0][key] - tensor for key, tensor in site.center.items()}
        change = flat(there) - flat(here)
        assert float(change @ flat(step)) > 0
        assert float((flat(site.precision.apply(step)) - change).norm()) <= 1e-3 * float(change.norm())

    def test_it_begins_with_the_diagonal_fisher(self) -> None:
        found = net("mlp")
        site, _ = estimate(found)
        start = fisher(found.model, None, found.task(), generator=random(0), labels="exact", batch_size=2).precision
        assert isinstance(start, Diagonal)
        assert isinstance(site.precision, LowRank)
        for name, entries in site.precision.diagonal.entries.items():
            torch.testing.assert_close(entries, start.entries[name].clamp(min=float(entries.min())))

    def test_record_and_stationarity(self) -> None:
        site, _ = estimate(net("mlp"), 3)
        assert isinstance(site.precision, LowRank)
        assert len(site.precision.scales) == 6
        assert site.gradient is None
        assert (site.record.estimator, site.record.examples, site.record.details["checkpoints"]) == (
            "secant:exact",
            5,
            "3",
        )

    def test_it_stays_positive_definite_on_a_network(self) -> None:
        found = net("mlp")
        center = snapshot(parameters_of(found.model))
        far = [near(center, 10 * k, 3.0) for k in range(4)]
        site = secant(found.model, center, found.task(), far, generator=random(0), labels="exact")
        assert float(torch.linalg.eigvalsh(dense(site.precision, center)).min()) > 0

    def test_the_center_as_a_checkpoint_changes_nothing(self) -> None:
        found = net("mlp")
        center = snapshot(parameters_of(found.model))
        site = secant(found.model, center, found.task(), [center], generator=random(0))
        assert isinstance(site.precision, LowRank)
        assert len(site.precision.scales) == 0

    def test_names_of_other_parameters_are_passed_over(self) -> None:
        found = net("batch norm")
        params = snapshot(tensors_of(found.model))
        other = {name: tensor + 0.1 for name, tensor in params.items()} | {"elsewhere": torch.zeros(3)}
        assert "1.running_mean" in other
        site = secant(found.model, params, found.task(), [other], generator=random(0))
        assert set(site.center) == {name for name, _ in found.model.named_parameters()}

    def test_the_model_is_left_as_it_was(self) -> None:
        found = net("cnn")
        before = snapshot(tensors_of(found.model))
        estimate(found, 2)
        assert_same(tensors_of(found.model), before)
        assert found.model.training
        assert all(parameter.grad is None for parameter in found.model.parameters())

    def test_progress_is_told(self) -> None:
        found, seen = net("mlp"), list[int]()
        center = snapshot(parameters_of(found.model))
        secant(
            found.model,
            center,
            found.task(),
            [near(center, 1)],
            generator=random(0),
            batch_size=2,
            on_batch=seen.append,
        )
        assert seen == [2, 4, 5]


class TestErrors:
    def test_no_checkpoints(self) -> None:
        found = net("mlp")
        with pytest.raises(ParamsError, match="task 't' has no other checkpoints; give those of another run"):
            secant(found.model, parameters_of(found.model), found.task(), [], generator=random(0))

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"2.bias": torch.zeros(4)}, r"shape of 2.bias is \[4\], not \[3\]"), ({"2.bias": None}, "missing 2.bias")],
    )
    def test_a_checkpoint_that_does_not_fit_is_named(self, change: dict[str, Tensor | None], message: str) -> None:
        found = net("mlp")
        center = snapshot(parameters_of(found.model))
        bad = {name: tensor for name, tensor in (dict(center) | change).items() if tensor is not None}
        with pytest.raises(ParamsError, match=f"checkpoint 2 of task 't' does not fit .*{message}"):
            secant(found.model, center, found.task(), [center, bad], generator=random(0))

    def test_outputs_that_are_not_finite(self) -> None:
        found = net("mlp")
        broken = {**snapshot(parameters_of(found.model)), "2.bias": torch.full((3,), float("nan"))}
        with pytest.raises(TaskError, match="outputs on task 't' hold NaN or infinity"):
            secant(found.model, broken, found.task(), [broken], generator=random(0))
