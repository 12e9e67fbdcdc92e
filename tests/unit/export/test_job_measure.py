import json
import math
from pathlib import Path

import pytest
import torch
import transformers

from checkpoints import Checkpoints
from foretaste.export.job_measure import find_model, main, measure

ROWS = [
    {"input_ids": [5, 6, 7], "places": [1, 2], "labels": [7, 8]},
    {"input_ids": [9, 10], "places": [1], "labels": [11]},
]


def test_numbers_are_means_over_all_labels(checkpoints: Checkpoints) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoints.gpt2).eval()
    losses, hits = [], []
    for row in ROWS:
        with torch.no_grad():
            scores = model(torch.tensor([row["input_ids"]])).logits[0].double()
        for place, label in zip(row["places"], row["labels"], strict=True):
            losses.append(-float(torch.log_softmax(scores[place], -1)[label]))
            hits.append(int(scores[place].argmax()) == label)
    numbers = measure(model, ROWS)
    assert numbers["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert numbers["perplexity"] == pytest.approx(math.exp(sum(losses) / 3), rel=1e-5)
    assert numbers["token_accuracy"] == pytest.approx(sum(hits) / 3)
    assert numbers["exact_match"] == (all(hits[:2]) + hits[2]) / 2


def test_the_model_is_the_folder_itself_or_the_one_below_it(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert find_model(checkpoints.gpt2) == checkpoints.gpt2
    assert find_model(checkpoints.gpt2.parent).parent == checkpoints.gpt2.parent
    (tmp_path / "config.json").touch()  # without params
    with pytest.raises(SystemExit, match="holds no trained model"):
        find_model(tmp_path)


def test_metrics_of_every_task_are_written(checkpoints: Checkpoints, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"validation": {"a": "rows.jsonl"}}')
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    main(tmp_path, checkpoints.gpt2)
    assert set(json.loads((tmp_path / "metrics.json").read_text())["a"]) >= {"loss", "token_accuracy"}
    assert {path.name for path in tmp_path.iterdir()} == {"job.json", "rows.jsonl", "metrics.json"}
