"""The measured part of ``docs/trust.md`` and its figure, from ``benchmarks/results/{predict,constants,decision}.json``.

pip install -e '.[bench]' -c constraints.txt
python benchmarks/decision_page.py
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
PAGE, FIGURE = ROOT / "docs" / "trust.md", ROOT / "docs" / "decision.svg"
BEGIN, END = "<!-- decision -->\n", "<!-- /decision -->"
RIVALS = ("no previews", "previews checked", "optuna random", "optuna tpe", "optuna gp")
COLOURS = {
    "foretaste": "#4269d0",
    "no previews": "#9498a0",
    "previews checked": "#efb118",
    "optuna tpe": "#ff725c",
    "optuna gp": "#3ca951",
}
TITLES = {
    "digits": "digits",
    "sentiment": "sentiment, 3 tasks",
    "sentiment5": "sentiment, 5 tasks",
    "vision": "images",
    "translation": "translation",
}


def main() -> None:
    data = results()
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(before + BEGIN + section(data) + END + rest.split(END)[1])
    figure(data["decision"])
    print(f"wrote {PAGE} and {FIGURE}")


def results() -> dict[str, Any]:
    """By benchmark."""
    folder = ROOT / "benchmarks" / "results"
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("predict", "constants", "decision")}


def section(data: Mapping[str, Any]) -> str:
    """Write Markdown: coverage, regret of every searcher, then error, coverage and cost of the predicted surface."""
    figures = data["decision"]["figures"]
    lines = [
        (
            "Share of joint runs that lie in their 90 % interval, where some are known, drawn at random, and all others"
            " are predicted: means over sets of previews, metrics, problems, training seeds and draws. In brackets with"
            " constants of the predictor that the other four suites chose. The last column is of joint runs of another"
            " seed, at the weightings that are known from one."
        ),
        "",
        *_coverages(data["predict"]["coverage"], data["constants"]["chosen by the other four"]),
        "",
        (
            "Regret in points (hundredths of the metric): what the chosen weights give less than the best of a truth"
            " table of joint runs, judged by means over training seeds (of the suite of 5 tasks there is one). In"
            " brackets 90 % intervals over problems, seeds and repetitions, which take repetitions on one table for"
            " independent: other tables would differ more. `grid` chooses by all joint runs of one seed; Optuna's"
            " samplers see joint runs alone."
        ),
        "",
        *_regrets(figures),
        "",
        (
            "Regret favours who believes what one seed happened to give, since that seed is among its judges. So here"
            " is what the weights that are chosen with tasks + 3 joint runs give more than uniform ones in joint runs"
            " of the other seed, which nobody saw; in points, in brackets 90 % intervals."
        ),
        "",
        *_gains(figures),
        "",
        (
            "Error of the expected metrics where no joint run was made, and share of these in their 90 % interval,"
            " searching for the mean. Cost is in joint runs, all trainings, curvature and evaluations included; the"
            " full lattice has 66 weightings of 3 tasks, 1001 of 5."
        ),
        "",
        *_surfaces(figures),
        "",
        "![Regret against the number of joint runs, by suite and searcher](decision.svg)",
        "",
        *(f"`{each['command']}`, {each['date']}; {each['versions']}.  " for each in data.values()),
        "",
    ]
    return "\n".join(lines)


def _coverages(shipped: Mapping[str, Mapping[str, float]], chosen: Mapping[str, Any]) -> list[str]:
    lines = ["| suite | no joint run known | 1 | 3 | tasks + 3 | another seed |", "|---|---|---|---|---|---|"]
    for suite, found in shipped.items():
        others = [*chosen[suite]["coverage"][suite].values(), None] if suite in chosen else [None] * len(found)
        cells = [
            _share(own) + ("" if other is None else f" ({_share(other)})")
            for own, other in zip(found.values(), others, strict=True)
        ]
        lines.append(f"| {TITLES.get(suite, suite)} | {' | '.join(cells)} |")
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _suites(figures: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The largest number of joint runs, by suite."""
    return {row["suite"]: max(other["joint"] for other in figures if other["suite"] == row["suite"]) for row in figures}


