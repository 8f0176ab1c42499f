"""As whom work runs: the centre's own table of accounts and local users, or openly one user for everybody."""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weir.model.problem import refused

__all__ = ["SHARED", "LocalUser", "Users", "parse_users", "read_users"]

SHARED = "one"
"""The value of the option that runs everybody's work as the agent's own user."""

_LINE = re.compile(r"([^\s=]+)\s*=\s*([A-Za-z_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class LocalUser:
    """A user of the cluster."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Users:
    """The mapping in force. `mapped` None: everybody's work runs as `own`."""

    own: LocalUser
    mapped: Mapping[str, LocalUser] | None
    carried: bool = False
    """Whether attempts' folders are the agent's own, which no user sees."""

    def owner(self, user: LocalUser) -> LocalUser:
        """Whose the files in an attempt's folder are when its work runs as this user."""
        return self.own if self.carried else user

    def of(self, account: str) -> LocalUser | None:
        """The user that this account's work runs as; None where the centre knows no such account."""
        return self.own if self.mapped is None else self.mapped.get(account)

    @property
    def everybody(self) -> tuple[LocalUser, ...]:
        """Every user that Weir's work may run as, each once."""
        users = (self.own,) if self.mapped is None else tuple(self.mapped.values())
        return tuple({user.name: user for user in users}.values())

    def shown(self) -> dict[str, str]:
        """Account → local user, `*` for everybody: what the agent tells both sides."""
        if self.mapped is None:
            return {"*": self.own.name}
        return {account: user.name for account, user in sorted(self.mapped.items())}


def read_users(option: str) -> Users:
    """The mapping that the option `users` names. Raises ProblemError for a table that cannot be used.

    To run work as another user than its own the agent must be root, since it gives that user the work's files.
    """
    own = _local_user(pwd.getpwuid(os.geteuid()).pw_name)
    assert own is not None
    if option == SHARED:
        return Users(own, None)
    try:
        path = Path(option)
        mode = path.stat().st_mode & 0o022
        if mode:
            raise refused("engine.options.users", option, "a file that only its owner can write: chmod 644")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refused("engine.options.users", option, f"a file that the agent can read ({error})") from None
    mapped = {}
    for account, name in parse_users(text, option).items():
        user = _local_user(name)
        if user is None:
            raise refused(f"{option}: {account}", name, "a user that exists on this machine")
        if user.uid == 0 and own.uid == 0:
            raise refused(f"{option}: {account}", name, "a user other than root")
        if user != own and own.uid != 0:
            accepted = f"only {own.name}, since the agent runs as {own.name} and cannot give files to others"
            raise refused(f"{option}: {account}", name, f"{accepted}; run it as root to map users")
        mapped[account] = user
    return Users(own, mapped)


def parse_users(text: str, where: str) -> dict[str, str]:
    """Account → user name, from lines `account = user`; `#` begins a comment. Raises ProblemError."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            raise refused(f"{where}, line {number}", content, "give `account = user`")
        account, user = match.groups()
        if account in found:
            raise refused(f"{where}, line {number}", account, "each account once")
        found[account] = user
    return found


def _local_user(name: str) -> LocalUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return LocalUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
