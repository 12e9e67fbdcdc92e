from collections.abc import Collection

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.estimate.capture import Plan, capture_calls, collect_contributions, one_example, probe, sum_squares
from foretaste.params import in_eval_mode
from foretaste.task import Batch
from laws import normal
from networks import NETS, Net, classes, net


def plan_of(found: Net, batch: Batch | None = None) -> Plan:
    with in_eval_mode(found.model):
        return probe(found.model, found.task(), batch or found.batch)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


SLOW: dict[str, Collection[str]] = {
    "bare parameter": ("scale", "inner.weight"),
    "windows": ("body.weight", "body.bias"),
    "another norm": ("norm.weight",),
    "circular padding": ("0.weight",),
    "attention": tuple(
        f"0.self_attn.{end}" for end in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    ),
    "vit": ("vit.embeddings.cls_token", "vit.embeddings.position_embeddings"),
    "t5": tuple(
        f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight" for part in ("encoder", "decoder")
    ),
}


class TestProbe:
    @pytest.mark.parametrize("name", NETS)
    def test_only_what_the_layers_cannot_give_is_slow(self, name: str) -> None:
        assert plan_of(net(name)).slow == set(SLOW.get(name, ()))

    @pytest.mark.parametrize("name", NETS)
    def test_every_parameter_has_its_place(self, name: str) -> None:
        found = net(name)
        plan = plan_of(found)
        fast = {parameter for own in plan.layers.values() for parameter in own.values()}
        assert fast | plan.slow | plan.unseen == {parameter for parameter, _ in found.model.named_parameters()}
        assert not plan.slow & plan.unseen

    @pytest.mark.parametrize("name", NETS)
    def test_a_first_batch_of_one_gives_the_same_plan(self, name: str) -> None:
        found = net(name)
        assert plan_of(found, one_example(found.batch, 0)) == plan_of(found)

    def test_what_the_first_examples_do_not_use_is_unseen(self) -> None:
        assert plan_of(net("routed")).unseen == {"expert.weight", "expert.bias"}
        assert plan_of(net("gated")).unseen == {"expert.weight", "expert.bias"}
        assert plan_of(net("idle layer")).unseen == {"aside.weight", "aside.bias"}

    def test_position_embeddings_on_one_row_are_broadcast(self) -> None:
        found = net("positions once")
        assert plan_of(found).broadcast == {found.model.get_submodule("positions")}

    def test_outputs_changed_in_place_are_noticed_whatever_the_data(self) -> None:
        found = net("in place")
        assert plan_of(found).overwritten == {found.model.get_submodule("0")}
        assert plan_of(net("mlp")).overwritten == set()

    @pytest.mark.parametrize("name", ["bare parameter", "another norm", "windows"])
    def test_a_model_that_is_sure_of_every_label_is_still_checked(self, name: str) -> None:
        """Its loss has no gradient to compare."""
        found = net(name)
        sure = nn.Sequential(found.model, Shift(torch.tensor([1000.0, 0.0, 0.0])))
        labels = torch.zeros(len(found.batch["labels"])).long()
        plan = plan_of(Net(sure, {**found.batch, "labels": labels}))
        assert plan.slow == {f"0.{name}" for name in SLOW[name]}

    def test_bfloat16_layers_are_not_mistaken_for_wrong_ones(self) -> None:
        body = nn.Sequential(
            nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.RMSNorm(32), nn.Linear(32, 3)
        )
        found = Net(body.bfloat16(), {"inputs": normal(5, 16).bfloat16(), "labels": classes()})
        assert plan_of(found).slow == set()

    def test_frozen_parameters_are_left_out(self) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
        model.get_parameter("1.weight").requires_grad_(False)
        plan = plan_of(Net(model, {"inputs": normal(5, 4), "labels": classes()}))
        assert [sorted(own.values()) for own in plan.layers.values()] == [["0.bias", "0.weight"], ["1.bias"]]

    def test_outputs_without_a_gradient_are_refused(self) -> None:
        model = nn.Linear(4, 3).requires_grad_(False)
        with pytest.raises(TaskError, match="outputs on task 't' depend on no trained parameter; unfreeze some"):
            plan_of(Net(model, {"inputs": normal(5, 4), "labels": classes()}))

    @pytest.mark.parametrize("name", NETS)
    def test_no_hook_is_left(self, name: str) -> None:
        found = net(name)
        before = hooks(found.model)
        plan_of(found)
        assert hooks(found.model) == before


