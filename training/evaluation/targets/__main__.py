"""What the networks are to reach, measured, old and new side by side: a table of targets.

  python -m training.evaluation.targets grpc://localhost:8001 --data data/prepared \\
      --photos ferplus=DIR celeba=DIR --beside old-targets.json --json targets.json
  python -m training.evaluation.targets weights/qface-tiny-open.safetensors --data data/open --minima open

The rows are in training/evaluation/targets/rows.py, each with the faces that it is about, its figure and its
bounds. For the sets of --photos a server gets whole photos, of all others crops. `--beside` is another
network, which is measured on the same faces, or the file that --json left of an earlier run: of an older
server, so that both figures are a client's. A checkpoint beside a server gets crops. With `--minima open`
the bounds are those of networks that learn from open sources alone: where a row has none of its own, the
figure is not to be worse than the old one by more than its interval.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.data.prepared.face_set import prepared_sets
from training.evaluation.evaluate import add_measured, check_seed, names_of
from training.evaluation.metric_accumulator import Bootstrap
from training.evaluation.predictors import load_predictor, photo_analysis
from training.evaluation.report import write_text
from training.evaluation.results import Estimate
from training.evaluation.served_photos import set_photos
from training.evaluation.targets.faceless import unseen_photos
from training.evaluation.targets.measure import TargetFigure, measured_targets
from training.evaluation.targets.report import MINIMA, MISSED, as_json, as_markdown, figures_in, results_of
from training.evaluation.targets.rows import TARGETS


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 with --fail where a row is not reached, or 2 with a sentence."""
    options = _parser().parse_args(arguments)
    try:
        if (options.limit is not None and options.limit < 1) or options.bootstrap < 0:
            raise ValueError("--limit must be 1 or more, and --bootstrap 0 or more")
        check_seed(options.seed)
        names = names_of(options.sets)
        needed = {name for target in TARGETS for name in target.sets}
        sets = [faces for faces in prepared_sets(options.data, names=names) if faces.name in needed]
        predictor = load_predictor(options.network, device=options.device)
        if options.photos:
            photo_analysis(predictor)
        photos = set_photos(options.photos, sets)
        settings = {
            "photos": photos,
            "bootstrap": Bootstrap(draws=options.bootstrap, seed=options.seed),
            "limit": options.limit,
            "faceless": unseen_photos(options.no_faces, data=options.data)[: options.limit]
            if options.no_faces
            else (),
        }
        old_name: str | None = None
        old: dict[str, Estimate] = {}
        if options.beside is not None and Path(options.beside).suffix == ".json":
            old_name, old = figures_in(Path(options.beside))
        elif options.beside is not None:
            other = load_predictor(options.beside, device=options.device)
            old_name = options.beside
            measured = measured_targets(other, TARGETS, sets, **settings)
            old = {
                name: figure.estimate for name, figure in measured.items() if isinstance(figure, TargetFigure)
            }
        figures = measured_targets(predictor, TARGETS, sets, **settings)
        results = results_of(TARGETS, figures, old, minima=options.minima)
        name = options.name or predictor.name
        table = as_markdown(results, new=name, old=old_name)
        print(table)
        if options.json:
            network = {"name": name, "contract": predictor.contract, "precision": predictor.precision or None}
            write_text(options.json, as_json(results, new=network, old=old_name, options=vars(options)))
        if options.markdown:
            write_text(options.markdown, table)
        return int(options.fail and any(result.verdict == MISSED for result in results))
    except ValueError as error:
        print(f"training.evaluation.targets: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.targets",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measured(parser)
    parser.add_argument("--no-faces", type=Path, metavar="DIR", help="photos without a face, for a server")
    parser.add_argument("--beside", metavar="NETWORK", help="the old one, or the file of its --json")
    parser.add_argument("--minima", choices=MINIMA, default="full", help="which bounds hold (%(default)s)")
    parser.add_argument("--name", help="how the table calls the network, for a server's address")
    parser.add_argument("--limit", type=int, help="so many faces of each set, evenly spread")
    parser.add_argument("--bootstrap", type=int, default=1000, help="draws for the intervals (0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", help="where torch runs a checkpoint: cpu or cuda")
    parser.add_argument("--fail", action="store_true", help="status 1 where a row is not reached")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
