"""Answers that are compared as text: exact match, multiple choice, and token overlap (F1).

What counts as equal is a list of named normalisation steps and nothing else. Steps that change a meaning (dropping the
point of `1.5`, the sign of `-5`, or the exponent of `x²`, as some graders do) are not among the default ones.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import regex

from rewardlab.rewards.base import ScoringFailure, Verdict, Verifier
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.answers import Where, acceptable_answers, find_answer, last_box, last_tag
from rewardlab.rewards.verifiers.words import fold, words
from rewardlab.types import Trajectory

Step = Literal["case", "whitespace", "edges", "articles", "punctuation"]
"""One step of normalisation.

`case`: letter case is folded, Unicode composed, full-width characters made plain. `whitespace`: runs of it become one
space. `edges`: quotes, markdown marks, brackets around everything, and closing `. , ; : ! ?` go. `articles`: the words
a, an and the go. `punctuation`: all of it goes, but for points, commas and signs that belong to a number.
"""

DEFAULT_STEPS: tuple[Step, ...] = ("case", "edges", "whitespace")

_EDGES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + "\"'`*_“”‘’«»「」『』"
_CLOSING = _EDGES + ".,;:!?。，；：！？"
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)
_PUNCTUATION = regex.compile(r"(?!(?<=\p{Nd})[.,](?=\p{Nd})|(?<![\p{L}\p{N}])[-−](?=\p{Nd}))[\p{P}\p{S}]")


def _strip_edges(text: str) -> str:
    return text.lstrip(_EDGES).rstrip(_CLOSING)


_STEPS: dict[Step, Callable[[str], str]] = {
    "case": fold,
    "whitespace": lambda text: " ".join(text.split()),
    "edges": _strip_edges,
    "articles": lambda text: _ARTICLES.sub(" ", text),
    "punctuation": lambda text: _PUNCTUATION.sub(" ", text),
}


def normalise(text: str, steps: tuple[Step, ...] = DEFAULT_STEPS) -> str:
    """Apply normalisation steps in the given order; a text of which they would leave nothing is only stripped."""
    changed = text
    for step in steps:
        changed = _STEPS[step](changed)
    return changed or text.strip()


@register("exact_match")
@dataclass(frozen=True, kw_only=True)
class ExactMatch(Verifier):
    """1 where the answer equals one of the reference answers after normalisation, else 0.

    The reference is a string, a number, a truth value, or a list of acceptable ones.

    Args:
        where: where in the completion the answer stands: `whole`, `last_line`, `boxed`, `tag` or `after` a marker. An
            answer that is not there scores 0.
        tag: name of the tag for `where="tag"`.
        marker: text before the answer for `where="after"`.
        steps: normalisation, in order, of answer and reference alike; `()` compares them as they are.
    """

    where: Where = "whole"
    tag: str = "answer"
    marker: str = "answer:"
    steps: tuple[Step, ...] = DEFAULT_STEPS

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Compare the answer of one trajectory with its reference."""
        accepted = acceptable_answers(
            trajectory, what="the answer as a string or number, or a list of acceptable answers"
        )
        answer = find_answer(trajectory.completion, self.where, tag=self.tag, marker=self.marker)
        if answer is None:
            return Verdict(0.0, note=f"no answer found ({self.where})")
        if answer in accepted:
            return 1.0
        given = normalise(answer, self.steps) if self.steps else answer
        for entry in accepted:
            if given == (normalise(entry, self.steps) if self.steps else entry):
                return 1.0
        return Verdict(0.0, note=f"answer {answer[:80]!r}, expected {accepted[0][:80]!r}")


