"""Reading answers: one spelling, exact numbers, units, names and lists."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.core.notation import (
    Listing,
    Number,
    depth,
    is_phrase,
    key,
    listing,
    number,
    spell,
    split_assignment,
    split_unit,
    unwrap,
)


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        (r"$\dfrac12$", r"\frac{1}{2}"),
        (r"\tfrac 34", r"\frac{3}{4}"),
        (r"\frac\pi 2", r"\frac{\pi}{2}"),
        (r"\left( 1,\, 2 \right]", "( 1, 2 ]"),
        (r"10,\!080", "10,080"),
        (r"1{,}000", "1,000"),
        (r"\sqrt3", r"\sqrt{3}"),
        (r"20\text{ days}", '20"days"'),
        (r"\mathrm{e}^x", "e^x"),
        (r"\text{(B)}", '"B"'),
        (r"x \leq 2", r"x \le 2"),
        (r"5\%", "5%"),
        ("5 percent", "5%"),
        (r"\$18.", "18"),
        ("\u2212\u221e", r"-\infty"),
        (r"\{x \mid x > 1\}", r"\{x | x > 1\}"),
        (r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\left[\begin{matrix} 1 \\ 2 \end{matrix}\right]", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("**7**", "7"),
        ("2**10", "2^{10}"),
        ("x^12 + x^2", "x^{12} + x^2"),
        ("10^-3", "10^{-3}"),
    ],
)
def test_ways_of_writing_share_one_spelling(written, spelled):
    assert spell(written) == spelled


@given(written=st.text(alphabet='\\frac{}12/$ ,.()x^_!"', max_size=60))
def test_a_spelling_has_no_dollars_quotes_from_outside_or_spaces_around(written):
    spelled = spell(written)
    assert "$" not in spelled
    assert spelled.count('"') == 2 * spelled.count('"') // 2
    assert spelled == spelled.strip()
    assert spell(written.replace(" ", "  ")) == spelled


@given(value=st.fractions(max_denominator=10_000))
def test_every_way_to_write_a_fraction_is_read_exactly(value):
    sign, top, bottom = "-" * (value < 0), abs(value.numerator), value.denominator
    forms = [f"{sign}{top}/{bottom}", rf"{sign}\frac{{{top}}}{{{bottom}}}", rf"\frac{{{sign}{top}}}{{{bottom}}}"]
    whole, rest = divmod(top, bottom)
    if whole and rest:
        forms.append(rf"{sign}{whole}\frac{{{rest}}}{{{bottom}}}")
    assert {number(form).value for form in forms} == {value}


@given(value=st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_decimals_are_read_exactly_with_and_without_thousands(value):
    for form in (f"{value:f}", f"{value:,f}"):
        assert number(form) == Number(Fraction(value), 4, percent=False)


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("27.0", 27),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+3", 3),
        ("-0", 0),
        (r"1.5 \times 10^{3}", 1500),
        (r"2 \cdot 10^3", 2000),
        ("1e-3", Fraction(1, 1000)),
    ],
)
def test_numbers_are_read_from_other_forms(spelled, value):
    assert number(spelled).value == value


@pytest.mark.parametrize(
    "spelled", ["", "x", "1,00", "1 2", "1/0", r"\frac{1}{0}", "1.2.3", "--1", "1,2,3", "9" * 500, "0x10", "1+1"]
)
def test_what_is_no_number_is_not_read_as_one(spelled):
    assert number(spelled) is None


@pytest.mark.parametrize(
    ("spelled", "split"),
    [
        ('20"days"', ("20", "day")),
        ("12 cm", ("12", "cm")),
        ("12 centimeters", ("12", "cm")),
        ('15"cm"^2', ("15", "cm2")),
        (r"36\sqrt{7}cm^{3}", (r"36\sqrt{7}", "cm3")),
        (r"576\pi m^{2}", (r"576\pi", "m2")),
        (r"30^\circ", ("30", "degree")),
        (r"30^{\circ}", ("30", "degree")),
        ("30 degrees", ("30", "degree")),
        ("7 apples", ("7", "?")),
        ('7"distinct integers"', ("7", "?")),
        ("18 dollars", ("18", "dollar")),
        ("2 x", ("2 x", "")),
        ("2 xy", ("2 xy", "")),
        ("2x y", ("2x y", "")),
        ("5r^5", ("5r^5", "")),
        ("42", ("42", "")),
        ('"Evelyn"', ('"Evelyn"', "")),
    ],
)
def test_a_unit_is_told_from_algebra(spelled, split):
    assert split_unit(spelled) == split


@pytest.mark.parametrize(
    ("spelled", "split"),
    [
        ("x = 5", ("x", "5")),
        (r"x \in [1, 2]", ("x", "[1, 2]")),
        ("f(x) = 2x", ("f(x)", "2x")),
        ("a_1=3", ("a_1", "3")),
        ("AB = 5", ("AB", "5")),
        (r"\theta = 3", (r"\theta", "3")),
        ("x + y = 5", ("", "x + y = 5")),
        ("a = b = 5", ("", "a = b = 5")),
        ("5", ("", "5")),
    ],
)
def test_a_name_is_split_from_its_value(spelled, split):
    assert split_assignment(spelled) == split


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        ("(1, 2)", Listing("(", ")", ("1", "2"))),
        ("[1,2)", Listing("[", ")", ("1", "2"))),
        (r"\{1,2\}", Listing(r"\{", r"\}", ("1", "2"))),
        (r"\{1\}", Listing(r"\{", r"\}", ("1",))),
        ("1, 2 and 3", Listing("", "", ("1", "2", "3"))),
        ('1 "or" 2', Listing("", "", ("1", "2"))),
        ('2, 3, "and" 4', Listing("", "", ("2", "3", "4"))),
        ("(1,2), (3,4)", Listing("", "", ("(1,2)", "(3,4)"))),
        ("(1,2);(3,4)", Listing("", "", ("(1,2)", "(3,4)"))),
        (r"\pm 3", Listing("", "", ("3", "- 3"))),
        (r"\{1 \pm 2, 0\}", Listing(r"\{", r"\}", ("1 + 2", "1 - 2", "0"))),
        ("A and B", Listing("", "", ("A", "B"))),
        ("1,000", None),
        ("(x+1)(x-2)", None),
        ("(5)", None),
        (r"\{x | x > 1\}", None),
        ("(1,2", None),
        ("1,2)", None),
        (r"\frac{1}{2}", None),
        ("sand", None),
    ],
)
def test_lists_are_read_with_their_brackets(spelled, read):
    assert listing(spelled) == read


@pytest.mark.parametrize(
    ("spelled", "inner"),
    [("(5)", "5"), ("((5))", "(5)"), ("(1,2)", "(1,2)"), ("(a)(b)", "(a)(b)"), ("(a", "(a"), ("", "")],
)
def test_parentheses_around_a_single_value_are_taken_off(spelled, inner):
    assert unwrap(spelled) == inner


@pytest.mark.parametrize(
    ("spelled", "claim"),
    [
        ("Evelyn", True),
        ('"odd"', True),
        ("two lines", True),
        ("xy", False),
        ("3 cats", False),
        (r"\pi", False),
        ('"B"', True),
        ("", False),
    ],
)
def test_words_are_told_from_symbols(spelled, claim):
    assert is_phrase(spelled) is claim


def test_keys_ignore_spaces_and_the_case_of_words_only():
    assert key("Two  Lines") == key("two lines")
    assert key("X") != key("x")
    assert key("2 X") == key("2X") != key("2x")
    assert key("52_{8}") == key("52_8")
    assert key("x^{12}") != key("x^12")


@given(text=st.text(alphabet="([{}])a", max_size=40))
def test_depth_never_exceeds_the_opening_brackets(text):
    assert 0 <= depth(text) <= sum(map(text.count, "([{"))


def test_depth_counts_nesting():
    assert (depth("(a)(b)"), depth("((a))"), depth("))))"), depth("{" * 10_000)) == (1, 2, 0, 10_000)
