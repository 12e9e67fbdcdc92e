"""What the weights that `foretaste demo` recommends gain over equal weights, on other splits and training seeds.

python benchmarks/demo.py --out benchmarks/results/demo.json       # about ten seconds
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path

import torch

from foretaste.evaluate import evaluate
from foretaste.recipe import read
from foretaste.sources.digits import digits
from foretaste.train.joint import joint
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, uniform

RECOMMENDED = (0.1, 0.6, 0.3)  # upright, turned, flipped
SPLITS = range(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    recipe, _ = read(Path(str(files("foretaste") / "recipes" / "digits.yaml")))
    rows = []
    for split in SPLITS:
        problem = digits(split, "views")
        training = Training(**recipe.finetune.numbers, seed=split)
        worst = {}
        for name, weights in (
            ("equal", uniform(problem.names)),
            ("recommended", TaskWeights(problem.names, RECOMMENDED)),
        ):
            run = joint(problem.model, None, problem.tasks, weights, training)
            metrics = evaluate(problem.model, run.params, problem.tasks).values()
            worst[name] = round(min(result.metrics["accuracy"] for result in metrics), 4)
        rows.append({"split": split, "seed": split, **worst, "gain": round(worst["recommended"] - worst["equal"], 4)})
        print(rows[-1])
    if out:
        report = {
            "weights": RECOMMENDED,
            "metric": "accuracy of the worst task",
            "torch": torch.__version__,
            "rows": rows,
        }
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
