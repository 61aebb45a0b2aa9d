"""Cues: the phrases that open a thinking pattern, by language and kind. Data only; segmentation.py finds them.

A phrase is matched at the start of a sentence, its first letter in either case; a space in it also matches a comma and
a space. Kinds stand in the order in which they are tried, and within a kind the longest phrase wins.
"""

from typing import Final, Literal

Language = Literal["en", "zh"]
Cues = dict[str, tuple[str, ...]]

SPACED_ENDS: Final = ".!?…؟।"
"""Marks that end a sentence when white space follows."""

ENDS: Final = "。！？"  # noqa: RUF001 - Chinese punctuation is meant
"""Marks that end a sentence with nothing after them."""

CLOSERS: Final = SPACED_ENDS + ENDS + "\"'”’」』）)]*_"  # noqa: RUF001 - Chinese punctuation is meant
"""Marks after the first end mark of a sentence that still belong to it."""

DECORATIONS: Final = "#>*_(（–—-"  # noqa: RUF001 - Chinese punctuation is meant
"""Marks of headings, lists and bold face between a break and the words of a cue."""

PAUSES: Final = ",，.。!！…"  # noqa: RUF001 - Chinese punctuation is meant
"""Marks between a lead and a cue: "Wait. Let me check" is one cue."""

CHECK: Final = "check"
"""The kind that counts as checking again."""

START: Final = "start"
"""The first pattern of a trace, whatever its words."""

BLOCK: Final = "block"
"""A structural cut, where cues are rare."""

AT_PARAGRAPHS: Final = frozenset({"step", "summary"})
"""Kinds whose cues are too common inside paragraphs to mean much there."""

UNLED: Final = frozenset({"doubt"}) | AT_PARAGRAPHS
"""Kinds whose cues are words like those of LEADS themselves, which need no other before them."""

CLOSING: Final = frozenset({"conclusion", "summary", BLOCK})
"""Kinds that end what went before: too short for a pattern of their own, they join it. The others join what follows."""

TELLING: Final = (CHECK, "alternative", "doubt", "conclusion", "summary", "step", BLOCK)
"""Known kinds, the most telling first: it names a pattern whose opening words alone are too short to be one."""

_OURS = ("let me", "let's", "let us", "I'll", "I should", "I need to", "I want to", "I can", "we should", "we can")
_CHECKING = (
    "check",
    "confirm",
    "count again",
    "do that again",
    "do this again",
    "double check",
    "double-check",
    "go back",
    "go digit by digit",
    "go over",
    "go through it again",
    "go through that again",
    "go through this again",
    "make sure",
    "re-",
    "recalculate",
    "recheck",
    "recompute",
    "reconsider",
    "recount",
    "redo",
    "reevaluate",
    "reexamine",
    "reread",
    "retrace",
    "review",
    "revisit",
    "test",
    "think again",
    "validate",
    "verify",
)