@register("f1_match")
@dataclass(frozen=True, kw_only=True)
class F1Match(Verifier):
    """Harmonic mean of word precision and recall between answer and reference, the best over several references.

    After the SQuAD evaluation (Rajpurkar et al. 2016, "SQuAD: 100,000+ questions for machine comprehension of text"),
    with two
    differences: words are found in any script (one per character where a script writes no spaces), and numbers keep
        their sign
    and point. Parts: `precision` and `recall`.

    Args:
        where: where in the completion the answer stands, as for `ExactMatch`.
        tag: name of the tag for `where="tag"`.
        marker: text before the answer for `where="after"`.
        ignore: words that do not count, in lower case; an answer made of nothing else keeps them.
    """

    where: Where = "whole"
    tag: str = "answer"
    marker: str = "answer:"
    ignore: tuple[str, ...] = ("a", "an", "the")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare the words of one answer with those of its reference."""
        accepted = acceptable_answers(
            trajectory, what="the answer as a string or number, or a list of acceptable answers"
        )
        answer = find_answer(trajectory.completion, self.where, tag=self.tag, marker=self.marker)
        if answer is None:
            return Verdict(0.0, note=f"no answer found ({self.where})", parts={"precision": 0.0, "recall": 0.0})
        given = self._count(answer)
        value, precision, recall = max(_overlap(given, self._count(entry)) for entry in accepted)
        return Verdict(value, parts={"precision": precision, "recall": recall})

    def _count(self, text: str) -> Counter[str]:
        found = [word.replace("'", "").replace("’", "").replace(",", "") for word in words(fold(text))]
        kept = [word for word in found if word not in self.ignore]
        return Counter(kept or found)


def _overlap(given: Counter[str], wanted: Counter[str]) -> tuple[float, float, float]:
    """F1, precision and recall of two bags of words; two empty ones agree."""
    if not given or not wanted:
        same = float(not given and not wanted)
        return same, same, same
    common = sum((given & wanted).values())
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / given.total(), common / wanted.total()
    return 2 * common / (given.total() + wanted.total()), precision, recall


@register("choice")
@dataclass(frozen=True, kw_only=True)
class Choice(Verifier):
    r"""1 where the chosen letter of a multiple-choice answer is the right one, else 0.

    The letter is looked for in this order, and the first place that holds one decides: `<answer>C</answer>`;
    `\boxed{C}`; the last "answer is C", "Answer: (C)", "option C is correct" (also in Chinese, German, French, Spanish
    and Russian); a completion or last line that is nothing but a letter, or a letter and the text of the option ("C)
    Paris"); one single bracketed letter in the whole text. Several letters in one place ("A or B") are no choice and
    score 0.

    The reference is the letter, a zero-based position, or a list of acceptable ones.

    Args:
        letters: the letters that the options carry, in order.
        tag: name of the answer tag.
    """

    letters: str = "ABCDEFGHIJ"
    tag: str = "answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.letters.isalpha() or not self.letters.isupper() or len(set(self.letters)) != len(self.letters):
            raise ValueError(
                f"Choice: option 'letters' must be different upper-case letters such as 'ABCD', got {self.letters!r}"
            )

    def verify(self, trajectory: Trajectory) -> Verdict | float:
        """Compare the letter that one trajectory chose with the right one."""
        right = self._right(trajectory)
        letter = self.chosen(trajectory.completion)
        if letter is None:
            return Verdict(0.0, note="no single letter found")
        return 1.0 if letter in right else Verdict(0.0, note=f"chose {letter}, expected {' or '.join(right)}")

    def chosen(self, text: str) -> str | None:
        """The letter that a completion chooses, or None where it chooses none, or several."""
        for place in (last_tag(text, self.tag), last_box(text)):
            if place is not None:
                return self._lone(place)
        patterns = self._patterns
        lowered = text.replace("İ", "I").lower()  # that letter alone has a longer lower case, which would shift places
        for anchor in reversed([match.start() for match in patterns.anchor.finditer(lowered)]):
            for pattern in patterns.statements:
                found = pattern.match(text, anchor)
                if found is not None:
                    return None if patterns.more.match(text, found.end()) else found.group("letter").upper()
        labels = set(patterns.labels.findall(text))
        for place in (text, text.rstrip().rpartition("\n")[2]):
            letter = self._lone(place)
            if letter is not None and labels <= {letter}:  # lines "A) ..." and "B) ..." only repeat the options
                return letter
        bracketed = set(patterns.bracketed.findall(text))
        return bracketed.pop() if len(bracketed) == 1 else None

    def _lone(self, place: str) -> str | None:
        match = self._patterns.lone.fullmatch(place.strip()[:2000])
        return match.group("letter").upper() if match else None

    def _right(self, trajectory: Trajectory) -> list[str]:
        what = f"a letter of {self.letters}, a zero-based position, or a list of these"
        right = []
        for entry in acceptable_answers(trajectory, what=what):
            letter = entry.strip().strip("().").upper()
            if letter.isdecimal() and int(letter) < len(self.letters):
                letter = self.letters[int(letter)]
            if len(letter) != 1 or letter not in self.letters:
                raise ScoringFailure(f"the reference is {entry!r:.80}; expected {what}")
            right.append(letter)
        return right

    @functools.cached_property
    def _patterns(self) -> _ChoicePatterns:
        return _ChoicePatterns(self.letters)


class _ChoicePatterns:
    """The compiled patterns for one set of letters. All of them run in linear time: no repeat stands inside another."""

    def __init__(self, letters: str) -> None:
        upper = f"[{letters}]"
        either = f"[{letters}{letters.lower()}]"
        opening, closing = r"[ \t*_`\"'(\[{（【$\\]{0,8}", r"[*_`\"')\]}）】$]{0,4}"
        # An upper-case letter stands alone where no letter or digit follows. "A" and "I" are also words, and a
        # lower-case letter mostly is, so these need an end, a mark, or a word such as "because" behind them.
        mark = (
            r"(?=[ \t]*(?:$|[\n\r.,;:!?)\]}）】*_`\"'$。，；、]|\\|/|[-–—&]|(?:because|since|as|for|or|and|given)\b))"
        )
        safe = "".join(letter for letter in letters if letter not in "AI")
        single = (
            rf"(?P<letter>[{safe}](?![^\W_])|{either}(?![^\W_]){mark})"
            if safe
            else rf"(?P<letter>{either}(?![^\W_]){mark})"
        )
        label = r"(?:option|choice|answer|letter|选项|选择)?"
        verb = r"(?:is|are|:|：|=|would be|should be|must be|was|est|ist|es|lautet|是|为|為|应为|应该是|—|-)"
        noun = r"(?:answer|choice|option|solution|答案|正确选项|选项|antwort|réponse|respuesta|ответ)"
        between = r"(?:[ \t]+(?:to|for|of)[ \t]+(?:the|this)[ \t]+(?:question|problem))?"
        self.statements = (
            regex.compile(
                rf"(?:(?i:{noun}{between})[*_ \t]{{0,4}}(?i:{verb})|(?i:ответ|答案|选择|選擇|故选|应选|选)[:：]?)"
                rf"[*_ \t\n]{{0,6}}(?i:{label}){opening}(?:text[{{])?{single}{closing}"
            ),
            regex.compile(
                rf"(?i:option|choice|answer){opening}(?P<letter>{upper}){closing}[ \t]+(?i:is|seems|appears)"
                rf"(?i:[ \t]+(?:the|most|clearly|therefore|indeed|thus)){{0,3}}[ \t]+(?i:correct|right|best|answer)"
            ),
            regex.compile(
                rf"(?i:choose|pick|select|go[ \t]+with)[ \t]+(?i:option|choice|answer|letter)?{opening}{single}{closing}"
            ),
        )
        # Every statement begins with one of these. They are looked for first, in the text in lower case, since that is
        # many times as fast as a search that ignores letter case.
        self.anchor = re.compile(
            "answer|choice|option|solution|antwort|réponse|respuesta|ответ|答案|正确选项|选|選|故选|应选"
            "|choose|pick|select|go with"
        )
        opened = r"[ \t*_`\"'(\[{（]{0,6}"
        hedge = r"(?:(?:and|or|option|choice|maybe|perhaps|possibly|also|even|either)[ \t]+)*"
        self.more = regex.compile(
            rf"[ \t]*(?:/|\bor\b|、|或)[ \t]*{hedge}{opened}{upper}(?![^\W_])"
            rf"|[ \t]*(?:,|&|\band\b|和)[ \t]*{hedge}{opened}{upper}(?![^\W_])"
            r"(?![ \t]+(?:is|was|are|does|would|seems|has)\b)"
            rf"|[ \t]+[(\[]{upper}[)\]]"
        )
        self.lone = regex.compile(
            rf"(?i:(?:option|choice|answer)[ \t:]*)?{opening}(?:(?:text|mathrm|mathbf|textbf){{)?"
            rf"(?P<letter>{either}){closing}"
            rf"(?:[ \t]*[.。]?|[ \t]*[.):：、-][ \t]?(?![ \t]*{upper}[ \t]*(?:[.):,]|$))[^\n]*+(?<![ \t(,/]{upper}))"
        )
        self.labels = regex.compile(rf"(?m)^[ \t*(]{{0,4}}({upper})[).:][ \t*]")
        self.bracketed = regex.compile(rf"[(\[（【]({upper})[)\]）】]")
