"""A configuration that HTCondor would not read is found, and one that it reads is let pass: as a real one does."""

from collections.abc import Iterator

import pytest

from bench.realpool import RealPool, real_pool
from cluster.condorconfig import problem

READ = [
    "START = True\n",
    "\n# a comment \\\n  # another\n  START = 1\n",
    'START = TARGET.Owner == \\\n  "alice" && \\\n   True\nFOO =\n',
    "START = True\r\nFOO = 1\r\n",
    "use role:Execute\nUSE FEATURE : PartitionableSlot\n",
    "if defined FOO\n  Bar = 1\nelif version > 8.0\n  Bar = 2\nelse\n  Bar = 3\nEndIf\n",
    "TEXT @=end\nanything at all\nif it = is\n@end\nSTART = 1\n",
    "include ifexist : /etc/nowhere\nwarning : mind the gap\n",
    "$(WHOSE)START = 1\nSTARTD.x.START = 2\n",
    "START : 1\n",
    "START += 1\nFOO +=1\n",
    "FOO/BAR = 1\n",
    "@use ROLE : Execute\n@include ifexist : /etc/nowhere\n@warning : mind the gap\n",
    "[section]\nSTART = 1\n",
    "FOO = $(BAR) \\\n# $(BAZ) \\\n$(START)\n",
    "use role : execute, SUBMIT\nuse ROLE:Execute Personal\nA = Role\nuse $(A):Submit\n",
    "use policy:Hold_If_Memory_Exceeded\nuse feature : PartitionableSlot(1, 50%), GPUs\nuse role:\nuse = 1\n",
    "if defined NOWHERE\nerror : x\nuse role:Nonsense\nif nonsense words\nendif\nendif\nerror.x = 1\nerror = x : y\n",
    *(
        f"if {condition}\nendif\n"
        for condition in (
            *("true", "No", "!t", "! FALSE", "0", "-1.5", "1e3", "$(START)", "!$(A:1)", "$INT(START)"),
            *("defined", "! defined A.B", "defined $(A)", "defined use", "defined use role:Execute"),
            *("version >= 8.0", "Version <99.0.1", "!version != 8.0", "version = 8.0"),
        )
    ),
]
NOT_READ = [
    ("START True\n", "line 1, 'START True', is neither NAME = VALUE nor another word"),
    ("FOO = 1\n\necho hello\n", "line 3, 'echo hello', is neither"),
    ("FOO = 1 \\\n 2\nBAR\n", "line 3, 'BAR', is neither"),
    ("A = 1 \\\n\nBAR\n", "line 3, 'BAR', is neither"),
    ("FOO-BAR = 1\n", "line 1, 'FOO-BAR = 1', is neither"),
    ("+FOO = 1\n", "line 1, '+FOO = 1', is neither"),
    ("FOO+=1\n", "line 1, 'FOO+=1', is neither"),
    ("FOO = $(BAR) \\\n# $(BAZ)\n$(START)\n", "line 3, '$(START)', is neither"),
    ("@START = 1\n", "line 1, '@START = 1', is neither"),
    ("[section] x\n", "line 1, '[section] x', is neither"),
    ("[sec=tion]\n", "line 1, '[sec=tion]', is neither"),
    ("FOO@=x\na\n@x\n", "line 1, 'FOO@=x', is neither"),
    ("use\n", "line 1, 'use', is neither"),
    ("if true\nFOO = 1\n", "line 1 has an if, and no endif comes after it"),
    ("FOO = 1\nendif\n", "line 2, 'endif', has no if before it"),
    ("else\n", "line 1, 'else', has no if before it"),
    ("if true\nA = 1\nendif\nendif\n", "line 4, 'endif', has no if before it"),
    ("FOO @=end\na\n", "line 1, 'FOO @=end', begins a text, and no line @end ends it"),
    ("START = 1\nerror : x\n", "line 2, 'error : x', is an error by itself"),
    ("@ERROR:\n", "line 1, '@ERROR:', is an error by itself"),
    ("error x : y\n", "line 1, 'error x : y', is an error by itself"),
    ("use nonsense : x\n", "line 1, 'use nonsense : x', names nothing that HTCondor has: ROLE, FEATURE,"),
    ("@use role x:Execute\n", "line 1, '@use role x:Execute', names nothing that HTCondor has"),
    ("use role:Nonsense\n", "line 1, 'use role:Nonsense', names no role that HTCondor has: CentralManager, Execute,"),
    ("use role:Execute Nonsense\n", "line 1, 'use role:Execute Nonsense', names no role"),
    ("if true\nelse\nA = 1\nelse\nendif\n", "line 4, 'else', comes after an else"),
    ("if false\nif true\nelse\nelif x\nendif\nendif\n", "line 4, 'elif x', comes after an else"),
    *(
        (f"if {condition}\nendif\n", f"line 1, {f'if {condition}'.strip()!r}, has no condition that HTCondor knows")
        for condition in (
            *("", "!", "nonsense words", "nonsense", "y", "off", "+1", "true # why", "1 == 1", "not true", "!!true"),
            *("defined A B", "defined(A)", "version", "version >= 8", "version>=8.0", "version => 8.0", "= 1"),
        )
    ),
]


@pytest.mark.parametrize("text", READ)
def test_what_htcondor_reads_is_let_pass(text: str) -> None:
    assert problem(text) == ""


@pytest.mark.parametrize(("text", "says"), NOT_READ)
def test_what_htcondor_would_not_read_is_told_with_its_line(text: str, says: str) -> None:
    assert problem(text).startswith(says)


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("text", "read"), [*((text, True) for text in READ), *((text, False) for text, _ in NOT_READ)])
def test_a_real_htcondor_says_the_same(condor: RealPool, text: str, read: bool) -> None:
    asked = "cat >/tmp/asked; CONDOR_CONFIG=/tmp/asked condor_config_val START 2>&1 || true"
    said = condor.run("sh", "-c", asked, stdin=text)
    assert ("Configuration Error" not in said) == read, said
