"""How `foretaste show` grows with a study: time and memory of the command, beside an import of numpy and SQLAlchemy.

    python benchmarks/showing.py [--rows 91 1000 5000] [--repeats 3]

Studies are the demo's own plan with rows from a formula, in a temporary folder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAKER = Path(__file__).with_name(
    "showing_study.py"
)  # apart, because a process counts the memory of the one that started it
BASELINE = "import numpy, sqlalchemy, rich.table, typer"


def measured(command: list[str], repeats: int) -> tuple[float, float]:
    """Median processor seconds, and the largest memory in MiB, of a command."""
    seconds, memory = [], 0.0
    for _ in range(repeats):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{command} ended with {status}")
        seconds.append(usage.ru_utime + usage.ru_stime)
        memory = max(memory, usage.ru_maxrss / 1024)
    return statistics.median(seconds), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[91, 1000, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    seconds, memory = measured([sys.executable, "-c", BASELINE], options.repeats)
    found = {"imports alone": {"seconds": round(seconds, 2), "MiB": round(memory)}}
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, str(MAKER), f"{folder}/study", str(count)], check=True)
            taken, used = measured(
                [sys.executable, "-m", "foretaste", "show", str(Path(folder, "study"))], options.repeats
            )
        found[f"{count} rows"] = {
            "seconds": round(taken, 2),
            "MiB": round(used),
            "times the imports": round(taken / seconds, 1),
        }
        print(f"{count} rows: {found[f'{count} rows']}", flush=True)
    found |= {"date": time.strftime("%Y-%m-%d"), "python": sys.version.split()[0], "repeats": options.repeats}  # type: ignore[dict-item]
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
