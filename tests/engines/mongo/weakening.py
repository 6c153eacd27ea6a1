"""Let an older glibc load libraries that were linked against 2.38: `weakening.py FILE...`, edited in place.

The loader refuses a library that needs a version of glibc which is not there, unless the need is marked weak
(System V ABI, gABI draft of symbol versioning: `vna_flags`, VER_FLG_WEAK). The functions themselves come from
`older_glibc.c`. Rewriting tools such as patchelf break these libraries; two bytes a mark do not.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

NEWER = "GLIBC_2.38"
VER_FLG_WEAK = 2
# Of a Vernaux record: a 4-byte hash comes before its flags.
FLAGS_OFFSET = 4


def flag_offsets(path: Path) -> list[int]:
    """Where in the file the flags of each need of `NEWER` lie."""
    offsets: list[int] = []
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".gnu.version_r")
        assert isinstance(section, GNUVerNeedSection)
        need_at = section["sh_offset"]
        for need, versions in section.iter_versions():
            version_at = need_at + need["vn_aux"]
            for version in versions:
                if version.name == NEWER:
                    offsets.append(version_at + FLAGS_OFFSET)
                version_at += version["vna_next"]
            need_at += need["vn_next"]
    return offsets


def weaken(path: Path) -> None:
    """Mark every need of `NEWER` in a file as weak. Done again, it changes nothing."""
    offsets = flag_offsets(path)
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            file.write(struct.pack("<H", VER_FLG_WEAK))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        weaken(Path(name))
