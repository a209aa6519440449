"""A dataclass's fields are described by comments behind them: the reference shows these as docstrings."""

import ast
import io
import textwrap
import tokenize

from pdoc.doc import Class, Module, Variable


def add_comments(module: Module) -> None:
    """Give each field without a docstring the comment that stands in its lines."""
    for member in module.flattened_own_members:
        if not isinstance(member, Class):
            continue
        comments = field_comments(member.source)
        for field in member.own_members:
            if isinstance(field, Variable) and not field.docstring and field.name in comments:
                field.__dict__["docstring"] = comments[field.name]


def field_comments(source: str) -> dict[str, str]:
    """The comments of a class's annotated fields, as sentences."""
    source = textwrap.dedent(source)
    if not source:
        return {}
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.end_lineno or statement.lineno
            texts = [comments[line] for line in range(statement.lineno, last + 1) if line in comments]
            text = " ".join(text for text in texts if not text.startswith(("noqa", "type:")))
            if text:
                found[statement.target.id] = text[0].upper() + text[1:]
    return found