CUES: Final[dict[Language, Cues]] = {
    "en": {
        CHECK: (
            *(
                f"{ours} {adverb}{checking}"
                for ours in _OURS
                for checking in _CHECKING
                for adverb in ("", "just ", "quickly ")
            ),
            "checking",
            "double-checking",
            "just to be sure",
            "just to check",
            "just to confirm",
            "just to double-check",
            "just to make sure",
            "just to verify",
            "to be sure",
            "to check",
            "to confirm",
            "to double-check",
            "to make sure",
            "to verify",
            "verifying",
        ),
        "alternative": (
            "a different approach",
            "a different way",
            "alternative approach",
            "alternatively",
            "another approach",
            "another idea",
            "another method",
            "another way",
            "how about",
            "let me approach this differently",
            "let me try a different",
            "let me try another",
            "let's try a different",
            "let's try another",
            "maybe another",
            "maybe I can",
            "maybe I could",
            "maybe I should",
            "maybe there's another",
            "maybe we can",
            "or maybe",
            "or perhaps",
            "perhaps another",
            "perhaps I can",
            "perhaps I could",
            "perhaps I should",
            "perhaps there's another",
            "perhaps we can",
            "what if",
        ),
        "conclusion": (
            "answer is",
            "final answer",
            "Final Answer",
            "in conclusion",
            "that settles it",
            "the answer is",
            "the correct answer",
            "the final answer",
        ),
        "doubt": (
            "actually",
            "but actually",
            "but hold on",
            "but is that",
            "but wait",
            "hang on",
            "hm",
            "hmm",
            "hold on",
            "is that correct",
            "is that right",
            "no wait",
            "oh no",
            "oh wait",
            "oops",
            "that can't be right",
            "that doesn't seem right",
            "wait",
        ),
        "step": (
            "alright",
            "finally",
            "first",
            "firstly",
            "let me",
            "let's",
            "moving on",
            "next",
            "now",
            "okay",
            "second",
            "secondly",
            "starting with",
            "step",
            "Step",
            "then",
            "third",
        ),
        "summary": ("hence", "overall", "so", "therefore", "thus", "to recap", "to summarize"),
    },
    "zh": {
        CHECK: (
            *(
                f"{ours}{checking}"
                for ours in ("", "再", "重新")
                for checking in ("检查", "验证", "核对", "确认", "验算")
            ),
            *(
                f"让我{again}{checking}"
                for again in ("", "再", "再次", "重新")
                for checking in ("检查", "验证", "核对", "确认", "验算", "计算", "算")
            ),
            *(
                f"我{need}{checking}"
                for need in ("再", "来", "需要", "应该", "得")
                for checking in ("检查", "验证", "核对", "确认", "验算")
            ),
            "为了确认",
            "为了确保",
            "代入验证",
            "代入检验",
            "再检验",
            "再算一遍",
            "再算一次",
            "再看一遍",
            "回头看",
            "我们来验证",
            "我们验证",
            "重新算",
            "重新审视",
            "重新计算",
        ),
        "alternative": (
            "也可以",
            "也许可以",
            "也许我可以",
            "另一个思路",
            "另一个方法",
            "另一种",
            "另外一种",
            "或者",
            "换一个",
            "换一种",
            "换个",
            "还有一种",
        ),
        "conclusion": (
            "因此最终答案",
            "因此答案",
            "所以最终答案",
            "所以答案",
            "最终答案",
            "最终结果是",
            "答案是",
            "答案为",
            "综上所述",
        ),
        "doubt": (
            "不对",
            "不过等等",
            "但是等等",
            "且慢",
            "其实",
            "哦不",
            "唔",
            "嗯",
            "慢着",
            "稍等",
            "等一下",
            "等下",
            "等等",
            "真的是",
        ),
        "step": (
            "下一步",
            "其次",
            "先",
            "好的",
            "接下来",
            "接着",
            "最后",
            "步骤",
            "然后",
            "现在",
            "第一",
            "第三",
            "第二",
            "首先",
        ),
        "summary": ("于是", "因此", "总之", "总的来说", "所以", "由此", "综上", "那么"),
    },
}

LEADS: Final[dict[Language, tuple[str, ...]]] = {
    "en": (
        "actually",
        "alright",
        "also",
        "and",
        "but",
        "hmm",
        "hold on",
        "no",
        "now",
        "oh",
        "okay",
        "hence",
        "ok",
        "so",
        "then",
        "therefore",
        "thus",
        "wait",
        "wait a minute",
        "wait a second",
        "well",
        "yes",
    ),
    "zh": (
        "不对",
        "因此",
        "最后",
        "不过",
        "但是",
        "但",
        "嗯",
        "好的",
        "好",
        "所以",
        "然后",
        "现在",
        "等一下",
        "等等",
        "那么",
    ),
}
"""Words that may stand before a cue without changing its kind: "Wait, let me check" is a check, "Wait, no" a doubt."""
