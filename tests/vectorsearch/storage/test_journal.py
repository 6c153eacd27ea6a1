from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vectorsearch.storage.disk import Disk
from services.vectorsearch.storage.journal import Journal, records
from tests.vectorsearch.storage.disks import RefusingDisk, RememberingDisk

PAYLOADS = [b"first", b"", b"x" * 5000, b"last"]


def payloads(path: Path) -> list[bytes]:
    return [record.payload for record in records(path)][1:]


def written(path: Path, disk: Disk | None = None) -> Journal:
    journal = Journal.create(disk or Disk(), path, {"name": "it"})
    for payload in PAYLOADS:
        journal.append(payload)
    return journal


def test_records_come_back_in_order(tmp_path: Path) -> None:
    """The opening first, then what was appended, readable while the journal is open."""
    journal = written(tmp_path / "it")
    opening, *rest = records(tmp_path / "it")
    assert json.loads(opening.payload) == {"name": "it"}
    assert [record.payload for record in rest] == PAYLOADS
    assert (rest[-1].end_bytes, rest[-1].checksum) == (journal.size_bytes, journal.checksum)
    journal.close()


def test_no_file_is_an_empty_journal(tmp_path: Path) -> None:
    """There may be none after a snapshot."""
    assert not list(records(tmp_path / "none"))


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_journal_counts_up_to_the_first_torn_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut short or with a bit turned over anywhere, what is read is a beginning of what was written."""
    path = tmp_path_factory.mktemp("journal") / "it"
    written(path).close()
    ends = [record.end_bytes for record in records(path)]
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    if data.draw(st.booleans(), label="cut"):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path.write_bytes(content)
    whole = [record.end_bytes for record in records(path)]
    assert whole == [end for end in ends if end <= place]


def test_a_record_counts_only_where_it_was_written(tmp_path: Path) -> None:
    """Whole records in another order or left over from before are not taken for what was appended."""
    path = tmp_path / "it"
    written(path).close()
    opening, first, _, *rest = records(path)
    content = path.read_bytes()
    # The second record is gone; all others are whole.
    path.write_bytes(content[: first.end_bytes] + content[rest[0].end_bytes - len(PAYLOADS[2]) - 12 :])
    assert [record.end_bytes for record in records(path)] == [opening.end_bytes, first.end_bytes]


def test_a_journal_goes_on_behind_its_last_whole_record(tmp_path: Path) -> None:
    """What was torn is cut off, and what is appended then is read."""
    path = tmp_path / "it"
    written(path).close()
    path.write_bytes(path.read_bytes()[:-1])
    *_, last = records(path)
    journal = Journal.reopen(Disk(), path, last)
    journal.append(b"new")
    journal.close()
    assert payloads(path) == [*PAYLOADS[:-1], b"new"]


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    """At whatever write the disk is full, the journal ends behind the last record that was whole."""
    for step in range(11):
        path = tmp_path / f"{step}"
        with pytest.raises(OSError, match=r"No space"):
            written(path, RefusingDisk(step, 1))
        if step < 3:
            assert not path.exists()
        else:
            assert payloads(path) == PAYLOADS[: (step - 3) // 2]
            *_, last = records(path)
            assert path.stat().st_size == last.end_bytes


def test_syncing_does_nothing_when_there_is_nothing_to_sync(tmp_path: Path) -> None:
    """The name of the file is synced once, its content whenever there is more."""
    disk = RememberingDisk()
    journal = Journal.create(disk, tmp_path / "it", {})
    disk.events.clear()
    journal.sync()
    journal.sync()
    assert [event.what for event in disk.events] == ["sync", "sync directory"]
    disk.events.clear()
    journal.append(b"more")
    journal.sync()
    journal.sync()
    assert [event.what for event in disk.events] == ["write", "sync"]
    journal.close()
