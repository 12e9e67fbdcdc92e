from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foretaste.evaluate import evaluate
from foretaste.metrics import METRICS
from foretaste.params import Params, parameters_of, swapped
from foretaste.remembered import Memory
from foretaste.task import Rows, Task
from laws import normal, random

ROWS = Rows(normal(10, 4), torch.randint(0, 3, (10,), generator=random(1)))
TASK = Task("t", ROWS, ROWS, [METRICS["accuracy"]])


class Counted(nn.Module):
    """Counts how often it runs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.runs = inner, 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.runs += 1
        found: Tensor = self.inner(inputs)
        return found


def model(*before: nn.Module) -> nn.Sequential:
    return nn.Sequential(Counted(nn.Sequential(nn.Linear(4, 4), *before)), nn.Linear(4, 3))


def others(net: nn.Module, count: int = 4) -> list[Params]:
    head = parameters_of(net.get_submodule("1"))
    return [{f"1.{name}": normal(*tensor.shape, seed=seed) for name, tensor in head.items()} for seed in range(count)]


def runs(net: nn.Sequential) -> int:
    first = net[0]
    assert isinstance(first, Counted)
    return first.runs


def assert_remembers_truly(net: nn.Module, memory: Memory, many: list[Params]) -> None:
    for params in many:
        expected = evaluate(net, params, [TASK], batch_size=4)["t"]
        with memory.at_work():
            found = evaluate(net, params, [TASK], batch_size=4)["t"]
        assert torch.equal(found.losses, expected.losses)
    assert all("forward" not in module.__dict__ for module in net.modules())


def test_what_stays_runs_once_per_batch() -> None:
    net = model()
    memory = Memory(net, ["1.weight", "1.bias"])
    assert memory.modules == ["0"]
    for place, params in enumerate(others(net)):
        with memory.at_work():
            evaluate(net, params, [TASK], batch_size=4)
        assert runs(net) == 3 + 1, place  # three batches, the first of them twice
    assert_remembers_truly(net, Memory(net, ["1.weight", "1.bias"]), others(net))


def test_the_largest_unchanging_modules_are_remembered() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), nn.Tanh()
    )
    assert Memory(net, ["1.1.weight"]).modules == ["0", "1.0"]
    assert Memory(net, ["0.0.bias"]).modules == ["0.1", "1"]
    assert Memory(net, parameters_of(net)).modules == []


def test_tied_params_change_wherever_they_are() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert Memory(nn.Sequential(first, second, nn.Linear(4, 3)), ["0.weight"]).modules == ["2"]


def test_buffers_count() -> None:
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    assert Memory(net, ["0.running_mean", "1.weight"]).modules == []
    assert Memory(net, ["1.weight"]).modules == ["0"]


def test_after_something_that_changes_nothing_is_taken_from_memory() -> None:
    """The second layer stays, but what goes into it does not."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    memory = Memory(net, ["0.weight"])
    assert memory.modules == ["1"]
    assert_remembers_truly(net, memory, [{"0.weight": normal(4, 4, seed=seed)} for seed in range(3)])
    assert memory.modules == []


def test_outputs_changed_in_place_are_made_anew() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    memory = Memory(net, ["2.weight"])
    assert_remembers_truly(net, memory, [{"2.weight": normal(3, 4, seed=seed)} for seed in range(3)])
    assert memory.modules == []


class Draws(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found + torch.rand(())


class Counts(nn.Module):
    """Says something new with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(4, 4), 0

    def forward(self, inputs: Tensor) -> tuple[Tensor, object]:
        self.calls += 1
        return self.layer(inputs), self.calls


class First(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = inner, nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.last(self.inner(inputs)[0])
        return found


@pytest.mark.parametrize("net", [nn.Sequential(Draws(), nn.Linear(4, 3)), First(Counts())])
def test_a_module_with_two_answers_to_one_question_runs_as_ever(net: nn.Module) -> None:
    memory = Memory(net, [name for name in parameters_of(net) if name.startswith(("1.", "last."))])
    assert len(memory.modules) == 1
    with memory.at_work():
        evaluate(net, None, [TASK], batch_size=4)
    assert memory.modules == []


class Nested(nn.Module):
    """Takes and gives more than a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.runs = nn.Linear(4, 4), 0

    def forward(
        self, inputs: Tensor, *, scale: dict[str, float], extra: object = None
    ) -> dict[str, tuple[Tensor, float] | None]:
        self.runs += 1
        return {"found": (self.layer(inputs) * scale["by"], 2.0), "more": None}


class Asking(nn.Module):
    def __init__(self, extra: Callable[[], object]) -> None:
        super().__init__()
        self.inner, self.last, self.extra = Nested(), nn.Linear(4, 3), extra

    def forward(self, inputs: Tensor) -> Tensor:
        (found, factor) = self.inner(inputs, scale={"by": 3.0}, extra=self.extra())["found"]
        result: Tensor = self.last(found * factor)
        return result


def test_nested_inputs_and_outputs() -> None:
    net = Asking(lambda: None)
    memory = Memory(net, ["last.weight"])
    assert_remembers_truly(net, memory, [{"last.weight": normal(3, 4, seed=seed)} for seed in range(3)])
    assert memory.modules == ["inner"]
    assert net.inner.runs == 3 * 3 + 3 + 1  # plainly by every params, and once into memory


def test_unknown_things_are_not_remembered() -> None:
    net = Asking(object)
    memory = Memory(net, ["last.weight"])
    assert_remembers_truly(net, memory, [{"last.weight": normal(3, 4, seed=seed)} for seed in range(3)])
    assert memory.modules == []


def test_what_does_not_fit_runs_as_ever() -> None:
    net = model()
    memory = Memory(net, ["1.weight", "1.bias"], held=2 * 4 * 4 * 4)  # one batch of four, in and out
    for params in others(net, 3):
        with memory.at_work():
            evaluate(net, params, [TASK], batch_size=4)
    assert runs(net) == 4 + 2 + 2
    assert_remembers_truly(net, memory, others(net))


def test_with_gradients_nothing_is_remembered() -> None:
    net = model()
    memory = Memory(net, ["1.weight", "1.bias"])
    for _ in range(2):
        with memory.at_work():
            net(ROWS.inputs).sum().backward()
    assert net.get_parameter("0.inner.0.weight").grad is not None
    assert runs(net) == 2


def test_a_forward_of_its_own_comes_back_whatever_happens() -> None:
    net = model()
    own = net[0].forward
    net[0].forward = own
    with pytest.raises(ValueError, match="broken"), Memory(net, ["1.weight"]).at_work():
        raise ValueError("broken")
    assert net[0].forward is own
    with swapped(net, {}), Memory(net, ["1.weight"]).at_work(), torch.no_grad():
        net.eval()(ROWS.inputs)
    assert net[0].__dict__["forward"] is own
