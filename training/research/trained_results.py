"""A run trained to its end, with its results on test faces: each is made once, however often it is wanted."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.data.prepared.face_set import FaceSet, read_manifest
from training.evaluation.evaluate import evaluate, torch_predict
from training.evaluation.report import result_as_json, write_text
from training.models import ExportWrapper, load_checkpoint
from training.train.loop.distributed import Distributed
from training.train.run_config import Run
from training.train.trainer import Trainer

_RESULT = "result.json"
DRAWS = 500  # of the bootstrap


def trained_results(
    run: Run,
    *,
    data: Path,
    folder: Path,
    where: Distributed,
    limit: int | None = None,
    also: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The results of a run as JSON rows (training.evaluation.report), trained into `folder` if need be.

    Measured are the test splits of the sets that it learns from, as far as they have one, and of `also`,
    `limit` faces of each, whole and by their named parts. Empty on all but the leading process. ValueError
    where the folder is another run's.
    """
    trainer = Trainer(run, data=data, folder=folder, where=where)
    identity = trainer.loop.identity
    # The leading process decides, so that all take the same way.
    done = where.gathered(_finished(folder / _RESULT, identity) if where.leads else None)[0]
    if done is None:
        if where.leads:
            print(f"{run.name}: {', '.join(run.model.all_tasks)}", file=sys.stderr, flush=True)
        trainer.train()
        trainer.finish()
    rows: list[dict[str, Any]] = list(done or []) if where.leads else []
    if where.leads:
        if done is None:
            names = dict.fromkeys(source.name for source in run.sources)
            own = [name for name in names if "test" in read_manifest(data / name)["faces"]]
            rows = _measured(
                run, data, own, folder=folder, file=_RESULT, identity=identity, limit=limit, where=where
            )
        for name in also:
            faces = FaceSet(data / name, split="test", crop=run.model.face_crop)
            measured = {**identity, "measured": faces.fingerprint, "limit": limit}
            file = f"result-{name}.json"
            found = _finished(folder / file, measured)
            rows += (
                found
                if found is not None
                else _measured(
                    run, data, [name], folder=folder, file=file, identity=measured, limit=limit, where=where
                )
            )
    where.wait()
    return rows


def _measured(
    run: Run,
    data: Path,
    names: Sequence[str],
    *,
    folder: Path,
    file: str,
    identity: Mapping[str, Any],
    limit: int | None,
    where: Distributed,
) -> list[dict[str, Any]]:
    """The rows of the run's checkpoint on these sets, which are written into a file of its folder."""
    checkpoint = load_checkpoint(folder / "model.safetensors")
    wrapper = ExportWrapper(checkpoint.model, checkpoint.contract).to(where.device)
    results = evaluate(
        torch_predict(wrapper),
        checkpoint.contract.tasks,
        [FaceSet(data / name, split="test", crop=run.model.face_crop) for name in names],
        input_size=checkpoint.contract.input_size,
        limit=limit,
        bootstrap=DRAWS,
    )
    found = [result_as_json(result) for result in results]
    write_text(folder / file, json.dumps({"identity": identity, "rows": found}, indent=1) + "\n")
    return found


def _finished(path: Path, identity: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a finished run; None where it is not finished. ValueError where it was another run."""
    try:
        result = json.loads(path.read_text())
        recorded, rows = result["identity"], result["rows"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path} can't be read: delete it, and the same command goes on") from None
    if recorded != json.loads(json.dumps(identity)):
        raise ValueError(
            f"{path} is of a run with other settings or data: use those, or choose another --run folder"
        )
    return list(rows)
