r"""Regular expressions for the values of flags, which Dataflow checks before it starts a job and the pipelines again.

They are written in what Python, RE2, Java, JavaScript and POSIX's egrep have in common, so that all of them take and
refuse the same: groups are plain `(...)`; there is no `\d`, `\s` or `\w`, whose characters differ; nothing looks ahead
or back; and no repetition is counted into the thousands, for which RE2 has no memory.
"""

from __future__ import annotations

from importlib.resources import files

# What str.isspace() says of characters beyond ASCII.
_SPACES = "".join(chr(code) for code in range(0x80, 0x3001) if chr(code).isspace())
_BLANK = rf"\x00-\x20{_SPACES}"
_TEXT = r"[^\x00-\x1f]"

NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
NAMES = f"{NAME}( *, *{NAME})*"
COLUMN = f"[^{_BLANK},.`]+"
COLUMNS = f"{COLUMN}(,{COLUMN})*"

_PROJECT = "[a-z0-9.:-]*[a-z0-9]"
DATASET = f"({_PROJECT}[.:])?[A-Za-z0-9_]+"
TABLE = f"{DATASET}\\.[^{_BLANK}.`/:]+"
# As strict about the project as Beam, which would end with a traceback.
SUBSCRIPTION = "projects/[a-z][a-z0-9:.-]{4,61}[a-z0-9]/subscriptions/[A-Za-z][A-Za-z0-9._~%+-]{0,254}"

BUCKET = "[a-z0-9][a-z0-9._-]{0,221}"
OBJECT = f"gs://{BUCKET}/{_TEXT}*[^\\x00-\\x1f/]"
FOLDER = f"gs://{BUCKET}(/{_TEXT}*)?"
FILE_NAME = f"[^{_BLANK}/]+"

WHOLE = "0|[1-9][0-9]{0,8}"
POSITIVE = "[1-9][0-9]{0,8}"

# A year before 1000 or after 2999 is a slip of the finger.
_YEAR = "[12][0-9]{3}"
_LEAP_YEAR = "([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)"
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = "[0-5][0-9]"
MONTH = f"{_YEAR}(0[1-9]|1[0-2])"
DATE = f"({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
INSTANT = f"{DATE}T{_MINUTE}:{_SECOND}"
DATE_OR_INSTANT = f"{DATE}(T{_MINUTE}(:{_SECOND})?)?"
# By name, from the package that is pinned: what there is, differs from one operating system to the next.
TIME_ZONE = "|".join((files("tzdata") / "zones").read_text().split()).replace("+", "[+]")

_LITERAL = r"[^%\x00-\x1f]|%%"
_FORMAT = f"({_LITERAL}|%[aAbBcdfHIjmMpSUwWxXyYzZ])*"
# A week's year goes with a week and a weekday only.
_WEEK = f"({_LITERAL})*%G({_LITERAL})*%V({_LITERAL})*%[aAuw]({_LITERAL}|%[fHIMpSzZ])*"
TIME_FORMAT = f"{_FORMAT}%[cxyY]{_FORMAT}|{_WEEK}"

# A byte, as BigQuery separates and quotes by; neither of them is part of a line's end.
BYTE = r"[\x01-\x09\x0b\x0c\x0e-\xff]"
# Anything but blanks and semicolons.
SQL = r"[^\x00]*[^\x00-\x20;][^\x00]*"

_PORT = "(:[0-9]{1,5})?"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-f:]+\])"
ADDRESS = f"(https?://)?{_HOST}{_PORT}/?"
REMOTE_ADDRESS = f"(https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+{_PORT}/?"  # not this machine's
