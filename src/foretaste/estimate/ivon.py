"""IVON, an optimizer that learns a Gaussian: a task's mean and diagonal curvature, together.

IVON trains a Gaussian ``N(m, diag(1 / (lambda (h + w))))`` in place of a point. It takes every gradient G at a draw
``m + e``. By Stein's identity, G tells the curvature around m::

    g    <- b1 g + (1 - b1) G
    hhat  = lambda (h + w) (e * G)                                u = (1 - b2) (hhat - h) / (h + w)
    h + w <- (h + w) (1 + u + u^2 / 2)                            (stays positive, whatever u)
    m    <- m - lr (h_0 + w) clip((g / (1 - b1^k) + w (m - c)) / (h + w))

lambda (``ess``) scales the mean loss to a sum over the data, h is the curvature of the *mean* loss and w
the precision of the prior ``N(c, 1 / (lambda w))``, so that sites of different ``ess`` merge in units of h.

Implementations often differ in these points. Here:

- b2 follows from the number of steps, since after n steps ``b2^n`` of h is still its first guess.
- The prior is centred at the start of the run, not at 0.
- Gradients add up over micro-batches. h uses them before they are clipped, m afterwards.
- All state is float32, and a ``state_dict`` restores it exactly.
- A parameter without a gradient does not change.
- Params are put back bit for bit when an exception leaves `IVON.sampled`.

References:
    Shen, Daheim, Cong, Nickl, Marconi, Bazan, Yokota, Gurevych, Cremers, Khan, Möllenhoff: Variational
    Learning is Effective for Large Deep Networks, 2024, https://arxiv.org/abs/2402.17641
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from foretaste.errors import ParamsError, RunFailed
from foretaste.estimate.ivon_step import check_settings, in_pieces, move_params
from foretaste.params import wide

__all__ = ["IVON", "beta2_for", "learned_share"]

_MEMORIES = 4.0  # b2 forgets the first guess e^-4 = 2 % by the end
_STATE = ("momentum", "hessian", "center", "product", "step")


def beta2_for(steps: int) -> float:
    """Compute the decay of h for a run of so many steps, ``1 - 4 / steps``, so that 98 % of h is learned.

    >>> round(1 - beta2_for(300) ** 300, 3)
    0.982
    """
    return max(0.0, 1 - _MEMORIES / max(steps, 1))


def learned_share(beta2: float, steps: int) -> float:
    """Compute the share of h that is learned, ``1 - beta2^steps``; the rest is its first guess.

    >>> round(learned_share(0.99999, 300), 3)
    0.003
    """
    return 1 - beta2**steps


class IVON(torch.optim.Optimizer):
    """Improved variational online Newton, an optimizer that takes its gradients at draws.

    Every group may have its own ``lr``, ``ess``, ``beta1``, ``beta2``, ``hessian_init``, ``weight_decay``
    and ``clip_radius``.

    Args:
        params: Parameters or groups of them.
        ess: lambda, the effective sample size: the number of units that the loss is a mean over.
        steps: The number of steps of the whole run, which gives beta2.
        lr: The learning rate in units of ``h_0 + w``: at the first guess it is that of plain gradient descent.
        beta1: The decay of the momentum.
        beta2: The decay of h, in place of ``steps``.
        hessian_init: h_0, the first guess of the curvature of the mean loss, above 0.
        weight_decay: w, the prior's precision on the scale of the mean loss; at least 0.
        clip_radius: The largest step of an entry, before ``lr (h_0 + w)``.
        to_start: Whether the prior is centred at the start of the run; if not, it is centred at 0.
        generator: Draws the Gaussian noise; the device's own if left out.

    Raises:
        ParamsError: A setting is out of its range, or there is neither ``steps`` nor ``beta2``.

    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> optimizer = IVON(layer.parameters(), ess=100, steps=50)
    >>> for _ in range(50):
    ...     optimizer.zero_grad()
    ...     with optimizer.sampled():
    ...         layer(torch.eye(2)).square().mean().backward()
    ...     optimizer.step()
    >>> list(optimizer.estimates())
    ['hessian']
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        ess: float,
        steps: int | None = None,
        lr: float = 0.1,
        beta1: float = 0.9,
        beta2: float | None = None,
        hessian_init: float = 0.01,
        weight_decay: float = 1e-4,
        clip_radius: float = math.inf,
        to_start: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        if beta2 is None and steps is None:
            raise ParamsError("IVON needs the number of steps, from which beta2 follows, or beta2 itself; give steps=")
        defaults = {
            "lr": lr,
            "ess": float(ess),
            "beta1": beta1,
            "beta2": beta2_for(steps or 1) if beta2 is None else beta2,
            "hessian_init": hessian_init,
            "weight_decay": weight_decay,
            "clip_radius": clip_radius,
        }
        self.to_start = to_start
        self.generator = generator
        self._means: dict[Tensor, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        self._has_collected = False
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Raises:
            ParamsError: A setting is out of its range.
        """
        check_settings(self.defaults | param_group)
        super().add_param_group(param_group)

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Move the params to a draw while the block runs; the gradients in it count.

        Several draws may add up to one step. Scale their losses, as in any gradient accumulation.
        """
        self.perturb()
        try:
            yield
        finally:
            self.restore()

    @torch.no_grad()
    def perturb(self) -> None:
        """Move the params to a draw.

        Raises:
            RunFailed: The params are at a draw already.
        """
        if self._means:
            raise RunFailed(
                "the params are at a draw already; restore() them first, or use `with optimizer.sampled():`"
            )
        try:
            for group in self.param_groups:
                for param in (param for param in group["params"] if param.requires_grad):
                    self._draw(param, group)
        except BaseException:
            self.restore()
            raise

    def _draw(self, param: Tensor, group: Mapping[str, Any]) -> None:
        """Move one parameter to a draw."""
        state = self._state_of(param, group)
        self._means[param] = param.detach().clone()
        self._hooks.append(param.register_hook(partial(self._collect, param)))  # type: ignore[no-untyped-call]
        for ((place,), (hessian,)), _ in in_pieces([[param], [state["hessian"]]], [1.0]):
            scale = hessian.add(group["weight_decay"]).mul_(group["ess"]).rsqrt_()
            place.add_(torch.empty_like(scale).normal_(generator=self.generator).mul_(scale))

    @torch.no_grad()
    def restore(self) -> None:
        """Move the params back, bit for bit; do nothing if they are not at a draw."""
        for param, mean in self._means.items():
            param.copy_(mean)
        for hook in self._hooks:
            hook.remove()
        self._means, self._hooks = {}, []

    def _state_of(self, param: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the parameter's state, which is made at its first use, on the parameter's device."""
        state: dict[str, Tensor] = self.state[param]
        if not state:
            zeros = torch.zeros_like(wide(param), memory_format=torch.preserve_format)
            state |= {
                "momentum": zeros,
                "product": zeros.clone(),
                "hessian": torch.full_like(zeros, group["hessian_init"]),
            }
            state["step"] = torch.zeros((), dtype=torch.float32)
            if self.to_start:
                state["center"] = wide(param.detach()).clone()
        return state

    @torch.no_grad()
    def _collect(self, param: Tensor, grad: Tensor) -> None:
        """Add ``e * G`` of one backward pass, before anything clips or adds to G."""
        if grad.is_sparse:
            raise RunFailed("IVON needs dense gradients; make the embedding with sparse=False")
        self._has_collected = True
        for ((draw,), (mean,), (slope,), (product,)), _ in in_pieces(
            [[param], [self._means[param]], [grad], [self.state[param]["product"]]], [1.0]
        ):
            product.addcmul_(wide(draw) - wide(mean), wide(slope))

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with the gradients that were taken at draws.

        Args:
            closure: Clears the gradients, goes backward and returns the loss. It runs at a draw.

        Raises:
            RunFailed: The params are still at a draw, or no gradient was taken at a draw.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad(), self.sampled():
                loss = closure()
        if self._means:
            raise RunFailed("step() was called at a draw; leave `with optimizer.sampled():` before it")
        for group in self.param_groups:
            active = [param for param in group["params"] if param.requires_grad and param.grad is not None]
            if active and not self._has_collected:
                raise RunFailed("no gradient was taken at a draw; go backward inside `with optimizer.sampled():`")
            if active:
                self._update(group, active)
        self._has_collected = False
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, and the sums for h that came from them."""
        super().zero_grad(set_to_none)
        if self._has_collected:
            for state in filter(None, self.state.values()):
                state["product"].zero_()
            self._has_collected = False

    def _update(self, group: Mapping[str, Any], params: list[Tensor]) -> None:
        states = [self._state_of(param, group) for param in params]
        for state in states:
            state["step"] += 1
        debias = [1 / (1 - group["beta1"] ** float(state["step"])) for state in states]
        columns = [[state.get(key) for state in states] for key in ("momentum", "hessian", "product", "center")]
        for part, factors in in_pieces([params, [param.grad for param in params], *columns], debias):
            move_params(group, part, factors)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state in float32, whatever the parameters' type."""
        super().load_state_dict(state_dict)
        stored = state_dict["state"]
        ordered = [param for group in self.param_groups for param in group["params"]]
        for index, param in enumerate(ordered):
            for key in _STATE:
                if key in stored.get(index, {}):
                    place = "cpu" if key == "step" else param.device
                    self.state[param][key] = torch.as_tensor(stored[index][key]).to(place, copy=True)

    def estimates(self) -> dict[str, dict[Tensor, Tensor]]:
        """Return the curvature h of every parameter that had a gradient, in its shape, by kind and parameter."""
        return {"hessian": {param: state["hessian"] for param, state in self.state.items() if state and state["step"]}}
