"""The figures of ``docs/agreement.md``, from ``benchmarks/results/*.json``.

pip install -e '.[bench]' -c constraints.txt
python benchmarks/agreement_figures.py
"""

from collections.abc import Mapping
from statistics import mean
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from agreement_page import DOCS, NOISE, results, table_of


def main() -> None:
    mpl.use("svg")
    for name, suite in results().items():
        figure(name, suite)
        print(f"wrote {DOCS / f'agreement-{name}.svg'}")


_COLOURS = {
    "preview": "#4269d0",
    "anchored": "#3ca951",
    "sharpened": "#efb118",
    "control": "#9498a0",
    "rival": "#ff725c",
    "noise": "#333333",
}


def figure(name: str, suite: Mapping[str, Any]) -> None:
    """Error of every predictor with its range over runs, and error against cost for 66 weightings."""
    mpl.rcParams.update({"svg.hashsalt": name, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    table = {key: line for key, line in table_of(suite).items() if line["kind"] != "noise"}
    noise = table_of(suite).get(NOISE)
    ordered = sorted(table, key=lambda key: mean(table[key]["error"]))
    drawing, (left, right) = plt.subplots(1, 2, figsize=(10, 0.32 * len(table) + 1.6), constrained_layout=True)
    for place, key in enumerate(reversed(ordered)):
        errors, colour = table[key]["error"], _COLOURS[table[key]["kind"]]
        left.plot([min(errors), max(errors)], [place, place], color=colour, lw=2, alpha=0.5)
        left.plot(mean(errors), place, "o", color=colour)
        cost = mean(table[key]["once"]) + 66 * mean(table[key]["each"])
        right.plot(cost, mean(errors), "o", color=colour)
        right.annotate(key, (cost, mean(errors)), xytext=(4, 3), textcoords="offset points", fontsize=7, color=colour)
    left.set_yticks(range(len(ordered)), list(reversed(ordered)))
    left.set_xlabel("error of accuracy against joint finetuning")
    right.set_xlabel("cost of 66 weightings, in joint runs (all trainings included)")
    right.set_ylabel("error")
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.xaxis.set_minor_formatter(NullFormatter())
    right.margins(x=0.15)
    if noise:
        for line in (left.axvline, right.axhline):
            line(mean(noise["error"]), color=_COLOURS["noise"], ls=":", lw=1)
        left.set_title("dotted: joint runs of another seed", fontsize=8, loc="right", color="#555555")
    left.set_xlim(left=0)
    right.set_ylim(bottom=0)
    drawing.savefig(DOCS / f"agreement-{name}.svg", metadata={"Date": None})
    plt.close(drawing)


if __name__ == "__main__":
    main()