def _regrets(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        (
            "| suite | wanted | uniform | raw Kronecker | grid | 1 joint run | 3 | tasks + 3 "
            "| no previews | previews checked | random | TPE | GP |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for suite, most in _suites(figures).items():
        for kind in ("mean", "worst"):
            rows = {
                (row["searcher"], row["joint"]): row
                for row in figures
                if row["suite"] == suite and row.get("preference") == kind
            }
            cells = [_points(rows[name, 0]["regret"]) for name in ("uniform", "raw kronecker", "full grid")]
            cells += [_interval(rows["foretaste", count]) for count in (1, 3, most)]
            cells += [_points(rows[name, most]["regret"]) for name in RIVALS]
            lines.append(f"| {TITLES[suite]} | {kind} | {' | '.join(cells)} |")
    return lines


def _gains(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    names = (
        "foretaste",
        "foretaste, averaging alone",
        "no previews",
        "previews checked",
        "optuna random",
        "optuna tpe",
        "optuna gp",
    )
    lines = [
        "| suite | wanted | previews | averaging alone | no previews | previews checked | random | TPE | GP | grid |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for suite, most in _suites(figures).items():
        for kind in ("mean", "worst"):
            rows = {
                (row["searcher"], row["joint"]): row
                for row in figures
                if row["suite"] == suite and row.get("preference") == kind
            }
            found = [rows[name, most]["gain"] for name in names] + [rows["full grid", 0]["gain"]]
            if None not in found:
                cells = [f"{mean:.1f} ({low:.1f} to {high:.1f})" for mean, low, high in found]
                lines.append(f"| {TITLES[suite]} | {kind} | {' | '.join(cells)} |")
    return lines


def _surfaces(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        (
            "| suite | previews | raw Kronecker | no joint run | 3 | tasks + 3 "
            "| covered with 3 | with tasks + 3 | cost with tasks + 3 | of the full lattice |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for suite, most in _suites(figures).items():
        for name, title in (("foretaste", "all"), ("foretaste, averaging alone", "averaging"), ("no previews", "none")):
            rows = {
                row["joint"]: row
                for row in figures
                if row["suite"] == suite and "preference" not in row and row["searcher"] == name
            }
            cells = [
                _digits(rows[3]["error of raw kronecker"]),
                *(_digits(rows[count]["error"]) for count in (0, 3, most)),
            ]
            cells += [f"{rows[count]['coverage']:.0%}" for count in (3, most)]
            cells += [f"{rows[most]['cost in joint runs']:.0f}", f"{rows[most]['share of the full grid']:.0%}"]
            lines.append(f"| {TITLES[suite]} | {title} | {' | '.join(cells)} |")
    return lines


def _points(value: float) -> str:
    return f"{value:.1f}"


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['regret']:.1f} ({row['low']:.1f} to {row['high']:.1f})"


def _digits(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def figure(data: Mapping[str, Any]) -> None:
    """Regret over joint runs, a panel per suite and preference."""
    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "decision", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    figures = data["figures"]
    suites = list(dict.fromkeys(row["suite"] for row in figures))
    drawing, panels = plt.subplots(
        2, len(suites), figsize=(2.7 * len(suites), 5), constrained_layout=True, squeeze=False
    )
    for column, suite in enumerate(suites):
        for line, kind in enumerate(("mean", "worst")):
            panel = panels[line][column]
            rows = [row for row in figures if row["suite"] == suite and row.get("preference") == kind]
            _panel(panel, rows)
            panel.set_title(f"{TITLES[suite]}, {kind}", fontsize=9)
    panels[0][0].set_ylabel("regret in points")
    panels[1][0].set_ylabel("regret in points")
    panels[0][0].legend(fontsize=7, frameon=False)
    drawing.supxlabel("joint runs; dotted: choosing by the whole grid of joint runs of one seed", fontsize=9)
    drawing.savefig(FIGURE, metadata={"Date": None})
    plt.close(drawing)


def _panel(panel: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    top = 0.0
    for name, colour in COLOURS.items():
        own = [row for row in rows if row["searcher"] == name]
        counts = [row["joint"] for row in own]
        panel.plot(counts, [row["regret"] for row in own], "o-", color=colour, label=name, ms=4)
        panel.fill_between(
            counts, [row["low"] for row in own], [row["high"] for row in own], color=colour, alpha=0.15, lw=0
        )
        top = max(top, *(row["regret"] for row in own if row["joint"] > 1))
    panel.axhline(next(row["regret"] for row in rows if row["searcher"] == "full grid"), color="#333333", ls=":", lw=1)
    panel.set_ylim(0, 1.5 * top + 0.1)  # one joint run at random is far off


if __name__ == "__main__":
    main()
