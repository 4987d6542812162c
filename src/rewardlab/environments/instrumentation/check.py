"""Whether rewritten code does what the original does, but for prints of known lines."""

from __future__ import annotations

import ast


def only_prints(original: str, rewritten: str, token: str) -> bool:
    """Whether the rewritten code is the original with nothing but prints of constant text that begins with a token.

    The syntax trees must be equal once these prints are taken out, so that no statement was dropped, moved or changed.

    Args:
        original: what the agent wrote.
        rewritten: what came back.
        token: how every inserted line begins.
    """
    try:
        before, after = ast.parse(original), ast.parse(rewritten)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return ast.dump(before) == ast.dump(_Without(token).visit(after))


def is_milestone(node: ast.AST, token: str) -> bool:
    """Whether a statement is `print("TOKEN ...")`, with or without `flush=True`."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    call = node.value
    return (
        isinstance(call.func, ast.Name)
        and call.func.id == "print"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and call.args[0].value.startswith(token)
        and all(word.arg == "flush" and isinstance(word.value, ast.Constant) for word in call.keywords)
    )


class _Without(ast.NodeTransformer):
    def __init__(self, token: str) -> None:
        self.token = token

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if is_milestone(node, self.token) else self.generic_visit(node)