class Shift(nn.Module):
    def __init__(self, by: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("by", by)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits + self.get_buffer("by")


class TestCaptured:
    def test_hooks_go_when_the_forward_pass_fails(self) -> None:
        model = nn.Sequential(nn.Linear(4, 3))
        plan = Plan({model.get_submodule("0"): {"weight": "0.weight"}})

        def fail() -> None:
            with capture_calls(plan, 2):
                model(normal(2, 5))

        with pytest.raises(RuntimeError):
            fail()
        assert hooks(model) == 0

    def test_calls_are_recorded_in_order_and_without_gradient_not_at_all(self) -> None:
        found = net("called twice")
        plan = plan_of(found)
        with capture_calls(plan, 5) as calls:
            found.model(found.batch["inputs"])
        assert [call.module for call in calls] == [found.model.get_submodule(name) for name in ("body", "body", "head")]
        assert not calls[0].inputs.requires_grad
        with capture_calls(plan, 5) as calls, torch.no_grad():
            found.model(found.batch["inputs"])
        assert calls == []

    def test_copies_do_not_change_the_outputs(self) -> None:
        found = net("in place")
        expected = found.model(found.batch["inputs"])
        with capture_calls(plan_of(found), 5):
            assert torch.equal(found.model(found.batch["inputs"]), expected)


def test_calls_of_one_example_add_up_before_they_are_squared() -> None:
    found = net("called twice")
    plan = plan_of(found)
    with capture_calls(plan, 5) as calls:
        total = found.model(found.batch["inputs"]).sum()
    parts = collect_contributions(plan, calls, torch.autograd.grad(total, [call.output for call in calls]))
    assert {name: len(each) for name, each in parts.items()} == {
        "body.weight": 2,
        "body.bias": 2,
        "head.weight": 1,
        "head.bias": 1,
    }
    weight = found.model.get_parameter("body.weight")
    rows = [torch.autograd.grad(found.model(found.batch["inputs"][row]).sum(), weight)[0] for row in range(5)]
    torch.testing.assert_close(sum_squares(parts["body.weight"]), torch.stack(rows).square().sum(0))


def test_long_gradients_are_squared_in_chunks() -> None:
    """Three examples of 2^20 entries cannot be held at once; without a faster way they come one by one."""
    layer = nn.LayerNorm(1 << 20)
    found = Net(nn.Sequential(layer, nn.AdaptiveAvgPool1d(3)), {"inputs": normal(3, 1 << 20), "labels": classes(3)})
    plan = Plan({layer: {"bias": "0.bias"}})
    with capture_calls(plan, 3) as calls:
        total = (found.model(found.batch["inputs"]) * torch.tensor([1.0, 2.0, 3.0]).unsqueeze(1)).sum()
    parts = collect_contributions(plan, calls, torch.autograd.grad(total, [call.output for call in calls]))
    slope = 3 / (1 << 20)
    torch.testing.assert_close(
        sum_squares(parts["0.bias"])[100:200], torch.full((100,), 14 * slope**2), rtol=1e-3, atol=0
    )


class TestOneExample:
    def test_it_keeps_the_batch_dimension(self) -> None:
        batch = {"inputs": normal(5, 4), "labels": classes()}
        assert torch.equal(one_example(batch, 2)["inputs"], batch["inputs"][2:3])

    @pytest.mark.parametrize("odd", [torch.zeros(()), torch.zeros(4, 5), torch.zeros(1, 5)])
    def test_a_tensor_without_a_row_per_example_is_named(self, odd: torch.Tensor) -> None:
        with pytest.raises(TaskError, match=r"mask has shape \[.*\] for 5 examples"):
            one_example({"labels": classes(), "mask": odd}, 0)
