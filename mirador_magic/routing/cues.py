"""Signs of what kind of answer is asked for, in en, de, es and zh: features of the router, and its reasons.

How much each of them counts, and for what, is fitted; `of` says for which complexity one may be told to a
reader as a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cue:
    """`told` is what it means, to a reader; `of` the place of the complexity that it may speak for."""

    told: str
    of: int
    pattern: re.Pattern[str]


_SIMPLE, _MEDIUM, _COMPLEX = range(3)


def _cue(told: str, of: int, *patterns: str) -> Cue:
    return Cue(told, of, re.compile("|".join(patterns)))


CUES: Mapping[str, Cue] = {
    "fact": _cue(
        "asks for one fact",
        _SIMPLE,
        r"\b(?:(?:who|when|where)(?:['’]s)? (?:is|are|was|were|did|do|does|won|wrote|invented|painted|discovered)"
        r"|how (?:many|much|old|tall|far|high|big|heavy|long is|long was|deep)"
        r"|(?:what|which) (?:year|day|date|time|port|colou?r|country|city|language|number|version|size|key|flag"
        r"|option|command|method|function|package|class|operator|shortcut|one|word|file|line|column|http)"
        r"|(?:capital|population|boiling|melting|currency|formula|symbol|unit|value|default|speed|distance|atomic"
        r"|half-life|range) (?:of|for|in|port|point|number)"
        r"|wie ?viele?|wann|hauptstadt|cu[áa]nt[oa]s?|qui[ée]n|cu[áa]ndo|d[óo]nde)\b",
        r"^(?:and |so |ok |hey )?(?:who|when|where|wer|wo|which (?!\w+ (?:should|would|do we)))\b",
        r"多少|谁|哪里|哪年|哪一年|首都|几",
    ),
    "what": _cue(
        "asks what something is",
        _SIMPLE,
        r"^(?:what(?:['’]?s| is| are)|was (?:ist|sind)|¿?qué (?:es|son))"
        r"(?= (?:(?:an?|the|eine?|der|die|das|una?|el|la) )?[\w-]+(?: [\w-]+)?\s?\??$)"
        r"|^who (?:is|was)(?= \w+\??$)|^什么是(?=.{1,8}$)",
    ),
    "meaning": _cue(
        "asks for a word or its meaning",
        _SIMPLE,
        r"\b(?:stands? for|abbreviation|abbr|acronym|synonyms?|antonym|opposite of|plural|spell(?:ed|ing)?"
        r"|another word|meaning of|means?|definition|define|past tense|rhymes?|called|latin for"
        r"|(?:in|into|ins|to|auf|al|en) (?:english|french|german|spanish|italian|latin|portuguese|dutch|polish|russian"
        r"|japanese|chinese|korean|arabic|greek|englische?|deutsche?|spanische?|español|inglés)|abkürzung|bedeutet|heißt|wofür steht|sinónimo|significa|traduce)\b",
        r"什么意思|怎么说|怎么写",
    ),
    "command": _cue(
        "asks for a command",
        _SIMPLE,
        r"\b(?:command|shortcut|flag|syntax|one[- ]liner|function name|method|env var|regex|keyword"
        r"|tastenkürzel|befehl|comando|atajo)\b|命令|快捷键",
        r"^(?:git|pip|kubectl|docker|npm|ls|vim|tar|grep|sed|awk|css|html|sql|pandas|numpy|python|excel|latex|js)"
        r"(?= \S+(?: \S+){0,4}$)",
    ),
    "yesno": _cue(
        "asks for a yes or a no",
        _SIMPLE,
        r"^(?:is|are|was|were|does|do|did|can|has|ist|sind|hat|gibt|kann|es|son|tiene|puede)\b",
        r"\byes or no\b|\bis (?:it|that|this)\b.*\?$|am i right|吗",
    ),
    "edit": _cue(
        "asks for a small edit or sum",
        _SIMPLE,
        r"^(?:please |bitte |por favor )?(?:convert|translate|sort|reverse|replace|rename|round|correct|count|format"
        r"|remove|list|capitali[sz]e|put|turn|fill|return|extract|add|complete|übersetze|sortiere|zähle|traduce"
        r"|ordena|corrige|convierte)\b",
        r"\d[\d.,]* ?(?:%|(?:percent|kg|lbs?|km|mi|c|f|cm|ft|usd|eur|celsius|fahrenheit)\b).*\b(?:in|to|of|into|as|of)\b",
        r"\d ?[-+*/x×^] ?\d|翻译|换算|等于",
    ),
    "brief": _cue(
        "asks for few words",
        _SIMPLE,
        r"\b(?:in|with|use|give|return|just|only) (?:(?:just|me|only|the|one|a single|a|two|three|five|at most) )*"
        r"(?:word|line|sentence|number|name|title|value)s?\b",
        r"\b(?:just|only|nothing but|one) (?:the|a)?\b ?(?:name|number|answer|word|line|value|code|year|list)\b",
        r"\b(?:in (?:einem (?:wort|satz)|una palabra|una frase)|nur|solo)\b|只要|一句话",
    ),
    "why": _cue(
        "asks why", _MEDIUM, r"\b(?:why|how come|warum|wieso|por ?qué)\b|为什么|为啥|怎么会"
    ),
    "how": _cue(
        "asks how",
        _MEDIUM,
        r"\b(?:how (?:do|does|did|is|are|can|could|would i|to|\w+ works?)|explain|eli5|what (?:makes|happens)"
        r"|wie (?:funktioniert|geht|kann|mache|macht)|erklär\w*|c[óo]mo|explica\w*)\b|怎么|如何|解释|原理",
    ),
    "compare": _cue(
        "compares",
        _MEDIUM,
        r"\b(?:vs|versus|differences?|compared?|better|pros and cons|unterschied\w*|diferencias?)\b|区别|不同|哪个好",
        r"^\S+(?: \S+)? (?:or|oder|o) \S+(?: \S+){0,5}$",
    ),
    "text": _cue(
        "asks for a text",
        _MEDIUM,
        r"\b(?:write|draft|rewrite|reword|word|rephrase|paraphrase|summari[sz]e|shorten|polish|schreib\w*|formulier\w*"
        r"|kürze\w*|escríb\w*|redacta|resume|resúme\w*)\b",
        r"\b(?:paragraph|limerick|haiku|e-?mail|letter|reply|note|text|poem)\b|写一|总结|改写",
    ),
    "bug": _cue(
        "names a fault",
        _MEDIUM,
        r"\b(?:\w*error|\w*exception|bug|fix|fails?|failed|failing|wrong|broken|doesn['’]?t work|not working"
        r"|crash(?:es|ing)?|fehler|falla)\b|报错|错误",
    ),
    "plan": _cue(
        "asks for something to be planned or built",
        _COMPLEX,
        r"\b(?:plan|design|build|roadmap|strategy|architecture|curriculum|course|programme|program|policy|proposal"
        r"|redesign|rebuild|rewrite|restructure|reorgani[sz]e|set up|launch|start|found|open|prepare|organi[sz]e"
        r"|planen|planung|aufbauen|einführen|konzept|plan de|montar|organizar|diseñ\w+)\b|规划|设计|计划|方案",
    ),
    "decide": _cue(
        "is a decision to weigh",
        _COMPLEX,
        r"\b(?:should (?:i|we|they|my|our)|do (?:i|we) (?:stay|go|sell|quit|move|keep|hire|fire|outsource|leave)"
        r"|what (?:should|do|would|can) (?:i|we|you) do|worth it|sollen? (?:ich|wir)|debería\w*|kündigen"
        r"|(?:quit|stay|sell|leave|hire|fire|move|emigrate|settle|buy|merge|split|divorce|pivot|accept)\b.* or"
        r"|or (?:quit|stay|sell|leave|hire|wait|not|rent|build|keep))\b|要不要|该不该|应该",
    ),
    "appraise": _cue(
        "asks for an appraisal and advice",
        _COMPLEX,
        r"\b(?:analy[sz]e|assess|evaluate|review|examine|audit|diagnose|analysiere|bewerte|prüfe|analiza|evalúa|revisa)"
        r" (?:(?:my|our|meine?n?|unsere?n?|mis?|nuestr[oa]s?)\b"
        r"|.*\b(?:recommend|suggest|advise|propose|empfiehl|empfehl|schlag|recomienda|propón))|分析.*建议",
    ),
    "move": _cue(
        "is a change of something that runs",
        _COMPLEX,
        r"\b(?:migrat\w+|move (?:to|from|off|our)|switch(?:ing)? (?:to|from)|replace (?:our|the)|off \w+"
        r"|from \w+ to \w+|modernis\w+|legacy|umstell\w+|umzug|ablösen|migrar|cambiar de)\b|迁移|拆成",
    ),
    "means": _cue(
        "names time, people or money",
        _COMPLEX,
        r"\b(?:budget|deadline|runway|money|afford|no time|weeks?|months?|years?|people|staff|team|teams|engineers"
        r"|devs|students|users|customers|euros?|k|eur|usd|gb|tb|leute|mitarbeiter|monate|wochen|meses|semanas"
        r"|personas|presupuesto)\b|预算|团队|个月|个人",
    ),
    "ours": _cue(
        "is about a case of your own",
        _COMPLEX,
        r"\b(?:we|our|us|my|wir|unser\w*|mein\w*|nosotros|nuestr[oa]s?|mis?|somos)\b|我们|我的|公司",
    ),
    "others": _cue(
        "has other people in it",
        _COMPLEX,
        r"\b(?:boss|manager|colleagues?|coworker|cofounder|founder|ceo|cto|cfo|board|wife|husband|spouse|partner"
        r"|sister|brother|mum|mom|dad|parents?|kids?|son|daughter|family|neighbou?rs?|landlord|client|customer|vendor"
        r"|legal|finance|marketing|sales|everyone|everybody|nobody|some|half|chef|kollegen?|frau|mann|vorstand|jefe"
        r"|mujer|marido|hermanos?|equipo)\b|老板|同事|父母|家里",
    ),
    "change": _cue(
        "sets conditions",
        _COMPLEX,
        r"\b(?:since|until|after|before|but|yet|while|still|although|however|every (?:night|day|month|morning)"
        r"|sometimes|only (?:on|in|when|from|since)|no longer|any ?more|keeps?|seit|aber|obwohl|pero|desde|aunque)\b"
        r"|但是|可是|自从",
    ),
}


def found(ask: str) -> dict[str, str]:
    """The names of the signs in this ask, which is in lower case, with the words that each was seen in."""
    seen = ((name, cue.pattern.search(ask)) for name, cue in CUES.items())
    return {name: match.group().strip() for name, match in seen if match}
