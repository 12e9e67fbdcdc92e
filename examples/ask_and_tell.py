"""Run a command of your own at the weights that foretaste asks for, and recommend weights.

Usage:

    python ask_and_tell.py FOLDER RUNS COMMAND [ARGUMENT ...]

The command is called once per run, with the weights in the environment: WEIGHT_CODE, WEIGHT_CHAT and WEIGHT_WEB. Its
last line of output is JSON with the metric of every task, such as {"code": 0.41, "chat": 0.63}. When this program is
stopped and started again, it goes on: proposals that have no result yet come first.
"""

import json
import os
import subprocess
import sys

import foretaste as ft

TASKS = {"code": "pass@1", "chat": "accuracy"}  # what is judged, and by which metric
DOMAINS = ["code", "chat", "web"]  # what is mixed


def run_command(command: list[str], weights: ft.TaskWeights) -> dict[str, float]:
    """Call the command at some weights, and read the metrics from its last line."""
    shares = {f"WEIGHT_{name.upper()}": f"{share:.6f}" for name, share in weights.items()}
    finished = subprocess.run(command, env=os.environ | shares, stdout=subprocess.PIPE, text=True, check=True)
    metrics = json.loads(finished.stdout.splitlines()[-1])
    return {task: float(metrics[task]) for task in TASKS}


def main() -> None:
    """Ask, run and tell until the study has as many runs as are wanted."""
    folder, count, *command = sys.argv[1:]
    with ft.Study(folder, tasks=TASKS, domains=DOMAINS) as study:
        while len(study.rows) < int(count):
            if not study.pending:
                study.ask(1)
            weights = study.pending[0].weights
            metrics = run_command(command, weights)
            study.tell(weights, metrics)
            print(f"run {len(study.rows)} at {weights}: {metrics}", flush=True)
        print(study.recommend(prefer="worst").weights)


if __name__ == "__main__":
    main()
