import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate.factors import Factors, factors, shared_basis
from foretaste.estimate.fisher import Labels
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task
from laws import assert_close, assert_same, normal, random
from networks import Net, classes, net


class TestFactors:
    def linear(self) -> tuple[Net, Tensor, Tensor]:
        """One layer; its inputs with a 1, `[5, 5]`, and the chances of labels, `[5, 3]`."""
        model = nn.Linear(4, 3)
        with torch.no_grad():
            model.weight.copy_(normal(3, 4, seed=8))
            model.bias.copy_(normal(3, seed=9))
        inputs = normal(5, 4)
        columns = torch.cat([inputs, torch.ones(5, 1)], dim=1)
        return Net(model, {"inputs": inputs, "labels": classes()}), columns, model(inputs).detach().softmax(1)

    def found(self, each: Net, labels: Labels) -> Factors:
        return factors(each.model, None, each.task(), generator=random(0), labels=labels, batch_size=2)

    def test_empirical_ones_are_the_means_of_outer_products(self) -> None:
        each, columns, chances = self.linear()
        found = self.found(each, "empirical")
        rows = chances - nn.functional.one_hot(each.batch["labels"], 3)
        torch.testing.assert_close(found.left["weight"], rows.T @ rows / 5)
        torch.testing.assert_close(found.right["weight"], columns.T @ columns / 5)
        assert found.biases == {"weight": "bias"}

    def test_exact_ones_up_to_the_number_of_labels(self) -> None:
        each, columns, chances = self.linear()
        found = self.found(each, "exact")
        torch.testing.assert_close(
            found.left["weight"], (torch.diag_embed(chances) - chances[:, :, None] * chances[:, None]).mean(0)
        )
        torch.testing.assert_close(found.right["weight"] / 3, columns.T @ columns / 5)

    def test_a_convolutions_are_those_of_its_windows(self) -> None:
        model = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Flatten(), nn.Linear(6, 3))
        each = Net(model, {"inputs": normal(5, 2, 3), "labels": classes()})
        windows = torch.stack([each.batch["inputs"][:, :, at : at + 2].flatten(1) for at in range(2)], dim=1)
        columns = torch.cat([windows, torch.ones(5, 2, 1)], dim=2).flatten(0, 1)
        torch.testing.assert_close(self.found(each, "empirical").right["0.weight"], columns.T @ columns / 5)

    def test_batch_size_does_not_matter(self) -> None:
        found = net("cnn")
        one, five = (
            factors(found.model, None, found.task(), generator=random(0), labels="exact", batch_size=size)
            for size in (1, 5)
        )
        assert_close(dict(sorted(one.left.items())), dict(sorted(five.left.items())), 1e-4)
        assert_close(dict(sorted(one.right.items())), dict(sorted(five.right.items())), 1e-4)

    def test_storage(self) -> None:
        found = self.found(net("mlp"), "empirical")
        again = Factors.from_tensors(found.to_tensors())
        assert_same(again.left, found.left)
        assert_same(again.right, found.right)
        assert again.biases == found.biases == {"0.weight": "0.bias", "2.weight": "2.bias"}

    def test_progress_and_a_limit(self) -> None:
        each, seen = net("mlp"), list[int]()
        factors(each.model, None, each.task(), generator=random(0), batch_size=2, max_examples=3, on_batch=seen.append)
        assert seen == [2, 3]

    @pytest.mark.parametrize(("width", "found"), [(4096, ["weight"]), (4097, [])])
    def test_a_layer_has_some_up_to_4096_wide(self, width: int, found: list[str]) -> None:
        wide = Net(nn.Linear(width, 2), {"inputs": normal(2, width), "labels": torch.tensor([0, 1])})
        assert list(self.found(wide, "empirical").left) == found

    def test_a_bias_that_the_task_lacks_is_no_column(self) -> None:
        each = net("mlp")
        rows = Rows(each.batch["inputs"], each.batch["labels"])
        task = Task("t", rows, rows, [METRICS["accuracy"]], names=frozenset({"0.weight", "2.weight", "2.bias"}))
        found = factors(each.model, None, task, generator=random(0))
        assert found.biases == {"2.weight": "2.bias"}
        assert {name: len(tensor) for name, tensor in found.right.items()} == {"0.weight": 4, "2.weight": 7}

    def test_no_examples_for_the_factors(self) -> None:
        found = net("mlp")
        with pytest.raises(TaskError, match="no labelled examples were seen for the curvature of task 't'"):
            factors(found.model, None, found.task(), generator=random(0), max_examples=0)


class TestSharedBasis:
    def test_it_is_that_of_the_sum_of_scaled_factors(self) -> None:
        matrices = [normal(4, 4, seed=seed).double() for seed in range(4)]
        first, second, third, fourth = (root @ root.T for root in matrices)
        tasks = [
            Factors({"w": first}, {"w": 100 * second}, {"w": "b"}),
            Factors({"w": 1e3 * third}, {"w": fourth}, {"w": "b"}),
        ]
        axes = shared_basis(tasks)["w"]
        for found, pair in ((axes.left, (first, third)), (axes.right, (second, fourth))):
            inner = found.double().T @ sum(m / m.trace() for m in pair) @ found.double()
            assert float((inner - torch.diag(inner.diagonal())).norm()) < 1e-6
            torch.testing.assert_close(found.T @ found, torch.eye(4), rtol=0, atol=1e-6)
        assert axes.bias == "b"

    def test_a_layer_of_one_task_takes_its_own(self) -> None:
        one, two = (
            Factors({"w": torch.eye(2)}, {"w": torch.eye(2)}, {}),
            Factors({"v": torch.eye(3)}, {"v": torch.eye(1)}, {}),
        )
        assert {name: len(axes.left) for name, axes in shared_basis([one, two]).items()} == {"w": 2, "v": 3}

    def test_no_curvature_still_gives_a_basis(self) -> None:
        axes = shared_basis([Factors({"w": torch.zeros(2, 2)}, {"w": torch.zeros(3, 3)}, {})], share=1)["w"]
        torch.testing.assert_close(axes.left.T @ axes.left, torch.eye(2))
