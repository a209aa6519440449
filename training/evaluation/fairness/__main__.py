"""For whom a network is how good: every task by gender, age and race, the worst group first.

  python -m training.evaluation.fairness grpc://localhost:8001 --data data/mine --markdown fairness.md
  python -m training.evaluation.fairness weights/qface-tiny.safetensors --data data/prepared \\
      --answered expression.happiness:attributes.Smiling --fail-above gender.top1_accuracy=0.1

On prepared sets of your own faces (`python -m training.data prepare`), of which people labelled the task and
gender, age or race. For the sets of --photos a server gets whole photos, of all others crops. `--answered
TASK.LABEL:TASK.LABEL` measures how often the first label is answered of faces of which people state the
second, and of which they do not. `--fail-above TASK.METRIC=GAP` ends with status 1 and a sentence where the
gap between the worst and the best group is larger, on any set and by any grouping; with --certain only where
its whole 95 % interval is. Groups of fewer faces than --smallest decide nothing.

What this can't show: a set has the faces that its makers chose, and the labels that its people gave; what is
equal on it may differ elsewhere. Gaps of metrics say nothing of what an answer is used for.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.data.prepared.face_set import prepared_sets
from training.data.sample import SPLITS
from training.evaluation.evaluate import add_measured, check_seed, names_of
from training.evaluation.fairness.measure import Answered, measured_groups
from training.evaluation.fairness.report import Limit, as_json, as_markdown, exceeded
from training.evaluation.metric_accumulator import Bootstrap
from training.evaluation.predictors import load_predictor, photo_analysis
from training.evaluation.report import write_text
from training.evaluation.served_photos import set_photos
from training.evaluation.subgroups import check_subgroup_tasks

GROUPS = "gender,age_group,race,race_utkface"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where a gap is too large, or 2 with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        if (options.limit is not None and options.limit < 1) or options.bootstrap < 0 or options.smallest < 1:
            raise ValueError("--limit and --smallest must be 1 or more, and --bootstrap 0 or more")
        check_seed(options.seed)
        limits = [Limit.parse(words) for words in options.fail_above]
        answered = [Answered.parse(words) for words in options.answered]
        groups = names_of(options.groups) or []
        check_subgroup_tasks(groups)
        if options.certain and not options.bootstrap:
            raise ValueError("--certain needs intervals: leave --bootstrap 0 out")
        sets = prepared_sets(options.data, split=options.split, names=names_of(options.sets))
        predictor = load_predictor(options.network, device=options.device)
        if options.photos:
            photo_analysis(predictor)
        measured = measured_groups(
            predictor,
            sets,
            groups,
            photos=set_photos(options.photos, sets),
            bootstrap=Bootstrap(draws=options.bootstrap, seed=options.seed),
            smallest=options.smallest,
            answered=answered,
            limit=options.limit,
        )
        titles = {of_task.title for of_task in measured}
        for words, one in zip(options.answered, answered, strict=True):
            if not any(target.name in titles for target, _ in one.targets("")):
                print(
                    f"training.evaluation.fairness: --answered {words} was measured on no set: it needs "
                    f"people's labels of {one.given[0]}, and a network that answers {one.task}",
                    file=sys.stderr,
                )
        too_large = exceeded(measured, limits, certain=options.certain)
        name = options.name or predictor.name
        tables = as_markdown(measured, name=name, smallest=options.smallest)
        print(tables)
        if options.json:
            network = {"name": name, "contract": predictor.contract, "precision": predictor.precision or None}
            data = as_json(measured, network=network, exceeded=too_large, options=vars(options))
            write_text(options.json, data)
        if options.markdown:
            write_text(options.markdown, tables)
        for sentence in too_large:
            print(f"training.evaluation.fairness: {sentence}", file=sys.stderr)
        return int(bool(too_large))
    except ValueError as error:
        print(f"training.evaluation.fairness: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.fairness",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measured(parser)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--groups", default=GROUPS, help="tasks whose labels make the groups (%(default)s)")
    parser.add_argument("--smallest", type=int, default=30, help="faces of groups that decide (%(default)s)")
    parser.add_argument(
        "--answered",
        action="append",
        default=[],
        metavar="TASK.LABEL:TASK.LABEL",
        help="how often this is answered where people state that, and where they do not",
    )
    parser.add_argument(
        "--fail-above",
        action="append",
        default=[],
        metavar="TASK.METRIC=GAP",
        help="status 1 where a gap is larger: gender.top1_accuracy=0.1, age.mean_absolute_error=3",
    )
    parser.add_argument("--certain", action="store_true", help="only where its whole interval is")
    parser.add_argument("--name", help="how the report calls the network, for a server's address")
    parser.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    parser.add_argument("--bootstrap", type=int, default=1000, help="draws for the intervals (0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
