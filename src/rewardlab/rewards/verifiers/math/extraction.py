r"""Where the final answer stands in a completion: \boxed{}, "#### 18", "The answer is ...", or the last number.

Found by searching for fixed strings from the end, so that a long completion costs microseconds, and no pattern can run away.
"""

from __future__ import annotations

import re
from typing import Literal

from rewardlab.rewards.verifiers.math.lexing import closing_brace

Extract = Literal["auto", "boxed", "marked", "last_number", "whole"]
"""Ways to find the answer: see `extract_answer`."""

_ANSWER_IS = re.compile(
    r"answers?+[*_]{0,3}(?:\s+to\s[^\n.:=]{0,80}?)?\s{0,3}+[*_]{0,3}"
    r"(?:is\b|are\b|was\b|would be\b|equals\b|:|=)[*_]{0,3}\s{0,3}:?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"A:[ \t]*")
_FILLER = re.compile(
    r"(?:(?:thus|therefore|simply|then|equal to|given by|just|approximately|about|roughly|exactly|indeed|option|choice)\b"
    r"|:|=(?!=)|\s)*+",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"[.!?](?=\s++[A-Z*(\\]|[*_`\s]*+$)|\s(?:because|since|as shown)\b|,\s(?:which|so|where|because|since)\b"
)
_SPANS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))
_LINK = re.compile(r"\s*+(?:,|and|or|,\s?and|,\s?or)?\s*+")
_NUMBER = re.compile(
    r"(?:(?<![\w\\)])-)?(?<![\w\\])[$€£]?-?(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++|(?=\.[0-9]))(?:\.[0-9]++)?"
    r"(?:\s?/\s?[0-9]++(?![0-9]*[./]))?(?:\s?%)?"
)
_BARE_BOX = re.compile(r"\s?([-+]?[0-9A-Za-z.]++)")
_TAIL = 4000
_MAX_TEXT = 200_000
_MARKS_TRIED = 25
_FIRST_WORD = re.compile(r"[A-Za-z]{2,}")
_STARTS_AS_MATH = re.compile(r"(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|exp|pi|inf(?:inity)?)\b|\\|.(?![A-Za-z])")


def extract_answer(text: str, extract: Extract = "auto") -> str | None:
    r"""The final answer of a completion, as it is written there.

    Args:
        text: the completion. What stands before the last `</think>` is left out, and so is what is around `<answer>`.
        extract: where to look. "boxed": the last `\boxed{}`, with those joined to it by "and" or a comma. "marked": after
            the last "####", "A:" at the start of a line, "answer is" or "answer:". "last_number": the last number.
            "whole": all of it. "auto": boxed, else marked, else all of a text that is nothing but an answer, else the
            last formula or the last number, whichever stands later.

    Returns:
        The answer, or None where there is none.

    Raises:
        ValueError: `extract` is none of these.
    """
    if extract not in ("auto", "boxed", "marked", "last_number", "whole"):
        raise ValueError(f"extract must be auto, boxed, marked, last_number or whole, got {extract!r}")
    if len(text) > _MAX_TEXT:
        text = text[-_MAX_TEXT:]
    text = _after_thinking(text)
    if extract == "whole":
        return text.strip() or None
    if extract == "boxed":
        return last_boxed(text)
    if extract == "marked":
        return last_marked(text)
    if extract == "last_number":
        return last_number(text)
    found = last_boxed(text) if "boxed" in text or "fbox" in text else None
    if found is None:
        found = last_marked(text)
    if found is None:
        found = _short(text)
    return _last_formula_or_number(text) if found is None else found


