"""Errors that a user reads in one line, and text from outside that is shown in one."""

import re

from click import ClickException


def one_line(text: object) -> str:
    """Any text as one line of at most 2,000 characters without control characters."""
    words = " ".join(str(text)[:5000].split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)[:2000]


def escape_markdown(text: str) -> str:
    """Text from outside as one line of Markdown without tags, links, images and cell borders."""
    return re.sub(r"[<>&\[\]|`*\\]", lambda match: f"&#{ord(match[0])};", one_line(text))


def shorten_markdown(text: str, length: int, rest: str) -> str:
    """Markdown of at most so many characters: the last sections are left out, or the last lines.

    Args:
        rest: where the rest is; appended if something is left out.
    """
    if len(text) <= length:
        return text
    kept = text[: length - len(rest) - 2]
    end = kept.rfind("\n\n## ")
    end = end if end >= 0 else kept.rfind("\n")
    return f"{kept[:end]}\n\n{rest}"


class UserError(ClickException):
    """A mistake of the user: the text names what was found and what to do; exit status 2."""

    exit_code = 2


class StoreUnusable(UserError):
    """The tracking store, or the run in it that this process belongs to, cannot be opened.

    So nothing can be written on a run.
    """


class WorkFailed(ClickException):
    """The work failed: the text is the reason; exit status 1."""

    exit_code = 1
