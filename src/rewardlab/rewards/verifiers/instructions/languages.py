"""Which language a text is in: by its script, and where several share one, by their most frequent little words and own
letters.

This tells full sentences apart, not single words; where nothing in the text decides, the language that was asked for
gets the benefit of the doubt. No model and no dictionary is needed, and equal texts always get the same answer.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import regex

_BY_SCRIPT = {
    "Hangul": ("ko",),
    "Thai": ("th",),
    "Hebrew": ("he",),
    "Greek": ("el",),
    "Bengali": ("bn",),
    "Tamil": ("ta",),
    "Telugu": ("te",),
    "Kannada": ("kn",),
    "Gujarati": ("gu",),
    "Gurmukhi": ("pa",),
    "Malayalam": ("ml",),
    "Georgian": ("ka",),
    "Armenian": ("hy",),
    "Cyrillic": ("ru", "uk", "bg"),
    "Arabic": ("ar", "fa", "ur"),
    "Devanagari": ("hi", "mr", "ne"),
    "Latin": ("en", "es", "pt", "fr", "de", "it", "nl", "pl", "vi", "fi", "sw", "tr", "sv", "id", "ro", "cs"),
}

_LITTLE_WORDS = {
    "en": (
        "the of and to in is that it for was with as on are this be at by not you from have or an they we"
        " their were when which would there been one all we if but what so can about he she his her has had will them"
    ),
    "es": (
        "el la los las de que y en un una es por con para no se del al lo como más pero su sus está son este"
        " cuando fue ser hay si ya le les ni sobre entre desde hasta donde todo sin quien eso ese esa era"
    ),
    "pt": (
        "o a os as de que e em um uma é por com para não se do da dos das no na ao mais mas seu sua está são"
        " quando foi ser há se já lhe nem sobre entre desde até onde tudo sem quem isso esse essa era pelo pela muito"
    ),
    "fr": (
        "le la les de des et en un une est que qui dans pour par sur avec ne pas plus ce cette au aux du il elle"
        " mais ou où son sa ses leur leurs je tu on se ne être avoir fait cela comme tout très bien aussi était ils"
    ),
    "de": (
        "der die das und in den von zu mit ist ein eine nicht für auf dem des sich auch als an es werden aus bei"
        " aber oder wenn nach noch nur über unter sein ihr ihre war hat haben wird kann einen einem einer zum zur so"
    ),
    "it": (
        "il lo la i gli le di che e in un una è per con non si del della dei al alla come più ma sono questo"
        " ha ho hanno era erano quando se o ed da dal dalla nella delle degli suo sua loro anche molto tutto così dove"
    ),
    "nl": (
        "de het een en van in is dat op te voor met niet zijn aan er ook als bij door wordt naar uit maar om"
        " ze zij hij wij hun was had hebben heeft maar dan nog wel geen kan toen naar over tot zo hier"
    ),
    "pl": "i w na z do nie się to jest że o jak po co dla od przez są oraz ale za tym może być czy które",
    "vi": "và của là có các những trong được cho với một không này người để đã khi từ như về tại cũng ra",
    "fi": "ja on ei että se ovat oli mutta hän kun myös tai niin kuin joka ovat voi olla tämä mitä sen jos sekä ne",
    "sw": "na ya wa kwa ni katika za la kuwa hii cha kama yake pia lakini hiyo watu vya huo ambayo au sana",
    "tr": "ve bir bu da de için ile çok daha olarak olan gibi en ne ama var kadar sonra değil o her veya ki",
    "sv": "och att det i en som är på för med av den till inte om ett har de vi kan men var sig från eller också",
    "id": "yang dan di dengan untuk dari ini itu pada tidak dalam adalah akan ke oleh juga atau sebagai bisa",
    "ro": "și de în la cu o un este care pe pentru nu din mai că sunt au să ca sau prin fi dar această acest",
    "cs": "a je se v na to že s z do o i za pro ale jako by si jsou po nebo který která také aby byl jsem není",
    "ru": "и в не на что с по это как а к но из у за от для так же о его она он мы вы они или был является",
    "uk": "і в не на що з по це як а до але із у за від для так та є його вона він ми ви вони або був щоб також",
    "bg": "и в не на че с по това как а към но от за така се е са да ще или който която най тя той ние те му",
    "ar": "في من على إلى أن هذا هذه التي الذي لا ما كان مع عن هو هي أو كل قد بين ذلك بعد",
    "fa": "در به از که این را با است برای آن یک می های تا بر هم شود شده کرد خود یا نیز",
    "ur": "کے کی کا میں ہے اور سے کو پر نے یہ ہیں کہ اس ایک بھی جو کر تھا ہو گا لیے",
    "hi": "है के की का में और को से यह पर हैं एक ने भी कि नहीं हो लिए इस था तो जो कर",
    "mr": "आहे आणि या हे ते आहेत व तर मध्ये नाही एक असे होते च्या ही तो आपण करून पण जे मी तुम्ही साठी",
    "ne": "छ र मा को हो छन् यो लाई गर्न भएको पनि एक तर भन्ने गर्ने लागि हुन्छ का थियो गरेको त्यो हामी तपाईं",
}

_OWN_LETTERS = {
    "uk": "іїєґ",
    "ru": "ыэё",
    "ar": "ةىأإيك",
    "ur": "ٹڈڑںےہھ",
    "fa": "یکژ",
    "vi": "ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
    "pt": "ãõâêç",
    "es": "ñ¿¡",
    "fr": "èêëàâçœûîï",
    "de": "ßäöü",
    "it": "èìòù",
    "fi": "äö",
    "sv": "åäö",
    "pl": "łąęśćźż",
    "tr": "ğışçöü",
    "ro": "țășâî",
    "cs": "řěůšžýč",
}

LANGUAGES = frozenset(code for codes in _BY_SCRIPT.values() for code in codes) | {"zh", "ja"}
"""ISO 639-1 codes of the languages that are told apart."""

_SETS = {code: frozenset(words.split()) for code, words in _LITTLE_WORDS.items()}
_WORD = regex.compile(r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*")
_LETTER = regex.compile(r"[\p{L}]")


@functools.cache
def _script(name: str) -> Any:
    return regex.compile(rf"\p{{Script={name}}}")


def language_of(text: str, *, likely: str) -> str | None:
    """The language that most of a text is in.

    Args:
        text: any text.
        likely: the language that it should be in; taken where the script allows it and nothing else speaks against it.

    Returns:
        An ISO 639-1 code of `LANGUAGES`, or None where the text has no letters of a known script.
    """
    letters = "".join(_LETTER.findall(text))
    if not letters:
        return None
    if letters.isascii():
        return _most_likely(text, _BY_SCRIPT["Latin"], likely)
    counts = {name: len(_script(name).findall(letters)) for name in _BY_SCRIPT}
    kana = len(_script("Hiragana").findall(letters)) + len(_script("Katakana").findall(letters))
    han = len(_script("Han").findall(letters))
    name = max(counts, key=lambda entry: counts[entry])
    if kana + han > counts[name]:
        return "ja" if kana * 10 > han else "zh"
    return _most_likely(text, _BY_SCRIPT[name], likely) if counts[name] else None


def _most_likely(text: str, codes: tuple[str, ...], likely: str) -> str:
    if len(codes) == 1:
        return codes[0]
    folded = text.casefold()
    found = _WORD.findall(folded)
    points = {}
    for code in codes:
        own = re.findall(f"[{_OWN_LETTERS[code]}]", folded) if code in _OWN_LETTERS else []
        # a word of one letter ("a", "i", "o") is a little word in many languages, so it says less
        points[code] = sum(0.25 + 0.75 * (len(word) > 1) for word in found if word in _SETS[code]) + 0.5 * len(own)
    best = max(points.values())
    if points.get(likely) == best:
        return likely
    return max(codes, key=lambda code: points[code])
