from dto_jobs.core.trajectory import joined, stopped

CLOSING = "\n\nThat settles it.\n</think>\n\n"


def test_thinking_is_closed_after_its_patterns():
    assert stopped(["First, 2.", "\n\nWait, 3.\n\n"], CLOSING) == "First, 2.\n\nWait, 3." + CLOSING


def test_what_the_model_settled_by_itself_is_not_said_twice():
    assert stopped(["First, 2.", "\n\nThat settles it.\n"], CLOSING) == "First, 2." + CLOSING


def test_no_pattern_at_all_is_just_the_closing():
    assert stopped([], CLOSING) == CLOSING


def test_kept_patterns_are_joined_without_the_space_before_the_first():
    patterns = ["First.", "\n\nWait.", "\n\nHmm."]
    assert joined(patterns, (0, 2)) == "First.\n\nHmm."
    assert joined(patterns, (1, 2)) == "Wait.\n\nHmm."
    assert joined(patterns, (1, 2), begins=False) == "\n\nWait.\n\nHmm."
    assert joined(patterns, ()) == ""
