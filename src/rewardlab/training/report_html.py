"""The page of a report: its frame and the pieces that sections are made of. Every text that comes in is escaped here.

The page holds all that it shows: a policy of its own (Content-Security-Policy) forbids scripts and whatever lies elsewhere,
so even a text that slipped through could not run.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.types import Message, Trajectory, message_text

MOST_TEXT = 4000
"""Characters of one message that are shown."""


def page(title: str, subtitle: str, tiles: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """The whole page.

    Args:
        title, subtitle: text.
        tiles: the headline, as HTML.
        sections: heading and HTML; those without content are left out.
    """
    body = "\n".join(
        f"<section><h2>{html.escape(heading)}</h2>{content}</section>" for heading, content in sections if content
    )
    parts = {"{{title}}": html.escape(title), "{{subtitle}}": html.escape(subtitle), "{{tiles}}": "".join(tiles)}
    text = _PAGE
    for mark, content in parts.items():
        text = text.replace(mark, content)
    return text.replace("{{body}}", body)


def tile(label: str, value: str, note: str = "") -> str:
    """A number of the headline."""
    below = f"<small>{html.escape(note)}</small>" if note else ""
    return f'<div class="tile"><span>{html.escape(label)}</span><b>{html.escape(value)}</b>{below}</div>'


def figure(caption: str, picture: str, note: str = "") -> str:
    """A picture with its caption."""
    below = f"<small>{html.escape(note)}</small>" if note else ""
    name = html.escape(caption, quote=True)
    return f'<figure role="img" aria-label="{name}"><figcaption>{name}{below}</figcaption>{picture}</figure>'


def grid(figures: Sequence[str]) -> str:
    """Pictures beside each other."""
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of texts and numbers."""
    head = "".join(f"<th>{html.escape(entry)}</th>" for entry in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f"<p>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{html.escape(text)}</h3>"


def preformatted(text: str) -> str:
    """Text as it is, folded away."""
    return f"<details><summary>show</summary><pre>{html.escape(text)}</pre></details>"


def number(value: Any) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}"


def percent(value: Any) -> str:
    """A share in percent; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.1%}"


def attempt(trajectory: Trajectory, *, opened: bool = False) -> str:
    """A trajectory as a chat that folds, under its score, its parts and what became of it."""
    about = trajectory.info.get("training") or {}
    value, status = about.get("value"), str(about.get("status", "scored"))
    chips = [_chip(f"reward {number(value)}", "good" if (value or 0) > 0 else "plain") if value is not None else ""]
    if value is None:
        chips = [_chip(status, "bad")]
    chips += [_chip(f"{name} {number(part)}", "plain") for name, part in (about.get("parts") or {}).items()]
    if trajectory.truncated:
        chips.append(_chip(f"cut off: {trajectory.info.get('limit', 'limit')}", "bad"))
    name = "" if trajectory.task is None else trajectory.task.id
    note = about.get("note") or trajectory.info.get("failed")
    reason = f'<p class="note">{html.escape(str(note)[:MOST_TEXT])}</p>' if note else ""
    if trajectory.is_chat:
        inside = "".join(_message(message) for message in trajectory.messages)
    else:
        inside = paragraph(f"{len(trajectory)} actions")
    return (
        f"<details{' open' if opened else ''}><summary>{''.join(chips)} <small>{html.escape(str(name))}</small></summary>"
        f"{reason}{inside}</details>"
    )


def _message(message: Message) -> str:
    role = str(message["role"])
    text = message_text(message).strip()
    blocks = [f"<pre>{html.escape(_cut(text))}</pre>"] if text else []
    for call in message.get("tool_calls") or ():
        function = call.get("function", call)
        blocks.append(f'<pre class="call">{html.escape(_cut(_call(function)))}</pre>')
    if not blocks:
        blocks = ["<pre><i>(empty)</i></pre>"]
    known = role if role in ("system", "developer", "user", "assistant", "tool") else "other"
    return f'<div class="message {known}"><b>{html.escape(role)}</b>{"".join(blocks)}</div>'


def _call(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return f"{function.get('name')}({arguments})"
    if isinstance(arguments, Mapping):
        inside = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
        return f"{function.get('name')}({inside})"
    return f"{function.get('name')}({arguments})"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} … ({len(text) - MOST_TEXT} more characters)"


def _chip(text: str, kind: str) -> str:
    return f'<span class="chip {kind}">{html.escape(text)}</span>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{title}} - rewardlab</title>
<style>
  :root { color-scheme: light; --ink: #1c2b2a; --soft: #5a6b69; --line: #dbe4e2; --main: #0f766e; --bad: #be123c; }
  * { box-sizing: border-box; }
  body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; margin: 0; }
  body { color: var(--ink); background: #f6f8f8; }
  main { max-width: 70rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
  header { border-bottom: 3px solid var(--main); margin-bottom: 1.2rem; }
  h1 { font-size: 1.6rem; margin: 0; } header p { color: var(--soft); margin: .2rem 0 .8rem; overflow-wrap: anywhere; }
  section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin: 1rem 0; }
  h2 { font-size: 1.1rem; margin: 0 0 .6rem; } h3 { font-size: .95rem; margin: 1rem 0 .3rem; }
  p { margin: .3rem 0 .7rem; color: var(--soft); max-width: 60rem; }
  svg { width: 100%; height: auto; display: block; } svg text { font-family: inherit; }
  .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; }
  .tile { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1rem; }
  .tile span, .tile small { display: block; color: var(--soft); font-size: .8rem; }
  .tile b { font-size: 1.25rem; color: var(--main); }
  .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
  figure { margin: 0; } figcaption { font-weight: 600; font-size: .85rem; overflow-wrap: anywhere; }
  figcaption small { font-weight: 400; color: var(--soft); margin-left: .5rem; }
  .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
  th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
  th { color: var(--soft); font-weight: 600; }
  details { border: 1px solid var(--line); border-radius: 8px; padding: .45rem .8rem; margin: .5rem 0; }
  summary { cursor: pointer; } summary small { color: var(--soft); overflow-wrap: anywhere; }
  .chip { display: inline-block; border-radius: 99px; padding: 0 .6rem; margin: 0 .3rem .15rem 0; font-size: .8rem; }
  .chip.good { background: #d5f0ec; color: #0b4f49; } .chip.plain { background: #edf1f0; color: var(--soft); }
  .chip.bad { background: #fde3e8; color: var(--bad); } .note { color: var(--bad); }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
  pre { font: .84rem/1.45 ui-monospace, Menlo, Consolas, monospace; }
  .message { max-width: 52rem; border-radius: 8px; padding: .4rem .8rem; margin: .5rem 0; background: #f2f5f5; }
  .message.assistant { background: #e3f4f1; margin-left: 3rem; } .message.tool { background: #fbf3e4; }
  .message b { font-size: .72rem; color: var(--soft); text-transform: uppercase; letter-spacing: .04em; }
  .call { color: #0b4f49; font-weight: 600; }
</style>
</head>
<body>
<main>
<header><h1>{{title}}</h1><p>{{subtitle}}</p></header>
<div class="tiles">{{tiles}}</div>
{{body}}
</main>
</body>
</html>
"""
