"""The embedded demonstration model: graded problems, planted reasoning traces, and the script that trains it."""
