from pathlib import Path

import pytest

from simulate.trace import TraceError, read
from tests.simulate.made_up import job

HISTORY = """\
QDate, RequestCpus, RequestMemory, RemoteWallClockTime
1767225660, 4          , 3000         , 600.0
1767225600, 1          , 98           , 61.5
"""
"""As condor_history 23.9.6 prints it: padded, the newest first."""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_what_condor_history_prints_is_a_trace_as_it_is(tmp_path: Path) -> None:
    assert read(written(tmp_path, HISTORY)) == (job(0, 61.5, 1, 98), job(60, 600, 4, 3000))


def test_other_columns_and_their_order_dont_matter(tmp_path: Path) -> None:
    text = "Owner,RemoteWallClockTime,RequestMemory,QDate,RequestCpus\nada,5,10,7,2\n"
    assert read(written(tmp_path, text)) == (job(0, 5, 2, 10),)


def test_a_file_from_windows_is_a_trace_too(tmp_path: Path) -> None:
    """It begins with a mark of its encoding."""
    path = tmp_path / "trace.csv"
    path.write_bytes(HISTORY.replace("\n", "\r\n").encode("utf-8-sig"))
    assert len(read(path)) == 2


def test_no_jobs_are_a_trace_too(tmp_path: Path) -> None:
    assert read(written(tmp_path, HISTORY.splitlines()[0])) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "doesn't name QDate, RemoteWallClockTime, RequestCpus, RequestMemory - make it with condor_history"),
        ("QDate,RequestCpus\n1,1\n", "doesn't name RemoteWallClockTime, RequestMemory"),
        (HISTORY + "1767225660, 4, 3000, undefined\n", "line 4 is no job that ran - it has QDate 1767225660, "),
        (HISTORY + "1767225660, 4, 3000\n", "RemoteWallClockTime nothing - leave such jobs out: condor_history"),
        (HISTORY + "1767225660, 4, 3000, 0\n", "line 4 is no job that ran"),
        (HISTORY + "1767225660, 4, 3000, nan\n", "line 4 is no job that ran"),
        (HISTORY + "1767225660, inf, 3000, 5\n", "line 4 is no job that ran"),
        (HISTORY + "1767225660, -1, 3000, 5\n", "line 4 is no job that ran"),
        (HISTORY + "nan, 4, 3000, 5\n", "line 4 is no job that ran"),
        (HISTORY + "-inf, 4, 3000, 5\n", "line 4 is no job that ran"),
        (HISTORY + "1767225660, 4, 3000, inf\n", "line 4 is no job that ran - it has QDate 1767225660, "),
    ],
)
def test_what_is_no_trace_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TraceError) as error:
        read(written(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_isnt_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        TraceError, match=r"nowhere can't be read - No such file or directory - name a file made by condor_history"
    ):
        read(tmp_path / "nowhere")
