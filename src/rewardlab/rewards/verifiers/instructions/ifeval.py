"""IFEval's instruction ids, and those of its successors, as names and options of our constraints.

Ids and their options are those of the published data: IFEval (Zhou et al. 2023, "Instruction-following evaluation for
large language models") and the training constraints of IFBench (Pyatkin et al. 2025, "Generalizing verifiable
instruction following"). A row of such data, with `instruction_id_list` and `kwargs`, can stand as the reference of a
task as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewardlab.registry import nearest
from rewardlab.rewards.verifiers.instructions.registry import UnknownConstraint

_ANSWERS = ["My answer is yes.", "My answer is no.", "My answer is maybe."]
_RELATION = {"relation": "relation"}

# id: (our constraint, {their option: ours}, {our option: fixed value})
IDS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "keywords:existence": ("include", {"keywords": "keywords"}, {}),
    "keywords:frequency": ("keyword_frequency", {"keyword": "keyword", "frequency": "number"} | _RELATION, {}),
    "keywords:forbidden_words": ("exclude", {"forbidden_words": "keywords"}, {}),
    "keywords:letter_frequency": (
        "letter_frequency",
        {"letter": "letter", "let_frequency": "number", "let_relation": "relation"},
        {},
    ),
    "language:response_language": ("language", {"language": "language"}, {}),
    "length_constraints:number_sentences": ("sentences", {"num_sentences": "number"} | _RELATION, {}),
    "length_constraints:number_paragraphs": ("paragraphs", {"num_paragraphs": "number"}, {"divider": "***"}),
    "length_constraints:number_words": ("words", {"num_words": "number"} | _RELATION, {}),
    "length_constraints:nth_paragraph_first_word": (
        "paragraph_first_word",
        {"num_paragraphs": "number", "nth_paragraph": "paragraph", "first_word": "word"},
        {},
    ),
    "detectable_content:number_placeholders": ("placeholders", {"num_placeholders": "number"}, {}),
    "detectable_content:postscript": ("postscript", {"postscript_marker": "marker"}, {}),
    "detectable_format:number_bullet_lists": ("bullets", {"num_bullets": "number"}, {}),
    "detectable_format:constrained_response": ("one_of", {}, {"phrases": _ANSWERS}),
    "detectable_format:number_highlighted_sections": ("highlights", {"num_highlights": "number"}, {}),
    "detectable_format:multiple_sections": ("sections", {"section_spliter": "marker", "num_sections": "number"}, {}),
    "detectable_format:json_format": ("json_only", {}, {}),
    "detectable_format:title": ("title", {}, {}),
    "combination:two_responses": ("responses", {}, {"number": 2}),
    "combination:repeat_prompt": ("repeat_prompt", {"prompt_to_repeat": "prompt"}, {}),
    "startend:end_checker": ("ends_with", {"end_phrase": "phrase"}, {}),
    "startend:quotation": ("quotation", {}, {}),
    "change_case:capital_word_frequency": (
        "capital_words",
        {"capital_frequency": "number", "capital_relation": "relation"},
        {},
    ),
    "change_case:english_capital": ("all_uppercase", {}, {}),
    "change_case:english_lowercase": ("all_lowercase", {}, {}),
    "punctuation:no_comma": ("no_characters", {}, {"characters": ","}),
    # the training constraints of IFBench
    "keywords:word_once": ("keyword_frequency", {"keyword": "keyword"}, {"number": 1, "relation": "exactly"}),
    "keywords:word_count_different_numbers": (
        "keyword_frequency",
        {"keyword": "keyword", "frequency": "number"} | _RELATION,
        {},
    ),
    "keywords:exclude_word_harder": ("exclude", {"keyword": "keywords"}, {}),
    "keywords:keyword_specific_position": (
        "keyword_position",
        {"keyword": "keyword", "n": "sentence", "m": "word"},
        {},
    ),
    "keywords:no_adjacent_consecutive": ("no_alphabet_neighbours", {}, {}),
    "keywords:palindrome": ("palindrome", {}, {}),
    "keywords:start_end": ("same_ends", {}, {}),
    "letters:letter_counting": ("letters", {"N": "number"} | _RELATION, {}),
    "letters:letter_counting2": (
        "letter_frequency",
        {"letter": "letter", "let_frequency": "number", "let_relation": "relation"},
        {},
    ),
    "paragraphs:paragraphs": ("paragraphs", {}, {"number": 2, "divider": "***"}),
    "paragraphs:paragraphs2": ("paragraphs", {}, {"number": 2, "divider": "blank line"}),
    "first_word:first_word_sent": ("first_word", {"first_word": "word"}, {"each": "sentence"}),
    "first_word:first_word_answer": ("first_word", {"first_word": "word"}, {}),
    "last_word:last_word_sent": ("last_word", {"last_word": "word"}, {"each": "sentence"}),
    "last_word:last_word_answer": ("last_word", {"last_word": "word"}, {}),
    "detectable_format:bigram_wrapping": ("wrapped_words", {}, {"opening": "<<", "closing": ">>", "size": 2}),
    "detectable_format:square_brackets": ("wrapped_words", {}, {}),
    "copy:copying_simple": ("copy", {"prompt_to_repeat": "prompt"}, {}),
    "copy:copying_multiple": ("copy", {"prompt_to_repeat": "prompt", "N": "number"}, {}),
    "copy:copy": ("copy", {"prompt_to_repeat": "prompt"}, {}),
    "count:lowercase_counting": ("lowercase_words", {"N": "number"}, {}),
    "count:count_unique": ("unique_words", {}, {}),
    "punctuation:punctuation_dot": ("no_characters", {}, {"characters": "."}),
    "punctuation:punctuation_exclamation": ("no_characters", {}, {"characters": "!"}),
}

_TIMES = (1, 2, 3, 5, 7)
_COUNTED = ("count:count_increment_word", "count:keywords_multiple")


def translate(identity: str, options: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """One instruction of IFEval as constraints of ours.

    Args:
        identity: its id, such as `length_constraints:number_words`.
        options: its `kwargs`; an option that is None counts as not given.

    Returns:
        Name and options of each constraint; all but two ids give one.

    Raises:
        UnknownConstraint: the id or an option is unknown; the nearest valid one is given.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if identity in _COUNTED:  # keyword1 once, keyword2 twice, keyword3 three times, then five and seven times
        keywords = [given.pop(f"keyword{place}", None) for place in range(1, len(_TIMES) + 1)]
        _refuse_rest(identity, given, {f"keyword{place}": "" for place in range(1, len(_TIMES) + 1)})
        return [
            ("keyword_frequency", {"keyword": keyword, "number": times, "relation": "exactly"})
            for keyword, times in zip(keywords, _TIMES, strict=True)
            if keyword is not None
        ]
    entry = IDS.get(identity)
    if entry is None:
        raise UnknownConstraint(
            f"unknown instruction {identity!r}{nearest(identity, dict.fromkeys([*IDS, *_COUNTED]))}"
        )
    name, renamed, fixed = entry
    ours = dict(fixed)
    for theirs, option in renamed.items():
        if theirs in given:
            ours[option] = given.pop(theirs)
    _refuse_rest(identity, given, renamed)
    if name == "exclude" and isinstance(ours.get("keywords"), str):
        ours["keywords"] = [ours["keywords"]]
    return [(name, ours)]


def _refuse_rest(identity: str, rest: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for option in rest:
        raise UnknownConstraint(f"instruction {identity!r} has no option {option!r}{nearest(option, known)}")