def _after_thinking(text: str) -> str:
    end = text.rfind("</think>")
    if end >= 0 and text[end + 8 :].strip():
        text = text[end + 8 :]
    close = text.rfind("</answer>")
    if close >= 0:
        begin = text.rfind("<answer>", 0, close)
        if begin >= 0:
            return text[begin + 8 : close]
    return text


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{} or \fbox{}, whatever braces are nested in it.

    Boxes that follow one another with nothing but a comma, "and" or "or" between them are one answer of several values.
    A box that the end of the text cuts off is none.
    """
    contents: list[str] = []
    start = end = len(text)
    for _ in range(_MARKS_TRIED):
        start = max(text.rfind("\\boxed", 0, start), text.rfind("\\fbox", 0, start))
        if start < 0:
            break
        opening = start + (6 if text.startswith("\\boxed", start) else 5)
        bare = _BARE_BOX.match(text, opening)  # \boxed 5
        if bare:
            content, closing = bare[1], bare.end() - 1
        else:
            opening = text.find("{", opening, opening + 4)
            closing = closing_brace(text, opening) if opening >= 0 else -1
            content = text[opening + 1 : closing].strip()
        if closing < 0 or not content:
            continue
        if contents:
            between = text[closing + 1 : end].replace("$", " ").replace("\\(", " ").replace("\\)", " ")
            if not between.strip() or _LINK.fullmatch(between) is None:
                break
        contents.append(content)
        end = start
    return ", ".join(reversed(contents)) or None


def last_marked(text: str) -> str | None:
    """What follows the last "####", "A:" at the start of a line, "answer is" or "answer:"; None where there is none."""
    best = -1
    hashes = text.rfind("####")
    if hashes >= 0:
        best = hashes + 4
    position = text.rfind("A:")
    while position >= 0 and position + 2 > best:
        if position == 0 or text[position - 1] == "\n":
            best = position + 2
            break
        position = text.rfind("A:", 0, position)
    lowered = text.lower()
    if len(lowered) == len(text):  # a few letters change their length in lower case: then only the exact word is found
        text_for_search = lowered
    else:
        text_for_search = text
    position = text_for_search.rfind("answer")
    for _ in range(_MARKS_TRIED):
        if position < 0 or position < best:
            break
        match = _ANSWER_IS.match(text, position)
        if match:
            rest = _tidy(text, match.end())
            if rest:
                return rest
        position = text_for_search.rfind("answer", 0, position)
    return (_tidy(text, best) or None) if best >= 0 else None


def _tidy(text: str, start: int) -> str:
    """The answer that begins at `start`: one line, or one formula; without filler words and the end of its sentence."""
    while start < len(text) and text[start] in " \t\n*_:":
        start += 1
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    filler = _FILLER.match(text, start, end)
    start = filler.end() if filler else start
    line = text[start : min(end, start + _TAIL)]
    if line.isdigit() or not line:
        return line
    if any(text.startswith(opening, start) for opening, _ in _SPANS):
        spans = _formulas(text, start, start + _TAIL)
        if spans is not None:
            return spans
    if "$" in line or "\\(" in line:
        inside = _first_formula(line)
        if inside is not None:
            return inside
    cut = _SENTENCE_END.search(line)
    return (line[: cut.start()] if cut else line).strip(" \t*_`")


def _formulas(text: str, start: int, stop: int) -> str | None:
    """The formula that begins at `start`, with those linked to it by "and", "or" or a comma; None where it is a currency."""
    parts: list[str] = []
    while True:
        for opening, closing in _SPANS:
            if text.startswith(opening, start):
                end = text.find(closing, start + len(opening), stop)
                if end < 0 or (opening == "$" and "\n" in text[start:end]):
                    return None
                content = text[start + len(opening) : end].strip()
                if opening == "$" and not parts and _is_price(content):
                    return None
                parts.append(content)
                start = end + len(closing)
                break
        link = _LINK.match(text, start, stop)
        if (
            link is None
            or not link[0].strip()
            or not any(text.startswith(opening, link.end()) for opening, _ in _SPANS)
        ):
            return ", ".join(parts)
        start = link.end()


def _is_price(content: str) -> bool:
    """Whether "$...$" spans from one price to the next, as in "$5 and then $6", and is no formula."""
    return bool(re.match(r"[0-9][0-9,.]*\s+[A-Za-z]{2,}", content))


def _first_formula(line: str) -> str | None:
    found = None
    for opening, closing in ((r"\(", r"\)"), ("$", "$")):
        begin = line.find(opening)
        while begin > 0 and line[begin - 1] == "\\":
            begin = line.find(opening, begin + 1)
        if begin >= 0 and (found is None or begin < found) and line.find(closing, begin + len(opening)) >= 0:
            found = begin
    return None if found is None else _formulas(line, found, len(line))


def _short(text: str) -> str | None:
    """The whole text where it is nothing but an answer: a number, a formula, a few words; None where it is prose."""
    whole = text.strip()
    if not whole or len(whole) > 300 or ("\n" in whole and not whole.startswith(("\\", "$"))):
        return None
    if whole.isdigit():
        return whole
    words = len(_FIRST_WORD.findall(re.sub(r"\\[a-zA-Z]+\*?(?:\{[a-z]*matrix\}|\{array\})?", " ", whole)))
    digits = any(sign.isdigit() for sign in whole)
    if digits and words > 3:
        return None
    if not digits and words > 6:
        return None
    if words and digits and not _STARTS_AS_MATH.match(whole):
        return None
    return whole


def last_number(text: str) -> str | None:
    """The last number of a text, with its sign, separators, fraction and per cent sign; None where there is none."""
    for size in (200, _TAIL, _MAX_TEXT):
        tail = text[-size:]
        last: re.Match[str] | None = None
        for match in _NUMBER.finditer(tail):
            last = match
        if last is not None and (last.start() > 0 or size >= len(text)):
            return last[0].strip()
        if size >= len(text):
            break
    return None


def _last_formula_or_number(text: str) -> str | None:
    tail = text[-_TAIL:]
    for opening, closing in _SPANS:
        end = tail.rfind(closing)
        if end <= 0:
            continue
        begin = tail.rfind(opening, 0, end)
        if begin < 0 or (opening == "$" and tail.count("$") % 2):
            continue
        inside = tail[begin + len(opening) : end].strip()
        after = last_number(tail[end + len(closing) :])
        if inside and after is None and "\n\n" not in inside and not (opening == "$" and _is_price(inside)):
            return inside
    return last_number(text)
