"""Which changes make better images for the same compute: every row of `variants.py`, trained for equal CPU seconds.

    python experiments/quality/table.py time                                   # on a machine that does nothing else
    python experiments/quality/table.py train --runs ~/quality --seconds 1200  # may be stopped, and started again
    python experiments/quality/table.py score --runs ~/quality --seconds 1200

CPU seconds are step time x steps: `time` measures the steps of all rows in turns, once, and a row is then trained for
as many steps as the seconds pay for, however busy the machine is meanwhile. `train` and `score` skip what is done, and
take some of the rows with `--only`. `score` writes scores.json, table.md, sheets/ and, if runs were trained with
`--options "--eval-every ..."`, fid.png, which shows the FID over the seconds.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

import page
import scoring
from variants import VARIANTS, Variant

HERE = Path(__file__).parent
TIMES, SCORES = HERE / "times.json", HERE / "scores.json"
QUIET = 0.5  # load above which times are not believed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    time_, train_, score_ = (
        commands.add_parser(name, help=text, description=text)
        for name, text in (
            ("time", "Measure a step of every row, in turns, and write times.json."),
            ("train", "Train every row for its share of the seconds."),
            ("score", "Export and score every row that is trained, and write the table."),
        )
    )
    time_.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    time_.add_argument("--busy", action="store_true", help="measure even while the machine does something else")
    time_.set_defaults(do=time_steps)
    train_.add_argument("--options", default="", help='for `jaxgen train`, such as "--eval-every 500"')
    train_.add_argument("--data-dir", type=Path, help="where MNIST's files are; default: $JAXGEN_DATA_DIR")
    train_.set_defaults(do=train)
    scoring.add_options(score_)
    score_.add_argument("--again", action="store_true", help="also what was scored before")
    score_.set_defaults(do=score)
    for command in (train_, score_):
        command.add_argument("--runs", type=Path, required=True, help="a folder outside the work tree")
        command.add_argument("--seconds", type=float, default=1200, help="of each row; default: %(default)s")
    for command in (time_, train_, score_):
        command.add_argument("--only", action="append", metavar="NAME", choices=VARIANTS, help="may be repeated")
    arguments = parser.parse_args()
    arguments.do(arguments)


def chosen(arguments: argparse.Namespace) -> dict[str, Variant]:
    return {name: row for name, row in VARIANTS.items() if not arguments.only or name in arguments.only}


def time_steps(arguments: argparse.Namespace) -> None:
    """Seconds of a training step, the median of some rounds; rows of the same cost are measured once."""
    sys.path.append(str(HERE.parent / "training-speed"))
    from steps import WARM_UP, in_turns, jax_step

    from jaxgen.inference.benchmark import machine
    from jaxgen.models import network

    require_quiet(arguments.busy)
    rows = chosen(arguments)
    costs = {row.cost: row.config for row in rows.values()}
    print(f"{len(rows)} rows, {len(costs)} different steps, {WARM_UP} + {arguments.rounds} rounds", flush=True)
    sides = {(str(i), "JAX"): jax_step(config) for i, config in enumerate(costs.values())}
    taken = dict(zip(costs, in_turns(sides, arguments.rounds).values(), strict=True))
    sizes = {cost: network.parameter_count(network.fresh(config)) for cost, config in costs.items()}
    measured = scoring.read(TIMES).get("rows", {}) if arguments.only else {}
    for name, row in rows.items():
        seconds = statistics.median(taken[row.cost])
        measured[name] = {"step_seconds": seconds, "parameters": sizes[row.cost], "settings": row.settings}
        print(f"{name:20} {sizes[row.cost]:10,} parameters {1000 * seconds:8.0f} ms a step")
    about = {"machine": machine(), "commit": scoring.commit(), "load": scoring.cpu_load(), "rounds": arguments.rounds}
    scoring.write(TIMES, {**about, "rows": measured})


def require_quiet(busy: bool) -> None:
    """Exit if the machine does something else, unless that is said to be all right."""
    if scoring.cpu_load() > QUIET and not busy:
        sys.exit(f"the machine is busy (load {scoring.cpu_load():.1f}): wait until it is not, or say --busy")


def timed(name: str) -> dict[str, Any]:
    """What times.json says of a row. Exits if it was not timed, or if its settings are others since."""
    found = scoring.read(TIMES).get("rows", {}).get(name)
    if found is None or tuple(found["settings"]) != VARIANTS[name].settings:
        sys.exit(f"{name}: not timed with these settings; run: python {__file__} time --only {name}")
    return found


def steps_of(name: str, seconds: float) -> int:
    """What the seconds pay for of a row's training."""
    return max(1, round(seconds / timed(name)["step_seconds"]))


def folder(arguments: argparse.Namespace, name: str) -> Path:
    return arguments.runs.expanduser() / f"{arguments.seconds:g}s" / name


def is_done(run: Path, steps: int) -> bool:
    """A checkpoint is sealed by its jaxgen.json."""
    return (run / "checkpoints" / f"{steps:08d}" / "jaxgen.json").exists()


def train(arguments: argparse.Namespace) -> None:
    """A row that was interrupted goes on from its last checkpoint."""
    lengths = {name: steps_of(name, arguments.seconds) for name in chosen(arguments)}

    def one(name: str) -> None:
        row, run, steps = VARIANTS[name], folder(arguments, name), lengths[name]
        done = is_done(run, steps)
        print(f"{name}: {steps} steps{', done' if done else ''}", flush=True)
        if done:
            return
        settings = [*row.settings, f"training.steps={steps}", f"training.sample_every={steps}", f"name={name}"]
        sets = [part for setting in settings for part in ("--set", setting)]
        scoring.jaxgen(
            "train", "--preset", row.preset, *sets, "--out", run, *scoring.data(arguments.data_dir),
            *shlex.split(arguments.options),
        )  # fmt: skip

    scoring.each(lengths, one)


def score(arguments: argparse.Namespace) -> None:
    """Every row is written down as soon as it is scored."""
    (HERE / "sheets").mkdir(exist_ok=True)
    judge, key = scoring.judge(arguments), f"{arguments.seconds:g}"
    lengths = {name: steps_of(name, arguments.seconds) for name in chosen(arguments)}

    def one(name: str) -> None:
        run, steps = folder(arguments, name), lengths[name]
        scores = scoring.read(SCORES)
        kept = scores.setdefault(key, {}).get(name)
        if not is_done(run, steps):
            print(f"{name}: not trained yet", flush=True)
        elif arguments.again or kept is None or (kept["steps"], kept["n"]) != (steps, judge.count):
            print(f"{name}: {steps} steps", flush=True)
            scores[key][name] = scored(run, name, judge) | {"steps": steps, "commit": scoring.commit()}
            scoring.write(SCORES, scores)
            page.write(scores[key], scoring.read(TIMES), run.parent, arguments.seconds)

    scoring.each(lengths, one)
    page.write(
        scoring.read(SCORES).get(key, {}), scoring.read(TIMES), folder(arguments, "any").parent, arguments.seconds
    )


def scored(run: Path, name: str, judge: scoring.Judge) -> dict[str, Any]:
    """The report of a run, whose file is left in its folder; and a sheet of its images."""
    path = run / "model.onnx"
    scoring.jaxgen("export", run, "-o", path)
    scoring.jaxgen("sample", path, "-n", scoring.SAMPLES, "-o", HERE / "sheets" / f"{name}.png")
    return judge.score(path)


if __name__ == "__main__":
    main()
