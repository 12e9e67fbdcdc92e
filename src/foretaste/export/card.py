"""The model card beside an exported model: where it comes from, and how to load it.

References:
    Model cards, https://huggingface.co/docs/hub/model-cards
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCardData

from foretaste.combine import REDUCTION_ERROR
from foretaste.method_table import METHOD_TABLE

__all__ = ["CARD", "Loading", "card_text", "largest_rank", "served_rank"]

CARD = "README.md"

_PAGE = "https://arxiv.org/abs/2412.08147"
_SERVED_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's --max-lora-rank can be


@dataclass(frozen=True)
class Loading:
    """How an exported model is loaded.

    Args:
        base: The pretrained model: a hub id or a folder.
        model_class: The transformers class that loads it.
        adapter: Whether what is written is an adapter of the pretrained model, not a checkpoint of its own.
    """

    base: str
    model_class: str
    adapter: bool

    @property
    def on_hub(self) -> bool:
        """Whether the pretrained model's name means something on other machines."""
        return not Path(self.base).exists()


def largest_rank(facts: Mapping[str, object]) -> int | None:
    """Return the largest rank of an exported adapter, as far as its facts tell.

    >>> largest_rank({"ranks": [8, 24]})
    24
    """
    ranks = facts.get("ranks")
    return max(ranks) if isinstance(ranks, list) and ranks else None


def served_rank(rank: int) -> int | None:
    """Return the ``--max-lora-rank`` with which vLLM serves an adapter; None if its rank is too large for any.

    >>> served_rank(24), served_rank(4096)
    (32, None)
    """
    return next((bound for bound in _SERVED_RANKS if rank <= bound), None)


def card_text(facts: Mapping[str, object], loading: Loading | None = None) -> str:
    """Return the text of an export's model card; other tools and the hub read its head.

    Args:
        facts: How it came about, as ``foretaste.json`` has it.
        loading: How the model is loaded; the card does not say if left out.

    >>> facts = {"weights": {"a": 0.25, "b": 0.75}, "method": "simple", "version": "foretaste 1.0", "study": "two"}
    >>> print(card_text(facts, Loading("org/base", "AutoModelForCausalLM", adapter=True)).split("---")[1].strip())
    base_model: org/base
    library_name: peft
    tags:
    - foretaste
    - model-merging
    - lora
    """
    adapter = loading.adapter if loading is not None else "ranks" in facts
    merged = facts["method"] != "joint"
    tags = ["foretaste", *(["model-merging"] if merged else []), *(["lora"] if adapter else [])]
    head = ModelCardData(
        base_model=loading.base if loading is not None and loading.on_hub else None,
        library_name="peft" if adapter else "transformers",
        tags=tags,
    )
    weights = facts["weights"]
    assert isinstance(weights, Mapping)
    title = facts.get("study") or " + ".join(weights)
    parts = [
        f"---\n{head.to_yaml()}\n---\n",
        f"# {title}\n",
        _origin(facts, adapter=adapter),
        _weights_table(weights, facts.get("joint_run")),
        _use(facts, loading) if loading is not None else "",
        "`foretaste.json` holds hashes of the pretrained params and of the data, and everything else that this model"
        " depends on.\n",
    ]
    return "\n".join(part for part in parts if part)


def _weights_table(weights: Mapping[str, float], joint_run: object) -> str:
    """Tabulate the weights, and what a joint run with them draws of each task where that is known."""
    if not isinstance(joint_run, Mapping):
        lines = [f"| {task} | {weight:.4g} |" for task, weight in weights.items()]
        return "\n".join(["| task | weight |", "|---|---|", *lines, ""])
    lines = [
        f"| {task} | {weight:.4g} | {part['share_of_rows']:.1%} | {part['share_of_units']:.1%} | {part['epochs']:.2f} |"
        for (task, weight), part in zip(weights.items(), joint_run["tasks"].values(), strict=True)
    ]
    names = f"of the rows | of what is learned | epochs in {joint_run['steps']} joint steps"
    return "\n".join([f"| task | weight | {names} |", "|---|---|---|---|---|", *lines, ""])


def _origin(facts: Mapping[str, object], *, adapter: bool) -> str:
    """Say what the model is."""
    what, method = "adapter" if adapter else "model", str(facts["method"])
    by = f"by [foretaste]({_PAGE}) ({facts['version']})"
    if method == "joint":
        return f"This {what} was finetuned on all tasks jointly, at the weights below, {by}.\n"
    title = METHOD_TABLE[method].title
    lines = [
        f"This {what} is a merge of one finetuned model per task, {by}. The method is `{method}`: {title}. It previews"
        " joint finetuning at the weights below, and was not trained jointly.\n"
    ]
    error = facts.get(REDUCTION_ERROR)
    if isinstance(error, float) and error:
        lines.append(f"It has a lower rank than the exact merge, from which it differs by {error:.2g} of its norm.\n")
    return "\n".join(lines)


def _use(facts: Mapping[str, object], loading: Loading) -> str:
    """Show how the model is loaded and served."""
    name, base = loading.model_class, loading.base if loading.on_hub else "PATH_OF_THE_PRETRAINED_MODEL"
    if not loading.adapter:
        return (
            f'```python\nfrom transformers import {name}\n\nmodel = {name}.from_pretrained("PATH_OF_THIS_MODEL")\n```\n'
        )
    text = (
        f"```python\nfrom peft import PeftModel\nfrom transformers import {name}\n\n"
        f'model = PeftModel.from_pretrained({name}.from_pretrained("{base}"), "PATH_OF_THIS_MODEL")\n```\n'
    )
    rank = largest_rank(facts)
    bound = None if rank is None else served_rank(rank)
    if name != "AutoModelForCausalLM" or rank is None:
        return text
    if bound is None:
        limit = f"vLLM serves ranks up to {_SERVED_RANKS[-1]}; export it with a lower `--rank`."
        return f"{text}\nIts rank is {rank}. {limit}\n"
    command = f"vllm serve {base} --enable-lora --max-lora-rank {bound} --lora-modules merged=PATH_OF_THIS_MODEL"
    return f"{text}\n```bash\n{command}\n```\n"
