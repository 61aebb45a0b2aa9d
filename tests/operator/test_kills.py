"""An operator that is killed at any turn starts nothing twice and loses nothing. `make bench` kills it at every one."""

from kill_trials import one_trial, trials


def test_an_operator_that_is_killed_duplicates_and_loses_nothing():
    done = list(trials(every=16))
    assert len(done) >= 25
    assert {trial.failing for trial in done} == {False, True}
    assert [trial for trial in done if trial.duplicates] == []
    assert [trial for trial in done if not trial.complete] == []


def test_a_killed_operator_starts_just_what_one_that_lives_starts():
    undisturbed = one_trial("anew", failing=False, call=None)
    assert undisturbed.complete
    killed = one_trial("anew", failing=False, call=7)
    assert killed.killed
    assert killed.started == undisturbed.started
