"""`benchmarks runs`: the workspace that it makes, and what it says of seconds."""

from benchmarks import _many_runs, runs
from derm_core.jobs.store import RunStore


def test_the_workspace_has_so_many_runs_one_queued_the_others_ended(workspace):
    ids = _many_runs.furnish(workspace, 30)
    table = RunStore(workspace).list()
    assert [run.id for run in table] == ids[::-1] and len(set(ids)) == 30
    assert [run.id for run in table if not run.final] == ids[-1:]
    assert [run.created for run in table] == sorted((run.created for run in table), reverse=True)
    studies = [run for run in table if (run.kind, run.state) == ("study", "done")]
    assert studies and all(workspace.run(run.id).study.exists() for run in studies)


def test_the_result_is_the_median_of_train_against_a_second():
    many = {page: [0.4, 0.6, 9.0] for page in runs.WAYS}
    empty = {page: [0.1, 0.3, 0.2] for page in runs.WAYS}
    result = runs.summary(many, empty, 10_000)
    assert (result["ratio"], result["train_s"], result["train_empty_s"]) == (0.6, 0.6, 0.2)
