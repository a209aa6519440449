"""From options to questions, each of which was asked once."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from deploy.loadtest.protocols.base import Door, Target
from deploy.loadtest.work.asked_server import AskedServer
from deploy.loadtest.work.folder import choose
from deploy.loadtest.work.made_tensors import question_to
from deploy.loadtest.work.options import WorkOptions
from deploy.loadtest.work.question import Question
from deploy.loadtest.work.requests import Maker, Tasks
from qface_client.reading import PHOTO_MODEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What is sent, and sentences on what is not."""

    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()

    @property
    def about(self) -> list[dict[str, Any]]:
        """By kind, as plain data: share, how many different ones, bytes and faces on average."""
        whole = sum(question.share for question in self.questions)
        kinds: dict[str, list[Question]] = {}
        for question in self.questions:
            kinds.setdefault(question.kind, []).append(question)
        return [
            {
                "kind": kind,
                "share": sum(question.share for question in alike) / whole,
                "different": len(alike),
                "bytes": round(sum(question.content_bytes for question in alike) / len(alike)),
                "answer_bytes": round(sum(question.answer_bytes for question in alike) / len(alike)),
                "faces": sum(question.faces or 0 for question in alike) / len(alike),
            }
            for kind, alike in kinds.items()
        ]


def build(
    options: WorkOptions,
    *,
    door: Door,
    target: Target,
    description: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
) -> Work:
    """The questions of a mix, with the number of faces that each answer had.

    description     that of the door, where it is there already
    timeout         seconds, of one answer

    ValueError with a sentence for work that can't be sent: a folder without a picture, a file that the server
    refuses, a model or a task that it lacks. ConnectionError where the server does not answer.
    """
    named = (options.model,) if options.model else ()
    if description is None or (named and not description["models"]):
        description = door.describe(target, timeout=timeout, models=named)
    server = AskedServer(door=door, target=target, description=description, timeout=timeout)
    if options.model:
        return Work(questions=(_to_model(options, server),))
    if not _answers_photos(server):
        raise ValueError(
            f"{target.address} serves no {PHOTO_MODEL}: it has {_listed(server.models)}; name one of its "
            "models by --model, which gets made tensors"
        )
    folder = None if options.photos is None else choose(options.photos, limit=options.photo_limit)
    maker = Maker(server=server, own=() if folder is None else folder.files)
    sets: tuple[Tasks, ...] = options.tasks or (None,)
    questions = tuple(
        dataclasses.replace(question, share=question.share / len(sets))
        for entry in options.mix
        for tasks in sets
        for question in maker.questions(entry, tasks)
    )
    return Work(questions=questions, notes=(folder.note,) if folder is not None and folder.note else ())


def _to_model(options: WorkOptions, server: AskedServer) -> Question:
    model = server.models.get(options.model)
    if not model:
        raise ValueError(
            f"{server.target.address} serves no model {options.model!r}: it has {_listed(server.models)}"
        )
    question = question_to(options.model, model, options)
    answer = server.answer(question, what=f"a made request to {options.model}")
    return dataclasses.replace(question, answer_bytes=answer.size)


def _answers_photos(server: AskedServer) -> bool:
    """By the V2 protocol; of a protocol for photos alone the models have names and no more."""
    return PHOTO_MODEL in server.models or bool(server.models and not any(server.models.values()))


def _listed(models: Mapping[str, Any]) -> str:
    return ", ".join(models) or "none that it lists"
