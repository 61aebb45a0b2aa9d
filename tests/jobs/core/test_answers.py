"""Finding answers: the last one given, in one pass over any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.answers import boxed, last_boxed, last_choice, last_text, letter, stated

BALANCED = st.recursive(
    st.text(alphabet="ab1 ,.-^_", max_size=8),
    lambda inner: st.tuples(inner, inner).map(lambda two: f"{two[0]}{{{two[1]}}}"),
)


@given(content=BALANCED, rest=st.text(max_size=30))
def test_an_opened_box_holds_what_is_written_up_to_its_balancing_brace(content, rest):
    assert boxed(content + "}" + rest) == content.strip()


@given(content=BALANCED)
def test_a_box_that_was_cut_before_its_brace_holds_no_answer(content):
    assert boxed(content) == ""
    assert boxed("{" + content + "}") == ""


@pytest.mark.parametrize(
    ("opened", "answer"),
    [
        ("46}", "46"),
        (" 46 }.<|im_end|>", "46"),
        (r"\frac{1}{2}} or so", r"\frac{1}{2}"),
        (r"\{1, 2\}}", r"\{1, 2\}"),
        (r"\left\{ x \right.}", r"\left\{ x \right."),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}}$", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("}", ""),
        ("", ""),
        ("4}6}", "4"),
        ("\\", ""),
    ],
)
def test_an_opened_box_is_read_as_written(opened, answer):
    assert boxed(opened) == answer


@given(
    content=BALANCED.filter(str.strip),
    before=st.text(alphabet="ab {}$.", max_size=20),
    after=st.text(alphabet="ab .$}", max_size=20),
)
def test_the_last_box_is_found_wherever_it_stands(content, before, after):
    assert last_boxed(f"{before}\\boxed{{{content}}}{after}") == content.strip()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} and later, after much thought, \boxed{2}", "2"),
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{3}", "3"),
        (r"\boxed {4}", "4"),
        (r"\boxed{5} then \boxed{6", "5"),
        (r"\boxed{} as asked: \boxed{7}, in \boxed{}", "7"),
        (r"$\boxed{81}$ and $\boxed{256}$", "81, 256"),
        (r"\boxed{81}, \boxed{256}", "81, 256"),
        (r"\boxed{5} \boxed{5}", "5"),
        (r"\boxed{\boxed{8}}", r"\boxed{8}"),
        (r"no box { here }", ""),
        ("", ""),
    ],
)
def test_the_last_complete_box_is_the_answer(text, answer):
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 18.", "18"),
        ("The answer is 17. No: the answer is 18. Done.", "18"),
        ("the answer is $\\frac{1}{2}$, as promised", "\\frac{1}{2}"),
        ("**Answer:** 12 cm\nThanks", "12 cm"),
        ("Answer: **18**", "18"),
        (r"**Answer:** $\$18$.", r"\$18"),
        (r"It costs $\$18.50$ in all.", r"\$18.50"),
        ("She earns 16 a day.\n#### 18", "18"),
        ("</think>\n\n<answer>\n144000\n</answer>", "144000"),
        ("<answer></answer> then <answer>134</answer>", "134"),
        ("\u56e0\u6b64\u7b54\u6848\u662f 42\u3002", "42"),
        ("Adding up:\n3 + 4 = 7", "7"),
        ("So there are $12$ of them, that is 1,200 in all.", "12"),
        ("It costs 1,200 in all.", "1,200"),
        ("I do not know.", ""),
        ("", ""),
    ],
)
def test_without_a_box_the_last_stated_answer_counts(text, answer):
    assert stated(text) == answer


@pytest.mark.parametrize(
    "text", ["B", "(B)", "B.", "b", r"\text{B}", r"\textbf{(B)}", "B: the second", "(B) because", "$B$", "B) x"]
)
def test_a_letter_is_read_from_its_usual_forms(text):
    assert letter(text) == "B"


@pytest.mark.parametrize("text", ["A and B", "AB", "", "12", "Because", r"\text{A, B}", "B or C", "x + 1", "A, B"])
def test_what_is_more_than_a_letter_is_none(text):
    assert letter(text) == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"Not A. \boxed{B}", "B"),
        (r"\boxed{\text{(B)}}", "B"),
        ("The answer is (C)? No, the answer is (B).", "B"),
        ("The correct option is B.", "B"),
        ("Answer: B", "B"),
        ("**Answer: B**", "B"),
        ("**Answer:** $B$.", "B"),
        ("the answer is b because A is not", "B"),
        ("\u7b54\u6848\u662f B", "B"),
        ("It must be the second one.\nB", "B"),
        ("Thus\n(B)", "B"),
        ("I think the answer is a good one", ""),
        ("Nothing to see.", ""),
        (r"\boxed{A and B}", "A and B"),
    ],
)
def test_the_last_choice_counts(text, answer):
    assert last_choice(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("first\nlast line \n\n", "last line"), (r"\boxed{x y} trailing", "x y"), ("", ""), ("one", "one")],
)
def test_a_text_answer_is_the_box_or_the_last_line(text, answer):
    assert last_text(text) == answer


@given(text=st.text(alphabet="\\boxed{}$()#answer is:12ab.\n ", max_size=200))
def test_no_text_is_too_odd_to_be_searched(text):
    for find in (boxed, last_boxed, stated, last_choice, last_text, letter):
        assert isinstance(find(text), str)
