"""Chained tasks: two known programs in a row, solved only to label the heads.

A proposer is held to programs that can nearly be solved. Heads that see only its tasks never see a hopeless one, and would be as sure of
it as of any other. Two chained programs of the buffer are twice as long. The sandbox validates them like proposals. They are solved and
graded; the policy is not trained on them, and the buffer does not keep them.
"""

import ast
from collections.abc import Sequence

import numpy as np

from tina_azr.tasks.canonical import parse_program
from tina_azr.tasks.types import Proposal, Task
from tina_azr.tasks.validation import Validator

SPARE = 3
"""Pairs drawn for each wanted task: many programs do not fit together."""


def compose(first: str, second: str) -> str | None:
    """Return a program that passes the result of `first` to `second`; None if the two cannot be chained as they are written.

    Both are one function `f` whose only `return` is its last statement, and `second` takes one argument.
    """
    try:
        head, tail = _entry(parse_program(first)), _entry(parse_program(second))
    except SyntaxError:
        return None
    if head is None or tail is None or len(tail.args.args) != 1:
        return None
    parameter, result = tail.args.args[0].arg, head.body[-1]
    assert isinstance(result, ast.Return)
    assert result.value is not None
    body = head.body[:-1]
    if not (isinstance(result.value, ast.Name) and result.value.id == parameter):
        body.append(ast.Assign(targets=[ast.Name(id=parameter, ctx=ast.Store())], value=result.value))
    head.body = [*body, *tail.body]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body=[head], type_ignores=[])))


def _entry(tree: ast.Module) -> ast.FunctionDef | None:
    """Return the program's function, if there is nothing else and its only `return` is at the end."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    function = tree.body[0]
    arguments = function.args
    plain = not (arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.defaults)
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    nested = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    ends = len(returns) == 1 and function.body[-1] is returns[0] and returns[0].value is not None
    return function if plain and ends and function.name == "f" and len(nested) == 1 else None


def chained_proposals(tasks: Sequence[Task]) -> list[Proposal]:
    """Chain each task with the next one, as proposals with the inputs of the first. Tasks are of one mode."""
    pairs = [
        (first, second, compose(first.program, second.program)) for first, second in zip(tasks[::2], tasks[1::2], strict=False)
    ]
    return [
        Proposal(
            mode=first.mode,
            program=program,
            inputs=_inputs(first),
            message="; ".join(filter(None, (first.message, second.message))),
        )
        for first, second, program in pairs
        if program is not None
    ]


def _inputs(task: Task) -> tuple[str, ...]:
    examples = (*task.visible, *task.hidden)
    return tuple(example.input for example in examples) if examples else (task.input,)


def chained_tasks(tasks: Sequence[Task], validator: Validator, draw: np.random.Generator, *, rounds: int = 1) -> list[Task]:
    """Chain these tasks at random within their mode, `rounds` times, and return those that the sandbox validates."""
    found: dict[tuple[str, str], Task] = {}
    for mode in dict.fromkeys(task.mode for task in tasks):
        own = [task for task in tasks if task.mode == mode]
        for _ in range(rounds):
            shuffled = [own[number] for number in draw.permutation(len(own))]
            judged = validator.validate(chained_proposals(shuffled))
            found |= {(mode, task.key): task for task in judged if isinstance(task, Task)}
    return list(found.values())
