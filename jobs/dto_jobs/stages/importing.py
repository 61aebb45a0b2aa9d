"""Import: take responses from a log in place of sampling them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from dto_jobs.core.grading import grade, grader
from dto_jobs.core.records import ImportedTrace, Response
from dto_jobs.core.segmentation import CLOSE, OPEN, drop_opening, split_thinking
from dto_jobs.problem_source import TraceSource
from dto_jobs.stage import Ports, Stage


class Importing(Stage):
    """Turn logged traces into responses: prompt rendered for this model, tokens counted, answers graded anew."""

    reads: ClassVar = ImportedTrace
    writes: ClassVar = Response

    source: TraceSource
    """Where the log is."""

    def run(self, records: Iterable[ImportedTrace], ports: Ports) -> Iterator[Sequence[Response]]:
        """Yield one response per trace."""
        for trace in records:
            yield [self._response(trace, ports)]

    def _response(self, trace: ImportedTrace, ports: Ports) -> Response:
        prompt = ports.engine.render(trace.problem.question)
        marked = trace.text.lstrip().startswith(OPEN) or CLOSE in trace.text or ports.engine.thinking
        text = drop_opening(trace.text) if marked else trace.text
        _, answer = split_thinking(text, opened=marked)
        graded = grade(grader(trace.problem.grader), answer, trace.problem.answer)
        return Response(
            id=trace.id,
            problem=trace.problem,
            prompt=prompt,
            text=text,
            prompt_tokens=ports.engine.count(prompt),
            tokens=ports.engine.count(text) + 1,
            # A log does not say why a response ended; one that never closed its thinking was cut.
            finished=answer is not None,
            opened=marked,
            answer=graded.answer,
            correct=graded.correct,
        )
