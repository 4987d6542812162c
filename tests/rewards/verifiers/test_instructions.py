"""Instruction constraints: each with a text that satisfies it and one that does not, IFEval's ids, and the reward over them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.spec import from_spec, to_spec
from rewardlab.rewards.verifiers.instructions import (
    Instructions,
    UnknownConstraint,
    bind,
    compare,
    constraint,
    constraints,
    loose_versions,
    read_constraints,
)
from rewardlab.rewards.verifiers.instructions.ifeval import IDS
from rewardlab.rewards.verifiers.instructions.languages import LANGUAGES, language_of
from rewardlab.types import Status, Trajectory

# name, options, a text that satisfies it, a text that does not
CASES = [
    ("words", {"number": 3}, "one two three", "one two"),
    ("words", {"number": 3, "relation": "less than"}, "one two", "one two three"),
    ("words", {"number": 4, "relation": "exactly"}, "你好世界", "你好"),
    ("sentences", {"number": 2, "relation": "exactly"}, "Mr. A. came. He left.", "One. Two. Three."),
    ("characters", {"number": 3}, "abc", "abcd"),
    ("letters", {"number": 3}, "a1b2c", "12 ab"),
    ("lines", {"number": 2}, "a\n\nb", "a"),
    ("line_length", {"maximum": 3}, "abc\nde", "abcd"),
    ("paragraphs", {"number": 2}, "a\n \n\nb\nc", "a\nb"),
    ("paragraphs", {"number": 2, "divider": "***"}, "a\n***\nb", "a\n\nb"),
    ("paragraphs", {"number": 2, "divider": "***"}, "***a***b***", "a***   ***b"),
    ("paragraph_first_word", {"paragraph": 2, "word": "Crash", "number": 2}, "a\n\n*crash*, b", "crash\n\na"),
    ("paragraph_first_word", {"paragraph": 1, "word": "a", "number": 3}, "a\n\nb\n\nc", "a\n\nb"),
    ("first_word", {"word": "yes"}, "Yes, it is", "It is, yes"),
    ("first_word", {"word": "yes", "each": "sentence"}, "Yes one. Yes two!", "Yes one. No two."),
    ("first_word", {"word": "crash"}, "Crash\u2014it fell", "Crash-landing"),
    ("first_word", {"word": "北京"}, "《北京很大》", "在北京"),
    ("last_word", {"word": "end"}, "in the (end).", "the week-end."),
    ("last_word", {"word": "end"}, "This is the End.", "The end is near"),
    ("last_word", {"word": "x", "each": "line"}, "a x.\nb x", "a x\nb"),
    ("unique_words", {}, "one two three", "one two One"),
    ("unique_words", {"least_share": 0.5}, "a a", "a a a"),
    ("include", {"keywords": ["red", "blue sky"]}, "Red as a blue\nsky", "red"),
    ("include", {"keywords": ["art"], "whole_words": True}, "the art", "the party"),
    ("exclude", {"keywords": ["art"]}, "party", "Art!"),
    ("exclude", {"keywords": ["art"], "whole_words": False}, "sky", "party"),
    ("exclude", {"keywords": ["北京"]}, "上海", "我在北京住"),
    ("exclude", {"keywords": ["c++"]}, "c", "I like C++."),
    ("keyword_frequency", {"keyword": "a.b", "number": 2}, "a.b A.B", "a.b axb"),
    ("keyword_frequency", {"keyword": "x", "number": 1, "relation": "exactly"}, "x", "x x"),
    ("keyword_position", {"keyword": "two", "sentence": 2, "word": 3}, "A b. One or two. C.", "Two one two."),
    ("letter_frequency", {"letter": "A", "number": 2}, "aA", "ab"),
    ("letter_frequency", {"letter": "!", "number": 1, "relation": "less than"}, "a", "a!"),
    ("no_characters", {"characters": ".!"}, "a, b", "a."),
    ("no_commas", {}, "a b", "你好，世界"),
    ("all_uppercase", {}, "ABC 1!", "ABc"),
    ("all_lowercase", {}, "abc 1!", "Abc"),
    ("capital_words", {"number": 2}, "ONE and TWO", "One AND two"),
    ("lowercase_words", {"number": 1}, "One two", "one two"),
    ("no_alphabet_neighbours", {}, "apple cat", "apple banana"),
    ("starts_with", {"phrase": "Dear  Sir".replace("  ", " ")}, "dear sir, a", "Sir"),
    ("ends_with", {"phrase": "Is there more?"}, 'a. "Is there more?"', "Is there more? Yes"),
    ("palindrome", {}, "see level", "see levels"),
    ("script", {"script": "Cyrillic"}, "привет 123", "hello"),
    ("script", {"script": "Han", "share": 0.5}, "北京 ab", "北 abc"),
    ("no_script", {"script": "Latin"}, "привет", "привет a"),
    ("block", {"block": "Hiragana"}, "こんにちは", "カタカナ"),
    ("ascii", {}, "plain", "caf\u00e9"),
    ("language", {"language": "de"}, "Das ist nicht das, was wir auf dem Tisch haben.", "This is not what we have."),
    ("bullets", {"number": 2}, "a\n* one\n- two\n", "* one\n---\n***\n**bold**"),
    ("numbered_list", {"number": 2}, "1. a\n2) b", "1.5 a\n2 b"),
    ("headings", {"number": 1}, "# A\ntext", "#tag"),
    ("sections", {"number": 2, "marker": "SECTION"}, "SECTION 1\na\nSECTION2 b", "SECTION 1 and section two"),
    ("title", {}, "<<My title>>\ntext", "<< >> text"),
    ("highlights", {"number": 3}, "*a* and **b c** and ***d***", "*a* ** b ** 2 * 3 * 4"),
    ("placeholders", {"number": 2}, "[name] at [address]", "[name] [ ] []"),
    ("postscript", {}, "text\n\nP.S. more", "text P.S. more"),
    ("postscript", {"marker": "P.P.S"}, "text\n*P. P. S.* more", "text\nP.S. more"),
    ("json_only", {}, '```json\n{"a": 1}\n```', 'Here: {"a": 1}'),
    ("json_only", {}, "[1]", "[1"),
    ("quotation", {}, '"all of it"', '"some" of it'),
    ("responses", {}, "one ****** two", "one ****** one"),
    ("responses", {"number": 3, "separator": "||"}, "a||b||c", "a||||c"),
    ("repeat_prompt", {"prompt": "Say it."}, " say it. I say.", "I say it."),
    ("copy", {"prompt": "Say it.", "number": 2}, "say it.\n******\nSay it.", "Say it."),
    ("one_of", {"phrases": ["My answer is yes.", "My answer is no."]}, "So: My answer is no.", "No."),
    ("wrapped_words", {}, "[every] [word]", "[every] word"),
    ("wrapped_words", {"opening": "<<", "closing": ">>", "size": 2}, "<<I am>> <<at home>> now", "<<I am>> at home"),
    ("same_ends", {}, "Yes it is, yes.", "Yes"),
]


def score(reward, answer: str, reference: object = None):
    return reward(Trajectory.from_text("q", answer, reference=reference))


@pytest.mark.parametrize(("name", "options", "good", "bad"), CASES)
def test_constraint(name, options, good, bad):
    check = bind(name, options)
    assert check(good) is True
    assert check(bad) is False


def test_every_constraint_is_tested():
    assert {case[0] for case in CASES} == set(constraints())


@given(text=st.text(max_size=150) | st.text(alphabet='aB *[]<>-.,\n"{}1#', max_size=150))
@settings(max_examples=120, deadline=None)
def test_no_constraint_raises_on_any_text(text):
    for name, options, _, _ in CASES:
        check = bind(name, options)
        result = check(text)
        assert isinstance(result, bool)
        assert check(text) == result


@pytest.mark.parametrize(
    "text", ["*" * 60_000, "[" * 60_000, "<<" * 30_000, "\n" * 60_000, "* a\n" * 15_000, "P " * 30_000]
)
def test_long_texts_do_not_hang(text):
    for name, options, _, _ in CASES:
        assert bind(name, options)(text) in (True, False)


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        ("at least", (0, 1, 1)),
        ("at most", (1, 1, 0)),
        ("less than", (1, 0, 0)),
        ("more than", (0, 0, 1)),
        ("exactly", (0, 1, 0)),
    ],
)
def test_relations(relation, holds):
    assert [compare(count, relation, 2) for count in (1, 2, 3)] == [bool(entry) for entry in holds]


IFEVAL = [
    ("keywords:existence", {"keywords": ["a", "b"]}, "a b", "a"),
    ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "less than"}, "a", "a a"),
    ("keywords:forbidden_words", {"forbidden_words": ["a"]}, "b", "a b"),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, "zz", "z"),
    ("language:response_language", {"language": "ko"}, "안녕하세요", "hello"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "A b. C d.", "A b."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a *** b", "a"),
    ("length_constraints:number_words", {"num_words": 2.0, "relation": "at least"}, "a b", "a"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "b"},
        "a\n\nb c",
        "b\n\na",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}, "[a]", "a"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "a\nP.P.S b", "a\nP.S. b"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a", "* a\n* b"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "*a*", "a"),
    ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 2}, "Day 1 a Day 2 b", "Day 1"),
    ("detectable_format:json_format", {}, "{}", "a"),
    ("detectable_format:title", {}, "<<a>>", "a"),
    ("combination:two_responses", {}, "a******b", "a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why?"}, "Why? So.", "So. Why?"),
    ("startend:end_checker", {"end_phrase": "Bye."}, "a Bye.", "Bye. a"),
    ("startend:quotation", {}, '"a"', "a"),
    ("change_case:capital_word_frequency", {"capital_frequency": 1, "capital_relation": "at least"}, "A b", "a b"),
    ("change_case:english_capital", {}, "A", "a"),
    ("change_case:english_lowercase", {}, "a", "A"),
    ("punctuation:no_comma", {}, "a", "a,"),
]


@pytest.mark.parametrize(("identity", "options", "good", "bad"), IFEVAL)
def test_ids_of_ifeval(identity, options, good, bad):
    every_column = dict.fromkeys(["num_words", "keywords", "relation", "language", "letter"]) | options
    row = {"instruction_id_list": [identity], "kwargs": [every_column]}
    assert score(Instructions(), good, row).values[0] == 1.0
    assert score(Instructions(), bad, row).values[0] == 0.0
    assert score(Instructions(), good, [{"name": identity, **options}]).values[0] == 1.0


def test_all_25_ids_of_ifeval_are_covered():
    assert len({identity for identity, *_ in IFEVAL}) == 25


SAMPLE_OPTIONS = {
    "keywords": ["a"], "forbidden_words": ["a"], "keyword": "a", "letter": "a", "language": "en", "relation": "at least",
    "let_relation": "at least", "capital_relation": "at least", "first_word": "a", "last_word": "a", "prompt_to_repeat": "a",
    "end_phrase": "a", "postscript_marker": "P.S.", "section_spliter": "Section",
}  # fmt: skip


@pytest.mark.parametrize("identity", IDS)
def test_every_known_id_binds(identity):
    options = {option: SAMPLE_OPTIONS.get(option, 1) for option in IDS[identity][1]}
    ((name, check),) = read_constraints({"instruction_id_list": [identity], "kwargs": [options]})
    assert name in constraints()
    assert check("a b") in (True, False)


def test_counted_keywords():
    row = {
        "instruction_id_list": ["count:keywords_multiple"],
        "kwargs": [{"keyword1": "x", "keyword2": "y", "keyword3": "z"}],
    }
    scores = score(Instructions(), "x y y z z", row)
    assert {name: part.values[0] for name, part in scores.parts.items()} == {
        "keyword_frequency": 1.0,
        "keyword_frequency_2": 1.0,
        "keyword_frequency_3": 0.0,
    }
    assert scores.values[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "the task has no reference; expected a list of constraints"),
        ([], "there are no constraints"),
        (["no_comas"], "unknown constraint 'no_comas'; did you mean 'no_commas'"),
        ([{"name": "words", "numbr": 3}], "constraint 'words' has no option 'numbr'; did you mean 'number'"),
        ([{"name": "words"}], r"constraint 'words' needs the option 'number' \(int\)"),
        ([{"name": "words", "number": "many"}], "option 'number' must be int, got 'many'"),
        ([{"name": "words", "number": -1}], "option 'number' must be int, got -1 .*greater than or equal to 0"),
        ([{"name": "words", "number": 1, "relation": "about"}], "must be one of 'at least', .*got 'about'"),
        ([{"name": "include", "keywords": "red"}], "option 'keywords' must be a list of str, got 'red'"),
        ([{"name": "include", "keywords": [" "]}], "is blank"),
        ([{"name": "script", "script": "Klingon"}], "there is no Unicode script 'Klingon'"),
        ([{"name": "language", "language": "tlh"}], "is no language that is known here"),
        ([{"name": "length_constraints:number_word"}], "did you mean 'length_constraints:number_words'"),
        ([{"name": "punctuation:no_comma", "number": 1}], "instruction 'punctuation:no_comma' has no option 'number'"),
        ([3], "a constraint must be a name, or a mapping with the key 'name', got 3"),
        ("words", "got the text 'words', which is not JSON"),
        ({"instruction_id_list": ["a:b"], "kwargs": []}, "has 1 entries, and kwargs has 0"),
        ({"words": 3}, "got a mapping with the keys words"),
        (7, "got 7"),
    ],
)
def test_bad_references_fail_and_say_why(reference, message):
    scores = score(Instructions(), "a", reference)
    assert scores.status[0] == Status.FAILED
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(scores.note(0))


def test_bad_option_is_refused_when_the_reward_is_built():
    with pytest.raises(ValueError, match="option 'constraints': unknown constraint 'wrds'; did you mean 'words'"):
        Instructions(constraints=("wrds",))


@given(text=st.text(max_size=80))
@settings(max_examples=80, deadline=None)
def test_share_strict_and_loose(text):
    reference = ["no_commas", {"name": "words", "number": 2}, {"name": "words", "number": 4}, "all_lowercase"]
    share = score(Instructions(), text, reference)
    parts = [part.values[0] for part in share.parts.values()]
    assert list(share.parts) == ["no_commas", "words", "words_2", "all_lowercase"]
    assert share.values[0] == pytest.approx(sum(parts) / 4)
    strict = score(Instructions(strict=True), text, reference).values[0]
    loose = score(Instructions(loose=True), text, reference).values[0]
    assert strict == float(share.values[0] == 1.0)
    assert strict <= share.values[0] <= loose <= 1.0


def test_loose_versions_are_those_of_ifeval():
    assert loose_versions("a\n*b*\nc") == ["a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b"]
    assert score(Instructions(loose=True), "Sure, here:\nno commas", ["no_commas"]).values[0] == 1.0
    assert score(Instructions(), "Sure, here:\nno commas", ["no_commas"]).values[0] == 0.0


def test_own_constraint():
    @constraint("test_shouts")
    def shouts(text: str, *, times: int = 1) -> bool:
        return text.count("!") >= times

    try:
        assert score(Instructions(), "a!!", [{"name": "test_shouts", "times": 2}]).values[0] == 1.0
        with pytest.raises(ValueError, match="'test_shouts' is already there"):
            constraint("test_shouts")(shouts)
        with pytest.raises(UnknownConstraint, match="has no option 'time'; did you mean 'times'"):
            bind("test_shouts", {"time": 2})
    finally:
        from rewardlab.rewards.verifiers.instructions import registry

        del registry._CONSTRAINTS["test_shouts"]


@pytest.mark.parametrize(
    "reward", [Instructions(), Instructions(constraints=("title", {"name": "words", "number": 3}), strict=True)]
)
def test_spec_round_trip(reward):
    assert from_spec(to_spec(reward)) == reward


SENTENCES = {
    "en": "The children were playing in the garden when it started to rain, and they did not want to go home.",
    "es": "Los niños jugaban en el jardín cuando empezó a llover, pero no querían volver a casa con su madre.",
    "pt": "As crianças brincavam no jardim quando começou a chover, mas não queriam voltar para casa com a mãe.",
    "fr": "Les enfants jouaient dans le jardin quand il a commencé à pleuvoir, mais ils ne voulaient pas rentrer.",
    "de": "Die Kinder spielten im Garten, als es zu regnen begann, und wollten nicht nach Hause gehen.",
    "it": "I bambini giocavano nel giardino quando ha cominciato a piovere, ma non volevano tornare a casa.",
    "nl": "De kinderen speelden in de tuin toen het begon te regenen, maar zij wilden niet naar huis.",
    "pl": "Dzieci bawiły się w ogrodzie, gdy zaczęło padać, ale nie chciały wracać do domu.",
    "vi": "Những đứa trẻ đang chơi trong vườn khi trời bắt đầu mưa, nhưng không muốn về nhà.",
    "fi": "Lapset leikkivät puutarhassa, kun alkoi sataa, mutta he eivät halunneet mennä kotiin, ja se oli hyvä.",
    "sw": "Watoto walikuwa wanacheza katika bustani wakati mvua ilianza kunyesha, lakini hawakutaka kwenda nyumbani kwa mama yao.",
    "tr": "Çocuklar bahçede oynuyordu ve yağmur başladı, ama bu sefer eve dönmek için acele etmediler.",
    "sv": "Barnen lekte i trädgården när det började regna, men de ville inte gå hem och äta.",
    "id": "Anak-anak itu bermain di taman ketika hujan mulai turun, tetapi mereka tidak ingin pulang dengan ibu.",
    "ro": "Copiii se jucau în grădină când a început să plouă, dar nu au vrut să meargă acasă cu mama lor.",
    "cs": "Děti si hrály na zahradě, když začalo pršet, ale nechtěly jít domů, protože to bylo hezké.",
    "ru": "Дети играли в саду, когда начался дождь, но они не хотели идти домой, и мы это поняли.",
    "uk": "Діти гралися в саду, коли почався дощ, але вони не хотіли йти додому, і ми це зрозуміли.",
    "bg": "Децата играеха в градината, когато заваля дъжд, но те не искаха да се прибират и това е така.",
    "ar": "كان الأطفال يلعبون في الحديقة عندما بدأ المطر، ولكن لم يرغبوا في العودة إلى البيت.",
    "fa": "بچه‌ها در باغ بازی می‌کردند که باران شروع شد، اما آنها نمی‌خواستند به خانه بروند.",
    "ur": "بچے باغ میں کھیل رہے تھے جب بارش شروع ہوئی، لیکن وہ گھر نہیں جانا چاہتے تھے۔",
    "hi": "बच्चे बगीचे में खेल रहे थे जब बारिश शुरू हुई, लेकिन वे घर नहीं जाना चाहते थे।",
    "mr": "मुले बागेत खेळत होती तेव्हा पाऊस सुरू झाला, पण ते घरी जात नाही आणि हे असे होते.",
    "ne": "केटाकेटीहरू बगैंचामा खेलिरहेका थिए र पानी पर्न थाल्यो, तर उनीहरू घर जाने छैनन् भन्ने कुरा हो।",
    "bn": "শিশুরা বাগানে খেলছিল।",
    "ta": "குழந்தைகள் தோட்டத்தில் விளையாடினார்கள்.",
    "te": "పిల్లలు తోటలో ఆడుకుంటున్నారు.",
    "kn": "ಮಕ್ಕಳು ತೋಟದಲ್ಲಿ ಆಡುತ್ತಿದ್ದರು.",
    "gu": "બાળકો બગીચામાં રમતા હતા.",
    "pa": "ਬੱਚੇ ਬਾਗ ਵਿੱਚ ਖੇਡ ਰਹੇ ਸਨ।",
    "ml": "കുട്ടികൾ തോട്ടത്തിൽ കളിക്കുകയായിരുന്നു.",
    "ko": "아이들이 정원에서 놀고 있었습니다.",
    "th": "เด็กๆ กำลังเล่นอยู่ในสวน",
    "he": "הילדים שיחקו בגינה כשהתחיל לרדת גשם.",
    "el": "Τα παιδιά έπαιζαν στον κήπο όταν άρχισε να βρέχει.",
    "ka": "ბავშვები ბაღში თამაშობდნენ.",
    "hy": "Երեխաները խաղում էին այգում։",
    "zh": "孩子们在花园里玩耍的时候开始下雨了。",
    "ja": "子供たちは庭で遊んでいたが、雨が降り始めた。",
}


def test_every_language_has_a_sentence():
    assert set(SENTENCES) == LANGUAGES


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_languages_are_told_apart(code):
    for asked in LANGUAGES:
        assert language_of(SENTENCES[code], likely=asked) == code
    assert language_of("12 + 3", likely=code) is None
